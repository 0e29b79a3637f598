import { button, div, element, span, write } from "../shared/dom.js";
import { keepKeys } from "../shared/keys.js";
import { LOCAL_PREVIEW, unansweredWords } from "../shared/words.js";
import { compose } from "./compose.js";
import { allowNotices, noticesOn } from "./desktop_notice.js";
import { history } from "./history.js";
import { GONE } from "./lost.js";
import { opened } from "./opened.js";
import { storyboard } from "./storyboard.js";

/** @typedef {import("./live_panel.js").LivePanel} LivePanel */

/**
 * Shows the panel in `el`.
 *
 * @param {HTMLElement} el
 * @param {LivePanel} live
 * @returns {() => void} clean-up
 */
export function mount(el, live) {
  const [desk, stage, past] = [compose(live), opened(live), history(live)];
  const board = storyboard(live);
  const head = header(live);
  const loading = element(
    "div",
    "nothing kling-line-up kling-quiet",
    { role: "status" },
    "Asking the kernel…",
  );
  const body = div("panel-body", desk.node, div("panel-main", board.node, stage.node, past.node));
  const root = element(
    "section",
    "panel kling-widget",
    { "aria-label": "Kling panel" },
    head.node,
    loading,
    body,
  );
  const parts = [head, desk, board, stage, past];
  const update = () => {
    loading.hidden = live.ready || !live.connected;
    body.hidden = !live.ready;
    head.update();
    if (!live.ready) return;
    for (const part of parts.slice(1)) part.update();
    root.toggleAttribute("data-ready", true);
  };
  const releaseKeys = keepKeys(root);
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

/** Title, where jobs go, notices, and what is wrong. @param {LivePanel} live @returns {import("../shared/dom.js").Part} */
function header(live) {
  const { model } = live;
  const badge = element("span", "badge", { hidden: true });
  const box = element("input", "switch", { type: "checkbox", role: "switch" });
  const notices = element("label", "notices kling-quiet", {}, box, "Notify me when a job ends");
  notices.title = "Shows a notice of your desktop, also while you look at another page";
  const trouble = span("");
  const away = button("✕", () => void live.attempt(async () => {}), "remove", {
    "aria-label": "Dismiss",
  });
  const fault = element(
    "div",
    "why kling-drop-line",
    { role: "alert", "data-state": "FAILED", hidden: true },
    trouble,
    away,
  );
  const note = element("div", "why", {
    "data-state": "UNCERTAIN",
    role: "status",
    "aria-live": "polite",
  });
  box.onchange = async () => {
    const wanted = box.checked && (await allowNotices());
    if (box.checked && !wanted) live.note = "This browser does not allow notices here.";
    model.set("notices", wanted);
    model.save_changes();
    live.redraw();
  };
  const bar = div("panel-bar kling-line-up", element("h3", "", {}, "Kling"), badge, notices);
  return {
    node: element("header", "panel-head", {}, bar, fault, note),
    update() {
      const local = live.composition.quote?.backend === "local";
      if (live.composition.quote) write(badge, local ? LOCAL_PREVIEW : "");
      badge.title = "Jobs go to the local preview server on this machine, free";
      notices.hidden = !live.connected;
      box.checked = noticesOn(model.get("notices"));
      write(trouble, live.fault);
      fault.hidden = !live.fault;
      const words = live.connected ? unansweredWords(live.kernel) || live.note : GONE;
      write(note, words);
    },
  };
}
