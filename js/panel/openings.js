import { bytesOf, fetchFootage } from "../job/footage.js";
import { isFinished } from "../job/words.js";

/** @typedef {import("./protocol.js").Row} Row */
/** @typedef {import("./protocol.js").Detail} Detail */
/** @typedef {import("../job/footage.js").Footage} Footage */
/** @typedef {import("../job/kernel.js").Kernel} Kernel */

/** Small pictures that are kept; a screenful has about ten. */
const POSTERS = 200;

/** @returns {Footage} */
const noFootage = () => ({ phase: "none", received: 0, total: 0, blob: null, name: "", error: "" });

/** A job that is looked at. Only such ones hold the bytes of a video. */
export class Opening {
  footage = noFootage();
  /** Settles once the file is here, or could not be had. @type {Promise<void> | undefined} */
  fetching;
  /** @type {Detail | null} */
  detail = null;
  error = "";
  asking = false;

  /** @param {string} id */
  constructor(id) {
    this.id = id;
  }
}

/**
 * The jobs that are looked at, one or two beside each other, and everybody's small pictures.
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
    this.shown = ids.map((id) => before.find((one) => one.id === id) ?? new Opening(id));
    for (const one of this.shown) if (!one.detail) void this.look(one);
    this.onChange();
  }

  /** Asks what is known of a job, again. @param {Opening} opening */
  async look(opening) {
    if (opening.asking) return;
    opening.asking = true;
    try {
      const { msg } = await this.kernel.ask(/** @type {any} */ ("open"), { job: opening.id });
      opening.detail = msg;
      opening.error = "";
    } catch (error) {
      opening.error = error instanceof Error ? error.message : String(error);
    }
    opening.asking = false;
    this.onChange();
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

  /** Fetches the file of a job, once; after a failure it may be called again. @param {Opening} opening */
  load(opening) {
    if (!/^load/.test(opening.footage.phase)) opening.fetching = this.#fetch(opening);
    return opening.fetching;
  }

  /** @param {Opening} opening */
  async #fetch(opening) {
    const set = (/** @type {Partial<Footage>} */ change) => {
      opening.footage = { ...opening.footage, ...change };
      this.onChange();
    };
    set({ ...noFootage(), phase: "loading" });
    try {
      const file = await fetchFootage(
        this.kernel,
        /** @type {any} */ (opening.id),
        (received, total) => set({ received, total }),
      );
      set({ phase: "loaded", ...file });
    } catch (error) {
      set({ phase: "failed", error: error instanceof Error ? error.message : String(error) });
    }
  }

  /** A small picture of a job's video; rejects where there is none. @param {string} id */
  poster(id) {
    const known = this.#posters.get(id);
    if (known) return known;
    const asked = this.kernel
      .ask(/** @type {any} */ ("poster"), { job: id })
      .then(({ buffers: [jpeg] }) => {
        if (!jpeg) throw new Error("no picture");
        return new Blob([bytesOf(jpeg)], { type: "image/jpeg" });
      });
    asked.catch(() => {});
    this.#posters.set(id, asked);
    for (const old of [...this.#posters.keys()].slice(0, -POSTERS)) this.#posters.delete(old);
    return asked;
  }
}
