import { button, element, write } from "../shared/dom.js";
import { menu } from "../shared/menu.js";
import { stateChip } from "../shared/state.js";
import {
  duration,
  inLine,
  isCancellable,
  isFinished,
  LOCAL_PREVIEW,
  LOST,
  phase,
  stateWord,
} from "../shared/words.js";

/** @typedef {import("./live_job.js").LiveJob} LiveJob */
/** @typedef {import("../shared/dom.js").Part} Part */

/**
 * The first line: state, model, time; Cancel while it runs, and a menu.
 *
 * @param {LiveJob} live
 * @param {() => import("../shared/menu.js").Entry[]} entries of the menu
 * @returns {Part}
 */
export function header(live, entries) {
  const chip = stateChip();
  const place = element("span", "chip-place", {}, chip.node);
  const spoken = element("span", "spoken", { role: "status" });
  const time = element("span", "time", { role: "timer", ariaLabel: "Elapsed time" });
  const facts = element("span", "time");
  const cancel = button("", () => void live.cancel());
  const name = element("span", "title");
  const badge = element("span", "badge", {}, LOCAL_PREVIEW);
  const more = menu("⋯", "More", entries);
  const names = element("span", "names", {}, name, badge, time, facts);
  const node = element("header", "bar", { tabIndex: -1 }, place, names, spoken, cancel, more.node);
  const tick = () => write(time, elapsed(live));
  const ticking = setInterval(tick, 1000);
  return {
    node,
    update() {
      const { now, about } = live.shown;
      write(name, about.title || about.endpoint);
      name.title = about.endpoint;
      badge.hidden = about.backend !== "local";
      const lost = !live.shown.finished && !live.following;
      chip.draw(lost ? "LOST" : now.state, lost ? LOST : stateWord(now));
      write(spoken, lost ? LOST : spokenState(now));
      // What it cost, without the sum, or what was done instead of a new submission.
      write(facts, (isFinished(now.state) ? now.cost : about.outcome)?.replace(/^.* = /, "") ?? "");
      tick();
      const { asked } = live.cancelling;
      cancel.ariaDisabled = `${asked}`;
      write(cancel, asked ? "Cancelling…" : "Cancel");
      const over = !live.following || !isCancellable(now.state);
      if (over && cancel.matches(":focus")) node.focus(); // with the button it would be lost
      cancel.hidden = over;
    },
    close: () => clearInterval(ticking),
  };
}

/** Progress in bytes is not read out; a place in the queue is.
 * @param {import("./protocol.js").JobFields} now */
const spokenState = (now) =>
  inLine(
    [!now.held && stateWord(now), /^(IN_QUEUE|SUBMITTING)$/.test(now.state) && waits(now)],
    ", ",
  );

/** @param {import("./protocol.js").JobFields} now */
const waits = (now) => (now.held || now.queue_position !== null) && phase(now);

/** @param {LiveJob} live */
function elapsed({ shown, following, kernelNow }) {
  if ((!following && !shown.finished) || shown.about.reused) return "";
  const seconds = shown.elapsed(kernelNow);
  return seconds === null ? "" : duration(shown.now.state, seconds, shown.about.expected);
}
