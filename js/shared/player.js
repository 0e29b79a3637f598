import { alarm, div, element, span, write } from "./dom.js";
import { frameAt } from "./frames.js";
import { transport } from "./transport.js";
import { messageOf } from "./words.js";

/** @typedef {import("./screen.js").Screen} Screen */

/** Seconds that another video may be off while all play; at rest they agree on the frame. */
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
 * The one player: of a clip, or of up to four in step. All it does can be done with keys.
 *
 * @param {[lead: Screen, ...others: Screen[]]} screens the others follow the first
 * @param {Memory} memory
 * @param {object} [about]
 * @param {unknown} [about.name] that of the first clip in the memory
 * @param {boolean} [about.usable] false while there is nothing to play: the bar keeps its place
 * @param {(string | Node)[]} [about.labels] what each screen shows, where there are several
 * @param {boolean} [about.wipe] whether two lie on each other, with an edge to move
 * @param {Node} [about.over] what lies over the screens
 */
export function player(
  screens,
  memory,
  { name, usable = true, labels = [], wipe = false, over } = {},
) {
  const [lead, ...others] = screens;
  const { video } = lead;
  const end = () => lead.frames - 1;
  let { frame, loop } = memory.places.get(name) ?? { frame: 0, loop: undefined };
  let closed = false;
  const draw = () => {
    memory.places.set(name, { frame, loop: bar.loop });
    memory.whole = bar.whole;
    const { paused, muted } = video;
    bar.draw({ at: frame, end: end(), fps: lead.fps, playing: !paused, muted, usable });
    bar.audible(lead.audible());
  };
  const align = () => {
    for (const one of screens)
      one.show(Math.min(one.frames - 1, Math.round((frame / lead.fps) * one.fps)));
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
    if (frame >= end()) frame = bar.loop.a ?? 0;
    align();
    // A browser may refuse until the page was clicked: the button is there.
    for (const one of screens) one.video.play().catch(() => {});
  };
  /** @param {DOMHighResTimeStamp} _ @param {VideoFrameCallbackMetadata} shown */
  const onFrame = (_, { mediaTime }) => {
    if (closed) return;
    video.requestVideoFrameCallback(onFrame);
    if (video.paused) return;
    frame = Math.min(end(), frameAt(mediaTime, lead.fps));
    draw();
    const back = bar.next(false);
    if (back !== null) {
      frame = back;
      align();
      draw();
    }
    for (const { video: other } of others) {
      if (Math.abs(other.currentTime - video.currentTime) > DRIFT && !other.ended)
        other.currentTime = video.currentTime;
    }
  };
  const toggle = () => (video.paused ? void play() : pause());
  const speed = (/** @type {number} */ factor) => {
    memory.speed = factor;
    // A new source begins at the default.
    for (const { video: one } of screens) one.defaultPlaybackRate = one.playbackRate = factor;
  };
  const slider = others.length ? "Frame of all" : "Frame";
  const whom = ["", "", "both", "all", "all"][screens.length] ?? "";
  const bar = transport(
    { whom, slider, rate: memory.speed, loop, whole: memory.whole },
    {
      toggle,
      go: (wanted) => void go(wanted),
      speed,
      changed: () => draw(),
      full: () => node,
      mute() {
        video.muted = !video.muted;
        draw();
      },
    },
  );
  const { onkeydown } = bar;
  const problem = alarm();
  const stage = div("screens", ...screens.map((one) => one.node));
  if (over) stage.append(over);
  stage.dataset.count = `${screens.length}`;
  screens.forEach((one, at) => {
    const name = labels[at];
    if (name) one.node.append(span("named", name));
  });
  if (wipe) stage.append(edge(stage));
  const about = usable ? { role: "group", ariaLabel: "Video player", tabIndex: 0, onkeydown } : {};
  const node = element("div", "player", about, stage, bar.node, problem);
  if (usable) {
    stage.onclick = (event) => {
      if (event.target instanceof Element && !event.target.closest("button, input, a")) toggle();
    };
    video.requestVideoFrameCallback(onFrame);
    video.onplay = draw;
    video.ontimeupdate = () => bar.audible(lead.audible());
    video.onpause = () => {
      if (closed) return;
      lead.use();
      for (const one of others) one.video.pause();
      if (others.length) align();
      draw();
    };
    video.onended = () => {
      if (bar.whole) void play();
    };
  }
  for (const one of others) one.video.muted = true;
  speed(memory.speed);
  draw();
  // Where an earlier view left off, and the frame number must be that of the frame on screen.
  if (frame && usable) void go(frame);
  return {
    node,
    /** Starts from the beginning of what is compared. */
    play: () => void play(),
    failed: () => !problem.hidden,
    /** The frame that is shown, and its number. */
    place: () => ({ frame, video }),
    close() {
      closed = true;
      for (const one of screens) one.close();
      node.remove();
    },
  };
}

/** The edge between two videos that lie on each other: it follows the pointer, and keys.
 * @param {HTMLElement} stage */
function edge(stage) {
  const line = div("edge");
  const slider = element("input", "wipe", {
    type: "range",
    min: 0,
    max: 100,
    value: "50",
    ariaLabel: "Edge between the two",
    oninput: () => move(slider.valueAsNumber),
  });
  const move = (/** @type {number} */ percent) => {
    stage.style.setProperty("--kling-edge-at", `${percent}%`);
    slider.value = `${percent}`;
  };
  stage.classList.add("kling-wiped");
  stage.onpointermove = ({ clientX, target }) => {
    if (target === slider) return;
    const screen = stage.querySelector(".kling-screen") ?? stage;
    const { left, width } = screen.getBoundingClientRect();
    if (width) move(Math.round(Math.min(100, Math.max(0, ((clientX - left) / width) * 100))));
  };
  return div("edge-place", line, slider);
}
