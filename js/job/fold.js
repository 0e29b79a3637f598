import { element } from "../shared/dom.js";

/**
 * A part that folds away. It opens and closes with the job until the reader does so by hand;
 * from then on it is the reader's, in later views of the job too.
 *
 * @param {import("./live_job.js").LiveJob} live
 * @param {string} name
 * @param {...Node} children
 */
export function fold(live, name, ...children) {
  const summary = element("summary", "summary");
  const node = element("details", "fold", {}, summary, ...children);
  summary.addEventListener("click", () => live.folds.set(name, !node.open));
  return {
    node,
    summary,
    /** @param {boolean} wanted */
    open(wanted) {
      const open = live.folds.get(name) ?? wanted;
      if (node.open !== open) node.open = open;
    },
  };
}
