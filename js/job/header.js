import { button, element, write } from "./element.js";
import { duration, inLine, isCancellable, label, phase } from "./words.js";

/** @typedef {import("./live_job.js").LiveJob} LiveJob */
/** @typedef {import("./view.js").Part} Part */

/**
 * First lines of the view: state, title, time, Cancel; the prompt.
 *
 * @param {LiveJob} live
 * @returns {Part}
 */
export function header(live) {
  const chip = element("span", "chip");
  const spoken = element("span", "spoken", { role: "status" });
  const time = element("span", "time", { role: "timer", ariaLabel: "Elapsed time" });
  const cancel = button("", () => void live.cancel());
  const name = element("span", "title");
  const badge = element("span", "badge", {}, "LOCAL PREVIEW");
  const names = element("span", "names", {}, name, badge, time);
  const bar = element("div", "bar", {}, chip, names, spoken, cancel);
  const words = element("div", "prompt", { dir: "auto" });
  const node = element("header", "", { tabIndex: -1 }, bar, words);
  const tick = () => write(time, elapsed(live));
  const ticking = setInterval(tick, 1000);
  return {
    node,
    update() {
      const { now, about } = live.record;
      write(name, about.title || about.endpoint);
      name.title = about.endpoint;
      badge.hidden = about.backend !== "local";
      write(words, about.prompt);
      words.title = about.prompt;
      chip.dataset.state = now.state;
      write(chip, label(now.state));
      write(spoken, spokenState(now));
      tick();
      const { asked } = live.cancelling;
      cancel.ariaDisabled = `${asked}`;
      write(cancel, asked ? "Cancelling…" : "Cancel");
      const over = !live.connected || !isCancellable(now.state);
      if (over && cancel.matches(":focus")) node.focus(); // with the button it would be lost
      cancel.hidden = over;
    },
    close: () => clearInterval(ticking),
  };
}

/** Progress in bytes is not read out; a place in the queue is.
 * @param {import("./protocol.js").JobFields} now */
const spokenState = (now) =>
  inLine([label(now.state), now.state === "IN_QUEUE" && phase(now)], ", ");

/** @param {LiveJob} live */
function elapsed({ record, connected, kernelNow }) {
  if ((!connected && !record.finished) || record.about.reused) return "";
  const seconds = record.elapsed(kernelNow());
  return seconds === null ? "" : duration(record.now.state, seconds, record.about.expected);
}
