import { merged, same } from "../controls/value.js";
import { takesOf } from "../result/offer.js";
import { messageOf } from "../shared/words.js";

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
  /** The values that the kernel had last, from this page or another one. @type {Values} */
  #agreed = {};
  /** Values of parameters that the endpoint does not have: another one may. @type {Values} */
  #aside = {};
  /** Counts the endpoints that were chosen: the last one counts. */
  #wish = 0;
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

  /** Takes what was composed on another page. What was changed here since stays. @param {Draft} draft */
  async other(draft) {
    if (draft.author === this.author || draft.revision <= this.#revision) return;
    const controls = await this.#controls(draft.endpoint);
    if (draft.revision <= this.#revision) return;
    const { endpoint, values } = this;
    const both = merged(this.#agreed, values, draft.values);
    const complete = same(both, draft.values);
    if (endpoint === draft.endpoint && same(both, values)) {
      this.#revision = draft.revision;
      this.#agreed = draft.values;
      if (!complete) this.#sendSoon();
      return;
    }
    this.#adopt(draft, controls);
    this.#fit(both);
    this.quote = null;
    this.touched = true;
    this.onChange();
    await this.#send();
  }

  /** Takes new values from a view. @param {Values} values @param {object} editor */
  edit(values, editor) {
    this.#change(values, editor);
  }

  /** Goes to another endpoint and keeps the values that it knows too, or takes new ones. What is changed here
   * until its controls have come stays.
   * @param {string} endpoint @param {Values | null} [values]
   * @param {Values} [since] the values here when the new ones were asked for */
  async choose(endpoint, values = null, since = this.values) {
    const wish = ++this.#wish;
    const controls = await this.#controls(endpoint);
    if (wish !== this.#wish) return;
    this.endpoint = endpoint;
    this.controls = controls;
    if (values) this.#fit(merged(since, this.values, values));
    else this.#fit({ ...this.#aside, ...this.values });
    this.#change(this.values, null, this.touched || values !== null);
  }

  /** Starts what is composed.
   * @param {boolean} again whether it is to be another take
   * @param {number} [wanted] how many takes of it
   * @param {(job: import("./protocol.js").Row) => void} [onStart] called with each job */
  async submit(again, wanted = 1, onStart = () => {}) {
    const shown = this.#shown;
    await this.flush();
    // A run does what the button showed. With another backend, or a problem, the user looks first.
    if (!this.quote || this.quote.problem !== null || shown !== this.quote.backend) return null;
    const { endpoint, values } = this;
    this.submitting = true;
    this.onChange();
    try {
      const { backend, outcome } = this.quote;
      const count = takesOf(again, this.quote, wanted);
      /** @type {import("./protocol.js").Row | null} */
      let first = null;
      for (let number = 0; number < count; number++) {
        const asked = { endpoint, values, new: again || number > 0, backend, outcome };
        const { msg } = await this.ask("submit", asked).catch((error) => {
          if (!number) throw error;
          const started = `${number} of ${count} takes were started.`;
          throw new Error(`${started} ${messageOf(error)}`);
        });
        onStart(msg.job);
        first ??= msg.job;
      }
      return first;
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
    this.#sendSoon();
    this.onChange();
  }

  #sendSoon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#send(), PAUSE_MS);
  }

  /** Takes the values that the endpoint knows, and puts the others aside. @param {Values} values */
  #fit(values) {
    const known = new Set(this.controls.map(({ name }) => name));
    const all = Object.entries(values);
    const others = Object.entries(this.#aside).filter(([name]) => !known.has(name));
    this.values = Object.fromEntries(all.filter(([name]) => known.has(name)));
    this.#aside = Object.fromEntries([...others, ...all.filter(([name]) => !known.has(name))]);
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
      if (msg.revision > this.#revision) {
        this.#revision = msg.revision;
        this.#agreed = values;
      }
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
    this.values = this.#agreed = draft.values;
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
