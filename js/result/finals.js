import { button, div, watchSight, write } from "../shared/dom.js";
import { messageOf } from "../shared/words.js";

/**
 * Buttons for what can be made of a take's request as it is, each with its price: a local preview with Kling, what
 * a standard or turbo endpoint made on its sister, and what failed once more. They start exactly what they show.
 *
 * @param {import("./live_job.js").LiveJob} live
 * @param {() => import("./take.js").Take} take
 * @param {(problem: string) => void} report shows why nothing was started
 * @returns {import("../shared/dom.js").Part}
 */
export function finals(live, take, report) {
  const node = div("finals");
  /** The take that was asked for, and its job's state then. */
  let asked = "";
  let seen = false;
  /** @param {number} key @param {import("./protocol.js").Final} final */
  const buttonOf = (key, { label, words, endpoint, backend, outcome, refusal }) => {
    const made = button("", () => {}, "", { title: refusal, disabled: Boolean(refusal) });
    write(made, `${label} · ${words}`);
    // A double click is one wish: it may cost money.
    made.onclick = async ({ detail }) => {
      if (detail > 1 || made.disabled) return;
      made.disabled = true;
      report("");
      await live
        .ask("generate", { key, changes: {}, endpoint, backend, outcome })
        .catch((error) => report(messageOf(error)));
      asked = ""; // what a second click would do has another price
      update();
    };
    return made;
  };
  const update = () => {
    const { about, now, finished } = take();
    const wanted = finished ? `${about.key} ${now.state}` : "";
    if (!seen || !live.connected || asked === wanted) return;
    asked = wanted;
    node.replaceChildren();
    if (!about.key || !wanted) return;
    live.ask("finals", { key: about.key }).then(
      ({ msg }) => {
        if (asked !== wanted) return;
        const buttons = msg.finals.map((/** @type {any} */ one) => buttonOf(about.key, one));
        node.replaceChildren(...buttons);
      },
      () => {}, // there is nothing to offer
    );
  };
  /** @type {(() => void) | undefined} */
  let leaveSight;
  return {
    node,
    update() {
      leaveSight ??= watchSight(node, (now) => {
        seen = now;
        update();
      });
      update();
    },
    close: () => leaveSight?.(),
  };
}
