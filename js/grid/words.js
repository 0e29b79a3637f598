import { isCancellable, isFinished, label, pair, phase } from "../job/words.js";

/** @typedef {import("./protocol.js").Cell} Cell */

/** A cell's state, as its tile says it. @param {Cell} cell */
export function stateWords(cell) {
  if (cell.state === "WAITING") return "Waiting";
  if (cell.state === "SKIPPED") return "Not begun";
  if (cell.state === "READY") return cell.reused ? "Reused" : "Ready";
  const more = phase(/** @type {any} */ (cell));
  if (cell.state === "IN_QUEUE" && more) return more;
  return more ? `${label(cell.state)} · ${more}` : label(cell.state);
}

/** @param {Cell} cell */
export const ended = ({ state }) =>
  state === "SKIPPED" || (state !== "WAITING" && isFinished(state));

/** @param {Cell} cell */
export const canBeStopped = ({ state }) =>
  state !== "WAITING" && state !== "SKIPPED" && isCancellable(state);

/** @param {Cell} cell */
export const playable = ({ state, width }) => state === "READY" && Boolean(width);

/** Seconds as a person reads them beside a slider, e.g. "0:03.25". @param {number} seconds */
export function moment(seconds) {
  const hundredths = Math.round(Math.max(0, seconds) * 100);
  return `${Math.floor(hundredths / 6000)}:${pair(Math.floor(hundredths / 100) % 60)}.${pair(hundredths % 100)}`;
}

/**
 * What a key asks of all players together.
 *
 * @param {{key: string, shiftKey: boolean}} event
 * @param {number} time seconds
 * @param {number} fps
 * @param {number} length seconds
 * @returns {{press?: "play" | "mute", time: number} | null}
 */
export function keyed({ key, shiftKey }, time, fps, length) {
  if (key === " " || key.toLowerCase() === "k") return { press: "play", time };
  if (key === "Home") return { time: 0 };
  if (key === "End") return { time: length };
  const way = key === "ArrowLeft" ? -1 : key === "ArrowRight" ? 1 : 0;
  return way
    ? { time: Math.min(length, Math.max(0, time + way * (shiftKey ? 1 : 1 / fps))) }
    : null;
}
