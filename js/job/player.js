import { alarm, element, said, write } from "./element.js";
import { frameAt, jump, keyed, position, pressed } from "./frames.js";
import { toolbar } from "./player_bar.js";

/** @typedef {import("./live_job.js").LiveJob} LiveJob */
/** @typedef {ReturnType<typeof import("./screen.js").screen>} Screen */

/** Seconds that the second picture may be off while both play; at rest they agree on the frame. */
const DRIFT = 0.06;

/**
 * Plays one take, or two in step. All it does can be done with keys.
 *
 * @param {LiveJob} live
 * @param {Screen} lead
 * @param {Screen[]} others follow it
 */
export function player(live, lead, others) {
  const screens = [lead, ...others];
  const { video, fps, frames: count } = lead;
  const { key } = lead.take.about;
  const { left } = live;
  let { frame, loop } = left.places.get(key) ?? { frame: 0, loop: { a: null, b: null } };
  let [whole, closed] = [left.whole, false];
  const draw = () => {
    left.places.set(key, { frame, loop });
    const { paused, muted } = video;
    bar.draw({ frame, text: position(frame, fps, count), playing: !paused, whole, loop, muted });
  };
  const align = () => {
    for (const one of screens) one.show(Math.round((frame / fps) * one.fps));
  };
  /** All screens get ready. @returns {Promise<boolean>} */
  const ready = async () => {
    const fault = await Promise.all(screens.map((one) => one.open())).then(() => "", said);
    if (!closed) write(problem, fault);
    return !closed && !fault;
  };
  const pause = () => {
    for (const one of screens) one.video.pause();
  };
  const go = async (/** @type {number} */ wanted) => {
    pause();
    frame = wanted;
    draw();
    if (await ready()) align();
  };
  const play = async () => {
    if (!(await ready())) return;
    if (frame >= count - 1) frame = loop.a ?? 0;
    align();
    // A browser may refuse until the page was clicked: the button is there.
    for (const one of screens) one.video.play().catch(() => {});
  };
  /** @param {DOMHighResTimeStamp} _ @param {VideoFrameCallbackMetadata} shown */
  const onFrame = (_, { mediaTime }) => {
    if (closed) return;
    video.requestVideoFrameCallback(onFrame);
    if (video.paused) return;
    frame = Math.min(count - 1, frameAt(mediaTime, fps));
    const back = jump(loop, frame);
    if (back !== null) {
      frame = back;
      align();
    }
    for (const { video: other } of others) {
      if (Math.abs(other.currentTime - video.currentTime) > DRIFT)
        other.currentTime = video.currentTime;
    }
    draw();
  };
  /** @type {Record<string, () => void>} */
  const acts = {
    play: () => (video.paused ? void play() : pause()),
    loop: () => {
      left.whole = whole = !whole;
    },
    ab: () => {
      loop = pressed(loop, frame);
    },
    mute: () => {
      video.muted = !video.muted;
    },
    full: () =>
      void (document.fullscreenElement ? document.exitFullscreen() : node.requestFullscreen()),
  };
  const press = (/** @type {string} */ name) => {
    acts[name]?.();
    draw();
  };
  const speed = (/** @type {number} */ factor) => {
    left.speed = factor;
    // A new source begins at the default.
    for (const { video: one } of screens) one.defaultPlaybackRate = one.playbackRate = factor;
  };
  /** @param {KeyboardEvent & {target: any}} event */
  const onkeydown = (event) => {
    const own = event.target.tagName === "SELECT" || event.ctrlKey || event.metaKey || event.altKey;
    const asked = own ? null : keyed(event, frame, fps, count);
    if (!asked || (asked.press === "play" && event.target.tagName === "BUTTON")) return;
    event.preventDefault();
    event.stopPropagation();
    if (asked.press) press(asked.press);
    else void go(asked.frame);
  };
  const bar = toolbar(count, { press, speed, scrub: (wanted) => void go(wanted) }, left.speed);
  const problem = alarm();
  const pictures = screens.map((one) => one.node);
  const stage = element("div", "screens", { onclick: () => press("play") }, ...pictures);
  const about = { role: "group", ariaLabel: "Video player", tabIndex: 0, onkeydown };
  const node = element("div", "player", about, stage, problem, bar.node);
  video.requestVideoFrameCallback(onFrame);
  video.onplay = draw;
  video.onpause = () => {
    if (closed) return;
    lead.idle();
    for (const one of others) one.video.pause();
    if (others.length) align();
    draw();
  };
  video.onended = () => {
    if (whole) void play();
  };
  for (const one of others) one.video.muted = true;
  speed(left.speed);
  draw();
  // Where an earlier view left off, and what is said of the frame must be what is seen.
  if (frame) void go(frame);
  return {
    node,
    failed: () => !problem.hidden,
    close() {
      closed = true;
      for (const one of screens) one.close();
      node.remove();
    },
  };
}
