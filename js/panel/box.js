import { element } from "../job/element.js";

/** A box of things. @param {string} className @param {...(Node | string)} children */
export const div = (className, ...children) => element("div", className, {}, ...children);

/** A piece of a line. @param {string} className @param {...(Node | string)} children */
export const span = (className, ...children) => element("span", className, {}, ...children);

/** The beginning of a prompt, for names of buttons. @param {string} text */
export const brief = (text) => text.slice(0, 60);

/** Text from outside keeps its own direction, and does not turn that of its neighbours. */
export const ANY_WAY = { dir: "auto" };

let ids = 0;

/** An id that no other view has, of other pages' copies of this module neither. @param {string} name */
export const newId = (name) => `kling-${name}-${Math.floor(Math.random() * 1e9)}-${ids++}`;
