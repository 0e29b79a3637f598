import { controls } from "./controls.js";
import { asked } from "./keys.js";

/** @typedef {import("./tile.js").Tile} Tile */

/**
 * Plays one shot after the other, as the film they make: one time line over all of them.
 *
 * @param {() => Tile[]} tiles
 */
export function sequence(tiles) {
  let [time, playing, closed, factor] = [0, false, false, 1];
  const length = () => tiles().reduce((sum, one) => sum + one.length, 0);
  /** The shot at a moment, and the moment at which it begins. @param {number} at */
  const shot = (at) => {
    let begin = 0;
    for (const one of tiles()) {
      if (at < begin + one.length - 1e-6 || one === tiles().at(-1)) return { one, begin };
      begin += one.length;
    }
    return null;
  };
  const bar = controls("the shots", {
    toggle: () => toggle(),
    go: (wanted) => void go(wanted),
    speed(wanted) {
      factor = wanted;
      for (const one of tiles()) one.video.playbackRate = factor;
    },
  });
  const draw = () => {
    const now = time > 0 || playing ? shot(time)?.one : null;
    for (const one of tiles()) one.mark(one === now);
    bar.draw({ time, length: length(), playing });
  };
  const pause = () => {
    playing = false;
    for (const one of tiles()) one.video.pause();
    draw();
  };
  const go = async (/** @type {number} */ wanted) => {
    pause();
    time = Math.min(length(), Math.max(0, wanted));
    draw();
    const now = shot(time);
    await now?.one.open();
    if (!closed && !playing && now?.one.video.src) now.one.show(time - now.begin);
  };
  const start = async () => {
    playing = true;
    if (time >= length() - 0.05) time = 0;
    draw();
    const now = shot(time);
    if (!now) return;
    await now.one.open();
    void tiles()[now.one.index + 1]?.open(); // so that the cut does not wait
    if (closed || !playing || !now.one.video.src) return;
    now.one.show(time - now.begin);
    now.one.video.playbackRate = factor;
    now.one.node.scrollIntoView({ block: "nearest", inline: "nearest" });
    now.one.video.play().catch(() => {}); // a browser may refuse until the page was clicked
    requestAnimationFrame(() => tick(now));
  };
  /** @param {{one: Tile, begin: number}} now */
  const tick = (now) => {
    const { one, begin } = now;
    if (closed || !playing || shot(time)?.one !== one) return;
    const { video } = one;
    if (!video.ended && video.currentTime < one.length - 0.5 / one.fps) {
      time = Math.max(begin, Math.min(begin + one.length - 1e-3, begin + video.currentTime));
      draw();
      requestAnimationFrame(() => tick(now));
      return;
    }
    video.pause();
    time = begin + one.length;
    if (time >= length() - 1e-3) pause();
    else void start();
  };
  const toggle = () => (playing ? pause() : void start());
  return {
    node: bar.node,
    draw,
    toggle,
    get length() {
      return length();
    },
    /** A shot out of sight keeps its file while all play. @param {Tile} one */
    async moved(one) {
      if (!one.seen && !playing) one.rest();
    },
    /** @param {KeyboardEvent} event */
    onkeydown(event) {
      const now = shot(time);
      const wish = asked(event, time, now?.one.fps ?? 24, length());
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
