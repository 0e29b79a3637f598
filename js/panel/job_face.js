import { element, paintPoster } from "../shared/dom.js";
import { draggable, frameIn } from "../shared/dragged.js";

/** @typedef {import("./protocol.js").Row} Row */

/** The small image of a job, or the place for one.
 * @param {import("./live_panel.js").LivePanel} live @param {Row} row */
export function thumbnail(live, row) {
  const node = element("canvas", "thumbnail", {
    "aria-hidden": "true",
    "data-state": row.state,
  });
  node.width = node.height = 0;
  const frame = () => frameIn(live.ask("result", { of: row.id, kind: "frame", msg: {} }));
  draggable(node, () => (row.has_media ? frame : null));
  if (row.has_media) void paintPoster(node, live.openings.poster(row.id), () => node.isConnected);
  return node;
}
