import { arrange, button, div, element, span, write } from "../shared/dom.js";
import { upper } from "../shared/words.js";
import { cellButton } from "./actions.js";
import { finals } from "./finals.js";

/** Steps that may send a request, so that they have its price. */
const PAID = /start|retry/;

/** A button for a step. A double click is one wish: it may cost money.
 * @param {string} step one of the kernel's `STEPS` @param {() => void} act */
export function stepButton(step, act) {
  const node = button(upper(step), () => {});
  node.onclick = ({ detail }) => void (detail > 1 || act());
  return node;
}

/**
 * Shows what to do next without a result: buttons in the order in which they are named.
 *
 * @param {HTMLElement} node
 * @param {Record<string, HTMLElement>} buttons by name
 * @param {string[]} names
 * @param {string} [price] of what is paid for, unless its button knows it
 */
export function drawSteps(node, buttons, names, price = "") {
  for (const name of names)
    if (price && PAID.test(name) && buttons[name])
      write(buttons[name], `${upper(name)} · ${price}`);
  arrange(
    node,
    names.flatMap((name) => buttons[name] ?? []),
  );
  node.hidden = !names.length;
}

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
  const own = () => live.again?.(live.shown.about.job_id) ?? null;
  const again = stepButton("retry", () => own()?.act());
  const retry = finals(
    live,
    () => live.shown,
    (problem) => write(fault, problem),
  );
  const cell = cellButton(
    live,
    () => live.shown,
    (act) => void act().catch((error) => write(fault, error.message)),
  );
  const buttons = {
    resume: stepButton("resume", () => void live.resume()),
    edit: stepButton("edit", edit),
    cell: cell.node,
  };
  const fault = element("div", "", { role: "alert", hidden: true });
  const steps = div("steps");
  const node = element("div", "why", {}, words, answer, steps, fault);
  return {
    node,
    update() {
      const { shown, connected, following, cancelling } = live;
      const { state, message, steps: known = [] } = shown.now;
      const lost = !shown.finished && !following;
      const failed = shown.finished && state !== "READY";
      write(words, lost ? live.lostWords(state, shown.about.backend, connected) : message);
      write(answer, state === "UNCERTAIN" ? cancelling.outcome : "");
      node.hidden = words.hidden;
      node.dataset.state = lost ? "UNCERTAIN" : state;
      // With a form in the part below, that part leads to it.
      const names = following ? known.filter((name) => name !== "edit" || !live.reuse) : [];
      const mine = own();
      if (mine?.refusal) write(fault, mine.refusal);
      if (!mine && names.includes("retry")) retry.update();
      drawSteps(
        steps,
        { ...buttons, retry: mine ? again : retry.node },
        failed || lost ? [...names, "cell"] : [],
        mine?.price,
      );
      cell.update();
      cell.node.hidden = cell.node.disabled;
    },
    close: retry.close,
  };
}
