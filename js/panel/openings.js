import { Footage, posterIn } from "../shared/footage.js";
import { isFinished, messageOf } from "../shared/words.js";

/** @typedef {import("./protocol.js").Row} Row */
/** @typedef {import("./protocol.js").Detail} Detail */
/** @typedef {import("../shared/kernel.js").Kernel} Kernel */

/** Small pictures that are kept; a screenful has about ten. */
const POSTERS = 200;

/** A job that is looked at. Only such ones hold the bytes of a video. */
export class Opening {
  /** @type {Detail | null} */
  detail = null;
  error = "";
  asking = false;
  /** Whether the job went on while it was asked for, so that the answer may be of before. */
  outdated = false;

  /** @param {string} id @param {Kernel} kernel @param {() => void} onChange */
  constructor(id, kernel, onChange) {
    this.id = id;
    this.footage = new Footage(
      (piece, patience) => kernel.ask("chunk", { key: id, ...piece }, patience),
      onChange,
    );
  }
}

/**
 * The jobs that are looked at, one or two next to each other, and the small pictures of all jobs.
 */
export class Openings {
  /** @type {Opening[]} */
  shown = [];
  /** @type {Map<string, Promise<Blob>>} */
  #posters = new Map();

  /** @param {Kernel} kernel @param {() => void} onChange */
  constructor(kernel, onChange) {
    this.kernel = kernel;
    this.onChange = onChange;
  }

  /** Looks at these jobs and at no others. @param {string[]} ids */
  show(ids) {
    const before = this.shown;
    this.shown = ids.map(
      (id) => before.find((one) => one.id === id) ?? new Opening(id, this.kernel, this.onChange),
    );
    for (const one of this.shown) if (!one.detail) void this.look(one);
    this.onChange();
  }

  /** Asks what is known of a job, again. @param {Opening} opening */
  async look(opening) {
    opening.outdated = opening.asking;
    if (opening.asking) return;
    opening.asking = true;
    try {
      const { msg } = await this.kernel.ask("open", { job: opening.id });
      opening.detail = msg;
      opening.error = "";
    } catch (error) {
      opening.error = messageOf(error);
    }
    opening.asking = false;
    this.onChange();
    if (opening.outdated) await this.look(opening);
  }

  /** Notes that a job went on: its log and, in the end, its file are to be asked for.
   * @param {Row} row */
  touch(row) {
    const opening = this.shown.find(({ id }) => id === row.id);
    if (!opening) return;
    const known = opening.detail?.row;
    if (known && isFinished(known.state)) return;
    void this.look(opening);
  }

  /** A small picture of a job's video; rejects where there is none. @param {string} id */
  poster(id) {
    const known = this.#posters.get(id);
    if (known) return known;
    const asked = posterIn(this.kernel.ask("poster", { job: id }));
    asked.catch(() => {});
    this.#posters.set(id, asked);
    for (const old of [...this.#posters.keys()].slice(0, -POSTERS)) this.#posters.delete(old);
    return asked;
  }
}
