/** What the player's buttons show: one path each, on a field of 16 by 16. */
const PATHS = {
  play: "M4 2v12l9-6",
  pause: "M4 2h3v12H4m5-12h3v12H9",
  loop: "M11 1v2H1v6h2V5h8v2l4-3M5 15v-2h10V7h-2v4H5V9l-4 3",
  sound: "M2 6h3l4-4v12l-4-4H2m9-5q3 3 0 6v2q6-5 0-10",
  mute: "M2 6h3l4-4v12l-4-4H2",
  full: "M2 2h5v2H4v3H2m7-5h5v5h-2V4H9M2 9h2v3h3v2H2m10-5h2v5H9v-2h3",
};

/** @param {string} name */
const made = (name) => document.createElementNS("http://www.w3.org/2000/svg", name);

/**
 * A button's picture, and how to change it.
 *
 * @typedef {keyof typeof PATHS} IconName
 */
export function icon() {
  const svg = made("svg");
  const path = made("path");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.append(path);
  return { svg, draw: (/** @type {IconName} */ name) => path.setAttribute("d", PATHS[name]) };
}
