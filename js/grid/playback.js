import { frameAt } from "../shared/frames.js";
import { transport } from "../shared/transport.js";

/** @typedef {import("./tile.js").Tile} Tile */
/** @typedef {ReturnType<typeof together> | ReturnType<typeof inSequence>} Playback */

/** Seconds that a video may be off the leading one while all play; at rest they agree. */
const DRIFT = 0.12;

/**
 * What all ways to play many tiles have in common: one clock in seconds, one set of controls.
 *
 * @param {object} way
 * @param {string} way.whom what the controls play, in words
 * @param {() => Tile[]} way.tiles
 * @param {() => number} way.length seconds in all
 * @param {() => number} way.fps frames a second, for steps
 * @param {() => Promise<void>} way.start plays on from the clock's time
 * @param {() => Promise<void>} way.show shows the clock's time, at rest
 * @param {() => HTMLElement} way.full what fills the screen
 * @param {() => void} [way.mark] marks what plays
 * @param {boolean} [way.film] whether they are one film: its audio is played, and it ends
 */
function clockOf({ whom, tiles, length, fps, start, show, full, mark = () => {}, film = false }) {
  let muted = false;
  const clock = {
    time: 0,
    speed: 1,
    playing: false,
    closed: false,
    draw() {
      mark();
      const { time, playing } = clock;
      const end = Math.max(0, Math.round(length() * fps()) - 1);
      const at = Math.min(end, frameAt(time, fps()));
      bar.draw({ at, end, fps: fps(), playing, muted, usable: end > 0 });
    },
    pause() {
      clock.playing = false;
      for (const one of tiles()) one.video.pause();
      clock.draw();
    },
    toggle() {
      if (clock.playing) return clock.pause();
      clock.playing = true;
      void start();
    },
    /** Plays one video from where it stands. @param {Tile} one */
    play(one) {
      one.video.playbackRate = clock.speed;
      one.video.play().catch(() => {}); // a browser may refuse until the page was clicked
    },
    /** Goes back where a loop ends. Returns true if it did. @param {boolean} over whether all is over */
    back(over) {
      const next = bar.next(over);
      if (next !== null) clock.time = next / fps();
      return next !== null;
    },
    /** @param {number} seconds */
    async goTo(seconds) {
      clock.pause();
      clock.time = Math.min(length(), Math.max(0, seconds));
      clock.draw();
      await show();
    },
    close() {
      clock.closed = true;
      clock.pause();
    },
  };
  const bar = transport(
    { whom, slider: `Frame of ${whom}`, whole: !film },
    {
      toggle: clock.toggle,
      go: (frame) => void clock.goTo(frame / fps()),
      changed: clock.draw,
      full,
      speed(factor) {
        clock.speed = factor;
        for (const one of tiles()) one.video.playbackRate = factor;
      },
      ...(film && {
        mute() {
          muted = !muted;
          for (const one of tiles()) one.video.muted = muted;
          clock.draw();
        },
      }),
    },
  );
  return Object.assign(clock, { node: bar.node, onkeydown: bar.onkeydown });
}

/**
 * Plays all videos that are on the page in step: one clock, which is that of the longest clip.
 * A shorter one waits on its last frame until all begin again.
 *
 * @param {() => Tile[]} tiles
 * @param {() => HTMLElement} full what fills the screen
 */
export function together(tiles, full) {
  const playable = () => tiles().filter((one) => one.playable);
  const seen = () => playable().filter((one) => one.seen);
  const length = () => Math.max(0, ...playable().map((one) => one.length));
  const fps = () => Math.max(1, ...playable().map((one) => one.fps));
  const lead = () =>
    seen().reduce(
      (best, one) => (best && best.length >= one.length ? best : one),
      /** @type {Tile | null} */ (null),
    );
  /** All that are seen get ready. */
  const ready = () => Promise.all(seen().map((one) => one.load()));
  const clock = clockOf({
    whom: "all",
    tiles,
    length,
    fps,
    full,
    async start() {
      clock.draw();
      await ready();
      if (clock.closed || !clock.playing) return;
      if (clock.time >= length() - 1 / fps()) clock.time = 0;
      for (const one of seen()) run(one);
      requestAnimationFrame(tick);
    },
    async show() {
      await ready();
      if (clock.closed || clock.playing) return;
      for (const one of seen()) if (one.loaded) one.show(clock.time);
    },
  });
  /** Lets one video run from the common moment on. @param {Tile} one */
  const run = (one) => {
    one.show(clock.time);
    if (one.loaded && clock.time < one.length - 0.5 / one.fps) clock.play(one);
  };
  const tick = () => {
    if (clock.closed || !clock.playing) return;
    requestAnimationFrame(tick);
    const first = lead();
    if (!first?.loaded || first.video.readyState < 2) return;
    const now = first.video.currentTime;
    const over = first.video.ended || now >= first.length - 0.5 / first.fps;
    clock.time = Math.min(now, first.length - 1 / first.fps);
    clock.draw();
    if (clock.back(over)) {
      for (const one of seen()) run(one);
      return;
    }
    if (over) return clock.pause();
    for (const one of seen()) {
      if (one === first || !one.loaded || one.video.seeking || clock.time >= one.length) continue;
      if (Math.abs(one.video.currentTime - clock.time) > DRIFT) one.video.currentTime = clock.time;
    }
  };
  return Object.assign(clock, {
    /** Something came into sight, or went. @param {Tile} one */
    async moved(one) {
      if (!one.seen) {
        one.video.pause();
        return one.rest();
      }
      if (!one.playable || !(clock.playing || clock.time > 0)) return;
      await one.load();
      if (clock.closed || !one.seen) return;
      if (clock.playing) run(one);
      else one.show(clock.time);
    },
  });
}

/**
 * Plays one shot after the other, as the film they make: one time line over all of them.
 *
 * @param {() => Tile[]} tiles
 * @param {() => HTMLElement} full what fills the screen
 * @param {() => void} onTurn called when another shot is on the stage
 */
export function inSequence(tiles, full, onTurn) {
  /** @type {Tile | undefined} */
  let marked;
  const length = () => tiles().reduce((sum, one) => sum + one.length, 0);
  /** The shot at the clock's time, and the moment at which it begins. */
  const current = () => {
    let begin = 0;
    for (const one of tiles()) {
      if (clock.time < begin + one.length - 1e-6 || one === tiles().at(-1)) return { one, begin };
      begin += one.length;
    }
    return null;
  };
  const clock = clockOf({
    whom: "the shots",
    tiles,
    length,
    fps: () => tiles()[0]?.fps ?? 24, // the film has that of its first shot
    full,
    film: true,
    mark() {
      const now = current()?.one;
      for (const one of tiles()) one.mark(one === now);
      if (marked === now) return;
      marked = now;
      onTurn();
    },
    async start() {
      if (clock.time >= length() - 0.05) clock.time = 0;
      await playShot();
    },
    async show() {
      const now = current();
      await now?.one.load();
      if (!clock.closed && !clock.playing && now?.one.loaded) now.one.show(clock.time - now.begin);
    },
  });
  const playShot = async () => {
    clock.draw();
    const now = current();
    if (!now) return;
    const { one, begin } = now;
    await one.load();
    void tiles()[tiles().indexOf(one) + 1]?.load(); // so that the cut does not wait
    if (clock.closed || !clock.playing || !one.loaded) return;
    one.show(clock.time - begin);
    clock.play(one);
    one.node.scrollIntoView({ block: "nearest", inline: "nearest" });
    requestAnimationFrame(() => tick(one, begin));
  };
  /** @param {Tile} one @param {number} begin */
  const tick = (one, begin) => {
    if (clock.closed || !clock.playing || current()?.one !== one) return;
    const { video } = one;
    const played = video.currentTime - one.start;
    if (!video.ended && played < one.length - 0.5 / one.fps) {
      const end = begin + one.length - 1e-3;
      clock.time = Math.max(begin, Math.min(end, begin + played));
      clock.draw();
      if (!clock.back(false)) {
        requestAnimationFrame(() => tick(one, begin));
        return;
      }
    } else clock.time = begin + one.length;
    video.pause();
    if (clock.time >= length() - 1e-3 && !clock.back(true)) clock.pause();
    else void playShot();
  };
  return Object.assign(clock, {
    current,
    /** The shot on the stage, the frame of its video that is shown, and the video. */
    place() {
      const now = current();
      if (!now) return null;
      const { one, begin } = now;
      const frame = Math.floor((one.start + clock.time - begin) * one.fps + 1e-3);
      return { one, frame: Math.max(0, frame), video: one.video };
    },
    /** Goes to the beginning of a shot. @param {number} index */
    go(index) {
      const begin = tiles()
        .slice(0, index)
        .reduce((sum, one) => sum + one.length, 0);
      return clock.goTo(begin);
    },
    /** A shot out of sight keeps its file while all play. @param {Tile} one */
    async moved(one) {
      if (!one.seen && !clock.playing) one.rest();
    },
  });
}
