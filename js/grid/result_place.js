import { resultParts } from "../result/view.js";

/** @typedef {import("../result/live_job.js").LiveJob} LiveJob */

/**
 * Where the view shows a result of one of its cells, in the view that a job has everywhere: that of the cell that is
 * opened, or of the shot on the stage.
 *
 * @param {HTMLElement} head where its header is
 * @param {HTMLElement} body where the rest is
 * @param {Parameters<typeof resultParts>[1]} [stage] where its video stands, if it plays on a stage elsewhere
 */
export function resultPlace(head, body, stage = null) {
  /** @type {LiveJob | null} */
  let shown = null;
  /** @type {ReturnType<typeof resultParts> | null} */
  let parts = null;
  let unsubscribe = () => {};
  const draw = () => {
    const begins = !parts && Boolean(shown?.shown.about.key);
    if (begins) {
      parts = resultParts(/** @type {LiveJob} */ (shown), stage);
      const [top, ...others] = parts.nodes;
      if (top) head.append(top);
      body.append(...others);
    }
    parts?.update();
    return begins;
  };
  const leave = () => {
    unsubscribe();
    unsubscribe = () => {};
    for (const one of parts?.nodes ?? []) one.remove();
    parts?.close();
    parts = null;
  };
  return {
    /** Shows another result, or none. @param {LiveJob | null} result @param {() => void} onChange */
    show(result, onChange) {
      if (result === shown) return;
      leave();
      shown = result;
      if (result) unsubscribe = result.subscribe(onChange);
    },
    /** Draws it, once the kernel has sent it. Returns true the first time. */
    draw,
    /** Whether there is something to see. */
    drawn: () => Boolean(parts),
    onkeydown: (/** @type {KeyboardEvent} */ event) => parts?.onkeydown(event),
    close: leave,
  };
}
