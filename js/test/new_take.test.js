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

const QUOTE = { words: "About $0.49.", outcome: "SUBMIT", backend: "fal", refusal: "" };

test("the price is asked once for many changes, and the last one counts", async () => {
  const { newTake, sent, answer, asked } = begin();
  for (const duration of ["5", "6", "7"]) newTake.want(3, { duration }, 1, 5);
  await asked(1);
  assert.deepEqual(sent[0].msg, { key: 3, changes: { duration: "7" }, count: 1 });
  newTake.want(3, { duration: "8" }, 1, 0);
  await asked(2);
  await answer(0, { ...QUOTE, words: "too late" });
  assert.equal(newTake.quote, null);
  await answer(1, QUOTE);
  assert.equal(newTake.quote, QUOTE);
});

test("what is started is what was quoted, and once", async () => {
  const { newTake, sent, answer, asked } = begin();
  await newTake.generate();
  assert.equal(sent.length, 0, "nothing without a price");
  newTake.want(1, { duration: "10" }, 4, 0);
  await asked(1);
  await answer(0, QUOTE);
  const started = newTake.generate();
  void newTake.generate();
  assert.equal(sent.length, 2);
  const quoted = { key: 1, changes: { duration: "10" }, count: 4 };
  assert.deepEqual(sent[1].msg, { ...quoted, backend: "fal", outcome: "SUBMIT" });
  await answer(1, { key: 2 });
  await started;
  assert.equal(newTake.idle(), true);
  await newTake.generate();
  assert.equal(sent.length, 2, "a second click is a second wish");
});

test("why a run would be refused stands next to its price", async () => {
  const { newTake, answer, asked } = begin();
  newTake.want(1, {}, 1, 0);
  await asked(1);
  await answer(0, { ...QUOTE, refusal: "No fal key found." });
  assert.equal(newTake.quote.words, "About $0.49.");
  assert.equal(newTake.error, "No fal key found.");
});

test("a value that is not allowed is shown, and nothing can be started then", async () => {
  const { newTake, sent, answer, asked } = begin();
  newTake.want(1, { duration: "99" }, 1, 0);
  await asked(1);
  await answer(0, { error: "duration is '99'; allowed are 5, 10." }, false);
  assert.match(newTake.error, /allowed/);
  await newTake.generate();
  assert.equal(sent.length, 1);
});

test("what is refused because it costs something now is quoted again, next to the reason", async () => {
  const { newTake, sent, answer, asked } = begin();
  newTake.want(1, {}, 1, 0);
  await asked(1);
  await answer(0, { ...QUOTE, words: "Already running. No extra charge.", outcome: "FOLLOW" });
  const started = newTake.generate();
  await asked(2);
  assert.equal(sent[1].msg.outcome, "FOLLOW");
  await answer(1, { error: "A new take would be made now." }, false);
  await asked(3);
  await answer(2, QUOTE);
  await started;
  assert.equal(newTake.quote, QUOTE);
  assert.match(newTake.error, /would be made now/);
});
