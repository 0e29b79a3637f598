import assert from "node:assert/strict";
import { test } from "node:test";
import { LiveJob } from "../result/live_job.js";
import { entry, FakeModel, nextTurn } from "./fake_model.js";

const FILE = Uint8Array.from({ length: 3_000_000 }, (_, i) => i % 251);

function chunk({ offset, length }) {
  // As a real message has it: a window into a larger buffer.
  const piece = new DataView(FILE.buffer, offset, Math.min(length, FILE.length - offset));
  const msg = { offset, total: FILE.length, content_type: "video/mp4", name: "heron.mp4" };
  return { msg, buffers: [piece] };
}

async function begin(handlers) {
  const model = new FakeModel(handlers);
  const live = new LiveJob(model);
  await nextTurn();
  return { model, live };
}

test("a page asks for a snapshot at once, and what the traits hold gets its key", async () => {
  const model = new FakeModel();
  const live = new LiveJob(model);
  const first = live.shown;
  await nextTurn();
  assert.deepEqual(model.asked(), ["snapshot"]);
  assert.equal(live.shown, first);
  assert.equal(live.shown.about.key, 1);
  assert.equal(live.controls.length, 5);
  live.close();
});

test("updates reach every view, until it unsubscribes", async () => {
  const { model, live } = await begin();
  const calls = [0, 0];
  const leave = live.subscribe(() => calls[0]++);
  live.subscribe(() => calls[1]++);
  model.update({ revision: 5, state: "IN_PROGRESS" });
  leave();
  model.update({ revision: 6, state: "DOWNLOADING" });
  assert.deepEqual(calls, [1, 2]);
  assert.equal(live.shown.now.state, "DOWNLOADING");
  live.close();
});

test("updates reach a page whose question is not answered, as with ipykernel 6 while a cell waits", async () => {
  const model = new FakeModel();
  model.silent = true;
  const live = new LiveJob(model);
  const line = [null, "Loading", null];
  model.update({ job_id: "another", revision: 2, state: "FAILED", first_line: 0, lines: [] });
  model.update({
    job_id: "abc123",
    revision: 3,
    state: "IN_PROGRESS",
    first_line: 0,
    lines: [line],
  });
  assert.equal(live.shown.now.state, "IN_PROGRESS");
  assert.deepEqual(live.shown.lines.held, [line]);
  for (const question of model.unanswered) model.answer(question);
  await nextTurn();
  assert.deepEqual([live.shown.about.key, live.shown.now.state], [1, "IN_PROGRESS"]);
  live.close();
});

test("a lost update makes the page ask for a snapshot again", async () => {
  const { model, live } = await begin();
  model.lines = [
    [null, "one", null],
    [null, "two", null],
    [null, "three", null],
  ];
  model.update({ revision: 9, first_line: 2, lines: [[null, "three", null]] });
  await nextTurn();
  assert.deepEqual(
    live.shown.lines.held.map(([, text]) => text),
    ["one", "two", "three"],
  );
  assert.equal(model.asked().length, 2);
  live.close();
});

test("an update of a take that is not shown leaves the one shown alone", async () => {
  const { model, live } = await begin();
  model.arrange([model.takes[0], entry(2, { job_id: "second" })], 1);
  model.update({ key: 2, revision: 9, state: "FAILED" });
  assert.equal(live.shown.now.state, "IN_QUEUE");
  assert.equal(live.takes[1].now.state, "FAILED");
  live.close();
});

test("another take is shown in all views, with its own lines", async () => {
  const { model, live } = await begin();
  model.arrange([model.takes[0], entry(2, { job_id: "second", prompt: "a fox" })], 1);
  model.lines = [[null, "of the second", null]];
  live.choose(live.takes[1]);
  await nextTurn();
  assert.equal(model.get("take"), 2);
  assert.equal(live.shown.about.prompt, "a fox");
  assert.deepEqual(
    live.shown.lines.held.map(([, text]) => text),
    ["of the second"],
  );
  live.close();
});

const DONE = { state: "READY", width: 64, height: 36, duration: 5 };

test("a job that runs leaves on the stage what was there", async () => {
  const { model, live } = await begin();
  const keys = () => live.staged.map(({ about }) => about.key);
  assert.deepEqual([keys(), live.playable], [[1], false]);
  model.update({ revision: 5, ...DONE });
  assert.deepEqual([keys(), live.playable], [[1], true]);
  model.arrange([model.takes[0], entry(2, { job_id: "second" })], 2);
  await nextTurn();
  assert.equal(live.shown.about.key, 2);
  assert.deepEqual([keys(), live.playable], [[1], true]);
  model.update({ key: 2, revision: 9, ...DONE });
  assert.deepEqual(keys(), [2]);
  live.close();
});

test("takes are compared in their order, four at most, and none that is gone", async () => {
  const { model, live } = await begin();
  const made = [1, 2, 3, 4, 5].map((key) =>
    entry(key, { job_id: key === 1 ? "abc123" : `job${key}`, revision: 9, ...DONE }),
  );
  model.arrange(made, 2);
  await nextTurn();
  const keys = () => live.compared.map(({ about }) => about.key);
  live.compare();
  assert.deepEqual(keys(), [1, 2]);
  live.compare([...live.takes].reverse());
  assert.deepEqual(keys(), [1, 2, 3, 4]);
  live.compare([live.takes[1]]);
  assert.deepEqual(keys(), [], "one alone is no comparison");
  live.compare();
  model.arrange(made.slice(1), 1);
  assert.deepEqual(keys(), []);
  live.close();
});

test("the file comes whole, in pieces", async () => {
  const { model, live } = await begin({ chunk });
  await Promise.all([live.shown.footage.load(), live.shown.footage.load()]);
  const { phase, blob, name } = live.shown.footage;
  assert.equal(phase, "loaded");
  assert.equal(name, "heron.mp4");
  assert.equal(blob.type, "video/mp4");
  assert.deepEqual(new Uint8Array(await blob.arrayBuffer()), FILE);
  assert.equal(model.asked().filter((kind) => kind === "chunk").length, 4);
  live.close();
});

test("a file that changes while it is read is not shown; it can be tried again", async () => {
  let total = FILE.length;
  const changing = (msg) => {
    const answer = chunk(msg);
    answer.msg.total = total++;
    return answer;
  };
  const { live } = await begin({ chunk: changing });
  await live.shown.footage.load();
  assert.match(live.shown.footage.error, /changed/);
  live.close();
});

test("a poster is asked for once", async () => {
  const jpeg = new DataView(new ArrayBuffer(4));
  const { model, live } = await begin({ poster: () => ({ msg: {}, buffers: [jpeg] }) });
  const [one, two] = await Promise.all([live.shown.poster(), live.shown.poster()]);
  assert.equal(one, two);
  assert.equal(one.size, 4);
  assert.equal(model.asked().filter((kind) => kind === "poster").length, 1);
  live.close();
});

test("a cancel says what came of it, and is sent once", async () => {
  const { model, live } = await begin({ cancel: () => ({ msg: { outcome: "cancelled" } }) });
  const both = [live.cancel(), live.cancel()];
  assert.equal(live.cancelling.asked, true);
  await Promise.all(both);
  assert.deepEqual(live.cancelling, { asked: false, outcome: "cancelled" });
  assert.equal(model.asked().filter((kind) => kind === "cancel").length, 1);
  live.close();
});

test("a kernel that went away is known to be gone, and one that came back to be there", async () => {
  const { model, live } = await begin();
  model.gone = true;
  model.trigger("comm_live_update");
  await nextTurn();
  assert.equal(live.connected, false);
  model.gone = false;
  model.trigger("comm_live_update");
  await nextTurn();
  assert.equal(live.connected, true);
  model.silent = true;
  void live.cancel();
  model.trigger("comm_live_update");
  await nextTurn();
  assert.match(live.cancelling.outcome, /went away/);
  assert.equal(live.connected, false);
  model.silent = false;
  model.trigger("comm_live_update");
  await nextTurn();
  assert.equal(live.connected, true);
  live.close();
});
