import assert from "node:assert/strict";
import { test } from "node:test";
import { frameAt, jump, keyed, middleOf, position, pressed, within } from "../job/frames.js";

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

test("a frame stays within the clip", () => {
  assert.equal(within(-3, 10), 0);
  assert.equal(within(12, 10), 9);
  assert.equal(within(0, 0), 0);
});

test("A–B is set in three presses, in either order", () => {
  const start = pressed({ a: null, b: null }, 40);
  assert.deepEqual(start, { a: 40, b: null });
  assert.deepEqual(pressed(start, 10), { a: 10, b: 40 });
  assert.deepEqual(pressed({ a: 10, b: 40 }, 20), { a: null, b: null });
  assert.deepEqual(pressed(start, 40), { a: null, b: null }, "one frame is no loop");
});

test("playing goes back to A at B", () => {
  assert.equal(jump({ a: 10, b: 40 }, 39), null);
  assert.equal(jump({ a: 10, b: 40 }, 40), 10);
  assert.equal(jump({ a: 10, b: null }, 99), null);
});

test("keys step by a frame, by a second, and to both ends", () => {
  const at = (key, shiftKey = false) => keyed({ key, shiftKey }, 50, 24, 120);
  assert.deepEqual(at("ArrowRight"), { frame: 51 });
  assert.deepEqual(at("ArrowLeft", true), { frame: 26 });
  assert.deepEqual(at("Home"), { frame: 0 });
  assert.deepEqual(at("End"), { frame: 119 });
  assert.equal(at(" ")?.press, "play");
  assert.equal(at("A")?.press, "ab");
  assert.equal(at("x"), null);
});
