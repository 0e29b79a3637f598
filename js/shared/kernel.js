/**
 * @typedef {{msg: any, buffers: DataView[]}} Answer
 *
 * @typedef {object} Pending
 * @property {(answer: Answer) => void} resolve
 * @property {(error: Error) => void} reject
 * @property {ReturnType<typeof setTimeout>} timer
 */

/** How long an answer may take before the kernel counts as busy. */
export const PATIENCE_MS = 1000;

/** How long until a kernel that answers nothing may also have been restarted: not every front end reports that. */
export const SILENCE_MS = 20_000;

/** The kernel answered that it could not do it. The text is for the user. */
export class Refused extends Error {}

/**
 * Sends commands and matches the answers to them.
 *
 * No question is given up for taking long: a kernel that computes for an hour answers after an
 * hour. Until then `busy` says so.
 */
export class Kernel {
  /** @type {Map<number, Pending>} */
  #pending = new Map();
  /** @type {Set<number>} */
  #late = new Set();
  /** @type {Set<number>} */
  #silent = new Set();
  /** Whether a message of any kind has come from the kernel. */
  #present = false;
  /** Whether messages stay away that were to come. */
  #quiet = false;
  // Answers go to every page that shows the model, so ids of two pages must differ. They are
  // numbers, because ipykernel 7.4 remembers each text id until a message brings it back.
  #next = Math.floor(Math.random() * 2 ** 31) * 2 ** 20;

  /**
   * @param {{send: (content: any, callbacks?: any, buffers?: ArrayBuffer[]) => void,
   *   on: (name: any, listener: () => void) => void, widget_manager?: any, outer?: Kernel}} model
   * @param {() => void} onBusyChange called when `busy` may have changed
   * @param {() => void} onChange called when the kernel has come or gone: ask which it is
   */
  constructor(model, onBusyChange, onChange) {
    this.model = model;
    this.onBusyChange = onBusyChange;
    model.on("comm_live_update", () => {
      this.drop();
      onChange();
    });
    // ipywidgets says so only where the user asked for a restart. JupyterLab's connection also comes and goes
    // with a kernel that is shut down, or dies and is started again; or it was the network, and answers come.
    const listen = (/** @type {any} */ _, /** @type {string} */ status) => {
      if (/connected/.test(status)) onChange(); // or disconnected, but not connecting
    };
    const signal = model.widget_manager?.kernel?.connectionStatusChanged;
    signal?.connect(listen);
    /** Listens no longer, and gives up all open questions. */
    this.close = () => {
      signal?.disconnect(listen);
      this.drop();
    };
  }

  /** Whether an answer is overdue. */
  get busy() {
    return this.#late.size > 0;
  }

  /** Whether an answer or a message is so late that the kernel may have been replaced. @returns {boolean} */
  get silent() {
    return this.#quiet || this.#silent.size > 0 || Boolean(this.model.outer?.silent);
  }

  /** Notes that messages stay away. */
  doubt() {
    this.#quiet = true;
    this.onBusyChange();
  }

  /**
   * Whether the page has no kernel, as far as one can tell: one that nbconvert made shows saved widgets
   * with a manager that has none, and drops every question. Colab's manager does not say whether it has one.
   */
  get missing() {
    const { widget_manager: manager } = this.model;
    return this.silent && !this.#present && Boolean(manager) && !("kernel" in manager);
  }

  /**
   * Asks the kernel.
   *
   * @param {string} kind one of the commands that the widget's protocol lists
   * @param {{buffers?: ArrayBuffer[], [field: string]: any}} [msg] `buffers` go next to the message
   * @param {number} [patience] milliseconds after which an answer is overdue
   * @returns {Promise<Answer>} rejects with `Refused`, or with another error where nothing
   *   could be sent
   */
  ask(kind, { buffers = [], ...msg } = {}, patience = PATIENCE_MS) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      const overdue = () => {
        this.#late.add(id);
        this.onBusyChange();
        this.#waitOn(id);
      };
      this.#pending.set(id, { resolve, reject, timer: setTimeout(overdue, patience) });
      try {
        this.model.send({ id, kind, msg }, undefined, buffers);
      } catch {
        this.drop(); // the page's own words say less
      }
    });
  }

  /** Notes a message of any kind: the kernel is there. ipykernel 6 answers only after the cell. */
  heard() {
    this.#present = true;
    this.#quiet = false;
    this.#silent.clear();
    for (const id of this.#late) this.#waitOn(id);
  }

  /**
   * Takes a "reply"; answers to questions of other pages are ignored.
   *
   * @param {{id: number, ok: boolean, msg: any}} reply
   * @param {DataView[]} buffers
   */
  answer({ id, ok, msg }, buffers) {
    const pending = this.#remove(id);
    if (ok) pending?.resolve({ msg, buffers });
    else pending?.reject(new Refused(String(msg?.error)));
  }

  /** Gives up all open questions: the kernel that was asked is gone. */
  drop() {
    for (const id of this.#pending.keys()) {
      this.#remove(id)?.reject(new Error("The kernel went away."));
    }
  }

  /** Waits for news, up to the time after which the kernel counts as silent. @param {number} id */
  #waitOn(id) {
    const pending = /** @type {Pending} */ (this.#pending.get(id));
    const overdue = () => {
      this.#silent.add(id);
      this.onBusyChange();
    };
    clearTimeout(pending.timer);
    pending.timer = setTimeout(overdue, SILENCE_MS);
  }

  /** @param {number} id */
  #remove(id) {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    clearTimeout(pending?.timer);
    this.#silent.delete(id);
    if (this.#late.delete(id)) this.onBusyChange();
    return pending;
  }
}
