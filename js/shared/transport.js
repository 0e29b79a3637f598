import { button, element, write } from "./dom.js";
import { jump, keyAction, nextLoop, position, SPEEDS } from "./frames.js";

/** What the buttons show: one path each, on a field of 16 by 16. */
const ICONS = {
  play: "M4 2v12l9-6",
  pause: "M4 2h3v12H4m5-12h3v12H9",
  loop: "M11 1v2H1v6h2V5h8v2l4-3M5 15v-2h10V7h-2v4H5V9l-4 3",
  sound: "M2 6h3l4-4v12l-4-4H2m9-5q3 3 0 6v2q6-5 0-10",
  mute: "M2 6h3l4-4v12l-4-4H2",
  full: "M2 2h5v2H4v3H2m7-5h5v5h-2V4H9M2 9h2v3h3v2H2m10-5h2v5H9v-2h3",
};

/**
 * Where a player stands. Its places are frames.
 *
 * @typedef {{at: number, end: number, fps: number, playing: boolean, muted?: boolean, usable?: boolean}} Shown
 *
 * @typedef {object} Actions
 * @property {() => void} toggle plays or stops
 * @property {(frame: number) => void} go
 * @property {(factor: number) => void} speed
 * @property {() => void} changed the loop has changed: draw it
 * @property {() => HTMLElement} full what fills the screen
 * @property {() => void} [mute] where there may be audio
 */

/**
 * The bar under one video or many, and its keys: play, a slider, where it stands, loops, speed, full screen.
 *
 * @param {object} about
 * @param {string} [about.whom] what plays, where that is not plain
 * @param {string} about.slider its name
 * @param {number} [about.rate]
 * @param {import("./frames.js").Loop} [about.loop] the loop from A to B
 * @param {boolean} [about.whole] whether it begins again at its end
 * @param {Actions} actions
 */
export function transport(
  { whom = "", slider, rate = 1, loop = { a: null, b: null }, whole = true },
  { toggle, go, speed, changed, full, mute },
) {
  /** @type {Shown} */
  let shown = { at: 0, end: 0, fps: 24, playing: false };
  /** @type {Record<string, () => void>} */
  const press = {
    play: toggle,
    ab() {
      bar.loop = nextLoop(bar.loop, shown.at);
      changed();
    },
    loop() {
      bar.whole = !bar.whole;
      changed();
    },
    ...(mute && { mute }),
    ...(document.fullscreenEnabled && {
      full() {
        const wish = document.fullscreenElement
          ? document.exitFullscreen()
          : full().requestFullscreen();
        wish.catch(() => say("full", "Full screen is not allowed on this page", "full"));
      },
    }),
  };
  const tools = new Map(Object.entries(press).map(([name, act]) => [name, tool(name, act)]));
  const say = (/** @type {string} */ name, /** @type {string} */ label, /** @type {any} */ face) =>
    tools.get(name)?.say(label, face);
  say("loop", "Loop", "loop");
  say("full", "Full screen", "full");
  const scrub = element("input", "range", {
    type: "range",
    min: 0,
    step: 1,
    ariaLabel: slider,
    title: "← → step by a frame, with Shift by a second",
    oninput: () => go(scrub.valueAsNumber),
  });
  // Browsers paint no background of a slider: the loop is seen behind it.
  const track = element("div", "scrub", {}, scrub);
  const where = element("span", "where");
  const speeds = element(
    "select",
    "",
    {
      ariaLabel: "Speed",
      title: "Speed",
      onchange: () => speed(SPEEDS[speeds.selectedIndex] ?? 1),
    },
    ...SPEEDS.map((value) => element("option", "", { selected: value === rate }, `${value}×`)),
  );
  const node = (/** @type {string} */ name) => tools.get(name)?.node ?? [];
  const left = [node("play"), track, where];
  const right = [node("ab"), node("loop"), node("mute"), speeds, node("full")];
  const bar = {
    node: element("div", "tools", {}, ...left.flat(), ...right.flat()),
    loop,
    whole,
    /** Where to go on: at the end of the loop, or of all if it begins again; else null. @param {boolean} over */
    next(over) {
      return jump(bar.loop, shown.at) ?? (over && bar.whole ? (bar.loop.a ?? 0) : null);
    },
    /** Shows the mute button only where there is audio; its place stays.
     * @param {boolean} any */
    audible(any) {
      for (const one of [node("mute")].flat()) one.style.visibility = any ? "" : "hidden";
    },
    /** @param {Shown} now */
    draw(now) {
      shown = now;
      const { at, end, fps, playing, muted, usable = true } = now;
      const { a, b } = bar.loop;
      const label = `${playing ? "Pause" : "Play"} ${whom}`.trim();
      say("play", label, playing ? "pause" : "play");
      say("mute", muted ? "Unmute" : "Mute", muted ? "mute" : "sound");
      tools.get("loop")?.press(bar.whole);
      const range = a === null ? "A–B" : `${a + 1}–${b === null ? "…" : b + 1}`;
      const next = a === null ? "loop from here" : b === null ? "loop to here" : "clear loop";
      tools.get("ab")?.press(a !== null);
      say("ab", `${range}: ${next}`, range);
      const text = usable ? position(at, fps, end + 1) : "";
      scrub.max = `${end}`;
      scrub.value = `${at}`;
      scrub.ariaValueText = text;
      const share = (/** @type {number} */ place) => `${(place / Math.max(1, end)) * 100}%`;
      track.style.setProperty("--kling-a", share(a ?? 0));
      track.style.setProperty("--kling-b", share(b ?? a ?? 0));
      where.textContent = text; // its place stays without one
      bar.node.inert = !usable;
    },
    /** Does what a key asks for. Keys of a list and combinations are left alone, and so is the key that presses a
     * button. @param {KeyboardEvent & {target: any}} event */
    onkeydown(event) {
      const { target, ctrlKey, metaKey, altKey } = event;
      // What is typed is no command.
      if (target.matches("select, :read-write") || ctrlKey || metaKey || altKey) return;
      const { at, end, fps } = shown;
      const action = keyAction(event, at, { step: 1, leap: Math.round(fps), end });
      if (!action) return;
      if ("press" in action) {
        const act = press[action.press];
        if (!act || (action.press === "play" && target.tagName === "BUTTON")) return;
        act();
      } else go(action.go);
      event.preventDefault();
      event.stopPropagation();
    },
  };
  return bar;
}

/** One button. @param {string} name @param {() => void} act */
function tool(name, act) {
  const made = (/** @type {string} */ tag) =>
    document.createElementNS("http://www.w3.org/2000/svg", tag);
  const [svg, path] = [made("svg"), made("path")];
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.append(path);
  const node = button(svg, act, "tool", { "data-name": name });
  return {
    node,
    /** @param {string} label @param {string} face an icon, or words */
    say(label, face) {
      node.ariaLabel = label;
      node.title = `${label} (${name === "play" ? "Space" : name[0]?.toUpperCase()})`;
      const icon = ICONS[/** @type {keyof typeof ICONS} */ (face)];
      if (icon) path.setAttribute("d", icon);
      else write(node, face);
    },
    /** @param {boolean | undefined} pressed */
    press(pressed) {
      node.ariaPressed = `${pressed}`;
    },
  };
}
