/**
 * @typedef {{playing: () => boolean, release: () => void}} Holder holds the source of a video
 */

/** How many sources may be held that nobody plays. */
const IDLE = 2;

// Each widget has a module of its own, so what is true of the page is kept on the page.
const KEY = Symbol.for("kling_nb.sources");
const page = /** @type {Record<symbol, Set<Holder> | undefined>} */ (globalThis);
/** @type {Set<Holder>} */
const held = page[KEY] ?? new Set();
page[KEY] = held;

/** Notes that a source is held, or in use again; others that rest may lose theirs. @param {Holder} holder */
export function hold(holder) {
  held.delete(holder);
  held.add(holder);
  const idle = [...held].filter((one) => !one.playing());
  for (const one of idle.slice(0, Math.max(0, idle.length - IDLE))) one.release();
}

/** @param {Holder} holder */
export const letGo = (holder) => held.delete(holder);
