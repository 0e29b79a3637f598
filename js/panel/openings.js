import { LiveJob } from "../result/live_job.js";
import { NestedModel } from "../result/nested_model.js";
import { posterIn } from "../shared/footage.js";
import { messageOf } from "../shared/words.js";

/** @typedef {import("./protocol.js").Row} Row */
/** @typedef {import("../shared/kernel.js").Kernel} Kernel */

/** What a result of a panel does and says its own way.
 * @typedef {Pick<LiveJob, "compose" | "reuse" | "lostWords">} Composing */

/** Small pictures that are kept; a screenful has about ten. */
const POSTERS = 200;

/** What is looked at: a job, or two that are compared. Only this holds the bytes of a video. */
export class Opening {
  /** @type {Row | null} */
  row = null;
  /** Whether the job must be resumed before there is a result. */
  resumable = false;
  error = "";
  /** @type {NestedModel | null} */
  model = null;
  /** @type {LiveJob | null} */
  result = null;
  #closed = false;

  /** @param {string[]} ids @param {Kernel} kernel @param {() => void} onChange @param {Composing} composing */
  constructor(ids, kernel, onChange, composing) {
    this.ids = ids;
    this.kernel = kernel;
    this.onChange = onChange;
    this.composing = composing;
  }

  /** Asks what is known of it. */
  async look() {
    try {
      const { msg } = await this.kernel.ask("open", { job: this.ids[0] });
      if (this.#closed) return;
      this.row = msg.row;
      this.resumable = msg.resumable;
      if (!msg.resumable) this.#begin(msg.row);
    } catch (error) {
      this.error = messageOf(error);
    }
    this.onChange();
  }

  close() {
    this.#closed = true;
    this.result?.close();
  }

  /** @param {Row} row */
  #begin(row) {
    this.model = new NestedModel(this.kernel, this.ids.join(" "), row);
    const result = new LiveJob(/** @type {any} */ (this.model));
    this.result = result;
    Object.assign(result, this.composing);
    this.model.on("gone", () => result.kernel.drop());
    this.model.on("refused", (error) => {
      this.error = error;
      this.result = null;
      result.close();
      this.onChange();
    });
    if (this.ids.length > 1) result.compareAll();
  }
}

/** What is looked at, and the small pictures of all jobs. */
export class Openings {
  /** @type {Opening | null} */
  opening = null;
  /** @type {Map<string, Promise<Blob>>} */
  #posters = new Map();

  /** @param {Kernel} kernel @param {() => void} onChange @param {Composing} composing */
  constructor(kernel, onChange, composing) {
    this.kernel = kernel;
    this.onChange = onChange;
    this.composing = composing;
  }

  /** Whether a job is looked at. @param {string} id */
  has(id) {
    return Boolean(this.opening?.ids.includes(id));
  }

  /** Looks at these jobs and at no others. @param {string[]} ids */
  show(ids) {
    this.opening?.close();
    this.opening = ids.length ? new Opening(ids, this.kernel, this.onChange, this.composing) : null;
    void this.opening?.look();
    this.onChange();
  }

  /** Takes a message about a result. @param {{of: string, kind: string, msg: any}} message */
  receive(message) {
    const { model } = this.opening ?? {};
    if (model?.name === message.of) model.receive(message);
  }

  /** The kernel has come or gone. */
  restart() {
    this.opening?.model?.trigger("comm_live_update");
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
