import { element, write } from "./element.js";
import { duration, isCancellable, label, phase } from "./words.js";

/** @typedef {import("./live_job.js").LiveJob} LiveJob */
/** @typedef {import("./view.js").Part} Part */

/**
 * First lines of the view: state, title, time, Cancel; the prompt.
 *
 * @param {LiveJob} live
 * @returns {Part}
 */
export function header(live) {
  const { title, endpoint, prompt, backend } = live.record.traits;
  const chip = element("span", "chip");
  const spoken = element("span", "spoken", { role: "status", "aria-live": "polite" });
  const time = element("span", "time", { role: "timer", "aria-label": "Elapsed time" });
  const cancel = element("button", "button", { type: "button" }, "Cancel");
  cancel.addEventListener("click", () => void live.cancel());
  const name = element("span", "title", { title: endpoint }, title || endpoint);
  const marks = backend === "local" ? [element("span", "badge", {}, "LOCAL PREVIEW")] : [];
  const names = element("span", "names", {}, name, ...marks);
  const bar = element("div", "bar", {}, chip, names, spoken, time, cancel);
  const words = element("div", "prompt", { title: prompt }, prompt);
  const tick = () => write(time, elapsed(live));
  const ticking = setInterval(tick, 1000);
  return {
    node: element("header", "header", {}, bar, words),
    update() {
      const { now, connected } = live.record;
      chip.dataset.state = now.state;
      write(chip, label(now.state));
      write(spoken, spokenState(now));
      tick();
      const { asked } = live.cancelling;
      cancel.hidden = !connected || !isCancellable(now.state);
      cancel.setAttribute("aria-disabled", String(asked));
      write(cancel, asked ? "Cancelling…" : "Cancel");
      if (live.record.finished) clearInterval(ticking);
    },
    close: () => clearInterval(ticking),
  };
}

/** Progress in bytes is not read out; a place in the queue is.
 * @param {import("./protocol.js").JobFields} now */
function spokenState(now) {
  const more = now.state === "IN_QUEUE" ? phase(now) : "";
  return more ? `${label(now.state)}, ${more}` : label(now.state);
}

/** @param {LiveJob} live */
function elapsed({ record }) {
  if (!record.connected && !record.finished) return "";
  const seconds = record.elapsed(Date.now() / 1000);
  return seconds === null ? "" : duration(record.now.state, seconds);
}
