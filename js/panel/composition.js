import { inLine, messageOf, price } from "../shared/words.js";

/** @typedef {import("./protocol.js").Control} Control */
/** @typedef {import("./protocol.js").Values} Values */
/** @typedef {import("./protocol.js").Quote} Quote */
/** @typedef {import("./protocol.js").Draft} Draft */
/** @typedef {import("./protocol.js").FileMark} FileMark */
/** @typedef {(kind: import("./protocol.js").Command, msg?: object) => Promise<{msg: any}>} Ask */

/** How long the user must have stopped changing things before the kernel hears of it. */
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
  /** Of the last change; views that know it need not draw again. */
  version = 0;
  /** Who made the last change: that view needs no update. @type {object | null} */
  editor = null;
  /** Names this page in drafts. */
  author = 1 + Math.floor(Math.random() * 2 ** 40);
  #revision = -1;
  /** The backend that the user was last shown. @type {"fal" | "local" | ""} */
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
    await this.#send();
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
    this.#change(Object.fromEntries(kept), null, this.touched || values !== null);
  }

  /** Starts what is composed. @param {boolean} again whether it is to be another take */
  async submit(again) {
    const shown = this.#shown;
    await this.flush();
    // A run does what the button showed. With another backend, or a problem, the user looks first.
    if (!this.quote || this.quote.problem !== null || shown !== this.quote.backend) return null;
    const { endpoint, values } = this;
    this.submitting = true;
    this.onChange();
    try {
      const { backend, outcome } = this.quote;
      const asked = { endpoint, values, new: again, backend, outcome };
      const { msg } = await this.ask("submit", asked);
      return /** @type {import("./protocol.js").Row} */ (msg.job);
    } finally {
      this.submitting = false;
      this.onChange();
      void this.review();
    }
  }

  /** Has the kernel look at what is composed once more: something that matters has changed. */
  async review() {
    if (this.touched && this.#timer === undefined) await this.#send();
  }

  /** Sends the kernel, without delay, the changes that it does not have yet. */
  async flush() {
    if (this.#timer !== undefined) await this.#send();
    else await this.#telling;
  }

  close() {
    clearTimeout(this.#timer);
  }

  /** @param {Values} values @param {object | null} editor @param {boolean} touched */
  #change(values, editor, touched = true) {
    this.values = values;
    this.touched = touched;
    this.quote = null;
    this.version++;
    this.editor = editor;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#send(), PAUSE_MS);
    this.onChange();
  }

  async #send() {
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
      const problem = messageOf(error);
      quote = { ...UNKNOWN, problem };
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

/** A quote of what could not be asked about. @type {Quote} */
const UNKNOWN = {
  backend: "fal",
  estimate: null,
  price: "no price on record",
  outcome: "SUBMIT",
  words: "",
  notices: "",
  take: null,
  refusal: null,
  problem: null,
};

/**
 * What the compose area's buttons say, and the line next to them.
 *
 * @param {Quote | null} quote null while it is being asked for
 * @param {boolean} touched whether anything was composed yet
 * @returns {{generate: string, again: string, hint: string, wrong: boolean, able: boolean}} `again`
 *   is empty where there is nothing to do again
 */
export function offer(quote, touched) {
  const nothing = { generate: "Generate", again: "", hint: "", wrong: false, able: false };
  if (!quote) return { ...nothing, hint: touched ? "Checking…" : "" };
  const { backend, estimate, outcome, problem, refusal, notices } = quote;
  const local = backend === "local";
  const cost = local ? "free" : estimate === null ? quote.price : price(estimate);
  // Nothing is wrong before the reader has done anything.
  if (problem !== null) return { ...nothing, hint: touched ? problem : "", wrong: touched };
  if (!touched) return { ...nothing, hint: local ? "Free preview, drawn on this machine" : "" };
  // Generate stays enabled, because the reader may have lifted a limit in a cell since.
  const hint = refusal ?? inLine([quote.words, notices], " ");
  const can = { hint, wrong: refusal !== null, able: true };
  if (outcome !== "SUBMIT") {
    return { ...can, generate: "Generate", again: `Another take · ${cost}` };
  }
  if (local) return { ...can, generate: "Generate", again: "" };
  return { ...can, generate: `Generate · ${cost}`, again: "", hint: refusal ?? notices };
}
