/**
 * The words of a text that another one does not have, such as "…at night": what both begin and end with is left out.
 *
 * @param {string} before
 * @param {string} now
 */
export function otherWords(before, now) {
  const [old, words] = [wordsIn(before), wordsIn(now)];
  const least = Math.min(old.length, words.length);
  const same = (/** @type {number} */ at) => bare(old.at(at)) === bare(words.at(at));
  let [start, end] = [0, 0];
  while (start < least && same(start)) start++;
  while (end < least - start && same(-1 - end)) end++;
  const gone = old.slice(start, old.length - end);
  if (start + end >= words.length) return gone.length ? `without “${gone.join(" ")}”` : now;
  // A single word says more with the one before it.
  if (start && words.length - end - start === 1) start--;
  const all = words.slice(start, words.length - end).join(" ");
  const kept = end ? all.replace(/[,.;:]+$/, "") : all;
  return `${start ? "…" : ""}${kept}${end ? "…" : ""}`;
}

/** @param {string} text */
const wordsIn = (text) => text.split(/\s+/).filter(Boolean);

/** A word without the signs around it. @param {string | undefined} word */
const bare = (word) => word?.toLowerCase().replace(/^[^\p{L}\p{N}]+|[^\p{L}\p{N}]+$/gu, "");
