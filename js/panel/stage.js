import { alarm, div, element, span, write } from "../shared/dom.js";
import { newMemory, player } from "../shared/player.js";
import { screen } from "../shared/screen.js";
import { megabytes, messageOf } from "../shared/words.js";

/** @typedef {import("./live_panel.js").LivePanel} LivePanel */
/** @typedef {import("./openings.js").Opening} Opening */
/** @typedef {{node: HTMLElement, close: () => void}} Shown */

/**
 * The videos of the opened jobs, in step where there are two; or a result that is no video.
 *
 * @param {LivePanel} live
 * @param {Opening[]} opened
 * @returns {import("../shared/dom.js").Part}
 */
export function stage(live, opened) {
  const loading = element("div", "line-up kling-quiet", { role: "status", hidden: true });
  const node = div("", loading);
  /** @type {Shown | null} */
  let shown = null;
  let key = "";
  const close = () => shown?.close();
  return {
    node,
    update() {
      const ready = opened.filter(({ detail }) => detail?.row.has_media);
      const wanted = ready.map(({ id }) => id).join(" ");
      if (wanted !== key) {
        key = wanted;
        close();
        const videos = ready.filter(({ detail }) => detail?.width);
        shown = videos.length ? film(live, videos) : ready[0] ? other(ready[0]) : null;
        if (shown) node.prepend(shown.node);
      }
      const { footage } = opened.find((one) => one.footage.phase === "loading") ?? {};
      const text = footage?.total
        ? `Loading ${megabytes(footage.total)}`
        : "Asking the kernel for the video";
      write(loading, footage ? text : "");
    },
    close,
  };
}

/**
 * Plays one video with the browser's own controls, or two in step.
 *
 * @param {LivePanel} live
 * @param {Opening[]} opened that have a video
 * @returns {Shown}
 */
function film(live, opened) {
  const [one, other] = opened.map((opening) => {
    const made = screenOf(live, opening, opened.length > 1);
    made.poster();
    return made;
  });
  if (one && other) return player([one, other], newMemory());
  return single(/** @type {import("../shared/screen.js").Screen} */ (one));
}

/** @param {LivePanel} live @param {Opening} opening @param {boolean} sparing */
function screenOf(live, opening, sparing) {
  const { prompt = "", width, height } = opening.detail ?? {};
  const clip = {
    label: prompt,
    facts: () => opening.detail ?? {},
    poster: () => live.openings.poster(opening.id),
    bytes: () => opening.footage.bytes(),
  };
  const made = screen(clip, { sparing });
  made.node.style.setProperty("--kling-ratio", `${width} / ${height}`);
  return made;
}

/** @param {import("../shared/screen.js").Screen} screen @returns {Shown} */
function single(screen) {
  const problem = alarm();
  const node = div("", div("screens", screen.node), problem);
  let closed = false;
  screen.video.controls = screen.video.loop = true;
  screen.open().catch((error) => {
    if (!closed) write(problem, messageOf(error));
  });
  return {
    node,
    close() {
      closed = true;
      screen.close();
      node.remove();
    },
  };
}

/** A picture, a sound, or a file to save. @param {Opening} opening @returns {Shown} */
function other(opening) {
  const node = div("screens");
  let [url, closed] = ["", false];
  void opening.footage.load().then(() => {
    const { blob, name, error } = opening.footage;
    if (closed) return;
    if (!blob) {
      node.append(element("div", "why", { "data-state": "FAILED" }, error));
      return;
    }
    url = URL.createObjectURL(blob);
    const [kind] = blob.type.split("/");
    if (kind === "image") node.append(element("img", "", { src: url, alt: name }));
    else if (kind === "audio") node.append(element("audio", "", { src: url, controls: true }));
    else node.append(span("line-up", name));
  });
  return {
    node,
    close() {
      closed = true;
      if (url) URL.revokeObjectURL(url);
      node.remove();
    },
  };
}
