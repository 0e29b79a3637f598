import { Footage, posterIn } from "../shared/footage.js";
import { isFinished } from "../shared/words.js";
import { LogLines } from "./log_lines.js";

/** @typedef {import("./protocol.js").JobModel} JobModel */
/** @typedef {import("./protocol.js").JobFields} JobFields */
/** @typedef {import("./protocol.js").TakeAbout} TakeAbout */

/**
 * What is known of one take and its job, from the traits, updates and snapshots, in whatever
 * order they come. Views read it and redraw; it knows no page.
 */
export class Take {
  lines = new LogLines();
  /** Whether a view has seen it unfinished: its place on the page stays as it was then. */
  started = false;
  /** Whether the log lines so far have been asked for. */
  complete = false;
  /** @type {Promise<Blob> | null} */
  #poster = null;
  /** @type {TakeAbout} */
  about;
  /** @type {JobFields} */
  now;

  /**
   * @param {import("./protocol.js").TakeEntry | JobModel} traits
   * @param {import("../shared/kernel.js").Kernel} kernel
   * @param {() => void} onChange called when the file has come on
   */
  constructor(traits, kernel, onChange) {
    this.kernel = kernel;
    this.footage = new Footage(
      (piece, patience) => kernel.ask("chunk", { key: this.about.key, ...piece }, patience),
      onChange,
    );
    // What the traits do not say is left out: it counts as not there.
    const known = { key: 0, input: {}, revision: 0, queue_position: null, held: false, ...traits };
    this.about = /** @type {any} */ (known);
    this.now = /** @type {any} */ (known);
    this.started = !this.finished;
  }

  get finished() {
    return isFinished(this.now.state);
  }

  /** Width by height: known from the request, or of the video. Else 16 by 9, in which all fits. */
  get ratio() {
    const { width, height } = this.now;
    return this.about.shape || (width && height && !this.started ? width / height : 16 / 9);
  }

  /** A small picture of it, asked for once. */
  poster() {
    this.#poster ??= posterIn(this.kernel.ask("poster", { key: this.about.key }));
    return this.#poster;
  }

  /** Takes what the kernel's list of takes says of it. @param {import("./protocol.js").TakeEntry} entry */
  entry(entry) {
    this.about = entry;
    this.#fields(entry);
  }

  /**
   * Takes an "update", or the same fields of a snapshot.
   *
   * @param {import("./protocol.js").Progress} update
   * @returns {boolean} false where log lines are missing, so that a snapshot is needed
   */
  update(update) {
    this.#fields(update);
    return this.lines.take(update.first_line, update.lines);
  }

  /**
   * Takes changed traits. They follow each update, so they matter only where the update itself
   * was lost; a finished job is not opened again by a late one. marimo sets one trait after the
   * other, so those still to come say nothing yet.
   *
   * @param {JobModel} traits
   */
  traits(traits) {
    if (traits.job_id !== this.about.job_id) return;
    if (this.finished && !isFinished(traits.state)) return;
    const known = Object.entries(traits).filter(([, value]) => value != null);
    this.now = { ...this.now, ...Object.fromEntries(known) };
  }

  /**
   * Seconds from submission to now, or to the end.
   *
   * @param {number} kernelNow seconds since 1970 by the kernel's clock
   */
  elapsed(kernelNow) {
    const end = this.now.finished_at ?? (this.finished ? null : kernelNow);
    return end === null ? null : Math.max(0, end - this.about.created_at);
  }

  /** @param {JobFields} fields */
  #fields(fields) {
    if (fields.revision > this.now.revision) this.now = fields;
  }
}
