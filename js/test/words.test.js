import assert from "node:assert/strict";
import { test } from "node:test";
import { covers } from "../shared/card.js";
import * as words from "../shared/words.js";

const job = { state: "IN_QUEUE", queue_position: null, held: false, received: 0, total: null };

test("seconds read as a clock", () => {
  const cases = {
    0: "0:00",
    7.9: "0:07",
    61: "1:01",
    3599: "59:59",
    3723: "1:02:03",
    "-2": "0:00",
  };
  for (const [seconds, text] of Object.entries(cases)) {
    assert.equal(words.clock(Number(seconds)), text);
  }
});

test("a place in the queue is shown in words", () => {
  assert.equal(words.phase(job), "");
  assert.equal(words.phase({ ...job, queue_position: 0 }), "Next in the queue");
  assert.equal(words.phase({ ...job, queue_position: 3 }), "3 ahead in the queue");
  const held = { ...job, state: /** @type {const} */ ("SUBMITTING"), held: true };
  assert.match(words.phase(held), /^Waiting: the account runs its maximum/);
});

test("a transfer says how much, of how much where that is known", () => {
  const download = { ...job, state: "DOWNLOADING", received: 3_400_000 };
  assert.equal(words.phase(download), "3.4 MB");
  assert.equal(words.phase({ ...download, total: 8_100_000 }), "3.4 MB of 8.1 MB");
  assert.equal(
    words.phase({ ...download, state: "SUBMITTING", total: 8_100_000 }),
    "Uploading 3.4 MB of 8.1 MB",
  );
});

test("time stamps without a zone are UTC, unreadable ones are left out", () => {
  const time = (stamp) => words.timeOfDay(stamp, "UTC");
  assert.equal(time("2024-12-20T15:37:17.120314"), "15:37:17");
  assert.equal(time("2024-12-20T15:37:17Z"), "15:37:17");
  assert.equal(time("2024-12-20T15:37:17+02:00"), "13:37:17");
  assert.equal(time("yesterday"), "");
  assert.equal(time(null), "");
});

test("times and sizes in words", () => {
  assert.deepEqual([5, 61, 7200, 200_000].map(words.ago), [
    "just now",
    "1 min ago",
    "2 h ago",
    "2 d ago",
  ]);
  assert.deepEqual([1, 12_345, 3_456_789].map(words.fileSize), ["1 kB", "12 kB", "3.5 MB"]);
  assert.equal(words.moment(63.256), "1:03.26");
});

test("a state that is not known here shows as it is", () => {
  assert.equal(words.label("IN_PROGRESS"), "Generating");
  assert.equal(words.label("IN_QUEUE"), "In queue");
  assert.equal(words.label("PAUSED"), "PAUSED");
});

test("a job says that it sends a file, or waits until fal accepts it", () => {
  const job = /** @type {const} */ ({ state: "SUBMITTING", held: false, received: 0 });
  assert.equal(words.stateWord(job), "Submitting");
  assert.equal(words.stateWord({ ...job, received: 7 }), "Uploading");
  assert.equal(words.stateWord({ ...job, received: 7, held: true }), "Waiting");
  assert.equal(words.stateWord({ ...job, state: "DOWNLOADING", received: 7 }), "Downloading");
});

test("how long is shown of what is over as of what runs", () => {
  assert.equal(words.duration("IN_PROGRESS", 47), "0:47");
  assert.equal(words.duration("READY", 47), "took 0:47");
  assert.equal(words.duration("FAILED", 47), "after 0:47");
});

test("a job that runs says how long such jobs take, where that is known", () => {
  assert.equal(words.duration("IN_PROGRESS", 41, 80), "0:41 · usually 1:20");
  assert.equal(words.duration("READY", 41, 80), "took 0:41");
});

test("progress is shown only where something is known of it", () => {
  const running = { ...job, state: "IN_PROGRESS" };
  assert.equal(words.share(running, 20, 80), 0.25);
  assert.equal(words.share(running, 20, null), null);
  assert.equal(words.share(running, 90, 80), null, "longer than usual: unknown");
  assert.equal(
    words.share({ ...running, progress: 0.62 }, 20, 80),
    0.62,
    "its own log knows better",
  );
  assert.equal(words.share(job, 76, 80), null, "what waits has not started");
  const download = { ...job, state: "DOWNLOADING", received: 25, total: 100 };
  assert.equal(words.share(download, 20, 80), 0.25);
  assert.equal(words.share({ ...download, total: null }, 20, 80), null);
  assert.equal(words.share({ ...download, state: "SUBMITTING" }, 20, 80), 0.25, "an upload");
});

test("size and length of a take", () => {
  const take = { width: 1280, height: 720, duration: 5.0416 };
  assert.equal(words.dimensions(take), "1280 × 720 · 5 s");
  assert.equal(words.dimensions({ ...take, duration: 5.1 }), "1280 × 720 · 5.1 s");
  assert.equal(words.dimensions({ width: null, height: null, duration: null }), "");
});

test("a job that no kernel follows names the way back, and says nothing that may not be so", () => {
  const { lostWords } = words;
  assert.match(
    lostWords("IN_PROGRESS", "fal", false),
    /^The kernel was restarted.* goes on at fal/,
  );
  assert.match(lostWords("IN_QUEUE", "fal", true), /^The kernel does not answer.* follow it, free/);
  assert.doesNotMatch(lostWords("SUBMITTING", "fal", true), /goes on/);
  assert.match(lostWords("SUBMITTING", "fal", true), /not paid for twice/);
  assert.doesNotMatch(lostWords("IN_PROGRESS", "local", false), /fal/);
});

test("the card is hidden unless the video is made and cannot be shown here", () => {
  const view = { state: "READY", failed: false, loading: false, busy: false };
  assert.equal(covers(view), true);
  assert.equal(covers({ ...view, loading: true }), true);
  assert.equal(covers({ ...view, failed: true }), false);
  assert.equal(covers({ ...view, loading: true, busy: true }), false);
  assert.equal(covers({ ...view, state: "FAILED", busy: true }), true);
});
