import { alarm, element, write } from "./dom.js";
import { frameAt, jump, nextLoop, position } from "./frames.js";
import { handleKey, transport } from "./transport.js";
import { messageOf } from "./words.js";

/** @typedef {import("./screen.js").Screen} Screen */

/** Seconds that the second picture may be off while both play; at rest they agree on the frame. */
const DRIFT = 0.06;

/**
 * What a player leaves behind for the next one: where each clip stands, by a name of the clip,
 * and what holds for all.
 *
 * @typedef {{places: Map<unknown, import("./frames.js").Place>, whole: boolean, speed: number}} Memory
 */

/** @returns {Memory} */
export const newMemory = () => ({ places: new Map(), whole: true, speed: 1 });

/**
 * Plays one clip, or two in step. All it does can be done with keys.
 *
 * @param {[lead: Screen, ...others: Screen[]]} screens the others follow the first
 * @param {Memory} memory
 * @param {{name?: unknown, whom?: string, slider?: string}} [about] `name` is that of the first
 *   clip in the memory; `whom` and `slider` are words of the bar
 */
export function player(screens, memory, { name, whom, slider = "Frame" } = {}) {
  const [lead, ...others] = screens;
  const { video, fps, frames: count } = lead;
  let { frame, loop } = memory.places.get(name) ?? { frame: 0, loop: { a: null, b: null } };
  let [whole, closed] = [memory.whole, false];
  const draw = () => {
    memory.places.set(name, { frame, loop });
    const { paused, muted } = video;
    const text = position(frame, fps, count);
    bar.draw({ at: frame, end: count - 1, text, playing: !paused, whole, loop, muted });
  };
  const align = () => {
    for (const one of screens) one.show(Math.round((frame / fps) * one.fps));
  };
  /** All screens get ready. @returns {Promise<boolean>} */
  const ready = async () => {
    const fault = await Promise.all(screens.map((one) => one.open())).then(() => "", messageOf);
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
  const toggle = () => (video.paused ? void play() : pause());
  const full = async () => {
    try {
      await (document.fullscreenElement ? document.exitFullscreen() : node.requestFullscreen());
    } catch {
      bar.say("full", "Full screen is not allowed on this page", "full");
    }
  };
  /** @type {import("./transport.js").Actions} */
  const actions = {
    press: {
      play: toggle,
      ab() {
        loop = nextLoop(loop, frame);
        draw();
      },
      loop() {
        memory.whole = whole = !whole;
        draw();
      },
      mute() {
        video.muted = !video.muted;
        draw();
      },
      ...(document.fullscreenEnabled && { full }),
    },
    go: (wanted) => void go(wanted),
    speed(factor) {
      memory.speed = factor;
      // A new source begins at the default.
      for (const { video: one } of screens) one.defaultPlaybackRate = one.playbackRate = factor;
    },
  };
  const onkeydown = (/** @type {KeyboardEvent} */ event) =>
    handleKey(event, frame, { step: 1, leap: Math.round(fps), end: count - 1 }, actions);
  const bar = transport({ whom, slider, step: 1, rate: memory.speed }, actions);
  const problem = alarm();
  const stage = element("div", "screens", { onclick: toggle }, ...screens.map((one) => one.node));
  const about = { role: "group", ariaLabel: "Video player", tabIndex: 0, onkeydown };
  const node = element("div", "player", about, stage, problem, bar.node);
  video.requestVideoFrameCallback(onFrame);
  video.onplay = draw;
  video.onpause = () => {
    if (closed) return;
    lead.use();
    for (const one of others) one.video.pause();
    if (others.length) align();
    draw();
  };
  video.onended = () => {
    if (whole) void play();
  };
  for (const one of others) one.video.muted = true;
  actions.speed(memory.speed);
  draw();
  // Where an earlier view left off, and the frame number must be that of the frame on screen.
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
