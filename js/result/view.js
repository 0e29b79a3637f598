import { coverRule, covers, hasCard } from "../shared/card.js";
import { copyText } from "../shared/copy.js";
import { div, element, write } from "../shared/dom.js";
import { keepKeys } from "../shared/keys.js";
import { actions } from "./actions.js";
import { details } from "./details.js";
import { header } from "./header.js";
import { makeAnother, makeElsewhere } from "./make_another.js";
import { stage } from "./stage.js";
import { takes } from "./takes.js";
import { trouble } from "./trouble.js";

/**
 * Returns the parts of a result. Their order is the same everywhere: header, stage with its
 * transport, takes, actions, form for another take, details.
 *
 * @param {import("./live_job.js").LiveJob} live
 * @param {Parameters<typeof actions>[1] | null} [place] where the video stands, if it plays on a stage elsewhere
 */
export function resultParts(live, place = null) {
  const why = trouble(live, () => another.edit());
  const screens = place ? null : stage(live, why.node);
  const entries = () => [
    copying("Copy request id", live.shown.now.request_id),
    copying("Copy job id", live.shown.about.job_id),
    copying("Copy file path", live.shown.now.path),
    ...(live.shown.finished ? [] : [copying("Copy as cell", live.shown.now.cell)]),
  ];
  const top = header(live, entries);
  /** @param {string} label @param {string | null | undefined} text */
  const copying = (label, text) => ({
    label,
    act: () => void copyText(text ?? "", top.node),
    ...(text ? {} : { why: "There is none yet" }),
  });
  const strip = takes(live);
  const acts = actions(live, place ?? (() => screens?.place() ?? null));
  const another = live.reuse ? makeElsewhere(live, live.reuse) : makeAnother(live);
  const fold = details(live);
  const note = element("div", "warnings", { role: "note" });
  const parts = [top, why, ...(screens ? [screens] : []), strip, acts, another, fold];
  const main = div("main", screens?.node ?? why.node, strip.node, acts.node);
  const nodes = [top.node, div("sides", main, another.node), note, fold.node];
  const { onkeydown } = acts;
  if (screens) for (const one of nodes) one.addEventListener("keydown", onkeydown);
  return {
    nodes,
    onkeydown,
    failed: () => Boolean(screens?.failed()),
    update() {
      for (const part of parts) part.update();
      write(note, live.shown.about.notices ?? ""); // the traits have none
    },
    close() {
      for (const part of parts) part.close?.();
    },
  };
}

/**
 * Shows a job in `el`.
 *
 * @param {HTMLElement} el
 * @param {import("./live_job.js").LiveJob} live
 * @returns {() => void} clean-up
 */
export function mount(el, live) {
  const { job_id: id, title } = live.shown.about;
  const parts = resultParts(live);
  const cover = element("style", "");
  const rule = coverRule(id);
  const root = element(
    "section",
    "job kling-widget",
    { "data-kling-job": id, ariaLabel: `Kling job: ${title}` },
    cover,
    ...parts.nodes,
  );
  const releaseKeys = keepKeys(root);
  const update = () => {
    const { shown, kernel } = live;
    const { state } = shown.now;
    root.dataset.state = state;
    parts.update();
    const loading = shown.footage.phase === "loading";
    const covering =
      !kernel.missing && covers({ state, failed: parts.failed(), loading, busy: kernel.busy });
    cover.textContent = covering ? rule : "";
    root.style.display = kernel.missing && hasCard(id) ? "none" : ""; // the card can play the file
  };
  el.append(root);
  update();
  const unsubscribe = live.subscribe(update);
  return () => {
    unsubscribe();
    releaseKeys();
    parts.close();
    root.remove();
  };
}
