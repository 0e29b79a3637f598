-- A ledger as version 5 of the schema left it.
PRAGMA user_version = 5;
BEGIN TRANSACTION;
CREATE TABLE holds (
  id TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  held_at REAL NOT NULL,
  usd REAL NOT NULL
) STRICT;
CREATE TABLE jobs (
  id TEXT PRIMARY KEY,
  created_at REAL NOT NULL,
  state TEXT NOT NULL,
  backend TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  input TEXT NOT NULL,
  prompt TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  folder TEXT NOT NULL,
  take INTEGER,
  owner TEXT NOT NULL,
  key_fingerprint TEXT,
  notebook TEXT,
  sent_at REAL,
  request_id TEXT,
  status_url TEXT, response_url TEXT, cancel_url TEXT,
  finished_at REAL,
  result TEXT,
  units TEXT,
  error TEXT, error_type TEXT,
  media_path TEXT,
  reserved_usd REAL
, addresses TEXT) STRICT;
INSERT INTO "jobs" VALUES('000000000001',1767225601.0,'READY','fal','fal-ai/kling-video/v1/pro/text-to-video','{"prompt": "a cat 1 – ünï"}','a cat 1 – ünï','f-1','/media',1,'workstation:1234:cafe0000',NULL,NULL,1767225601.0,'r-1',NULL,NULL,NULL,1767225700.0,'{"video": {"url": "https://x/1.mp4"}}','5',NULL,NULL,'/media/a.mp4',NULL,NULL);
INSERT INTO "jobs" VALUES('000000000002',1767225602.0,'IN_PROGRESS','fal','fal-ai/kling-video/v1/pro/text-to-video','{"prompt": "a cat 2 – ünï"}','a cat 2 – ünï','f-2','/media',1,'workstation:1234:cafe0000',NULL,NULL,1767225602.0,'r-2','https://queue.fal.run/a/b/requests/r-2/status',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "jobs" VALUES('000000000003',1767225603.0,'UNCERTAIN','fal','fal-ai/kling-video/v1/pro/text-to-video','{"prompt": "a cat 3 – ünï"}','a cat 3 – ünï','f-3','/media',1,'workstation:1234:cafe0000',NULL,NULL,1767225603.0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'no answer',NULL,NULL,NULL,NULL);
INSERT INTO "jobs" VALUES('000000000004',1767225604.0,'FAILED','fal','fal-ai/kling-video/v1/pro/text-to-video','{"prompt": "a cat 4 – ünï"}','a cat 4 – ünï','f-4','/media',NULL,'workstation:1234:cafe0000',NULL,NULL,1767225604.0,'r-4',NULL,NULL,NULL,1767225700.0,NULL,NULL,'no','t',NULL,NULL,NULL);
CREATE TABLE uploads (
  sha256 TEXT NOT NULL,
  content_type TEXT NOT NULL,
  host TEXT NOT NULL,
  account TEXT NOT NULL,
  lifecycle INTEGER NOT NULL,
  url TEXT NOT NULL,
  expires REAL,
  uploaded_at REAL NOT NULL, size INTEGER,
  PRIMARY KEY (sha256, content_type, host, account, lifecycle)
) STRICT;
INSERT INTO "uploads" VALUES('ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss','image/png','https://rest.fal.ai','0123',0,'https://v3.fal.media/files/1.png',NULL,1.79543764447520756721e+09,NULL);
CREATE INDEX jobs_by_fingerprint ON jobs (fingerprint, folder);
CREATE INDEX jobs_by_time ON jobs (created_at);
CREATE INDEX jobs_by_request ON jobs (request_id);
CREATE INDEX jobs_unfinished ON jobs (folder)
  WHERE state IN ('SUBMITTING', 'IN_QUEUE', 'IN_PROGRESS', 'DOWNLOADING', 'UNCERTAIN');
CREATE INDEX jobs_by_endpoint ON jobs (endpoint, created_at);
CREATE INDEX jobs_by_state ON jobs (state, created_at);
CREATE INDEX jobs_by_session ON jobs (substr(owner, -8));
COMMIT;
