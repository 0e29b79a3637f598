import { isPlayable, LiveJob } from "../result/live_job.js";
import { NestedModel } from "../result/nested_model.js";
import { Footage, posterIn, saveBlob } from "../shared/footage.js";
import { Live } from "../shared/live.js";
import { messageOf } from "../shared/words.js";

/** @typedef {import("./protocol.js").Cell} Cell */
/** @typedef {import("./protocol.js").Snapshot} Snapshot */

/** How long a film may take until the kernel counts as busy. */
const LONG_MS = 600_000;

/** One sweep or storyboard as a page sees it. */
export class LiveGrid extends Live {
  /** @type {Snapshot | null} */
  whole = null;
  /** @type {Cell[]} */
  cells = [];
  /** What came of a cancel, for the user to read. */
  outcome = "";
  /** The command that has no answer yet. */
  asked = "";
  /** Why cells could not be run again. @type {Map<number, string>} */
  refused = new Map();
  /** The cell that is opened, as a result of its own, or some that are compared. A cell without a job has no result.
   * @type {{cells: number[], model?: NestedModel, result?: LiveJob} | null} */
  opened = null;
  /** The cell that waits for another one to be compared with. @type {number | null} */
  marked = null;
  /** Whether the prompt of the opened cell is to get the focus. */
  writing = false;
  /** @type {Map<number, Promise<Blob>>} */
  #posters = new Map();
  /** @type {Map<number, Footage>} */
  #footage = new Map();
  /** @type {Map<number, {cells: number[], model: NestedModel, result: LiveJob}>} */
  #shots = new Map();
  /** Revision of the newest message, and of what is known of each cell. */
  #newest = -1;
  /** @type {number[]} */
  #revisions = [];

  /** @param {import("@anywidget/types").AnyModel<import("./protocol.js").GridModel>} model */
  constructor(model) {
    super(model);
    this.id = model.get("sweep_id");
    void this.refresh();
  }

  /** @override */
  get expecting() {
    return (
      (this.whole?.started === true && !this.whole.done) ||
      this.#results().some(({ result }) => result?.expecting)
    );
  }

  /** How far it is; the model says so until the kernel has answered. @returns {string} */
  get summary() {
    return this.whole?.summary ?? this.model.get("summary");
  }

  /** A small image of a cell's video; after a failure it is asked for again. @param {number} cell */
  poster(cell) {
    const found = this.#posters.get(cell);
    if (found) return found;
    const asked = posterIn(this.kernel.ask("poster", { cell }));
    this.#posters.set(cell, asked);
    asked.catch(() => this.#posters.delete(cell));
    return asked;
  }

  /** The file of a cell, fetched from the kernel once. @param {number} cell */
  footage(cell) {
    const footage =
      this.#footage.get(cell) ??
      new Footage(
        (piece, patience) => this.kernel.ask("chunk", { cell, ...piece }, patience),
        () => {},
      );
    this.#footage.set(cell, footage);
    return footage;
  }

  /** The shots of a storyboard in their order. @returns {import("./protocol.js").Shot[]} */
  get shots() {
    return this.whole?.board?.shots ?? [];
  }

  /** The result of a shot, with its takes. To choose another take there replaces the shot.
   * @param {number} cell */
  shot(cell) {
    const known = this.#shots.get(cell);
    if (known) return known;
    const made = this.#result([cell], () => {});
    this.#shots.set(cell, made);
    // The take of this cell stays what it is, also where another one is made. One that the reader chooses
    // gets a cell of its own.
    const stay = () => {
      const name = this.cells[cell]?.name ?? "";
      const { takes } = made.result;
      made.model.traits.take = 1 + takes.findIndex(({ now }) => now.path.endsWith(name));
      made.result.change();
    };
    made.model.on("change:take", () => {
      const { shown } = made.result;
      stay();
      if (!made.model.showing && isPlayable(shown))
        void this.alter("replace", { cell, key: shown.about.key });
    });
    return made;
  }

  /** Saves a contact sheet of all videos. @param {boolean} png else it is HTML @param {HTMLElement} inside */
  async saveSheet(png, inside) {
    const ask = (/** @type {object} */ piece) =>
      this.kernel.ask("sheet", { png, ...piece }, LONG_MS);
    const made = new Footage(ask, () => {});
    this.outcome = "";
    await made.bytes().then(
      (bytes) => saveBlob(bytes, made.name, inside),
      (error) => {
        this.outcome = messageOf(error);
      },
    );
    this.redraw();
  }

  /** Changes the storyboard, or joins it, or rates a video; what cannot be done is shown.
   * @param {"rate" | "arrange" | "replace" | "join" | "save"} kind @param {object} msg */
  async alter(kind, msg) {
    this.outcome = "";
    this.redraw();
    await this.kernel.ask(kind, msg, LONG_MS).catch((error) => {
      this.outcome = messageOf(error);
    });
    this.redraw();
  }

  /** Opens a cell, or some to compare; or closes what is open. @param {...number} cells */
  open(...cells) {
    this.opened?.result?.close();
    this.opened = this.#hasJob(cells) ? this.#result(cells) : cells.length ? { cells } : null;
    if (this.marked !== null) this.outcome = "";
    this.marked = null;
    this.redraw();
  }

  /** Whether there is a result to open. @param {number[]} cells */
  #hasJob = (cells) => cells.some((cell) => this.cells[cell]?.created_at != null);

  /** Rates the video of a cell; what is not stored is shown. @param {number} cell @param {number | null} stars */
  rate(cell, stars) {
    return this.alter("rate", { cell, rating: stars });
  }

  /** Marks a cell, or compares it with the marked one. @param {number} cell */
  compare(cell) {
    if (this.marked === null) {
      this.marked = cell;
      this.outcome = "Choose Compare on another video.";
    } else if (this.marked === cell) {
      this.marked = null;
      this.outcome = "";
    } else {
      this.open(...[this.marked, cell].sort((one, other) => one - other));
    }
    this.redraw();
  }

  /** Opens a cell, to make another take of it. @param {number} cell */
  vary(cell) {
    this.writing = true;
    this.open(cell);
  }

  /** @param {number[]} cells @param {(words: string) => void} [refuse] */
  #result(cells, refuse = (words) => this.#refuse(words)) {
    const { prompt = "", ...known } = this.cells[cells[0] ?? 0] ?? {};
    const about = {
      prompt,
      title: this.whole?.title ?? "",
      backend: this.whole?.local ? "local" : "fal",
    };
    const name = cells.join(" ");
    const model = new NestedModel(this.kernel, name, { ...known, ...about, id: `cell-${name}` });
    const result = new LiveJob(/** @type {any} */ (model));
    const [cell = -1, another] = cells;
    result.again = (job) => {
      const now = this.cells[cell];
      return job && another === undefined && now?.job === job
        ? {
            price: now.price,
            refusal: this.refused.get(cell) ?? "",
            act: () => this.again("retry", cell),
          }
        : null;
    };
    if (cells.length > 1) result.compareAll();
    model.on("gone", () => result.kernel.drop());
    model.on("refused", refuse);
    return { cells, model, result };
  }

  /** @param {string} words */
  #refuse(words) {
    this.outcome = words;
    this.open();
  }

  /** Asks for the end of the whole, or of one cell. @param {number} [cell] */
  cancel(cell) {
    return this.#command("cancel", cell);
  }

  /** Starts what is planned. */
  start() {
    return this.#command("start");
  }

  /** Runs or resumes the job of a cell that has no result. What is opened of it shows the new job then.
   * @param {"retry" | "resume"} kind @param {number} cell */
  async again(kind, cell) {
    if (this.asked) return;
    this.refused.delete(cell);
    const before = this.cells[cell];
    const refusal = await this.#command(kind, cell);
    const { opened } = this;
    if (refusal) {
      this.refused.set(cell, refusal); // it stands where the button is
      this.outcome = "";
    } else if (opened?.cells.includes(cell)) {
      opened.result?.close();
      this.opened = { cells: opened.cells };
      if (this.cells[cell] !== before) this.open(...opened.cells); // the new job was there before this answer
    }
    this.redraw();
  }

  /** Has the kernel do something, one thing at a time. Returns why it was refused, if it was.
   * @param {string} kind @param {number} [cell] */
  async #command(kind, cell) {
    if (this.asked) return "";
    this.asked = kind;
    this.redraw();
    let refusal = "";
    this.outcome = await this.kernel.ask(kind, cell === undefined ? {} : { cell }).then(
      ({ msg }) => msg.outcome ?? "",
      (error) => {
        refusal = messageOf(error);
        return refusal;
      },
    );
    this.asked = "";
    this.redraw();
    return refusal;
  }

  /** @override */
  restart() {
    this.#newest = -1;
    this.#revisions = [];
    for (const { model } of this.#results()) model?.trigger("comm_live_update");
  }

  /** @override */
  close() {
    super.close();
    for (const { result } of this.#results()) result?.close();
  }

  #results() {
    return [...(this.opened ? [this.opened] : []), ...this.#shots.values()];
  }

  /** @override @param {Snapshot} snapshot */
  begin(snapshot) {
    this.#update(snapshot);
  }

  /** @override @param {string} kind @param {any} msg */
  receive(kind, msg) {
    // An update that has everything stands for the answer that a kernel does not give while a cell waits.
    if (kind === "update" && msg.now) this.setClock(msg);
    if (kind === "fault") this.outcome = msg.error;
    if (kind === "update" && (this.whole || msg.mode)) this.#update(msg);
    if (kind === "result")
      for (const { model } of this.#results()) if (model?.name === msg.of) model?.receive(msg);
    this.redraw();
  }

  /** Takes a snapshot or an update; of each cell, what is newest. @param {Snapshot} msg */
  #update(msg) {
    const { revision } = msg;
    if (revision > this.#newest || !this.whole) {
      this.#newest = revision;
      this.whole = { ...this.whole, ...msg };
    } else {
      this.whole = { ...msg, ...this.whole };
    }
    for (const one of msg.cells) {
      if (revision < (this.#revisions[one.cell] ?? 0)) continue;
      this.#revisions[one.cell] = revision;
      this.cells[one.cell] = one;
    }
    const { opened } = this;
    if (opened && !opened.result && this.#hasJob(opened.cells)) this.open(...opened.cells);
  }
}
