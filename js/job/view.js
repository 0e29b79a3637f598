import { coverRule, covers } from "./card_cover.js";
import { element, write } from "./element.js";
import { facts } from "./facts.js";
import { header } from "./header.js";
import { logPanel } from "./log_panel.js";
import { notice } from "./notice.js";
import { parameters } from "./parameters.js";
import { player } from "./player.js";
import { progress } from "./progress.js";

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
  const { job_id: id, title } = live.record.traits;
  const stage = player(live);
  /** @type {Part[]} */
  const parts = [
    header(live),
    progress(live),
    notice(live),
    stage,
    facts(live, stage.save),
    parameters(live),
    logPanel(live),
  ];
  const cover = element("style", "");
  const rule = coverRule(id);
  const root = element(
    "section",
    "job",
    { "data-kling-job": id, "aria-label": `Kling job: ${title}` },
    cover,
    ...parts.map((part) => part.node),
  );
  const update = () => {
    const { state } = live.record.now;
    root.dataset.state = state;
    for (const part of parts) part.update();
    const loading = live.footage.phase === "loading";
    const covering = covers({ state, failed: stage.failed(), loading, busy: live.kernel.busy });
    write(cover, covering ? rule : "");
  };
  el.append(root);
  update();
  const unsubscribe = live.subscribe(update);
  return () => {
    unsubscribe();
    for (const part of parts) part.close?.();
    root.remove();
  };
}
