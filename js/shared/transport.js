import { button, element, write } from "./dom.js";
import { keyAction, SPEEDS } from "./frames.js";

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
 * Places are frames or seconds, whatever the player counts in.
 *
 * @typedef {{at: number, end: number, text: string, playing: boolean, muted?: boolean,
 *   whole?: boolean, loop?: import("./frames.js").Loop}} Shown
 *
 * @typedef {object} Actions
 * @property {Record<string, () => void>} press what the buttons do, by name; "play" is one
 * @property {(place: number) => void} go
 * @property {(factor: number) => void} speed
 */

/**
 * The bar under one video or many: play, a slider, where it stands, speed, and what else there
 * is an action for.
 *
 * @param {{whom?: string, slider: string, step: number | "any", rate?: number}} about `whom` is
 *   what plays, where that is not plain; `slider` is the name of the slider
 * @param {Actions} actions
 */
export function transport({ whom = "", slider, step, rate = 1 }, { press, go, speed }) {
  const tools = new Map(Object.entries(press).map(([name, act]) => [name, tool(name, act)]));
  const say = (/** @type {string} */ name, /** @type {string} */ label, /** @type {any} */ face) =>
    tools.get(name)?.say(label, face);
  say("loop", "Loop", "loop");
  say("full", "Full screen", "full");
  const scrub = element("input", "range", {
    type: "range",
    min: 0,
    step,
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
  return {
    node: element("div", "tools", {}, ...left.flat(), ...right.flat()),
    say,
    /** Shows the mute button only where there is audio; its place stays.
     * @param {boolean} any */
    audible(any) {
      for (const one of [node("mute")].flat()) one.style.visibility = any ? "" : "hidden";
    },
    /** @param {Shown} shown */
    draw({ at, end, text, playing, muted, whole, loop: { a, b } = { a: null, b: null } }) {
      const label = `${playing ? "Pause" : "Play"} ${whom}`.trim();
      say("play", label, playing ? "pause" : "play");
      say("mute", muted ? "Unmute" : "Mute", muted ? "mute" : "sound");
      tools.get("loop")?.press(whole);
      const range = a === null ? "A–B" : `${a + 1}–${b === null ? "…" : b + 1}`;
      const next = a === null ? "loop from here" : b === null ? "loop to here" : "clear loop";
      tools.get("ab")?.press(a !== null);
      say("ab", `${range}: ${next}`, range);
      scrub.max = `${end}`;
      scrub.value = `${at}`;
      scrub.ariaValueText = text;
      const share = (/** @type {number} */ place) => `${(place / Math.max(1, end)) * 100}%`;
      track.style.setProperty("--kling-a", share(a ?? 0));
      track.style.setProperty("--kling-b", share(b ?? a ?? 0));
      where.textContent = text; // its place stays without one
    },
  };
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

/**
 * Does what a key asks of a player. Keys of a list and combinations are left alone, and so is the
 * key that presses a button.
 *
 * @param {KeyboardEvent & {target: any}} event
 * @param {number} at where the player stands
 * @param {{step: number, leap: number, end: number}} scale
 * @param {Actions} actions
 */
export function handleKey(event, at, scale, { press, go }) {
  const { tagName } = event.target;
  // What is typed is no command.
  if (event.target.matches("select, :read-write") || event.ctrlKey || event.metaKey || event.altKey)
    return;
  const action = keyAction(event, at, scale);
  if (!action) return;
  if ("press" in action) {
    const act = press[action.press];
    if (!act || (action.press === "play" && tagName === "BUTTON")) return;
    act();
  } else go(action.go);
  event.preventDefault();
  event.stopPropagation();
}
