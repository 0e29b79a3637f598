/**
 * A part of a view. `update` brings it up to date, `close` lets go of timers and the like.
 *
 * @typedef {{node: HTMLElement, update: () => void, close?: () => void}} Part
 */

/**
 * Makes an element. Text is always text.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} className without the `kling-` prefix
 * @param {Record<string, any>} [properties] what the element has no property for is an attribute
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, className, properties = {}, ...children) {
  /** @type {any} */
  const made = document.createElement(tag);
  if (className) made.className = `kling-${className}`;
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/**
 * Something to press.
 *
 * @param {string | Node} face
 * @param {() => void} onclick
 * @param {string} [className]
 * @param {Record<string, any>} [properties]
 */
export const button = (face, onclick, className = "", properties = {}) =>
  element("button", className, { type: "button", onclick, ...properties }, face);

/** A place for what went wrong, which a screen reader says at once. */
export const alarm = () =>
  element("div", "why", { role: "alert", hidden: true, "data-state": "FAILED" });

/**
 * Writes text only where it differs, so that screen readers and selections are left alone, and
 * hides what has none.
 *
 * @param {HTMLElement} node
 * @param {string} text
 */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
  node.hidden = !text;
}

/**
 * Draws a picture on a canvas of its size.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {CanvasImageSource} picture
 * @param {number} width
 * @param {number} height
 */
export function paint(canvas, picture, width, height) {
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d")?.drawImage(picture, 0, 0);
}

/**
 * The same for a small picture that is still to come; nothing where it does not.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {Promise<Blob>} poster
 * @param {() => boolean} [wanted] asked once it is there
 */
export async function paintPoster(canvas, poster, wanted = () => true) {
  const picture = await poster.then(createImageBitmap).catch(() => null);
  if (picture && wanted()) paint(canvas, picture, picture.width, picture.height);
}

/** A box of things. @param {string} className @param {...(Node | string)} children */
export const div = (className, ...children) => element("div", className, {}, ...children);

/** A piece of a line. @param {string} className @param {...(Node | string)} children */
export const span = (className, ...children) => element("span", className, {}, ...children);

/** Text from outside keeps its own direction, and does not turn that of its neighbours. */
export const ANY_WAY = { dir: "auto" };

let ids = 0;

/** An id that no other view has, of other pages' copies of this module neither. @param {string} name */
export const newId = (name) => `kling-${name}-${Math.floor(Math.random() * 1e9)}-${ids++}`;
