import { handleKey, transport } from "../shared/transport.js";
import { moment } from "../shared/words.js";

/** @typedef {import("./tile.js").Tile} Tile */
/** @typedef {ReturnType<typeof together> | ReturnType<typeof inSequence>} Playback */

/** Seconds that a video may be off the leading one while all play; at rest they agree. */
const DRIFT = 0.12;

/**
 * What all ways to play many tiles have in common: one clock in seconds, one set of controls.
 *
 * @param {string} whom what the controls play, in words
 * @param {() => Tile[]} tiles
 * @param {object} way
 * @param {() => number} way.length seconds in all
 * @param {() => number} way.fps frames a second, for steps
 * @param {() => Promise<void>} way.start plays on from the clock's time
 * @param {() => Promise<void>} way.show shows the clock's time, at rest
 * @param {() => void} [way.mark] marks what plays
 * @param {boolean} [way.heard] whether their audio is played
 * @param {Record<string, () => void>} press what further buttons do
 */
function clockOf(whom, tiles, { length, fps, start, show, mark = () => {}, heard = false }, press) {
  let muted = false;
  const clock = {
    time: 0,
    speed: 1,
    playing: false,
    closed: false,
    draw() {
      mark();
      const { time: at, playing } = clock;
      const end = length();
      bar.node.inert = !end; // it keeps its place, so that nothing jumps at the first video
      bar.draw({ at, end, text: `${moment(at)} / ${moment(end)}`, playing, muted });
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
    /** Switches the audio of all videos off or on. */
    mute() {
      muted = !muted;
      for (const one of tiles()) one.video.muted = muted;
      clock.draw();
    },
  };
  const go = async (/** @type {number} */ wanted) => {
    clock.pause();
    clock.time = Math.min(length(), Math.max(0, wanted));
    clock.draw();
    await show();
  };
  /** @type {import("../shared/transport.js").Actions} */
  const actions = {
    press: { play: clock.toggle, ...(heard && { mute: clock.mute }), ...press },
    go: (wanted) => void go(wanted),
    speed(factor) {
      clock.speed = factor;
      for (const one of tiles()) one.video.playbackRate = factor;
    },
  };
  const bar = transport({ whom, slider: "Moment", step: "any" }, actions);
  return Object.assign(clock, {
    node: bar.node,
    goTo: go,
    /** @param {KeyboardEvent} event */
    onkeydown(event) {
      const scale = { step: 1 / fps(), leap: 1, end: length() };
      handleKey(event, clock.time, scale, actions);
    },
    close() {
      clock.closed = true;
      clock.pause();
    },
  });
}

/**
 * Plays all videos that are on the page in step: one clock, which is that of the longest clip.
 * A shorter one waits on its last frame until all begin again.
 *
 * @param {() => Tile[]} tiles
 * @param {Record<string, () => void>} [press] what further buttons do
 */
export function together(tiles, press = {}) {
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
  const clock = clockOf(
    "all",
    tiles,
    {
      length,
      fps,
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
    },
    press,
  );
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
    if (first.video.ended || first.video.currentTime >= first.length - 0.5 / first.fps) {
      clock.time = 0;
      for (const one of seen()) run(one);
      return;
    }
    clock.time = first.video.currentTime;
    for (const one of seen()) {
      if (one === first || !one.loaded || one.video.seeking || clock.time >= one.length) continue;
      if (Math.abs(one.video.currentTime - clock.time) > DRIFT) one.video.currentTime = clock.time;
    }
    clock.draw();
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
 * @param {Record<string, () => void>} press what further buttons do
 * @param {() => void} onTurn called when another shot is on the stage
 */
export function inSequence(tiles, press, onTurn) {
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
  const clock = clockOf(
    "the shots",
    tiles,
    {
      length,
      fps: () => current()?.one.fps ?? 24,
      heard: true,
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
        if (!clock.closed && !clock.playing && now?.one.loaded)
          now.one.show(clock.time - now.begin);
      },
    },
    press,
  );
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
      requestAnimationFrame(() => tick(one, begin));
      return;
    }
    video.pause();
    clock.time = begin + one.length;
    if (clock.time >= length() - 1e-3) clock.pause();
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
