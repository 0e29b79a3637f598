import { element, write } from "./dom.js";
import { LOST, label } from "./words.js";

/** A state of a job, or of a cell of a sweep that has none; LOST is that of a job that no kernel follows here.
 * @typedef {Parameters<typeof label>[0] | "LOST"} Known */

/**
 * A state, in the one form that it has in every view: a pill with a dot and a word, in the colour of the state.
 *
 * @param {Known} [state]
 */
export function stateChip(state) {
  const node = element("span", "chip");
  const draw = (/** @type {Known} */ now, words = now === "LOST" ? LOST : label(now)) => {
    node.dataset.state = now;
    write(node, words);
  };
  if (state) draw(state);
  return {
    node,
    /** Shows a state. Other words than the usual ones may say more of it; without any, nothing is shown. */
    draw,
  };
}
