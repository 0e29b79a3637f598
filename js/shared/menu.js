import { button, element, newId } from "./dom.js";

/** Pixels between a menu and its button. */
const GAP = 2;

/**
 * An entry of a menu. What has a `why` cannot be chosen, and shows it.
 *
 * @typedef {{label: string, act: () => void, why?: string}} Entry
 */

/**
 * A button that opens a list of things to do. Arrows go through it, Escape closes it.
 *
 * @param {string | Node} face
 * @param {string} name what a screen reader calls it
 * @param {() => Entry[]} entries asked when it is opened
 */
export function menu(face, name, entries) {
  const id = newId("menu");
  // In the browser's top layer, because a widget hides what sticks out of it.
  const list = element("div", "menu", { id, role: "menu", ariaLabel: name, popover: "auto" });
  const items = () => /** @type {HTMLElement[]} */ ([...list.children]);
  const open = () => {
    list.replaceChildren(...entries().map((entry) => item(entry, close)));
    list.showPopover();
    const { left, right, top, bottom } = opener.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = list;
    const below = bottom + GAP + height <= innerHeight || top < height;
    list.style.left = `${Math.max(GAP, Math.min(left, right - width, innerWidth - width - GAP))}px`;
    if (left + width <= innerWidth) list.style.left = `${left}px`;
    list.style.top = `${below ? bottom + GAP : top - GAP - height}px`;
    items()[0]?.focus();
  };
  const close = () => {
    if (!list.matches(":popover-open")) return;
    list.hidePopover();
    opener.focus();
  };
  const opener = button(face, () => (list.matches(":popover-open") ? close() : open()), "opener", {
    ariaLabel: name,
    title: name,
    ariaHasPopup: "menu",
    ariaExpanded: "false",
  });
  list.addEventListener("toggle", () => {
    opener.ariaExpanded = `${list.matches(":popover-open")}`;
  });
  list.onkeydown = (event) => {
    const all = items();
    const at = all.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    /** @type {Record<string, number>} */
    const ways = { ArrowDown: at + 1, ArrowUp: at - 1 + all.length, Home: 0, End: all.length - 1 };
    const to = ways[event.key];
    if (event.key === "Escape") close();
    else if (to !== undefined) all[to % all.length]?.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return { node: element("span", "menu-place", {}, opener, list), opener };
}

/** @param {Entry} entry @param {() => void} close */
function item({ label, act, why }, close) {
  const choose = () => {
    if (why) return;
    close();
    act();
  };
  const about = {
    role: "menuitem",
    tabIndex: -1,
    title: why ?? "",
    ariaDisabled: `${Boolean(why)}`,
  };
  return button(label, choose, "menu-item", about);
}
