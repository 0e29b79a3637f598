import { keyed } from "./words.js";

/**
 * What a key asks of the players, once it is sure that it is for them.
 *
 * @param {KeyboardEvent} event
 * @param {number} time seconds
 * @param {number} fps
 * @param {number} length seconds
 */
export function asked(event, time, fps, length) {
  const { tagName } = /** @type {Element} */ (event.target);
  if (tagName === "SELECT" || event.ctrlKey || event.metaKey || event.altKey) return null;
  const wish = keyed(event, time, fps, length);
  if (!wish || (wish.press && tagName === "BUTTON")) return null;
  event.preventDefault();
  event.stopPropagation();
  return wish;
}
