import { element, write } from "./element.js";
import { fold } from "./fold.js";

/** @typedef {import("./view.js").Part} Part */

/**
 * What was asked for beside the prompt, folded.
 *
 * @param {import("./live_job.js").LiveJob} live
 * @returns {Part}
 */
export function parameters(live) {
  const list = element("dl", "parameters");
  const { node, summary, open } = fold(live, "parameters", list);
  /** @type {unknown} */
  let drawn = null;
  return {
    node,
    update() {
      const { parameters: pairs, now, traits } = live.record;
      node.hidden = now.state !== "READY";
      open(false);
      if (drawn === pairs) return;
      drawn = pairs;
      write(summary, `Parameters · ${pairs.length + 1}`);
      list.replaceChildren(
        ...[["endpoint", traits.endpoint], ...pairs].flatMap(([name = "", text = ""]) => [
          element("dt", "", {}, name),
          element("dd", "", {}, text),
        ]),
      );
    },
  };
}
