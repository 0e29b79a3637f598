import { button, element, write } from "../shared/dom.js";
import { progressBar } from "../shared/progress.js";
import {
  duration,
  GONE,
  inLine,
  isCancellable,
  LOCAL_PREVIEW,
  label,
  phase,
  share,
  unansweredWords,
} from "../shared/words.js";

/** @typedef {import("./live_job.js").LiveJob} LiveJob */
/** @typedef {import("../shared/dom.js").Part} Part */

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
  const badge = element("span", "badge", {}, LOCAL_PREVIEW);
  const names = element("span", "names", {}, name, badge, time);
  const bar = element("div", "bar", {}, chip, names, spoken, cancel);
  const words = element("div", "prompt", { dir: "auto" });
  const node = element("header", "", { tabIndex: -1 }, bar, words);
  const tick = () => write(time, elapsed(live));
  const ticking = setInterval(tick, 1000);
  return {
    node,
    update() {
      const { now, about } = live.shown;
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
  inLine([label(now.state), /^(IN_QUEUE|SUBMITTING)$/.test(now.state) && waits(now)], ", ");

/** @param {import("./protocol.js").JobFields} now */
const waits = (now) => now.queue_position !== null && phase(now);

/** @param {LiveJob} live */
function elapsed({ shown, connected, kernelNow }) {
  if ((!connected && !shown.finished) || shown.about.reused) return "";
  const seconds = shown.elapsed(kernelNow);
  return seconds === null ? "" : duration(shown.now.state, seconds, shown.about.expected);
}

/**
 * How far the job is, as far as is known.
 *
 * @param {LiveJob} live
 * @returns {Part}
 */
export function progress(live) {
  const { node, draw } = progressBar("Progress");
  const update = () => {
    const { shown, connected, kernelNow } = live;
    node.hidden = shown.finished || !connected;
    if (node.hidden) return;
    draw(share(shown.now, shown.elapsed(kernelNow), shown.about.expected));
  };
  const ticking = setInterval(update, 1000);
  return { node, update, close: () => clearInterval(ticking) };
}

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
      const { now } = live.shown;
      write(words, now.message);
      why.hidden = words.hidden;
      why.dataset.state = now.state;
      resume.hidden = !now.resumable || !live.connected;
      write(note, noteText(live));
    },
  };
}

/** @param {LiveJob} live */
function noteText({ shown, connected, kernel, cancelling }) {
  if (!connected && !shown.finished) return GONE[shown.about.backend];
  if (connected && kernel.busy) return unansweredWords(kernel);
  return shown.finished && shown.now.state !== "UNCERTAIN" ? "" : cancelling.outcome;
}
