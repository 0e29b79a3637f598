/** @typedef {import("./protocol.js").CatalogueRow} CatalogueRow */

/** Text in which words are looked for: without case, accents and punctuation.
 * @param {string} text */
export const plain = (text) =>
  text
    .normalize("NFKD")
    .toLowerCase()
    .replace(/[^\p{L}\p{N}.]+/gu, " ")
    .trim();

/**
 * How well an endpoint fits, higher is better; 0 where a word is not in it. A word that begins the
 * short name or a word of the title counts more than one in the middle of something.
 *
 * @param {CatalogueRow} row
 * @param {string[]} words
 */
function fit([id, shortName, title, category], words) {
  const names = plain(`${shortName} ${title} ${category} ${id}`).split(" ");
  const short = plain(shortName).split(" ");
  // Who types a short name whole means that one.
  let sum = short.join(" ") === words.join(" ") ? 100 : 1;
  for (const word of words) {
    const at = names.find((name) => name.includes(word));
    if (at === undefined) return 0;
    if (short.some((name) => name.startsWith(word))) sum += 3;
    else if (names.some((name) => name.startsWith(word))) sum += 2;
  }
  return sum;
}

/**
 * The endpoints that hold every word, the best first; in the catalogue's order where they are
 * equally good, or where nothing is asked for.
 *
 * @param {CatalogueRow[]} catalogue
 * @param {string} text
 */
export function search(catalogue, text) {
  const words = plain(text).split(" ").filter(Boolean);
  return catalogue
    .map((row) => ({ row, score: fit(row, words) }))
    .filter(({ score }) => score > 0)
    .sort((one, other) => other.score - one.score)
    .map(({ row }) => row);
}
