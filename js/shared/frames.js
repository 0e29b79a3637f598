/** Time and frames of a clip with a constant rate, the loop between two of them, and keys. */
import { moment } from "./words.js";

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

/** Time and number of a frame, both as a person counts, e.g. "0:01.24 · 32 / 121".
 * @param {number} frame @param {number} fps @param {number} count */
export const position = (frame, fps, count) => `${moment(frame / fps)} · ${frame + 1} / ${count}`;

/** The loop after a press of A–B, which sets the start, then the end, then forgets both.
 * @param {Loop} loop @param {number} frame @returns {Loop} */
export function nextLoop({ a, b }, frame) {
  if (a === null) return { a: frame, b: null };
  if (b === null && frame !== a) return { a: Math.min(a, frame), b: Math.max(a, frame) };
  return { a: null, b: null };
}

/** Where to go on from a frame while playing: the loop's start once past its end, else null.
 * @param {Loop} loop @param {number} frame */
export const jump = ({ a, b }, frame) => (a !== null && b !== null && frame >= b ? a : null);

/**
 * What a key asks of a player: to press a button, or to go somewhere. Places are frames or
 * seconds, whatever the player counts in.
 *
 * @param {{key: string, shiftKey: boolean}} event
 * @param {number} at where the player stands
 * @param {{step: number, leap: number, end: number}} scale lengths of a frame and of a second,
 *   and the last place
 * @returns {{press: string} | {go: number} | null}
 */
export function keyAction({ key, shiftKey }, at, { step, leap, end }) {
  const press = { " ": "play", k: "play", l: "loop", a: "ab", m: "mute", f: "full" }[
    key.toLowerCase()
  ];
  if (press) return { press };
  if (key === "Home") return { go: 0 };
  if (key === "End") return { go: end };
  const way = key === "ArrowLeft" ? -1 : key === "ArrowRight" ? 1 : 0;
  return way ? { go: Math.min(Math.max(0, at + way * (shiftKey ? leap : step)), end) } : null;
}
