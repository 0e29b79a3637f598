import assert from "node:assert/strict";
import { test } from "node:test";
import { frameAt, jump, keyAction, middleOf, nextLoop, position } from "../shared/frames.js";

test("the middle of a frame is in that frame, at every usual rate", () => {
  for (const fps of [10, 23.976, 24, 25, 29.97, 30, 59.94, 60]) {
    for (let frame = 0; frame < 1000; frame++) {
      assert.equal(frameAt(middleOf(frame, fps), fps), frame);
      assert.equal(frameAt(frame / fps, fps), frame, "and so is its start, rounding or not");
    }
  }
});

test("a position has time and number", () => {
  assert.equal(position(0, 24, 120), "0:00.00 · 1 / 120");
  assert.equal(position(30, 24, 120), "0:01.25 · 31 / 120");
  assert.equal(position(3599, 24, 3600), "2:29.96 · 3600 / 3600");
});

test("A–B is set in three presses, in either order", () => {
  const start = nextLoop({ a: null, b: null }, 40);
  assert.deepEqual(start, { a: 40, b: null });
  assert.deepEqual(nextLoop(start, 10), { a: 10, b: 40 });
  assert.deepEqual(nextLoop({ a: 10, b: 40 }, 20), { a: null, b: null });
  assert.deepEqual(nextLoop(start, 40), { a: null, b: null }, "one frame is no loop");
});

test("playing goes back to A at B", () => {
  assert.equal(jump({ a: 10, b: 40 }, 39), null);
  assert.equal(jump({ a: 10, b: 40 }, 40), 10);
  assert.equal(jump({ a: 10, b: null }, 99), null);
});

test("keys step by a frame, by a second, and to both ends", () => {
  const scale = { step: 1, leap: 24, end: 119 };
  const at = (key, shiftKey = false) => keyAction({ key, shiftKey }, 50, scale);
  assert.deepEqual(at("ArrowRight"), { go: 51 });
  assert.deepEqual(at("ArrowLeft", true), { go: 26 });
  assert.deepEqual(at("Home"), { go: 0 });
  assert.deepEqual(at("End"), { go: 119 });
  assert.deepEqual(at(" "), { press: "play" });
  assert.deepEqual(at("A"), { press: "ab" });
  assert.equal(at("x"), null);
});

test("keys of a player that counts in seconds do the same, and stay within its length", () => {
  const scale = { step: 1 / 24, leap: 1, end: 5 };
  const at = (key, from, shiftKey = false) => keyAction({ key, shiftKey }, from, scale);
  assert.deepEqual(at("ArrowRight", 2), { go: 2 + 1 / 24 });
  assert.deepEqual(at("ArrowLeft", 2, true), { go: 1 });
  assert.deepEqual(at("ArrowRight", 4.8, true), { go: 5 });
  assert.deepEqual(at("ArrowLeft", 0), { go: 0 });
});
