import { element } from "./dom.js";

/**
 * A thin bar: a share of something, or that there is no telling.
 *
 * @param {string} name what a screen reader calls it
 */
export function progressBar(name) {
  const fill = element("div", "fill");
  const node = element("div", "progress", { role: "progressbar", ariaLabel: name }, fill);
  return {
    node,
    /** @param {number | null} part 0 to 1, or null where it is not known */
    draw(part) {
      node.classList.toggle("kling-unknown", part === null);
      const percent = part === null ? null : `${Math.round(Math.min(1, part) * 100)}`;
      fill.style.width = percent ? `${percent}%` : "";
      node.ariaValueNow = percent;
    },
  };
}
