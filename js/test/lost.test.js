import assert from "node:assert/strict";
import { test } from "node:test";
import { lostWords } from "../panel/lost.js";

test("a panel without its kernel says of each job what becomes of it", () => {
  assert.match(lostWords("IN_PROGRESS", "local", false), /ended with its kernel.*again.*free/);
  assert.match(lostWords("IN_PROGRESS", "fal", false), /goes on at fal.*Resume.*free/);
  assert.match(lostWords("SUBMITTING", "fal", false), /Perhaps nothing was sent.*Resume/);
  for (const backend of /** @type {const} */ (["fal", "local"]))
    assert.equal(lostWords("IN_PROGRESS", backend, true), "No news of this job.");
});
