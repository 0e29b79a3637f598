import { coverRule, covers, hasCard } from "../shared/card.js";
import { element } from "../shared/dom.js";
import { keepKeys } from "../shared/keys.js";
import { facts } from "./facts.js";
import { header, notice, progress } from "./header.js";
import { log } from "./log.js";
import { stage } from "./stage.js";
import { takeForm } from "./take_form.js";
import { takes } from "./takes.js";

/**
 * Shows a job in `el`.
 *
 * @param {HTMLElement} el
 * @param {import("./live_job.js").LiveJob} live
 * @returns {() => void} clean-up
 */
export function mount(el, live) {
  const { job_id: id, title } = live.shown.about;
  const screens = stage(live);
  /** @type {import("../shared/dom.js").Part[]} */
  const parts = [
    header(live),
    progress(live),
    notice(live),
    screens,
    takes(live),
    facts(live),
    takeForm(live),
    log(live),
  ];
  const cover = element("style", "");
  const rule = coverRule(id);
  const root = element(
    "section",
    "job kling-widget",
    { "data-kling-job": id, ariaLabel: `Kling job: ${title}` },
    cover,
    ...parts.map((part) => part.node),
  );
  const releaseKeys = keepKeys(root);
  const update = () => {
    const { shown, kernel } = live;
    const { state } = shown.now;
    root.dataset.state = state;
    for (const part of parts) part.update();
    const loading = shown.footage.phase === "loading";
    const covering =
      !kernel.missing && covers({ state, failed: screens.failed(), loading, busy: kernel.busy });
    cover.textContent = covering ? rule : "";
    root.style.display = kernel.missing && hasCard(id) ? "none" : ""; // the card can play the file
  };
  el.append(root);
  update();
  const unsubscribe = live.subscribe(update);
  return () => {
    unsubscribe();
    releaseKeys();
    for (const part of parts) part.close?.();
    root.remove();
  };
}
