import { element, paint, paintPoster } from "./element.js";
import { frameAt, middleOf } from "./frames.js";
import { hold, letGo } from "./sources.js";

/** @typedef {import("./record.js").JobRecord} JobRecord */

/**
 * The picture of one take: its poster, and a `<video>` over it that has a source only while it is
 * wanted. Losing it leaves the frame that was on.
 *
 * @param {import("./live_job.js").LiveJob} live
 * @param {JobRecord} take
 */
export function screen(live, take) {
  const { prompt } = take.about;
  const { width, height, duration, frame_count } = take.now;
  const fps = take.now.fps || 24;
  const still = element("canvas", "", { role: "img", ariaLabel: prompt });
  const video = element("video", "", { ariaLabel: prompt, playsInline: true, hidden: true });
  const node = element("div", "screen", {}, still, video);
  node.style.setProperty("--kling-ratio", `${width} / ${height}`);
  node.style.setProperty("--kling-wide", `${width}px`);
  let [url, wanted, drawn, closed] = ["", -1, false, false];
  /** @type {Promise<void> | null} */
  let opening = null;
  const holder = {
    playing: () => !video.paused,
    release() {
      letGo(holder);
      opening = null;
      if (!video.src) return;
      if (video.readyState >= 2) paint(still, video, video.videoWidth, video.videoHeight);
      video.hidden = true;
      video.removeAttribute("src");
      video.load();
      URL.revokeObjectURL(url);
    },
  };
  const begin = async (/** @type {string} */ src) => {
    await new Promise((resolve, reject) => {
      video.onloadeddata = resolve;
      video.onerror = () =>
        reject(new Error("This browser cannot play the file. Save it instead."));
      video.src = src;
    });
    video.hidden = false;
    drawn = true;
    hold(holder);
  };
  const open = async () => {
    try {
      if (take.now.url) return await begin(take.now.url);
    } catch {
      // What the notebook server does not play, the kernel sends.
    }
    await live.loadFootage(take);
    const { blob, error } = take.footage;
    if (closed || !blob) throw new Error(error);
    url = URL.createObjectURL(blob);
    await begin(url);
  };
  const show = (/** @type {number} */ frame) => {
    wanted = video.seeking ? frame : -1; // the last wish counts, once the browser has caught up
    if (wanted < 0 && frameAt(video.currentTime, fps) !== frame)
      video.currentTime = middleOf(frame, fps);
  };
  video.onseeked = () => {
    if (wanted >= 0) show(wanted);
  };
  return {
    node,
    video,
    fps,
    take,
    frames: Math.max(1, frame_count ?? Math.round((duration ?? 0) * fps)),
    /** Gets a source, unless there is one. Rejects where the file cannot be had or played. */
    open() {
      if (video.src) hold(holder);
      opening ??= open().catch((error) => {
        holder.release();
        throw error;
      });
      return opening;
    },
    show,
    poster: () => drawn || paintPoster(still, live.poster(take), () => !drawn && !closed),
    rest: () => {
      // What is still being opened is wanted: without it, the frame that is named would not be seen.
      if (video.paused && !video.hidden) holder.release();
    },
    idle: () => hold(holder),
    close() {
      closed = true;
      video.pause();
      holder.release();
    },
  };
}
