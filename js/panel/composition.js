/** @typedef {import("./protocol.js").Control} Control */
/** @typedef {import("./protocol.js").Values} Values */
/** @typedef {import("./protocol.js").Quote} Quote */
/** @typedef {import("./protocol.js").Draft} Draft */
/** @typedef {import("./protocol.js").FileMark} FileMark */
/** @typedef {(kind: import("./protocol.js").Command, msg?: object) => Promise<{msg: any}>} Ask */

/** How long the reader must have stopped changing things before the kernel is told. */
const PAUSE_MS = 250;

/**
 * What is composed: an endpoint and values for it. The kernel keeps it, so that other pages, and
 * this one after a reload, show the same.
 */
export class Composition {
  endpoint = "";
  /** @type {Values} */
  values = {};
  /** @type {Control[]} */
  controls = [];
  /** @type {Map<string, FileMark>} */
  files = new Map();
  /** Null while the kernel is being asked. @type {Quote | null} */
  quote = null;
  touched = false;
  submitting = false;
  /** Of the last change; views that know it have nothing to draw anew. */
  version = 0;
  /** Who made the last change: a view that did need not be told. @type {object | null} */
  editor = null;
  /** Names this page in drafts. */
  author = 1 + Math.floor(Math.random() * 2 ** 40);
  #revision = -1;
  /** Where the reader was last told that jobs go. @type {"fal" | "local" | ""} */
  #shown = "";
  /** @type {Map<string, Control[]>} */
  #known = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {Promise<void> | null} */
  #telling = null;

  /** @param {Ask} ask @param {() => void} onChange */
  constructor(ask, onChange) {
    this.ask = ask;
    this.onChange = onChange;
  }

  /** Takes what a snapshot says. @param {{draft: Draft, controls: Control[], quote: Quote}} snapshot */
  begin({ draft, controls, quote }) {
    this.#known.set(draft.endpoint, controls);
    const unsent = this.#timer !== undefined || this.#telling !== null;
    if (unsent || draft.revision <= this.#revision) return;
    this.#adopt(draft, controls);
    this.quote = quote;
    this.#shown = quote.backend;
    this.touched = draft.revision > 0;
  }

  /** Takes what was composed on another page. @param {Draft} draft */
  async other(draft) {
    if (draft.author === this.author || draft.revision <= this.#revision) return;
    const controls = await this.#controls(draft.endpoint);
    if (draft.revision <= this.#revision) return;
    this.#adopt(draft, controls);
    this.quote = null;
    this.touched = true;
    this.onChange();
    await this.#settle();
  }

  /** Takes new values from a view. @param {Values} values @param {object} editor */
  edit(values, editor) {
    this.#change(values, editor);
  }

  /** Goes to another endpoint and keeps the values that it knows too, or takes new ones.
   * @param {string} endpoint @param {Values | null} [values] */
  async choose(endpoint, values = null) {
    const controls = await this.#controls(endpoint);
    this.endpoint = endpoint;
    this.controls = controls;
    const known = new Set(controls.map(({ name }) => name));
    const kept = Object.entries(values ?? this.values).filter(([name]) => known.has(name));
    this.#change(Object.fromEntries(kept), null);
  }

  /** Starts what is composed. @param {boolean} again whether it is to be another take */
  async submit(again) {
    const shown = this.#shown;
    await this.flush();
    // What is done is what was said: with another backend, or a problem, the reader looks first.
    if (!this.quote || this.quote.problem !== null || shown !== this.quote.backend) return null;
    const { endpoint, values } = this;
    this.submitting = true;
    this.onChange();
    try {
      const asked = { endpoint, values, new: again, backend: this.quote.backend };
      const { msg } = await this.ask("submit", asked);
      return /** @type {import("./protocol.js").Row} */ (msg.job);
    } finally {
      this.submitting = false;
      this.onChange();
    }
  }

  /** Has the kernel look at what is composed once more: something that matters has changed. */
  async review() {
    if (this.touched && this.#timer === undefined) await this.#settle();
  }

  /** Tells the kernel at once what it was not told yet. */
  async flush() {
    if (this.#timer !== undefined) await this.#settle();
    else await this.#telling;
  }

  close() {
    clearTimeout(this.#timer);
  }

  /** @param {Values} values @param {object | null} editor */
  #change(values, editor) {
    this.values = values;
    this.touched = true;
    this.quote = null;
    this.version++;
    this.editor = editor;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#settle(), PAUSE_MS);
    this.onChange();
  }

  async #settle() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const telling = this.#tell(this.version);
    this.#telling = telling;
    await telling;
    if (this.#telling === telling) this.#telling = null;
  }

  /** @param {number} version */
  async #tell(version) {
    const { endpoint, values, author } = this;
    /** @type {Quote} */
    let quote;
    try {
      const { msg } = await this.ask("compose", { endpoint, values, author });
      this.#revision = Math.max(this.#revision, msg.revision);
      quote = msg.quote;
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      quote = { backend: "fal", estimate: null, take: null, unfinished: null, problem };
    }
    if (version !== this.version) return;
    this.quote = quote;
    this.#shown = quote.backend;
    this.onChange();
  }

  /** @param {Draft} draft @param {Control[]} controls */
  #adopt(draft, controls) {
    this.#revision = draft.revision;
    this.endpoint = draft.endpoint;
    this.values = draft.values;
    this.controls = controls;
    for (const [id, mark] of Object.entries(draft.files)) this.files.set(id, mark);
    this.version++;
    this.editor = null;
  }

  /** @param {string} endpoint @returns {Promise<Control[]>} */
  async #controls(endpoint) {
    const known = this.#known.get(endpoint);
    if (known) return known;
    const { msg } = await this.ask("controls", { endpoint });
    this.#known.set(endpoint, msg.controls);
    return msg.controls;
  }
}
