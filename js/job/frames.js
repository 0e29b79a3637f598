/** Time and frames of a clip with a constant rate, and the loop between two of them. */
import { pair } from "./words.js";

export const SPEEDS = [0.25, 0.5, 0.75, 1, 1.5, 2];

/** @typedef {{a: number | null, b: number | null}} Loop frames; both, or nothing to loop yet */
/** @typedef {{frame: number, loop: Loop}} Place where a player stands */

/**
 * The frame shown at a time. Players report the very start of a frame, a rounding error off.
 *
 * @param {number} seconds
 * @param {number} fps
 */
export const frameAt = (seconds, fps) => Math.max(0, Math.floor(seconds * fps + 1e-3));

/** A time at which a player is sure to show frame `frame`: its middle.
 * @param {number} frame @param {number} fps */
export const middleOf = (frame, fps) => (frame + 0.5) / fps;

/** @param {number} frame @param {number} count */
export const within = (frame, count) => Math.min(Math.max(0, frame), Math.max(0, count - 1));

/** Time and number of a frame, both as a person counts, e.g. "0:01.24 · 32 / 121".
 * @param {number} frame @param {number} fps @param {number} count */
export function position(frame, fps, count) {
  const hundredths = Math.round((frame / fps) * 100);
  const seconds = `${pair(Math.floor(hundredths / 100) % 60)}.${pair(hundredths % 100)}`;
  return `${Math.floor(hundredths / 6000)}:${seconds} · ${frame + 1} / ${count}`;
}

/** The next press of A–B: set the start, set the end, forget both.
 * @param {Loop} loop @param {number} frame @returns {Loop} */
export function pressed({ a, b }, frame) {
  if (a === null) return { a: frame, b: null };
  if (b === null && frame !== a) return { a: Math.min(a, frame), b: Math.max(a, frame) };
  return { a: null, b: null };
}

/** Where to go on from a frame while playing: the loop's start once past its end, else null.
 * @param {Loop} loop @param {number} frame */
export const jump = ({ a, b }, frame) => (a !== null && b !== null && frame >= b ? a : null);

/** What a key asks of a player.
 * @param {{key: string, shiftKey: boolean}} event @param {number} frame @param {number} fps @param {number} count
 * @returns {{press?: string, frame: number} | null} */
export function keyed({ key, shiftKey }, frame, fps, count) {
  const press = { " ": "play", k: "play", l: "loop", a: "ab", m: "mute", f: "full" }[
    key.toLowerCase()
  ];
  if (press) return { press, frame };
  if (key === "Home") return { frame: 0 };
  if (key === "End") return { frame: count - 1 };
  const way = key === "ArrowLeft" ? -1 : key === "ArrowRight" ? 1 : 0;
  return way ? { frame: within(frame + way * (shiftKey ? Math.round(fps) : 1), count) } : null;
}
