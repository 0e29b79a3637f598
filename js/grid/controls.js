import { button, element, write } from "../job/element.js";
import { SPEEDS } from "../job/frames.js";
import { icon } from "../job/icon.js";
import { moment } from "./words.js";

/**
 * One set of controls for many videos.
 *
 * @param {string} whom "all", or what is played
 * @param {{toggle: () => void, go: (time: number) => void, speed: (factor: number) => void}} actions
 */
export function controls(whom, actions) {
  const { svg, draw: face } = icon();
  const play = button(svg, actions.toggle, "tool");
  const scrub = element("input", "scrub", {
    type: "range",
    min: 0,
    step: "any",
    ariaLabel: "Moment",
    title: "← → step by a frame, with Shift by a second",
    oninput: () => actions.go(scrub.valueAsNumber),
  });
  const where = element("span", "where");
  const speed = element(
    "select",
    "speed",
    {
      ariaLabel: "Speed",
      title: "Speed",
      onchange: () => actions.speed(SPEEDS[speed.selectedIndex] ?? 1),
    },
    ...SPEEDS.map((value) => element("option", "", { selected: value === 1 }, `${value}×`)),
  );
  const node = element("div", "tools", {}, play, scrub, where, speed);
  return {
    node,
    /** @param {{time: number, length: number, playing: boolean}} shown seconds */
    draw({ time, length, playing }) {
      node.inert = !length; // it keeps its place, so that nothing jumps at the first video
      scrub.max = `${length}`;
      scrub.value = `${time}`;
      const text = `${moment(time)} / ${moment(length)}`;
      scrub.ariaValueText = text;
      write(where, text);
      face(playing ? "pause" : "play");
      play.ariaLabel = play.title = `${playing ? "Pause" : "Play"} ${whom}`;
    },
  };
}
