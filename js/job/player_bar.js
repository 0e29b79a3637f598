import { button, element, write } from "./element.js";
import { SPEEDS } from "./frames.js";
import { icon } from "./icon.js";

/**
 * @typedef {{frame: number, text: string, playing: boolean, whole: boolean, muted: boolean,
 *   loop: import("./frames.js").Loop}} Shown
 * @typedef {{press: (name: string) => void, scrub: (frame: number) => void,
 *   speed: (factor: number) => void}} Actions
 */

/**
 * The buttons under the picture, and the slider over its frames.
 *
 * @param {number} frames
 * @param {Actions} actions
 * @param {number} rate the speed at first
 */
export function toolbar(frames, actions, rate) {
  const tool = (/** @type {string} */ name) => {
    const { svg, draw } = icon();
    const node = button(svg, () => actions.press(name), "tool");
    return {
      node,
      /** @param {string} label @param {import("./icon.js").IconName} [picture] */
      say(label, picture) {
        node.ariaLabel = label;
        node.title = `${label} (${name === "play" ? "Space" : name[0]?.toUpperCase()})`;
        if (picture) draw(picture);
      },
    };
  };
  /** @typedef {ReturnType<typeof tool>} Tool */
  const [play, whole, ab, mute, full] = /** @type {[Tool, Tool, Tool, Tool, Tool]} */ (
    ["play", "loop", "ab", "mute", "full"].map(tool)
  );
  whole.say("Loop", "loop");
  full.say("Full screen", "full");
  const scrub = element("input", "range", {
    type: "range",
    max: frames - 1,
    ariaLabel: "Frame",
    title: "← → step by a frame, with Shift by a second",
    oninput: () => actions.scrub(scrub.valueAsNumber),
  });
  // Browsers paint no background of a slider: the loop is seen behind it.
  const track = element("div", "scrub", {}, scrub);
  const where = element("span", "where");
  const speed = element(
    "select",
    "",
    {
      ariaLabel: "Speed",
      title: "Speed",
      onchange: () => actions.speed(SPEEDS[speed.selectedIndex] ?? 1),
    },
    ...SPEEDS.map((value) => element("option", "", { selected: value === rate }, `${value}×`)),
  );
  const tools = [ab, whole, mute].map(({ node }) => node);
  return {
    node: element("div", "tools", {}, play.node, track, where, ...tools, speed, full.node),
    /** @param {Shown} shown */
    draw({ frame, text, playing, whole: all, muted, loop: { a, b } }) {
      playing ? play.say("Pause", "pause") : play.say("Play", "play");
      muted ? mute.say("Sound on", "mute") : mute.say("Sound off", "sound");
      whole.node.ariaPressed = `${all}`;
      ab.node.ariaPressed = `${a !== null}`;
      const range = a === null ? "A–B" : `${a + 1}–${b === null ? "…" : b + 1}`;
      const next = a === null ? "loop from here" : b === null ? "loop to here" : "loop all again";
      write(ab.node, range);
      ab.say(`${range}: ${next}`);
      scrub.value = `${frame}`;
      scrub.ariaValueText = text;
      const share = (/** @type {number} */ at) => `${(at / Math.max(1, frames - 1)) * 100}%`;
      track.style.setProperty("--kling-a", share(a ?? 0));
      track.style.setProperty("--kling-b", share(b ?? a ?? 0));
      write(where, text);
    },
  };
}
