import assert from "node:assert/strict";
import { test } from "node:test";
import { newTakeOf } from "../result/new_take.js";
import { Kernel } from "../shared/kernel.js";

/** A kernel whose answers the test gives. */
function begin() {
  const sent = [];
  const kernel = new Kernel(
    { send: (content) => sent.push(content), on() {} },
    () => {},
    () => {},
  );
  const newTake = newTakeOf(kernel, () => {});
  const answer = async (at, msg, ok = true) => {
    kernel.answer({ id: sent[at].id, ok, msg }, []);
    await new Promise((resolve) => setImmediate(resolve));
  };
  const asked = async (number) => {
    while (sent.length < number) await new Promise((resolve) => setTimeout(resolve, 1));
  };
  return { newTake, sent, answer, asked };
}

const QUOTE = { words: "About $0.49.", outcome: "SUBMIT", backend: "fal", refusal: null };

test("the price is asked once for many changes, and the last one counts", async () => {
  const { newTake, sent, answer, asked } = begin();
  for (const duration of ["5", "6", "7"]) newTake.want(3, { duration }, 5);
  await asked(1);
  assert.deepEqual(sent[0].msg, { key: 3, changes: { duration: "7" } });
  newTake.want(3, { duration: "8" }, 0);
  await asked(2);
  await answer(0, { ...QUOTE, words: "too late" });
  assert.equal(newTake.quote, null);
  await answer(1, QUOTE);
  assert.equal(newTake.quote, QUOTE);
});

test("what is started is what was quoted, and once", async () => {
  const { newTake, sent, answer, asked } = begin();
  await newTake.generate(false, 1);
  assert.equal(sent.length, 0, "nothing without a price");
  newTake.want(1, { duration: "10" }, 0);
  await asked(1);
  await answer(0, QUOTE);
  const started = newTake.generate(false, 4);
  void newTake.generate(false, 4);
  assert.equal(sent.length, 2);
  const quoted = { key: 1, changes: { duration: "10" }, count: 4 };
  assert.deepEqual(sent[1].msg, { ...quoted, backend: "fal", outcome: "SUBMIT" });
  await answer(1, { key: 2 });
  await started;
  assert.equal(newTake.idle(), true);
  await newTake.generate(false, 1);
  assert.equal(sent.length, 2, "a second click is a second wish");
});

test("what runs is shown once; another one of it is bought only as such", async () => {
  const { newTake, sent, answer, asked } = begin();
  for (const [again, number] of [
    [false, 0],
    [true, 2],
  ]) {
    newTake.want(1, {}, 0);
    await asked(number + 1);
    await answer(number, { ...QUOTE, outcome: "FOLLOW" });
    void newTake.generate(again, 4);
    await asked(number + 2);
    await answer(number + 1, { key: 1 });
  }
  const about = { key: 1, changes: {}, backend: "fal" };
  assert.deepEqual(sent[1].msg, { ...about, count: 1, outcome: "FOLLOW" });
  assert.deepEqual(sent[3].msg, { ...about, new: true, count: 4, outcome: "SUBMIT" });
});

test("a value that is not allowed is shown, and nothing can be started then", async () => {
  const { newTake, sent, answer, asked } = begin();
  newTake.want(1, { duration: "99" }, 0);
  await asked(1);
  await answer(0, { error: "duration is '99'; allowed are 5, 10." }, false);
  assert.match(newTake.error, /allowed/);
  await newTake.generate(false, 1);
  assert.equal(sent.length, 1);
});

test("what is refused because it costs something now is quoted again, next to the reason", async () => {
  const { newTake, sent, answer, asked } = begin();
  newTake.want(1, {}, 0);
  await asked(1);
  await answer(0, { ...QUOTE, words: "Already running. No extra charge.", outcome: "FOLLOW" });
  const started = newTake.generate(false, 1);
  await asked(2);
  assert.equal(sent[1].msg.outcome, "FOLLOW");
  await answer(1, { error: "A new take would be made now." }, false);
  await asked(3);
  await answer(2, QUOTE);
  await started;
  assert.equal(newTake.quote, QUOTE);
  assert.match(newTake.error, /would be made now/);
});
