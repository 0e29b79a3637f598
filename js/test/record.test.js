import assert from "node:assert/strict";
import { test } from "node:test";
import { JobRecord } from "../job/record.js";

const traits = {
  job_id: "abc123",
  state: "IN_QUEUE",
  request_id: null,
  endpoint: "fal-ai/kling-video/v1/pro/text-to-video",
  title: "Kling 1.0 Pro",
  prompt: "a heron",
  backend: "fal",
  created_at: 1000,
  finished_at: null,
  message: "",
  width: null,
  height: null,
  duration: null,
};

const update = {
  revision: 1,
  state: "IN_PROGRESS",
  request_id: "r-1",
  resumed: false,
  queue_position: null,
  received: 0,
  total: null,
  finished_at: null,
  message: "",
  width: null,
  height: null,
  duration: null,
  first_line: 0,
  lines: [],
};

test("a record begins with what was saved", () => {
  const record = new JobRecord({ ...traits, state: "READY", width: 1280 });
  assert.equal(record.finished, true);
  assert.equal(record.now.width, 1280);
  assert.equal(record.now.queue_position, null);
});

test("an older message does not undo a newer one, and its lines count all the same", () => {
  const record = new JobRecord(traits);
  record.update({ ...update, revision: 7, state: "DOWNLOADING" });
  const late = { ...update, revision: 3, lines: [[null, "loading", null]], now: 1000 };
  record.snapshot({ ...late, parameters: [["duration", "5"]] }, 1000);
  assert.equal(record.now.state, "DOWNLOADING");
  assert.equal(record.lines.end, 1);
  assert.deepEqual(record.parameters, [["duration", "5"]]);
});

test("missing lines are told", () => {
  const record = new JobRecord(traits);
  assert.equal(record.update({ ...update, first_line: 4, lines: [[null, "x", null]] }), false);
});

test("traits make good for a lost update, and never open what is over", () => {
  const record = new JobRecord(traits);
  record.retrait({ ...traits, state: "FAILED", message: "refused" });
  assert.equal(record.now.message, "refused");
  record.retrait({ ...traits, state: "IN_PROGRESS" });
  assert.equal(record.now.state, "FAILED");
});

test("elapsed time goes by the kernel's clock and stops at the end", () => {
  const record = new JobRecord(traits);
  assert.equal(record.elapsed(1010), 10);
  record.snapshot({ ...update, now: 1020, parameters: [] }, 5020);
  assert.equal(record.elapsed(5027), 27);
  record.update({ ...update, revision: 2, state: "READY", finished_at: 1044 });
  assert.equal(record.elapsed(9999), 44);
  record.update({ ...update, revision: 3, state: "CANCELLED", finished_at: null });
  assert.equal(record.elapsed(9999), null, "over, and nobody knows since when");
});

test("a message shows that the kernel is there", () => {
  const record = new JobRecord(traits);
  record.connected = false;
  record.update(update);
  assert.equal(record.connected, true);
});
