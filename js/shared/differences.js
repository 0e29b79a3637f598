import { ANY_WAY, element } from "./dom.js";

/**
 * The rows of a table of what differs in videos.
 *
 * @param {string[]} heads a title, and the name of each video
 * @param {[name: string, ...values: string[]][]} differences
 */
export const differenceRows = (heads, differences) => [
  element("tr", "", {}, ...heads.map((text) => element("th", "", { scope: "col" }, text))),
  ...differences.map(([name, ...values]) =>
    element(
      "tr",
      "",
      {},
      element("th", "", { scope: "row" }, name),
      ...values.map((text) => element("td", "", ANY_WAY, text)),
    ),
  ),
];
