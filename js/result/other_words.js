/**
 * The words of a text that another one does not have, such as "…at night": what both begin and end with is left out.
 *
 * @param {string} before
 * @param {string} now
 */
export function otherWords(before, now) {
  const [old, words] = [before.split(/\s+/), now.split(/\s+/)];
  const least = Math.min(old.length, words.length);
  let [start, end] = [0, 0];
  while (start < least && old[start] === words[start]) start++;
  while (end < least - start && old.at(-1 - end) === words.at(-1 - end)) end++;
  // A single word says more with the one before it, and what was taken away is left out.
  if (start && start + end >= words.length - 1) start--;
  const kept = words
    .slice(start, words.length - end)
    .join(" ")
    .replace(/[,.;]$/, "");
  return `${start ? "…" : ""}${kept}${end ? "…" : ""}`;
}
