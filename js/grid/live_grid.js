import { LiveJob } from "../result/live_job.js";
import { NestedModel } from "../result/nested_model.js";
import { Footage, posterIn } from "../shared/footage.js";
import { Live } from "../shared/live.js";
import { messageOf } from "../shared/words.js";

/** @typedef {import("./protocol.js").Cell} Cell */
/** @typedef {import("./protocol.js").Snapshot} Snapshot */

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
  /** The cell that is opened, as a result of its own, or some that are compared.
   * @type {{cells: number[], model: NestedModel, result: LiveJob} | null} */
  opened = null;
  /** The cell that waits for another one to be compared with. @type {number | null} */
  marked = null;
  /** Whether the prompt of the opened cell is to get the focus. */
  writing = false;
  /** @type {Map<number, Promise<Blob>>} */
  #posters = new Map();
  /** @type {Map<number, Footage>} */
  #footage = new Map();
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

  /** How far it is; the model says so until the kernel has answered. @returns {string} */
  get summary() {
    return this.whole?.summary ?? this.model.get("summary");
  }

  /** A small picture of a cell's video; after a failure it is asked for again. @param {number} cell */
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

  /** Opens a cell, or some to compare; or closes what is open. @param {...number} cells */
  open(...cells) {
    this.opened?.result.close();
    this.opened = cells.length ? this.#result(cells) : null;
    this.marked = null;
    this.redraw();
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
      this.outcome = "";
      this.open(...[this.marked, cell].sort((one, other) => one - other));
    }
    this.redraw();
  }

  /** Opens a cell, to make another take of it. @param {number} cell */
  vary(cell) {
    this.writing = true;
    this.open(cell);
  }

  /** @param {number[]} cells */
  #result(cells) {
    const { prompt = "", ...known } = this.cells[cells[0] ?? 0] ?? {};
    const about = {
      prompt,
      title: this.whole?.title ?? "",
      backend: this.whole?.local ? "local" : "fal",
    };
    const name = cells.join(" ");
    const model = new NestedModel(this.kernel, name, { ...known, ...about, id: `cell-${name}` });
    const result = new LiveJob(/** @type {any} */ (model));
    if (cells.length > 1) result.compareAll();
    model.on("gone", () => result.kernel.drop());
    model.on("refused", (words) => {
      this.outcome = words;
      this.open();
    });
    return { cells, model, result };
  }

  /** Asks for the end of the whole, or of one cell. @param {number} [cell] */
  cancel(cell) {
    return this.#command("cancel", cell);
  }

  /** Starts what is planned. */
  start() {
    return this.#command("start");
  }

  /** Runs a cell again that has no result. @param {number} cell */
  retry(cell) {
    return this.#command("retry", cell);
  }

  /** Has the kernel do something, one thing at a time. @param {string} kind @param {number} [cell] */
  async #command(kind, cell) {
    if (this.asked) return;
    this.asked = kind;
    this.redraw();
    this.outcome = await this.kernel
      .ask(kind, cell === undefined ? {} : { cell })
      .then(({ msg }) => msg.outcome ?? "", messageOf);
    this.asked = "";
    this.redraw();
  }

  /** @override */
  restart() {
    this.#newest = -1;
    this.#revisions = [];
    this.opened?.model.trigger("comm_live_update");
  }

  /** @override */
  close() {
    super.close();
    this.opened?.result.close();
  }

  /** @override @param {Snapshot} snapshot */
  begin(snapshot) {
    this.#update(snapshot);
  }

  /** @override @param {string} kind @param {any} msg */
  receive(kind, msg) {
    if (kind === "update" && this.whole) this.#update(msg);
    if (kind === "result" && this.opened?.model.name === msg.of) this.opened?.model.receive(msg);
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
  }
}
