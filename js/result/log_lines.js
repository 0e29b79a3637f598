import { LINES_KEPT } from "./protocol.js";

/** @typedef {import("./protocol.js").Line} Line */

/**
 * The log lines of a job, in order, at most the last `kept` of them.
 *
 * Updates and snapshots may overlap or arrive in either order; a line is known by its index.
 */
export class LogLines {
  /** Index of the first line held: as many are left out. */
  first = 0;
  /** @type {Line[]} */
  held = [];

  /** @param {number} kept */
  constructor(kept = LINES_KEPT) {
    this.kept = kept;
  }

  /** Number of lines the job has written, as far as is known here. */
  get end() {
    return this.first + this.held.length;
  }

  /**
   * Takes lines in.
   *
   * @param {number} first index of the first of `lines`
   * @param {Line[]} lines
   * @returns {boolean} false where lines between the held ones and these never arrived
   */
  take(first, lines) {
    if (lines.length === 0) return first <= this.end;
    const last = first + lines.length;
    const gap = this.held.length > 0 ? first > this.end : first > 0;
    if (gap || last < this.first || this.held.length === 0) {
      if (last >= this.end) this.#hold(first, [...lines]);
      return !gap;
    }
    const before = lines.slice(0, Math.max(0, this.first - first));
    const after = lines.slice(Math.max(0, this.end - first));
    this.#hold(Math.min(first, this.first), [...before, ...this.held, ...after]);
    return true;
  }

  /** @param {number} first @param {Line[]} lines */
  #hold(first, lines) {
    const over = Math.max(0, lines.length - this.kept);
    this.first = first + over;
    this.held = over ? lines.slice(over) : lines;
  }
}
