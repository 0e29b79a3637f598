import assert from "node:assert/strict";
import { test } from "node:test";
import { asTyped, differing, same, settingOf, textOf, typed, wordsOf } from "../controls/value.js";

const control = (kind, more = {}) => ({
  name: "it",
  kind,
  label: "It",
  default: null,
  many: false,
  ...more,
});

test("what is not given is the default, and else nothing", () => {
  assert.equal(settingOf(control("slider", { default: 0.5 }), {}), 0.5);
  assert.equal(settingOf(control("slider", { default: 0.5 }), { it: 0 }), 0);
  assert.equal(settingOf(control("switch", { default: true }), { it: false }), false);
  assert.equal(settingOf(control("line"), {}), null);
});

test("values are compared by what they ask for", () => {
  assert.ok(same({ a: 1, b: [1, { c: 2, d: 3 }] }, { b: [1, { d: 3, c: 2 }], a: 1 }));
  assert.ok(same(undefined, null));
  assert.ok(!same("5", 5));
  assert.ok(!same([1, 2], [2, 1]));
});

test("inputs differ where a default is not the other's value", () => {
  const controls = [
    control("text", { name: "prompt" }),
    control("stepped", { name: "duration", default: "5" }),
    control("choice", { name: "aspect_ratio", default: "16:9" }),
  ];
  const one = { prompt: "a heron" };
  assert.deepEqual(differing(controls, one, { ...one, duration: "5" }), []);
  assert.deepEqual(differing(controls, one, { prompt: "a fox", duration: "10" }), [
    "prompt",
    "duration",
  ]);
});

test("values read as words", () => {
  assert.equal(wordsOf(null), "not set");
  assert.equal(wordsOf(true), "on");
  assert.equal(wordsOf(0), "0");
  assert.equal(wordsOf([{ a: 1 }]), '[{"a":1}]');
  assert.equal(textOf({ unit: "s" }, "5"), "5 s");
  assert.equal(textOf({ unit: "s" }, null), "not set");
});

test("what is typed comes back as it was shown", () => {
  const cases = [
    [control("text"), "two\nlines"],
    [control("json"), [{ prompt: "x", duration: "5" }]],
    [control("json"), { a: null }],
    [control("line"), "12"],
  ];
  for (const [shape, value] of cases) {
    assert.deepEqual(typed(shape, asTyped(shape, value)), value);
  }
  assert.equal(typed(control("text"), "  \n"), null);
  assert.equal(typed(control("json"), "[1, "), "[1, ", "the kernel says what is wrong with it");
});
