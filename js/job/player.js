import { element, write } from "./element.js";
import { progressBar } from "./progress.js";
import { hasVideo, megabytes } from "./words.js";

/** @typedef {import("./live_job.js").LiveJob} LiveJob */
/** @typedef {import("./view.js").Part} Part */

/**
 * The video, once there is one. Its bytes are asked for when it comes into sight.
 *
 * @param {LiveJob} live
 * @returns {Part & {save: HTMLAnchorElement, failed: () => boolean}} `save` is a link to the
 *   file, placed by the caller; `failed` says that nothing can be played here
 */
export function player(live) {
  const wait = waiting(live);
  const node = element("div", "stage", {}, wait.node);
  const save = element("a", "save", {}, "Save");
  const seen = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting)) void live.loadFootage();
  });
  const listening = new AbortController();
  let url = "";
  let unplayable = false;
  save.hidden = true;
  const show = (/** @type {Blob} */ blob) => {
    url = URL.createObjectURL(blob);
    save.href = url;
    save.download = live.footage.name;
    const media = video(live, url, listening.signal);
    media.addEventListener("error", () => {
      unplayable = true;
      node.replaceChildren(wait.node);
      live.redraw();
    });
    node.replaceChildren(media);
  };
  return {
    node,
    save,
    failed: () => unplayable || live.footage.phase === "failed" || !hasVideo(live.record.now),
    update() {
      const { now } = live.record;
      node.hidden = now.state !== "READY" || !hasVideo(now);
      if (node.hidden) return;
      node.style.setProperty("--kling-ratio", `${now.width} / ${now.height}`);
      if (live.footage.phase === "none") seen.observe(node);
      if (!url && live.footage.blob) show(live.footage.blob);
      save.hidden = !url;
      wait.update(unplayable);
    },
    close() {
      listening.abort();
      seen.disconnect();
      if (url) URL.revokeObjectURL(url);
    },
  };
}

/** What stands in the video's place while it is not there. @param {LiveJob} live */
function waiting(live) {
  const text = element("div", "waiting-text");
  const again = element("button", "button", { type: "button" }, "Try again");
  again.addEventListener("click", () => void live.loadFootage());
  const { node: bar, draw } = progressBar("Loading the video");
  return {
    node: element("div", "waiting", {}, text, bar, again),
    /** @param {boolean} unplayable */
    update(unplayable) {
      const { phase, received, total, error } = live.footage;
      bar.hidden = phase !== "loading";
      again.hidden = phase !== "failed";
      draw(total ? received / total : null);
      if (unplayable)
        write(text, "This browser cannot play the file. Save it to watch it elsewhere.");
      else if (phase === "failed") write(text, error);
      else
        write(
          text,
          total ? `Loading the video, ${megabytes(total)}` : "Asking the kernel for the video",
        );
    },
  };
}

/**
 * An element that plays the file, from where an earlier view of the job left off.
 *
 * @param {LiveJob} live
 * @param {string} src
 * @param {AbortSignal} signal ends the listening
 */
function video({ left, record }, src, signal) {
  const media = element("video", "media", { "aria-label": record.traits.prompt });
  media.controls = media.loop = media.muted = media.playsInline = true;
  const on = (/** @type {string} */ name, /** @type {() => void} */ act) =>
    media.addEventListener(name, act, { signal });
  on("timeupdate", () => {
    left.time = media.currentTime;
  });
  on("play", () => {
    left.playing = true;
  });
  on("pause", () => {
    left.playing = false;
  });
  media.src = src;
  media.currentTime = left.time;
  // A browser may forbid playing without a click; the controls are there.
  if (left.playing) media.play().catch(() => {});
  return media;
}
