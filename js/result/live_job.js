import { same } from "../controls/value.js";
import { frameIn } from "../shared/dragged.js";
import { posterIn } from "../shared/footage.js";
import { Live } from "../shared/live.js";
import { newMemory } from "../shared/player.js";
import { hasVideo, lostWords, messageOf } from "../shared/words.js";
import { newTakeOf } from "./new_take.js";
import { TRAITS } from "./protocol.js";
import { Take } from "./take.js";

/** @typedef {import("./protocol.js").JobModel} JobModel */
/** @typedef {import("../controls/value.js").Control[]} Controls */

/** @type {Controls} */
const NO_CONTROLS = [];

/** How long files stay in memory with nothing showing them: outputs are replaced, not only removed. */
const KEPT_UNSEEN_MS = 10_000;

/** Takes that fit next to each other. */
export const MOST_COMPARED = 4;

/** Whether a take has a video that can be asked for. @param {Take} take */
export const isPlayable = (take) => Boolean(take.about.key) && hasVideo(take.now);

/** One job widget as a page sees it: its takes, and which of them is shown. */
export class LiveJob extends Live {
  /** @type {Take[]} */
  takes;
  /** The takes that play side by side, in their order; none or one is no comparison. @type {Take[]} */
  compared = [];
  /** Whether two of them lie on each other, with an edge to move. */
  wiped = false;
  /** The take that was on the stage last. @type {Take | null} */
  #last = null;
  /** The controls of each endpoint that was shown. @type {Map<string, Controls>} */
  #controls = new Map();
  cancelling = { asked: false, outcome: "" };
  /** The take that was chosen here last, what that means, and when its button was pressed with focus. */
  using = { key: 0, words: "", at: 0 };
  memory = newMemory();
  /** What the reader has changed in the form for another take, null for a default. A take that is shown in the
   * meantime, or a view that is drawn again, takes nothing of it away. @type {import("../controls/value.js").Values} */
  edits = {};
  /** Counts the changes of `edits`, for the other views. */
  edited = 0;
  /** How many takes are to be made, as a place in the list. */
  counted = 0;
  /** Where the cursor is in that form. @type {import("../controls/form.js").Cursor | null} */
  cursor = null;
  /** Notes that are written and not stored yet. @type {Map<Take, string>} */
  notes = new Map();
  /** Whether the reader has opened the details. */
  detailed = false;
  /** Files that were dropped, pasted or picked, or belong to a take; and their small images. */
  files = new Map();
  /** @type {Map<string, Promise<Blob>>} */
  previews = new Map();
  /** Composes a shot that begins with a frame, where the view has a place for that.
   * @type {((next: Promise<import("../shared/kernel.js").Answer>) => Promise<void>) | null} */
  compose = null;
  /** Puts the request of a job into a form elsewhere, where the view has one: then there is none here.
   * @type {((job: string) => void) | null} */
  reuse = null;
  /** What becomes of a job that no kernel follows here, and what to do, where the view has words of its own for it.
   * @type {typeof lostWords} */
  lostWords = lostWords;
  /** How the job is run again, where it belongs to a cell of a sweep: its price, and why it was refused.
   * @type {((job: string) => {price: string, refusal: string, act: () => void} | null) | null} */
  again = null;
  /** The front end's widget manager. @type {any} */
  manager;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #unseen;

  /** @param {import("@anywidget/types").AnyModel<JobModel>} model */
  constructor(model) {
    super(model);
    const { manager, widget_manager: own } = /** @type {any} */ (model);
    this.manager = manager ?? own;
    this.takes = [this.#take(this.#traits())];
    this.newTake = newTakeOf(this.kernel, () => this.redraw());
    model.on("change:state", () => {
      this.shown.traits(this.#traits());
      this.redraw();
    });
    model.on("change:take", () => {
      if (!this.compared.includes(this.shown)) this.compared = [];
      this.change();
    });
    void this.refresh();
  }

  /** The take that is shown. @returns {Take} */
  get shown() {
    const { takes, model } = this;
    return /** @type {Take} */ (takes[model.get("take") - 1] ?? takes.at(-1));
  }

  /**
   * The takes on the stage. A take without a video leaves there what was there before, so that
   * a running job takes nothing away.
   *
   * @returns {Take[]}
   */
  get staged() {
    if (this.compared.length > 1) return this.compared;
    if (isPlayable(this.shown)) this.#last = this.shown;
    const { takes, shown } = this;
    return [this.#last && takes.includes(this.#last) ? this.#last : shown];
  }

  /** The take to which actions belong: of those that are compared the one that is shown, else the first on the stage.
   * @returns {Take} */
  get acted() {
    const { compared, shown, staged } = this;
    return compared.includes(shown) ? shown : /** @type {Take} */ (staged[0]);
  }

  /** The controls of the take that is shown; none until the kernel has sent them. */
  get controls() {
    return this.#controls.get(this.shown.about.endpoint) ?? NO_CONTROLS;
  }

  /** @override */
  get expecting() {
    return this.takes.some(({ finished }) => !finished);
  }

  /** Whether there is something on the stage to play. */
  get playable() {
    return this.staged.every(isPlayable);
  }

  /** @override */
  close() {
    super.close();
    this.newTake.close();
    clearTimeout(this.#unseen);
  }

  /** Asks the kernel. @param {string} kind @param {object} [msg] */
  ask(kind, msg) {
    return this.kernel.ask(kind, msg);
  }

  /** A small image of a file of the request; rejects where there is none. @param {string} file */
  preview(file) {
    const known = this.previews.get(file) ?? posterIn(this.kernel.ask("preview", { file }));
    known.catch(() => {});
    this.previews.set(file, known);
    return known;
  }

  /** The frame at which a take stands on this page, or the one of its poster. @param {Take} take */
  frame({ about: { key } }) {
    return frameIn(this.ask("frame", { key, frame: this.memory.places.get(key)?.frame ?? null }));
  }

  /** Asks the kernel to cancel the job; the outcome is for the user to read. */
  async cancel() {
    if (this.cancelling.asked) return;
    this.cancelling = { asked: true, outcome: "" };
    this.redraw();
    await this.#command("cancel");
  }

  /** Resumes a job whose result fal may have. */
  resume() {
    return this.#command("resume");
  }

  /** Shows another take, in all views and for Python. @param {Take} take */
  choose(take) {
    this.model.set("take", this.takes.indexOf(take) + 1);
    this.model.save_changes();
  }

  /**
   * Plays takes side by side, or only the one shown. Without a list: the take on the stage and the
   * one before it, or the one after it where it is the first.
   *
   * @param {Take[]} [wanted]
   */
  compare(wanted) {
    const all = this.takes.filter(isPlayable);
    const at = Math.max(0, all.indexOf(/** @type {Take} */ (this.staged[0])));
    const chosen = wanted ?? [all[at], all[at - 1] ?? all[at + 1]];
    this.compared = all.filter((take) => chosen.includes(take)).slice(0, MOST_COMPARED);
    if (this.compared.length < 2) this.compared = [];
    this.redraw();
  }

  /** Compares all takes, as soon as they are known. */
  compareAll() {
    const leave = this.subscribe(() => {
      if (this.takes.length < 2) return;
      leave();
      this.compare([...this.takes]);
    });
  }

  /** @override */
  question() {
    const { key } = this.shown.about;
    return key ? { key } : {};
  }

  /** @override @param {import("./protocol.js").Snapshot} snapshot */
  begin(snapshot) {
    this.#arrange(snapshot.takes);
    const take = this.#named(snapshot.key);
    const endpoint = take?.about.endpoint ?? "";
    if (!same(this.#controls.get(endpoint), snapshot.controls))
      this.#controls.set(endpoint, snapshot.controls);
    take?.update(snapshot);
    if (take) take.complete = true;
  }

  /** @override @param {any} _error @param {{key?: number}} about */
  fail(_error, { key = 0 }) {
    const take = this.#named(key);
    if (!take) return;
    take.complete = true; // there is nothing more to ask for
    if (!this.controls.length) this.#controls.set(take.about.endpoint, NO_CONTROLS);
  }

  /** @override @param {string} kind @param {any} msg */
  receive(kind, msg) {
    if (kind === "takes") this.#arrange(msg.takes);
    if (kind === "update") {
      const take = this.#named(msg.key) ?? this.#keyless(msg.job_id);
      if (take && !take.update(msg)) take.complete = false;
    }
    this.change();
  }

  /** Something else is shown, or more is known of it. @override */
  change() {
    const known = this.shown.complete && this.#controls.has(this.shown.about.endpoint);
    if (!known && this.connected) void this.refresh();
    this.redraw();
  }

  /** @override @param {boolean} any */
  seen(any) {
    clearTimeout(this.#unseen);
    if (any) return;
    this.#unseen = setTimeout(() => {
      for (const { footage } of this.takes) if (footage.blob) footage.drop();
    }, KEPT_UNSEEN_MS);
  }

  #traits() {
    const { model } = this;
    return /** @type {JobModel} */ (
      Object.fromEntries(TRAITS.map((name) => [name, model.get(name)]))
    );
  }

  /** @param {JobModel | import("./protocol.js").TakeEntry} known */
  #take(known) {
    return new Take(known, this.kernel, () => this.redraw());
  }

  /** @param {number} key */
  #named(key) {
    return this.takes.find(({ about }) => about.key === key);
  }

  /** The take that is known from the traits alone. While a cell waits, ipykernel 6 answers no command, but
   * still sends updates. @param {string} jobId */
  #keyless(jobId) {
    const take = this.#named(0);
    return take?.about.job_id === jobId ? take : undefined;
  }

  /** Sends a command about the take shown, and keeps its outcome for the reader.
   * @param {"cancel" | "resume"} kind */
  async #command(kind) {
    const asked = this.kernel.ask(kind, { key: this.shown.about.key });
    const outcome = await asked.then(({ msg }) => msg.outcome ?? "", messageOf);
    this.cancelling = { asked: false, outcome };
    this.redraw();
  }

  /** Takes the list of takes as the kernel has it. What was shown from the traits alone gets its key.
   * @param {import("./protocol.js").TakeEntry[]} entries */
  #arrange(entries) {
    this.takes = entries.map((entry) => {
      const take = this.#named(entry.key) ?? this.#keyless(entry.job_id) ?? this.#take(entry);
      take.entry(entry);
      return take;
    });
    if (this.compared.some((take) => !this.takes.includes(take))) this.compared = [];
  }
}
