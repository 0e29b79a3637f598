import assert from "node:assert/strict";
import { test } from "node:test";
import { LogLines } from "../result/log_lines.js";

const lines = (from, to) =>
  Array.from({ length: to - from }, (_, i) => [null, `line ${from + i}`, null]);
const texts = (log) => log.held.map(([, text]) => text);
const expected = (from, to) => lines(from, to).map(([, text]) => text);

test("lines are kept in order as they come", () => {
  const log = new LogLines();
  assert.equal(log.take(0, lines(0, 2)), true);
  assert.equal(log.take(2, lines(2, 5)), true);
  assert.deepEqual(texts(log), expected(0, 5));
});

test("a line that comes twice is kept once", () => {
  const log = new LogLines();
  log.take(0, lines(0, 4));
  assert.equal(log.take(2, lines(2, 6)), true);
  log.take(1, lines(1, 3));
  assert.deepEqual(texts(log), expected(0, 6));
});

test("a snapshot that arrives after a newer update loses nothing", () => {
  const log = new LogLines();
  assert.equal(log.take(10, lines(10, 12)), false, "what came before is missing");
  assert.equal(log.take(0, lines(0, 11)), true);
  assert.deepEqual(texts(log), expected(0, 12));
  assert.equal(log.first, 0);
});

test("a gap is reported, and the newest lines stay", () => {
  const log = new LogLines();
  log.take(0, lines(0, 3));
  assert.equal(log.take(5, lines(5, 7)), false);
  assert.deepEqual(texts(log), expected(5, 7));
  assert.equal(log.first, 5);
  assert.equal(log.take(7, []), true);
  assert.equal(log.take(9, []), false);
});

test("old lines that touch nothing held do not replace newer ones", () => {
  const log = new LogLines();
  log.take(100, lines(100, 110));
  assert.equal(log.take(0, lines(0, 5)), true);
  assert.deepEqual(texts(log), expected(100, 110));
});

test("only the last lines are kept, and how many are left out is known", () => {
  const log = new LogLines(100);
  log.take(0, lines(0, 90));
  log.take(90, lines(90, 250));
  assert.equal(log.first, 150);
  assert.equal(log.end, 250);
  assert.deepEqual(texts(log), expected(150, 250));
});
