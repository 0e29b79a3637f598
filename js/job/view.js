import { keepKeys } from "../shared/keys.js";
import { coverRule, covers } from "./card_cover.js";
import { element } from "./element.js";
import { facts } from "./facts.js";
import { header } from "./header.js";
import { logPanel } from "./log_panel.js";
import { notice } from "./notice.js";
import { progress } from "./progress.js";
import { stage } from "./stage.js";
import { strip } from "./strip.js";
import { takeForm } from "./take_form.js";

/**
 * A part of the view. `update` brings it up to date, `close` lets go of timers and the like.
 *
 * @typedef {{node: HTMLElement, update: () => void, close?: () => void}} Part
 */

/**
 * Shows a job in `el`.
 *
 * @param {HTMLElement} el
 * @param {import("./live_job.js").LiveJob} live
 * @returns {() => void} clean-up
 */
export function mount(el, live) {
  const { job_id: id, title } = live.record.about;
  const screens = stage(live);
  /** @type {Part[]} */
  const parts = [
    header(live),
    progress(live),
    notice(live),
    screens,
    strip(live),
    facts(live),
    takeForm(live),
    logPanel(live),
  ];
  const cover = element("style", "");
  const rule = coverRule(id);
  const root = element(
    "section",
    "job",
    { "data-kling-job": id, ariaLabel: `Kling job: ${title}` },
    cover,
    ...parts.map((part) => part.node),
  );
  const releaseKeys = keepKeys(root);
  const update = () => {
    const { record, kernel } = live;
    const { state } = record.now;
    root.dataset.state = state;
    for (const part of parts) part.update();
    const loading = record.footage.phase === "loading";
    const covering = covers({ state, failed: screens.failed(), loading, busy: kernel.busy });
    cover.textContent = covering ? rule : "";
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
