import { fetchFootage } from "./footage.js";
import { Kernel, Refused } from "./kernel.js";
import { TRAITS } from "./protocol.js";
import { JobRecord } from "./record.js";

/** @typedef {import("./protocol.js").JobModel} JobModel */
/** @typedef {import("@anywidget/types").AnyModel<JobModel>} Model */

/**
 * @typedef {object} Footage
 * @property {"none" | "loading" | "loaded" | "failed"} phase
 * @property {number} received bytes so far
 * @property {number} total bytes in all, 0 while unknown
 * @property {Blob | null} blob
 * @property {string} name file name, for saving
 * @property {string} error
 */

/** How long a file stays in memory with nothing showing it: outputs are replaced, not only removed. */
const KEPT_UNSEEN_MS = 10_000;

/** @returns {Footage} */
const noFootage = () => ({
  phase: "none",
  received: 0,
  total: 0,
  blob: null,
  name: "",
  error: "",
});

/**
 * One job as a page sees it: shared by all views of a model, so that they agree.
 *
 * Fields change, then every subscriber is called. Nothing here touches the page.
 */
export class LiveJob {
  cancelling = { asked: false, outcome: "" };
  footage = noFootage();
  /** What a view leaves behind for the next one: the output is replaced when a job ends.
   * @type {{time: number, playing: boolean, open: Map<string, boolean>}} */
  left = { time: 0, playing: false, open: new Map() };
  /** @type {Set<() => void>} */
  #subscribers = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #unseen;
  #refreshing = false;

  /** @param {Model} model */
  constructor(model) {
    const read = () =>
      /** @type {JobModel} */ (Object.fromEntries(TRAITS.map((name) => [name, model.get(name)])));
    this.kernel = new Kernel(model, () => this.redraw());
    this.record = new JobRecord(read());
    model.on("msg:custom", (content, buffers) => this.#receive(content, buffers));
    model.on("change:state", () => {
      this.record.retrait(read());
      this.redraw();
    });
    // ipywidgets says so when the kernel goes, and also when it comes: ask which it is.
    model.on("comm_live_update", () => {
      this.record.connected = false;
      this.#refreshing = false;
      this.kernel.drop();
      void this.refresh();
    });
    void this.refresh();
  }

  /** @param {() => void} redraw @returns {() => void} unsubscribes */
  subscribe(redraw) {
    clearTimeout(this.#unseen);
    this.#subscribers.add(redraw);
    return () => {
      this.#subscribers.delete(redraw);
      if (this.#subscribers.size > 0 || this.footage.phase !== "loaded") return;
      this.#unseen = setTimeout(() => {
        this.footage = noFootage();
      }, KEPT_UNSEEN_MS);
    };
  }

  close() {
    this.#subscribers.clear();
    this.kernel.drop();
    clearTimeout(this.#unseen);
  }

  /** Asks for the whole state and all lines. */
  async refresh() {
    if (this.#refreshing) return;
    this.#refreshing = true;
    this.redraw();
    try {
      const { msg } = await this.kernel.ask("snapshot");
      this.record.snapshot(msg, Date.now() / 1000);
    } catch (error) {
      // A refusal is still an answer; anything else means that nothing could be sent.
      this.record.connected = error instanceof Refused;
    }
    this.#refreshing = false;
    this.redraw();
  }

  /** Asks the kernel to cancel the job; the outcome is for the user to read. */
  async cancel() {
    if (this.cancelling.asked) return;
    this.cancelling = { asked: true, outcome: "" };
    this.redraw();
    const outcome = await this.kernel
      .ask("cancel")
      .then(({ msg }) => String(msg.outcome))
      .catch((/** @type {Error} */ error) => error.message);
    this.cancelling = { asked: false, outcome };
    this.redraw();
  }

  /** Fetches the file, once; after a failure it may be called again. */
  async loadFootage() {
    if (this.footage.phase === "loading" || this.footage.phase === "loaded") return;
    const set = (/** @type {Partial<Footage>} */ change) => {
      this.footage = { ...this.footage, ...change };
      this.redraw();
    };
    set({ ...noFootage(), phase: "loading" });
    try {
      const got = await fetchFootage(this.kernel, (received, total) => set({ received, total }));
      set({ phase: "loaded", ...got });
    } catch (error) {
      set({ phase: "failed", error: error instanceof Error ? error.message : String(error) });
    }
  }

  /** @param {any} content @param {DataView[]} buffers */
  #receive(content, buffers) {
    if (content?.kind === "reply") this.kernel.answer(content, buffers);
    if (content?.kind !== "update") return;
    if (!this.record.update(content.msg)) void this.refresh();
    this.redraw();
  }

  /** Brings all views up to date. */
  redraw() {
    for (const redraw of this.#subscribers) redraw();
  }
}
