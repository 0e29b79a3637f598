import { CODE_WORDS } from "./words.js";

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
  if (node.textContent !== text) {
    if (node.closest(".kling-why, .kling-sw-facts")) node.replaceChildren(...whole(text ?? ""));
    else node.textContent = text;
  }
  node.hidden = !text;
}

/** A message, in which flags, commands and ids do not break. @param {string} text */
function whole(text) {
  const parts = [];
  let at = 0;
  for (const { 0: code, index } of text.matchAll(CODE_WORDS)) {
    parts.push(text.slice(at, index), span("code", code));
    at = index + code.length;
  }
  return [...parts, text.slice(at)];
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

/**
 * Gives a node these children in this order. A child that has the focus is not moved, because it would lose it.
 *
 * @param {HTMLElement} parent
 * @param {HTMLElement[]} children
 */
export function arrange(parent, children) {
  for (const old of [...parent.children])
    if (!children.includes(/** @type {HTMLElement} */ (old))) old.remove();
  const still = children.find((one) => parent.contains(one) && one.matches(":focus-within"));
  let next = parent.firstElementChild;
  for (const one of children) {
    while (one === still && next && next !== still) {
      const away = next;
      next = next.nextElementSibling;
      away.remove();
    }
    if (one === next) next = next.nextElementSibling;
    else parent.insertBefore(one, next);
  }
}

/**
 * Marks where more of a node lies beyond its left or right edge, for its style to show.
 *
 * @template {HTMLElement} Node
 * @param {Node} node that scrolls sideways
 * @returns {Node}
 */
export function scrolling(node) {
  const look = () => {
    const { scrollLeft: left, clientWidth: shown, scrollWidth: whole } = node;
    node.toggleAttribute("data-before", left > 1);
    node.toggleAttribute("data-after", left + shown < whole - 1);
  };
  const sized = new ResizeObserver(look);
  sized.observe(node);
  // What is in it may come later, and grow.
  new MutationObserver(() => {
    for (const one of node.children) sized.observe(one);
    look();
  }).observe(node, { childList: true });
  for (const one of node.children) sized.observe(one);
  node.classList.add("kling-scrolling");
  node.addEventListener("scroll", look, { passive: true });
  return node;
}

/**
 * Calls `act` when a node comes into view or leaves it.
 *
 * @param {Element} node
 * @param {(seen: boolean) => void} act
 * @returns {() => void} ends it
 */
export function watchSight(node, act) {
  const sight = new IntersectionObserver((entries) => act(Boolean(entries.at(-1)?.isIntersecting)));
  sight.observe(node);
  return () => sight.disconnect();
}

let ids = 0;

/** An id that no other view has, of other pages' copies of this module neither. @param {string} name */
export const newId = (name) => `kling-${name}-${Math.floor(Math.random() * 1e9)}-${ids++}`;
