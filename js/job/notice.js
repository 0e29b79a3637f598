import { button, element, write } from "./element.js";
import { BUSY, gone } from "./words.js";

/** @typedef {import("./live_job.js").LiveJob} LiveJob */
/** @typedef {import("./view.js").Part} Part */

/**
 * Why there is no video, what an observer raised, what became of Cancel, and that the kernel does not answer.
 *
 * @param {LiveJob} live
 * @returns {Part}
 */
export function notice(live) {
  const words = element("span", "");
  const resume = button("Ask fal for the result", () => void live.resume());
  const why = element("div", "why", {}, words, resume);
  const note = element("div", "why kling-note", { role: "status", "data-state": "UNCERTAIN" });
  return {
    node: element("div", "", {}, why, note),
    update() {
      const { now } = live.record;
      write(words, now.message);
      why.hidden = words.hidden;
      why.dataset.state = now.state;
      resume.hidden = !now.resumable || !live.connected;
      write(note, noteText(live));
    },
  };
}

/** @param {LiveJob} live */
function noteText({ record, connected, kernel, cancelling }) {
  if (!connected && !record.finished) return gone(record.about.backend);
  if (connected && kernel.busy) return BUSY;
  return record.finished && record.now.state !== "UNCERTAIN" ? "" : cancelling.outcome;
}
