import assert from "node:assert/strict";
import { test } from "node:test";
import { LiveJob } from "../job/live_job.js";
import { FakeModel, settle } from "./fake_model.js";

const FILE = Uint8Array.from({ length: 3_000_000 }, (_, i) => i % 251);

function chunk({ offset, length }) {
  // As a real message has it: a window into a larger buffer.
  const piece = new DataView(FILE.buffer, offset, Math.min(length, FILE.length - offset));
  const msg = { offset, total: FILE.length, content_type: "video/mp4", name: "heron.mp4" };
  return { msg, buffers: [piece] };
}

test("a page asks for a snapshot at once", async () => {
  const model = new FakeModel();
  const live = new LiveJob(model);
  await settle();
  assert.deepEqual(model.asked(), ["snapshot"]);
  assert.deepEqual(live.record.parameters, [["duration", "5"]]);
  live.close();
});

test("updates reach every view, until it unsubscribes", async () => {
  const model = new FakeModel();
  const live = new LiveJob(model);
  await settle();
  const calls = [0, 0];
  const leave = live.subscribe(() => calls[0]++);
  live.subscribe(() => calls[1]++);
  model.update({ revision: 5, state: "IN_PROGRESS" });
  leave();
  model.update({ revision: 6, state: "DOWNLOADING" });
  assert.deepEqual(calls, [1, 2]);
  assert.equal(live.record.now.state, "DOWNLOADING");
  live.close();
});

test("a lost update makes the page ask for a snapshot again", async () => {
  const model = new FakeModel();
  const live = new LiveJob(model);
  await settle();
  model.update({ revision: 5, first_line: 3, lines: [[null, "d", null]] });
  await settle();
  assert.deepEqual(model.asked(), ["snapshot", "snapshot"]);
  live.close();
});

test("the file comes in pieces and is whole", async () => {
  const model = new FakeModel({ chunk });
  const live = new LiveJob(model);
  await Promise.all([live.loadFootage(), live.loadFootage()]);
  assert.equal(live.footage.phase, "loaded");
  assert.equal(live.footage.name, "heron.mp4");
  assert.equal(live.footage.blob.type, "video/mp4");
  assert.deepEqual(new Uint8Array(await live.footage.blob.arrayBuffer()), FILE);
  assert.equal(model.asked().filter((kind) => kind === "chunk").length, 4);
  live.close();
});

test("a refused piece is told, and may be tried again", async () => {
  const model = new FakeModel();
  const live = new LiveJob(model);
  await live.loadFootage();
  assert.deepEqual([live.footage.phase, live.footage.error], ["failed", "not here"]);
  model.handlers.chunk = chunk;
  await live.loadFootage();
  assert.equal(live.footage.phase, "loaded");
  live.close();
});

test("a file that changes while it is read is not shown", async () => {
  let total = FILE.length;
  const model = new FakeModel({
    chunk: (asked) => {
      const answer = chunk(asked);
      return { ...answer, msg: { ...answer.msg, total: total-- } };
    },
  });
  const live = new LiveJob(model);
  await live.loadFootage();
  assert.match(live.footage.error, /changed/);
  live.close();
});

test("a cancel says what came of it, and is sent once", async () => {
  const model = new FakeModel({ cancel: () => ({ msg: { outcome: "cancelled" } }) });
  const live = new LiveJob(model);
  const both = [live.cancel(), live.cancel()];
  assert.equal(live.cancelling.asked, true);
  await Promise.all(both);
  assert.deepEqual(live.cancelling, { asked: false, outcome: "cancelled" });
  assert.equal(model.asked().filter((kind) => kind === "cancel").length, 1);
  live.close();
});

test("a kernel that went away is known to be gone, and one that came back to be there", async () => {
  const model = new FakeModel();
  const live = new LiveJob(model);
  await settle();
  model.gone = true;
  model.trigger("comm_live_update");
  await settle();
  assert.equal(live.record.connected, false);
  model.gone = false;
  model.trigger("comm_live_update");
  await settle();
  assert.equal(live.record.connected, true);
  model.silent = true;
  void live.cancel();
  model.trigger("comm_live_update");
  await settle();
  assert.match(live.cancelling.outcome, /went away/);
  assert.equal(live.record.connected, false);
  model.silent = false;
  model.trigger("comm_live_update");
  await settle();
  assert.equal(live.record.connected, true);
  live.close();
});
