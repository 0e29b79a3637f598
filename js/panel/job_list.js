import { isFinished } from "../shared/words.js";
import { LIVE_FIELDS } from "./protocol.js";

/** @typedef {import("./protocol.js").Row} Row */

/**
 * The jobs that were started or resumed here, newest first, from snapshots and updates.
 */
export class JobList {
  /** @type {Row[]} */
  rows = [];

  /** @param {string} id */
  get = (id) => this.rows.find((row) => row.id === id) ?? null;

  /** Takes the whole list. @param {Row[]} rows */
  replace(rows) {
    this.rows = rows;
  }

  /** Puts a job first, or brings it up to date. @param {Row} row */
  add(row) {
    const known = this.get(row.id);
    this.rows = known ? this.rows.map((one) => (one === known ? row : one)) : [row, ...this.rows];
  }

  /**
   * Takes an update: whole rows of new jobs, live fields of known ones.
   *
   * @param {(Row | Pick<Row, typeof LIVE_FIELDS[number]>)[]} changes
   * @returns {{ended: Row[], complete: boolean}} what has ended by it; and whether all jobs were known
   */
  update(changes) {
    /** @type {Row[]} */
    const ended = [];
    let complete = true;
    for (const change of changes) {
      const known = this.get(change.id);
      if (!known && !("prompt" in change)) {
        complete = false;
        continue;
      }
      const row = { .../** @type {Row} */ (known ?? change), ...change };
      const over = known !== null && !isFinished(known.state) && isFinished(row.state);
      this.add(row);
      if (over) ended.push(row);
    }
    return { ended, complete };
  }
}
