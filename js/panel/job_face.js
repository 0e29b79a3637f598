import { element, paintPoster } from "../shared/dom.js";
import { label } from "../shared/words.js";

/** @typedef {import("./protocol.js").Row} Row */

/**
 * The state as a coloured dot and a word.
 *
 * @param {import("./protocol.js").State} state
 */
export const stateMark = (state) => element("span", "state", { "data-state": state }, label(state));

/** The small picture of a job, or the place for one.
 * @param {import("./live_panel.js").LivePanel} live @param {Row} row */
export function thumbnail(live, row) {
  const node = element("canvas", "thumbnail", {
    "aria-hidden": "true",
    "data-state": row.state,
  });
  node.width = node.height = 0;
  if (row.has_media) void paintPoster(node, live.openings.poster(row.id), () => node.isConnected);
  return node;
}
