import assert from "node:assert/strict";
import { test } from "node:test";
import { Take } from "../result/take.js";
import { entry, FakeModel } from "./fake_model.js";

const { traits } = new FakeModel();

test("a take begins with what was saved", () => {
  const take = new Take({ ...traits, state: "READY", width: 1280 });
  assert.equal(take.finished, true);
  assert.equal(take.now.width, 1280);
  assert.equal(take.now.queue_position, null);
  assert.equal(take.about.key, 0, "the kernel has not sent it yet");
});

test("an older message does not undo a newer one, and its lines still count", () => {
  const take = new Take(traits);
  const update = { ...entry(1), first_line: 0, lines: [] };
  take.update({ ...update, revision: 7, state: "DOWNLOADING" });
  take.update({ ...update, revision: 3, lines: [[null, "loading", null]] });
  assert.equal(take.now.state, "DOWNLOADING");
  assert.equal(take.lines.end, 1);
});

test("missing lines are reported", () => {
  const take = new Take(traits);
  const update = { ...entry(1), first_line: 4, lines: [[null, "x", null]] };
  assert.equal(take.update(update), false);
});

test("traits make good for a lost update, and never open what is over", () => {
  const take = new Take(traits);
  take.traits({ ...traits, state: "FAILED", message: "refused" });
  assert.equal(take.now.message, "refused");
  take.traits({ ...traits, state: "IN_PROGRESS" });
  assert.equal(take.now.state, "FAILED");
});

test("traits that are still to come take nothing away", () => {
  const take = new Take(traits);
  take.update({ ...entry(1), state: "READY", width: 960, revision: 2, first_line: 0, lines: [] });
  take.traits({ ...traits, state: "READY", width: null });
  assert.equal(take.now.width, 960);
});

test("traits of another take are not taken for this one's", () => {
  const take = new Take(traits);
  take.traits({ ...traits, job_id: "other", state: "FAILED" });
  assert.equal(take.now.state, "IN_QUEUE");
});

test("elapsed time goes by the kernel's clock and stops at the end", () => {
  const take = new Take(traits);
  const update = { ...entry(1), first_line: 0, lines: [] };
  assert.equal(take.elapsed(1010), 10);
  take.update({ ...update, revision: 2, state: "READY", finished_at: 1044 });
  assert.equal(take.elapsed(9999), 44);
  take.update({ ...update, revision: 3, state: "CANCELLED", finished_at: null });
  assert.equal(take.elapsed(9999), null, "over, and it is unknown since when");
});
