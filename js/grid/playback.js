import { button, element, write } from "../job/element.js";
import { SPEEDS } from "../job/frames.js";
import { icon } from "../job/icon.js";
import { keyed, moment } from "./words.js";

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
  const { svg, draw: face } = icon();
  const play = button(svg, () => toggle(), "sw-tool");
  const scrub = element("input", "sw-scrub", {
    type: "range",
    min: 0,
    step: "any",
    ariaLabel: "Moment of all videos",
    title: "← → step by a frame, with Shift by a second",
    oninput: () => void go(scrub.valueAsNumber),
  });
  const where = element("span", "sw-where");
  const speed = element(
    "select",
    "sw-speed",
    {
      ariaLabel: "Speed",
      title: "Speed",
      onchange: () => {
        factor = SPEEDS[speed.selectedIndex] ?? 1;
        for (const one of able()) one.video.playbackRate = factor;
      },
    },
    ...SPEEDS.map((value) => element("option", "", { selected: value === 1 }, `${value}×`)),
  );
  const node = element("div", "sw-tools", {}, play, scrub, where, speed);

  const draw = () => {
    const all = length();
    node.hidden = !all;
    scrub.max = `${all}`;
    scrub.value = `${time}`;
    const text = `${moment(time)} / ${moment(all)}`;
    scrub.ariaValueText = text;
    write(where, text);
    face(playing ? "pause" : "play");
    play.ariaLabel = play.title = playing ? "Pause all" : "Play all";
  };
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
    node,
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
    /** @param {KeyboardEvent & {target: any}} event */
    onkeydown(event) {
      const { target } = event;
      if (target.tagName === "SELECT" || event.ctrlKey || event.metaKey || event.altKey) return;
      const asked = keyed(event, time, fps(), length());
      if (!asked || (asked.press && target.tagName === "BUTTON")) return;
      event.preventDefault();
      event.stopPropagation();
      if (asked.press) toggle();
      else void go(asked.time);
    },
    close() {
      closed = true;
      pause();
    },
  };
}
