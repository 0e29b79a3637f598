import { element, paint, paintPoster } from "./dom.js";
import { frameAt, middleOf } from "./frames.js";
import { UNPLAYABLE } from "./words.js";

/**
 * A video that may be shown.
 *
 * @typedef {object} Clip
 * @property {string} label what a screen reader calls it
 * @property {() => Facts} facts what is known of it now
 * @property {() => Promise<Blob>} poster
 * @property {() => Promise<Blob>} bytes the file from the kernel; rejects with the reason
 *
 * @typedef {object} Facts
 * @property {number | null} [duration] seconds
 * @property {number | null} [fps]
 * @property {number | null} [frame_count]
 * @property {string | null} [url] where the notebook's server plays the file
 *
 * @typedef {ReturnType<typeof screen>} Screen
 * @typedef {{playing: () => boolean, release: () => void}} Holder holds the source of a video
 */

/**
 * The picture of one clip: its poster, and a `<video>` over it that has a source only while it is
 * wanted. Losing it leaves the frame that was on.
 *
 * @param {Clip} clip
 * @param {{className?: string, sparing?: boolean}} [options] a sparing screen gives up its source
 *   where many others rest, and gets it again when it is played
 */
export function screen(clip, { className = "screen", sparing = true } = {}) {
  const still = element("canvas", "", { role: "img", ariaLabel: clip.label });
  const video = element("video", "", { ariaLabel: clip.label, playsInline: true, hidden: true });
  let [own, wanted, asked, drawn, closed] = ["", -1, false, false, false];
  /** @type {Promise<void> | null} */
  let opening = null;
  const release = () => {
    letGo(holder);
    opening = null;
    if (!video.src) return;
    if (video.readyState >= 2) paint(still, video, video.videoWidth, video.videoHeight);
    video.hidden = true;
    video.removeAttribute("src");
    video.load();
    URL.revokeObjectURL(own);
  };
  const holder = { playing: () => !video.paused, release };
  const use = () => {
    if (sparing) hold(holder);
  };
  const start = async (/** @type {string} */ src) => {
    await new Promise((resolve, reject) => {
      video.onloadeddata = resolve;
      video.onerror = () => reject(new Error(UNPLAYABLE));
      video.src = src;
    });
    video.hidden = false;
    drawn = true;
    use();
  };
  const load = async () => {
    try {
      const { url } = clip.facts();
      if (url) return await start(url);
    } catch {
      // What the notebook server does not play, the kernel sends.
    }
    const blob = await clip.bytes();
    if (closed) throw new Error("The view was closed.");
    own = URL.createObjectURL(blob);
    await start(own);
  };
  const screen = {
    node: element("div", className, {}, still, video),
    video,
    get fps() {
      return clip.facts().fps || 24;
    },
    get frames() {
      const { frame_count, duration } = clip.facts();
      return Math.max(1, frame_count ?? Math.round((duration ?? 0) * screen.fps));
    },
    /** Gets a source unless there is one. Rejects if the file cannot be fetched or played. */
    open() {
      if (video.src) use();
      opening ??= load().catch((error) => {
        release();
        throw error;
      });
      return opening;
    },
    /** Shows a frame; of many wishes the last one counts, once the browser has caught up.
     * @param {number} frame */
    show(frame) {
      wanted = video.seeking ? frame : -1;
      if (wanted < 0 && frameAt(video.currentTime, screen.fps) !== frame)
        video.currentTime = middleOf(frame, screen.fps);
    },
    /** Draws the small picture, unless a frame is there already. */
    poster() {
      if (!asked && !drawn) void paintPoster(still, clip.poster(), () => !drawn && !closed);
      asked = true;
    },
    /** Whether the file has audio, as far as the browser knows by now. */
    audible: () => hasAudio(video),
    /** Gives up the source, unless it plays or is still being opened: without it, the frame that
     * is named would not be seen. */
    rest() {
      if (video.paused && !video.hidden) release();
    },
    release,
    use,
    close() {
      closed = true;
      video.pause();
      release();
    },
  };
  video.onseeked = () => {
    if (wanted >= 0) screen.show(wanted);
  };
  return screen;
}

/** Whether a video has audio; true where the browser cannot tell. @param {any} video */
function hasAudio({ mozHasAudio, webkitAudioDecodedByteCount: bytes, audioTracks }) {
  const known = [mozHasAudio, bytes, audioTracks?.length].filter((one) => one !== undefined);
  return !known.length || known.some(Boolean);
}

/** How many sources are kept that no view plays. */
const IDLE = 2;

// Each widget has a module of its own, so what is true of the page is kept on the page.
const KEY = Symbol.for("kling_nb.sources");
const page = /** @type {Record<symbol, Set<Holder> | undefined>} */ (globalThis);
/** @type {Set<Holder>} */
const held = page[KEY] ?? new Set();
page[KEY] = held;

/** Notes that a source is held, or in use again; others that rest may lose theirs. @param {Holder} holder */
export function hold(holder) {
  held.delete(holder);
  held.add(holder);
  const idle = [...held].filter((one) => !one.playing());
  for (const one of idle.slice(0, Math.max(0, idle.length - IDLE))) one.release();
}

/** @param {Holder} holder */
export const letGo = (holder) => held.delete(holder);
