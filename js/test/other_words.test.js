import assert from "node:assert/strict";
import { test } from "node:test";
import { otherWords } from "../result/other_words.js";

const FOX = "A red fox crosses a snowy clearing at dawn";

for (const [name, before, now, words] of [
  [
    "the end, with the word before",
    FOX,
    "A red fox crosses a snowy clearing at night",
    "…at night",
  ],
  ["what was added", FOX, `${FOX} and looks into the lens`, "…and looks into the lens"],
  ["where something was taken away", `${FOX} and looks up`, FOX, "…dawn"],
  ["the middle", FOX, "A red fox crosses a frozen lake at dawn", "…frozen lake…"],
  [
    "no comma at its end",
    "A boat at dawn, from above",
    "A boat at night, from above",
    "…at night…",
  ],
  ["the beginning", FOX, "A grey wolf crosses a snowy clearing at dawn", "…grey wolf…"],
  ["all of it", FOX, "Waves as high as houses", "Waves as high as houses"],
  ["a text where there was none", "", "blur, noise", "blur, noise"],
  ["words that stand twice", "a fox and a fox", "a fox and a fox and a fox", "…and a fox"],
]) {
  test(`of a prompt, a caption has ${name}`, () => {
    assert.equal(otherWords(before, now), words);
  });
}
