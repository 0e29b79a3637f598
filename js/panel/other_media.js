import { element } from "../job/element.js";
import { div, span } from "./box.js";

/**
 * A result that is no video: a picture, a sound, or a file to save.
 *
 * @param {import("./live_panel.js").LivePanel} live
 * @param {import("./openings.js").Opening} opening
 */
export function otherMedia(live, opening) {
  const node = div("screens");
  let [url, closed] = ["", false];
  void live.openings.load(opening)?.then(() => {
    const { blob, name, error } = opening.footage;
    if (closed) return;
    if (!blob) {
      node.append(element("div", "why", { "data-state": "FAILED" }, error));
      return;
    }
    url = URL.createObjectURL(blob);
    const [kind] = blob.type.split("/");
    if (kind === "image") node.append(element("img", "", { src: url, alt: name }));
    else if (kind === "audio") node.append(element("audio", "", { src: url, controls: true }));
    else node.append(span("line-up", name));
  });
  return {
    node,
    close() {
      closed = true;
      if (url) URL.revokeObjectURL(url);
      node.remove();
    },
  };
}
