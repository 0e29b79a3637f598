import { controls } from "./controls.js";
import { asked } from "./keys.js";

/** @typedef {import("./tile.js").Tile} Tile */

/** Seconds that a picture may be off the leading one while all play; at rest they agree. */
const DRIFT = 0.12;

/**
 * Plays all videos that are on the page in step: one clock, which is that of the longest clip.
 * A shorter one waits on its last picture until all begin again.
 *
 * @param {() => Tile[]} tiles
 */
export function playback(tiles) {
  let [time, playing, closed, factor] = [0, false, false, 1];
  const able = () => tiles().filter((one) => one.playable);
  const shown = () => able().filter((one) => one.seen);
  const length = () => Math.max(0, ...able().map((one) => one.length));
  const fps = () => Math.max(1, ...able().map((one) => one.fps));
  const bar = controls("all", {
    toggle: () => toggle(),
    go: (wanted) => void go(wanted),
    speed(wanted) {
      factor = wanted;
      for (const one of able()) one.video.playbackRate = factor;
    },
  });
  const draw = () => bar.draw({ time, length: length(), playing });
  const lead = () =>
    shown().reduce(
      (best, one) => (best && best.length >= one.length ? best : one),
      /** @type {Tile | null} */ (null),
    );
  const pause = () => {
    playing = false;
    for (const one of able()) one.video.pause();
    draw();
  };
  /** All that are seen get ready. */
  const ready = () => Promise.all(shown().map((one) => one.open()));
  const go = async (/** @type {number} */ wanted) => {
    pause();
    time = Math.min(length(), Math.max(0, wanted));
    draw();
    await ready();
    if (!closed && !playing) for (const one of shown()) if (one.video.src) one.show(time);
  };
  const start = async () => {
    playing = true;
    draw();
    await ready();
    if (closed || !playing) return;
    if (time >= length() - 1 / fps()) time = 0;
    for (const one of shown()) run(one);
    requestAnimationFrame(tick);
  };
  /** Lets one video run from the common moment on. @param {Tile} one */
  const run = (one) => {
    if (!one.video.src || time >= one.length - 0.5 / one.fps) return one.show(time);
    one.show(time);
    one.video.playbackRate = factor;
    one.video.play().catch(() => {}); // a browser may refuse until the page was clicked
  };
  const tick = () => {
    if (closed || !playing) return;
    requestAnimationFrame(tick);
    const first = lead();
    if (!first?.video.src || first.video.readyState < 2) return;
    if (first.video.ended || first.video.currentTime >= first.length - 0.5 / first.fps) {
      time = 0;
      for (const one of shown()) run(one);
      return;
    }
    time = first.video.currentTime;
    for (const one of shown()) {
      if (one === first || !one.video.src || one.video.seeking || time >= one.length) continue;
      if (Math.abs(one.video.currentTime - time) > DRIFT) one.video.currentTime = time;
    }
    draw();
  };
  const toggle = () => (playing ? pause() : void start());
  return {
    node: bar.node,
    draw,
    toggle,
    get length() {
      return length();
    },
    /** Something came into sight, or went. @param {Tile} one */
    async moved(one) {
      if (!one.seen) {
        one.video.pause();
        return one.rest();
      }
      if (!one.playable || !(playing || time > 0)) return;
      await one.open();
      if (closed || !one.seen) return;
      if (playing) run(one);
      else one.show(time);
    },
    /** @param {KeyboardEvent} event */
    onkeydown(event) {
      const wish = asked(event, time, fps(), length());
      if (!wish) return;
      if (wish.press) toggle();
      else void go(wish.time);
    },
    close() {
      closed = true;
      pause();
    },
  };
}
