import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Kernel, Refused } from "../shared/kernel.js";

function kernelWith() {
  const sent = [];
  const changes = [];
  const changesSeen = [];
  const slots = new Set();
  const signal = { connect: (slot) => slots.add(slot), disconnect: (slot) => slots.delete(slot) };
  const model = {
    send: (content) => sent.push(content),
    on: (name, heard) => Object.assign(model, { [name]: heard }),
    widget_manager: { kernel: { connectionStatusChanged: signal } },
  };
  const kernel = new Kernel(
    model,
    () => changes.push(kernel.busy),
    () => changesSeen.push("changed"),
  );
  const status = (word) => {
    for (const slot of slots) slot(null, word);
  };
  return { kernel, model, sent, changes, changesSeen, slots, status };
}

test("answers find their questions, in any order", async () => {
  const { kernel, sent } = kernelWith();
  const [first, second] = [kernel.ask("snapshot"), kernel.ask("chunk", { offset: 0, length: 1 })];
  const [one, two] = sent;
  assert.deepEqual(two.msg, { offset: 0, length: 1 });
  kernel.answer({ id: two.id, ok: true, msg: "b" }, ["bytes"]);
  kernel.answer({ id: one.id, ok: true, msg: "a" }, []);
  assert.deepEqual(await first, { msg: "a", buffers: [] });
  assert.deepEqual(await second, { msg: "b", buffers: ["bytes"] });
});

test("ids are numbers that JSON keeps exact, and differ between pages", async () => {
  const pages = [kernelWith(), kernelWith()];
  const asked = pages.map(({ kernel }) => assert.rejects(kernel.ask("cancel")));
  const [one, two] = pages.map(({ sent }) => sent[0].id);
  assert.notEqual(one, two);
  assert.ok(Number.isSafeInteger(one + 2 ** 20));
  for (const { kernel } of pages) kernel.drop();
  await Promise.all(asked);
});

test("a refusal carries the kernel's words", async () => {
  const { kernel, sent } = kernelWith();
  const asked = kernel.ask("chunk");
  kernel.answer({ id: sent[0].id, ok: false, msg: { error: "no video yet" } }, []);
  await assert.rejects(
    asked,
    (error) => error instanceof Refused && error.message === "no video yet",
  );
});

test("an answer to another page's question is passed over", () => {
  const { kernel } = kernelWith();
  kernel.answer({ id: 12, ok: true, msg: {} }, []);
});

test("what cannot be sent is reported at once, in words for the reader", async () => {
  const kernel = new Kernel(
    {
      send() {
        throw new TypeError("comm is closed");
      },
      on() {},
    },
    () => {},
    () => {},
  );
  await assert.rejects(kernel.ask("snapshot"), /^Error: The kernel went away/);
});

test("a late answer makes the kernel busy, then silent, until it comes", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    const { kernel, sent, changes } = kernelWith();
    const asked = kernel.ask("cancel");
    mock.timers.tick(999);
    assert.equal(kernel.busy, false);
    mock.timers.tick(1);
    assert.equal(kernel.busy, true);
    assert.equal(kernel.silent, false);
    mock.timers.tick(19_000);
    kernel.heard();
    mock.timers.tick(19_000);
    assert.equal(kernel.silent, false);
    mock.timers.tick(3_600_000);
    assert.equal(kernel.silent, true);
    kernel.heard();
    assert.deepEqual([kernel.busy, kernel.silent], [true, false]);
    mock.timers.tick(20_000);
    assert.equal(kernel.silent, true);
    kernel.answer({ id: sent[0].id, ok: true, msg: {} }, []);
    await asked;
    assert.deepEqual([kernel.silent, changes], [false, [true, true, true, false]]);
  } finally {
    mock.timers.reset();
  }
});

test("a connection that comes or goes is reported, and answers may still come", async () => {
  for (const word of ["disconnected", "connected"]) {
    const { kernel, changesSeen, status, sent } = kernelWith();
    const asked = kernel.ask("generate");
    status("connecting");
    assert.deepEqual(changesSeen, []);
    status(word);
    assert.deepEqual(changesSeen, ["changed"]);
    kernel.answer({ id: sent[0].id, ok: true, msg: "it was the network" }, []);
    assert.equal((await asked).msg, "it was the network");
  }
});

test("ipywidgets' own word gives up what was asked, also where the front end has no other", async () => {
  const { kernel, model, changesSeen } = kernelWith();
  const asked = kernel.ask("snapshot");
  model.comm_live_update();
  assert.deepEqual(changesSeen, ["changed"]);
  await assert.rejects(asked, /^Error: The kernel went away/);
  for (const widget_manager of [undefined, {}, { kernel: null }, { kernel: {} }]) {
    new Kernel({ send() {}, on() {}, widget_manager }, assert.fail, assert.fail).close();
  }
});

test("once closed it hears nothing more", () => {
  const { kernel, changesSeen, slots, status } = kernelWith();
  kernel.close();
  assert.equal(slots.size, 0);
  status("disconnected");
  assert.deepEqual(changesSeen, []);
});

test("a page has no kernel if its manager names none and nothing came for long", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    for (const heard of [false, true]) {
      const { kernel, model } = kernelWith();
      model.widget_manager = {};
      const asked = assert.rejects(kernel.ask("snapshot"));
      if (heard) kernel.heard();
      mock.timers.tick(1000);
      assert.equal(kernel.missing, false);
      mock.timers.tick(20_000);
      assert.equal(kernel.missing, !heard);
      kernel.drop();
      await asked;
    }
  } finally {
    mock.timers.reset();
  }
});
