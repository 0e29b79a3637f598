import { element, write } from "./element.js";
import { BUSY, gone, hasVideo, reason } from "./words.js";

/** @typedef {import("./live_job.js").LiveJob} LiveJob */
/** @typedef {import("./view.js").Part} Part */

/**
 * Why there is no video, what became of Cancel, and that the kernel does not answer.
 *
 * @param {LiveJob} live
 * @returns {Part}
 */
export function notice(live) {
  const why = element("div", "why");
  const note = element("div", "note", { role: "status", "aria-live": "polite" });
  return {
    node: element("div", "notice", {}, why, note),
    update() {
      const { now, finished } = live.record;
      why.hidden = !finished || (now.state === "READY" && hasVideo(now));
      why.dataset.state = now.state;
      write(why, why.hidden ? "" : now.message || reason(now.state));
      write(note, noteText(live));
      note.hidden = !note.textContent;
    },
  };
}

/** @param {LiveJob} live */
function noteText({ record, kernel, cancelling }) {
  if (!record.connected && !record.finished) return gone(record.traits.backend);
  if (record.connected && kernel.busy) return BUSY;
  return record.finished ? "" : cancelling.outcome;
}
