import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Kernel, Refused } from "../job/kernel.js";

function kernelWith() {
  const sent = [];
  const changes = [];
  const kernel = new Kernel({ send: (content) => sent.push(content) }, () =>
    changes.push(kernel.busy),
  );
  return { kernel, sent, changes };
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

test("what cannot be sent is told at once, in words for the reader", async () => {
  const kernel = new Kernel(
    {
      send() {
        throw new TypeError("comm is closed");
      },
    },
    () => {},
  );
  await assert.rejects(kernel.ask("snapshot"), /^Error: The kernel went away/);
});

test("a late answer makes the kernel busy until it comes", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    const { kernel, sent, changes } = kernelWith();
    const asked = kernel.ask("cancel");
    mock.timers.tick(999);
    assert.equal(kernel.busy, false);
    mock.timers.tick(1);
    assert.equal(kernel.busy, true);
    mock.timers.tick(3_600_000);
    kernel.answer({ id: sent[0].id, ok: true, msg: {} }, []);
    await asked;
    assert.deepEqual(changes, [true, false]);
  } finally {
    mock.timers.reset();
  }
});
