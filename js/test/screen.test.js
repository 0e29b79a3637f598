import assert from "node:assert/strict";
import { test } from "node:test";
import { hold, letGo } from "../shared/screen.js";

function holders(number) {
  const released = [];
  const made = Array.from({ length: number }, (_, at) => ({
    moving: false,
    playing() {
      return this.moving;
    },
    release() {
      released.push(at);
      letGo(this);
    },
  }));
  return { made, released };
}

test("of many that rest, the two used last keep their source", () => {
  const { made, released } = holders(20);
  for (const one of made) hold(one);
  assert.equal(released.length, 18);
  hold(made[18]);
  hold(made[0]);
  assert.deepEqual(released.slice(18), [19]);
  for (const one of made) letGo(one);
});

test("what plays keeps its source", () => {
  const { made, released } = holders(5);
  for (const one of made) one.moving = true;
  for (const one of made) hold(one);
  assert.deepEqual(released, []);
  for (const one of made) one.moving = false;
  hold(made[4]);
  assert.deepEqual(released, [0, 1, 2]);
  for (const one of made) letGo(one);
});
