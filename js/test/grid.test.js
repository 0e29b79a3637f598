import assert from "node:assert/strict";
import { test } from "node:test";
import { LiveGrid } from "../grid/live_grid.js";
import { canBeStopped, factsOf, hasEnded, isPlayable } from "../grid/tile.js";
import { label } from "../shared/words.js";

const cell = (number, more = {}) => ({
  cell: number,
  state: "WAITING",
  message: "",
  reused: false,
  queue_position: null,
  held: false,
  received: 0,
  total: null,
  width: null,
  ...more,
});

/** A model whose kernel answers at once, or not at all. */
function modelOf(answers) {
  const listeners = {};
  const sent = [];
  const model = {
    sent,
    /** Answers the last question, later. */
    reply: (msg) => model.emit({ id: model.asked, kind: "reply", ok: true, msg }),
    get: (name) => ({ sweep_id: "sweep-1", count: 2, summary: "saved words" })[name],
    on: (name, call) => {
      listeners[name] = call;
    },
    emit: (content, buffers = []) => listeners["msg:custom"](content, buffers),
    kernelChanged: () => listeners.comm_live_update(),
    send({ id, kind, msg }) {
      sent.push([kind, msg]);
      model.asked = id;
      const answer = answers[kind]?.(msg);
      if (answer) queueMicrotask(() => model.emit({ id, kind: "reply", ok: true, msg: answer }));
    },
  };
  return model;
}

const snapshot = (revision, cells) => ({
  now: Date.now() / 1000,
  rows: [],
  revision,
  done: false,
  summary: `words ${revision}`,
  cells,
});

const nextTurn = () => new Promise((resolve) => setTimeout(resolve));

test("a page asks for everything, and says what the model knows until then", async () => {
  const model = modelOf({ snapshot: () => snapshot(3, [cell(0), cell(1)]) });
  const live = new LiveGrid(model);
  assert.equal(live.summary, "saved words");
  await nextTurn();
  assert.equal(live.summary, "words 3");
  assert.equal(live.cells.length, 2);
  live.close();
});

test("of each cell the newest is kept, whatever comes last", async () => {
  const model = modelOf({ snapshot: () => snapshot(3, [cell(0), cell(1)]) });
  const live = new LiveGrid(model);
  await nextTurn();
  const tell = (revision, state) =>
    model.emit({
      kind: "update",
      msg: { revision, done: false, summary: `words ${revision}`, cells: [cell(0, { state })] },
    });
  tell(5, "READY");
  tell(4, "IN_PROGRESS");
  assert.equal(live.cells[0].state, "READY");
  assert.equal(live.summary, "words 5");
  live.close();
});

test("an update that comes before an older snapshot is taken after it", async () => {
  const model = modelOf({});
  const live = new LiveGrid(model);
  const over = {
    revision: 4,
    done: true,
    summary: "words 4",
    cells: [cell(0, { state: "FAILED" })],
  };
  model.emit({ kind: "update", msg: over });
  assert.equal(live.whole, null);
  model.reply(snapshot(3, [cell(0), cell(1)]));
  await nextTurn();
  assert.equal(live.cells[0].state, "FAILED");
  assert.equal(live.cells[1].state, "WAITING");
  assert.deepEqual([live.whole.done, live.summary], [true, "words 4"]);
  live.close();
});

test("of messages before a snapshot the last ones are kept, however long it takes", async () => {
  const model = modelOf({});
  const live = new LiveGrid(model);
  const tell = (revision) =>
    model.emit({
      kind: "update",
      msg: { revision, done: false, summary: "", cells: [cell(revision % 100)] },
    });
  for (let revision = 4; revision < 104; revision++) tell(revision);
  model.reply(snapshot(3, []));
  await nextTurn();
  assert.equal(live.cells.filter(Boolean).length, 50);
  live.close();
});

test("an update with everything stands for an answer that does not come", async () => {
  const live = new LiveGrid(modelOf({}));
  const { model } = live;
  const part = { revision: 1, done: false, summary: "words 1", cells: [cell(0)] };
  model.emit({ kind: "update", msg: part });
  assert.equal(live.whole, null);
  const whole = snapshot(2, [cell(0, { state: "IN_PROGRESS" }), cell(1)]);
  const later = Date.now() / 1000 + 60;
  model.emit({ kind: "update", msg: { ...whole, mode: "together", now: later } });
  assert.equal(live.summary, "words 2");
  assert.deepEqual(
    live.cells.map(({ state }) => state),
    ["IN_PROGRESS", "WAITING"],
  );
  assert.ok(Math.abs(live.clockOffset - 60) < 5);
  model.emit({
    kind: "update",
    msg: { ...part, revision: 3, cells: [cell(1, { state: "READY" })] },
  });
  assert.equal(live.cells[1].state, "READY");
  live.close();
});

test("a kernel that is gone is noticed, and a new one is asked again", async () => {
  let there = true;
  const model = modelOf({ snapshot: () => (there ? snapshot(3, [cell(0)]) : null) });
  const send = model.send;
  model.send = (content) => {
    if (!there) throw new Error("no kernel");
    send(content);
  };
  const live = new LiveGrid(model);
  await nextTurn();
  there = false;
  model.kernelChanged();
  await nextTurn();
  assert.equal(live.connected, false);
  there = true;
  model.kernelChanged();
  await nextTurn();
  assert.equal(live.connected, true);
  live.close();
});

test("a cancel is asked once, and its outcome is kept for the reader", async () => {
  const model = modelOf({
    snapshot: () => snapshot(3, [cell(0)]),
    cancel: () => ({ outcome: "2 not started" }),
  });
  const live = new LiveGrid(model);
  await nextTurn();
  await Promise.all([live.cancel(), live.cancel()]);
  assert.deepEqual(model.sent.slice(1), [["cancel", {}]]);
  assert.equal(live.outcome, "2 not started");
  live.close();
});

test("a poster is asked for once", async () => {
  const model = modelOf({ snapshot: () => snapshot(3, [cell(0)]), poster: () => ({}) });
  const live = new LiveGrid(model);
  await nextTurn();
  assert.equal(live.poster(0), live.poster(0));
  assert.deepEqual(model.sent.slice(1), [["poster", { cell: 0 }]]);
  live.close();
});

test("a try that is refused shows why at its cell, and one that is made opens the new job", async () => {
  let refusal = "Over --max-cost 1. Nothing was sent.";
  const failed = cell(0, { state: "FAILED", created_at: 1, job: "a", steps: ["retry", "edit"] });
  const model = modelOf({ snapshot: () => snapshot(3, [failed]) });
  const { send } = model;
  model.send = (command) => {
    if (command.kind !== "retry") return send(command);
    const msg = refusal ? { error: refusal } : {};
    queueMicrotask(() => model.emit({ id: command.id, kind: "reply", ok: !refusal, msg }));
  };
  const live = new LiveGrid(model);
  await nextTurn();
  live.open(0);
  await live.again("retry", 0);
  assert.deepEqual([live.refused.get(0), live.outcome], [refusal, ""]);
  assert.ok(live.opened.result);
  refusal = "";
  await live.again("retry", 0);
  assert.equal(live.refused.size, 0);
  assert.deepEqual(live.opened, { cells: [0] });
  const tell = (revision, more) =>
    model.emit({ kind: "update", msg: { revision, cells: [cell(0, more)] } });
  tell(4, { created_at: null });
  assert.equal(live.opened.result, undefined);
  tell(5, { state: "IN_QUEUE", created_at: 2, job: "b" });
  assert.ok(live.opened.result);
  live.close();
});

test("states in words", () => {
  assert.equal(label("WAITING"), "Not started");
  assert.equal(label("SKIPPED"), "Not started");
  assert.equal(label("SUBMITTING"), "Submitting");
  assert.equal(label("SUBMITTING", true), "Waiting");
  assert.deepEqual(
    ["WAITING", "SKIPPED", "IN_PROGRESS", "FAILED"].map((state) => hasEnded(cell(0, { state }))),
    [false, true, false, true],
  );
  assert.equal(canBeStopped(cell(0, { state: "IN_PROGRESS" })), true);
  assert.equal(canBeStopped(cell(0)), false);
  assert.equal(isPlayable(cell(0, { state: "READY", width: 64 })), true);
  assert.equal(isPlayable(cell(0, { state: "READY" })), false);
});

test("what a tile says next to the state: price, time, cost", () => {
  const facts = (more, since = null) =>
    factsOf(cell(0, { plan: "about $0.35", cost: "", ...more }), since);
  assert.equal(facts({}), "About $0.35");
  assert.equal(facts({ plan: "already made, free" }), "Already made, free");
  assert.equal(facts({ state: "IN_PROGRESS", expected: 130 }, 62), "1:02 · usually 2:10");
  assert.equal(facts({ state: "IN_PROGRESS" }), "");
  const found = { state: "READY", reused: true, cost: "already made, free (2026-11-03)" };
  assert.equal(facts(found), "Already made, free (2026-11-03)");
  assert.equal(facts({ state: "READY", cost: "5 billable units" }), "");
  assert.equal(facts({ state: "FAILED", cost: "not charged" }), "Not charged");
});
