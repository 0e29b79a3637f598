import assert from "node:assert/strict";
import { test } from "node:test";
import { JobRecord } from "../job/record.js";
import { entry, FakeModel } from "./fake_model.js";

const { traits } = new FakeModel();

test("a record begins with what was saved", () => {
  const record = new JobRecord({ ...traits, state: "READY", width: 1280 });
  assert.equal(record.finished, true);
  assert.equal(record.now.width, 1280);
  assert.equal(record.now.queue_position, null);
  assert.equal(record.about.key, 0, "the kernel has not said it yet");
});

test("an older message does not undo a newer one, and its lines count all the same", () => {
  const record = new JobRecord(traits);
  const update = { ...entry(1), first_line: 0, lines: [] };
  record.update({ ...update, revision: 7, state: "DOWNLOADING" });
  record.update({ ...update, revision: 3, lines: [[null, "loading", null]] });
  assert.equal(record.now.state, "DOWNLOADING");
  assert.equal(record.lines.end, 1);
});

test("missing lines are told", () => {
  const record = new JobRecord(traits);
  const update = { ...entry(1), first_line: 4, lines: [[null, "x", null]] };
  assert.equal(record.update(update), false);
});

test("traits make good for a lost update, and never open what is over", () => {
  const record = new JobRecord(traits);
  record.retrait({ ...traits, state: "FAILED", message: "refused" });
  assert.equal(record.now.message, "refused");
  record.retrait({ ...traits, state: "IN_PROGRESS" });
  assert.equal(record.now.state, "FAILED");
});

test("traits that are still to come take nothing away", () => {
  const record = new JobRecord(traits);
  record.update({ ...entry(1), state: "READY", width: 960, revision: 2, first_line: 0, lines: [] });
  record.retrait({ ...traits, state: "READY", width: null });
  assert.equal(record.now.width, 960);
});

test("traits of another take are not taken for this one's", () => {
  const record = new JobRecord(traits);
  record.retrait({ ...traits, job_id: "other", state: "FAILED" });
  assert.equal(record.now.state, "IN_QUEUE");
});

test("elapsed time goes by the kernel's clock and stops at the end", () => {
  const record = new JobRecord(traits);
  const update = { ...entry(1), first_line: 0, lines: [] };
  assert.equal(record.elapsed(1010), 10);
  record.update({ ...update, revision: 2, state: "READY", finished_at: 1044 });
  assert.equal(record.elapsed(9999), 44);
  record.update({ ...update, revision: 3, state: "CANCELLED", finished_at: null });
  assert.equal(record.elapsed(9999), null, "over, and nobody knows since when");
});
