import { LogLines } from "./log_lines.js";
import { STATE_FIELDS } from "./protocol.js";
import { isFinished } from "./words.js";

/** @typedef {import("./protocol.js").JobModel} JobModel */
/** @typedef {import("./protocol.js").JobFields} JobFields */

/**
 * What is known of one job, from the traits, updates and snapshots, in whatever order they
 * come. Views read it and redraw; it knows no page.
 */
export class JobRecord {
  lines = new LogLines();
  /** @type {[name: string, text: string][]} */
  parameters = [];
  /** Seconds by which the kernel's clock is ahead of the browser's. */
  clockOffset = 0;
  /** False once the kernel is known to be gone. */
  connected = true;

  /** @param {JobModel} traits */
  constructor(traits) {
    this.traits = traits;
    /** @type {JobFields} */
    this.now = {
      revision: 0,
      resumed: false,
      queue_position: null,
      received: 0,
      total: null,
      ...saved(traits),
    };
  }

  get finished() {
    return isFinished(this.now.state);
  }

  /**
   * Takes an "update".
   *
   * @param {import("./protocol.js").Update} update
   * @returns {boolean} false where log lines are missing, so that a snapshot is needed
   */
  update(update) {
    this.connected = true;
    if (update.revision > this.now.revision) {
      this.now = /** @type {JobFields} */ (
        Object.fromEntries(STATE_FIELDS.map((name) => [name, update[name]]))
      );
    }
    return this.lines.take(update.first_line, update.lines);
  }

  /**
   * Takes the answer to "snapshot".
   *
   * @param {import("./protocol.js").Snapshot} snapshot
   * @param {number} browserNow seconds since 1970 by the browser's clock
   */
  snapshot(snapshot, browserNow) {
    this.clockOffset = snapshot.now - browserNow;
    this.parameters = snapshot.parameters;
    this.update(snapshot);
  }

  /**
   * Takes changed traits. They follow each update, so they matter only where the update itself
   * was lost; a finished job is not opened again by a late one.
   *
   * @param {JobModel} traits
   */
  retrait(traits) {
    if (this.finished && !isFinished(traits.state)) return;
    this.now = { ...this.now, ...saved(traits) };
  }

  /**
   * Seconds from submission to now, or to the end.
   *
   * @param {number} browserNow seconds since 1970 by the browser's clock
   */
  elapsed(browserNow) {
    const end = this.now.finished_at ?? (this.finished ? null : browserNow + this.clockOffset);
    return end === null ? null : Math.max(0, end - this.traits.created_at);
  }
}

/** @param {JobModel} traits */
function saved({ state, request_id, finished_at, message, width, height, duration }) {
  return { state, request_id, finished_at, message, width, height, duration };
}
