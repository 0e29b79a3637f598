import { button, element, paint, paintPoster, write } from "../job/element.js";
import { middleOf } from "../job/frames.js";
import { progressBar } from "../job/progress.js";
import { share } from "../job/words.js";
import { canBeStopped, ended, playable, stateWords } from "./words.js";

/** @typedef {import("./live_grid.js").LiveGrid} LiveGrid */
/** @typedef {ReturnType<typeof tile>} Tile */

/**
 * One cell: what becomes of it, then its video, which the whole grid plays.
 *
 * @param {LiveGrid} live
 * @param {number} index
 * @param {string} caption
 * @param {boolean} captioned whether it says by itself which one it is
 * @param {() => void} press plays all, or stops all
 */
export function tile(live, index, caption, captioned, press) {
  const still = element("canvas", "sw-still");
  const video = element("video", "sw-video", {
    playsInline: true,
    muted: true,
    hidden: true,
    ariaLabel: caption,
  });
  const badge = element("span", "sw-state");
  const bar = progressBar(`Progress of ${caption}`);
  const why = element("div", "why", { hidden: true });
  const stop = button("✕", () => void live.cancel(index), "sw-stop", {
    title: "Cancel",
    ariaLabel: `Cancel ${caption}`,
  });
  const picture = element("div", "sw-picture", { onclick: press }, still, video);
  const foot = element("div", "sw-foot", {}, badge, stop);
  const name = element("div", "sw-caption", { title: caption, dir: "auto" }, caption);
  name.hidden = !captioned;
  const node = element(
    "div",
    "sw-tile",
    { role: "group", ariaLabel: caption },
    picture,
    bar.node,
    why,
    name,
    foot,
  );
  let [seen, drawn, own, closed] = [false, false, "", false];
  /** @type {Promise<void> | null} */
  let opening = null;
  const cell = () => /** @type {import("./protocol.js").Cell} */ (live.cells[index]);

  const begin = (/** @type {string} */ src) =>
    new Promise((resolve, reject) => {
      video.onloadeddata = resolve;
      video.onerror = () => reject(new Error("This browser cannot play the file."));
      video.src = src;
    });
  const load = async () => {
    const { url } = cell();
    const served =
      url &&
      (await begin(url)
        .then(() => true)
        .catch(() => false));
    if (!served) {
      const blob = await live.file(index);
      if (closed) return;
      own = URL.createObjectURL(blob);
      await begin(own);
    }
    video.hidden = false;
    drawn = true;
  };
  return {
    node,
    video,
    index,
    get playable() {
      return Boolean(cell()) && playable(cell());
    },
    get seen() {
      return seen;
    },
    get length() {
      return cell()?.duration ?? 0;
    },
    get fps() {
      return cell()?.fps || 24;
    },
    /** Gets a source, unless there is one. */
    open() {
      opening ??= load().catch((error) => {
        opening = null;
        write(why, error.message);
        why.dataset.state = "FAILED";
      });
      return opening;
    },
    /** Shows the moment `time`, or the last one of a shorter clip. @param {number} time */
    show(time) {
      const { fps, length } = this;
      const last = Math.max(0, Math.round(length * fps) - 1);
      const wanted = middleOf(Math.min(last, Math.floor(time * fps + 1e-3)), fps);
      if (Math.abs(video.currentTime - wanted) > 0.4 / fps) video.currentTime = wanted;
    },
    /** Lets go of the source where nobody sees it; the picture stays. */
    rest() {
      if (!video.src) return;
      if (video.readyState >= 2) paint(still, video, video.videoWidth, video.videoHeight);
      video.hidden = true;
      video.removeAttribute("src");
      video.load();
      if (own) URL.revokeObjectURL(own);
      [opening, own] = [null, ""];
    },
    /** Whether it is the one that plays now. @param {boolean} now */
    mark(now) {
      node.classList.toggle("kling-sw-now", now);
      node.setAttribute("aria-current", `${now}`);
    },
    /** @param {boolean} now */
    see(now) {
      seen = now;
      if (seen && !drawn && this.playable) {
        drawn = true;
        void paintPoster(still, live.poster(index));
      }
    },
    update() {
      const known = cell();
      if (!known) return;
      node.dataset.state = known.state;
      node.title = known.prompt;
      const shown = playable(known);
      if (shown) picture.style.setProperty("--kling-ratio", `${known.width} / ${known.height}`);
      node.classList.toggle("kling-sw-shown", shown);
      this.see(seen);
      write(badge, shown && !known.reused ? "" : stateWords(known));
      write(why, known.message);
      stop.hidden = !live.connected || !canBeStopped(known);
      const done = ended(known) || known.state === "WAITING" || !live.connected;
      bar.node.hidden = done;
      if (done) return;
      const since = known.created_at === null ? null : live.kernelNow() - known.created_at;
      bar.draw(share(/** @type {any} */ (known), since, known.expected));
    },
    close() {
      closed = true;
      video.pause();
      this.rest();
    },
  };
}
