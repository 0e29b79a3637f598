import { element } from "../job/element.js";
import { tile } from "./tile.js";

/** @typedef {import("./live_grid.js").LiveGrid} LiveGrid */

/**
 * All cells: a table of two axes with their headings, or one after the other.
 *
 * @param {LiveGrid} live with its snapshot
 * @param {() => void} press
 */
export function sheet(live, press) {
  const whole = /** @type {import("./protocol.js").Snapshot} */ (live.whole);
  const { places, captions, rows, columns } = whole;
  const tiles = captions.map((caption, at) => tile(live, at, caption, !places, press));
  const nodes = tiles.map(({ node }) => node);
  if (!places) {
    const strip = whole.mode === "sequence";
    const about = strip ? { tabIndex: 0, role: "region", ariaLabel: "Shots in order" } : {};
    return { tiles, node: element("div", strip ? "sw-strip" : "sw-flow", about, ...nodes) };
  }

  const corner = element("td", "sw-corner", {}, `${whole.row_axis} ↓ ${whole.column_axis} →`);
  const heads = columns.map((text) =>
    element("th", "sw-column", { scope: "col", dir: "auto" }, text),
  );
  const body = rows.map((text, row) => {
    const side = element(
      "th",
      "sw-row",
      { scope: "row", dir: "auto", title: text },
      element("div", "", {}, text),
    );
    const cells = columns.map((_, column) => {
      const at = places.findIndex(([r, c]) => r === row && c === column);
      return element("td", "", {}, ...(nodes[at] ? [nodes[at]] : []));
    });
    return element("tr", "", {}, side, ...cells);
  });
  const table = element(
    "table",
    "sw-table",
    {},
    element("thead", "", {}, element("tr", "", {}, corner, ...heads)),
    element("tbody", "", {}, ...body),
  );
  const node = element(
    "div",
    "sw-scroll",
    { tabIndex: 0, role: "region", ariaLabel: "Cells of the sweep" },
    table,
  );
  return { tiles, node };
}
