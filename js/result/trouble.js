import { button, div, element, span, write } from "../shared/dom.js";
import { lostWords } from "../shared/words.js";
import { cellButton } from "./actions.js";
import { finals } from "./finals.js";

/**
 * Why the take that is shown has no result, or that no kernel follows it; and what to do then, in place of the
 * actions of a result.
 *
 * @param {import("./live_job.js").LiveJob} live
 * @param {() => void} edit leads to the form with the request
 * @returns {import("../shared/dom.js").Part}
 */
export function trouble(live, edit) {
  const words = span("");
  const answer = element("div", "", { role: "status" });
  const resume = button("Resume", () => void live.resume());
  const retry = finals(
    live,
    () => live.shown,
    (problem) => write(fault, problem),
  );
  const change = button("Edit", edit);
  const cell = cellButton(
    live,
    () => live.shown,
    (act) => void act().catch((error) => write(fault, error.message)),
  );
  const fault = element("div", "", { role: "alert", hidden: true });
  const steps = div("steps", resume, retry.node, change, cell.node);
  const node = element("div", "why", {}, words, answer, steps, fault);
  return {
    node,
    update() {
      const { shown, connected, following, cancelling } = live;
      const { state, message, resumable } = shown.now;
      const lost = !shown.finished && !following;
      const failed = shown.finished && state !== "READY";
      write(words, lost ? lostWords(state, shown.about.backend, connected) : message);
      write(answer, state === "UNCERTAIN" ? cancelling.outcome : "");
      node.hidden = words.hidden;
      node.dataset.state = lost ? "UNCERTAIN" : state;
      steps.hidden = !failed && !lost;
      resume.hidden = !resumable || !following;
      retry.node.hidden = !failed || !following;
      change.hidden = !failed || !following || Boolean(live.reuse); // the part below has it
      if (!retry.node.hidden) retry.update();
      cell.update();
      cell.node.hidden = cell.node.disabled;
    },
    close: retry.close,
  };
}
