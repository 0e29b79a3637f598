import { bytesOf } from "../job/footage.js";
import { Kernel, Refused } from "../job/kernel.js";
import { Composition } from "./composition.js";
import { announce } from "./desktop_notice.js";
import { HistoryPages } from "./history_pages.js";
import { JobList } from "./job_list.js";
import { Openings } from "./openings.js";

/** @typedef {import("./protocol.js").PanelModel} PanelModel */
/** @typedef {import("./protocol.js").Command} Command */
/** @typedef {import("./protocol.js").Row} Row */
/** @typedef {import("@anywidget/types").AnyModel<PanelModel>} Model */

/** How long after a change of the jobs the history is asked for again. */
const HISTORY_PAUSE_MS = 300;

/**
 * The panel as a page sees it: shared by all views of a model, so that they agree.
 *
 * Fields change, then every subscriber is called. Nothing here touches the page.
 */
export class LivePanel {
  /** Whether the first snapshot is here. */
  ready = false;
  /** False once the kernel is known to be gone. */
  connected = true;
  clockOffset = 0;
  /** What went wrong last, for the reader. */
  fault = "";
  /** What is worth knowing and no fault. */
  note = "";
  /** @type {import("./protocol.js").CatalogueRow[]} */
  catalogue = [];
  jobs = new JobList();
  /** Small pictures of the files in the compose area, by file. @type {Map<string, Promise<Blob>>} */
  previews = new Map();
  /** Jobs marked to be compared, two at most. @type {string[]} */
  marked = [];
  /** @type {Set<() => void>} */
  #subscribers = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #historyTimer;
  #refreshing = false;

  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    // Bytes of a command go beside it, as buffers of the message.
    const send = (/** @type {any} */ { id, kind, msg: { buffers = [], ...msg } }) =>
      model.send({ id, kind, msg }, undefined, buffers);
    const changed = () => this.redraw();
    const { widget_manager } = model;
    const on = (/** @type {any} */ name, /** @type {() => void} */ heard) => model.on(name, heard);
    this.kernel = new Kernel({ send, on, widget_manager }, changed, () => {
      this.connected = this.#refreshing = false;
      void this.refresh();
    });
    this.composition = new Composition((kind, msg) => this.ask(kind, msg), changed);
    this.openings = new Openings(this.kernel, changed);
    this.history = new HistoryPages(
      async (query) => (await this.ask("history", query)).msg,
      changed,
    );
    model.on("msg:custom", (content, buffers) => this.#receive(content, buffers));
    model.on("change:notices", changed);
    void this.refresh();
  }

  /** Asks the kernel. @param {Command} kind @param {object} [msg] */
  ask(kind, msg = {}) {
    return this.kernel.ask(/** @type {any} */ (kind), msg);
  }

  /** Seconds since 1970 by the kernel's clock. */
  get kernelNow() {
    return Date.now() / 1000 + this.clockOffset;
  }

  /** @param {() => void} redraw @returns {() => void} unsubscribes */
  subscribe(redraw) {
    this.#subscribers.add(redraw);
    return () => {
      this.#subscribers.delete(redraw);
      // Nobody looks any more: bytes of videos are let go.
      if (this.#subscribers.size === 0) this.openings.show([]);
    };
  }

  close() {
    this.#subscribers.clear();
    this.kernel.close();
    this.composition.close();
    clearTimeout(this.#historyTimer);
  }

  /** Asks for everything. */
  async refresh() {
    if (this.#refreshing) return;
    this.#refreshing = true;
    try {
      const { msg } = await this.ask("snapshot");
      this.connected = true;
      this.#begin(msg);
    } catch (error) {
      // A refusal is still an answer; anything else means that nothing could be sent.
      this.connected = error instanceof Refused;
      if (this.connected) this.fault = /** @type {Error} */ (error).message;
    }
    this.#refreshing = false;
    this.redraw();
  }

  /** @param {import("./protocol.js").Snapshot} snapshot */
  #begin(snapshot) {
    this.ready = true;
    this.clockOffset = snapshot.now - Date.now() / 1000;
    this.catalogue = snapshot.catalogue;
    this.composition.begin(snapshot);
    this.jobs.replace(snapshot.jobs);
    if (this.history.everything) this.history.begin(snapshot.history);
    else void this.history.refresh();
  }

  /** Does something at the reader's wish; where it fails, says why.
   * @template Result @param {() => Promise<Result>} act @returns {Promise<Result | null>} */
  async attempt(act) {
    this.fault = this.note = "";
    try {
      return await act();
    } catch (error) {
      this.fault = error instanceof Error ? error.message : String(error);
      return null;
    } finally {
      this.redraw();
    }
  }

  /** @param {boolean} again whether it is to be another take */
  generate(again) {
    return this.attempt(async () => {
      const row = await this.composition.submit(again);
      if (!row) return;
      this.jobs.add(row);
      this.open(row.id);
      void this.composition.review();
    });
  }

  /** @param {string} id */
  cancel(id) {
    return this.attempt(async () => {
      this.note = (await this.ask("cancel", { job: id })).msg.outcome;
    });
  }

  /** Takes up an unfinished submission of the ledger. @param {string} id */
  resume(id) {
    return this.attempt(async () => {
      this.jobs.add((await this.ask("resume", { job: id })).msg.job);
      this.openings.show([]);
      this.open(id);
    });
  }

  /** Puts what a job was made from into the compose area. @param {string} id */
  reuse(id) {
    return this.attempt(async () => {
      const { msg } = await this.ask("reuse", { job: id });
      await this.composition.choose(msg.endpoint, msg.values);
      if (msg.missing.length) {
        this.note = `Choose again, the file is not kept: ${msg.missing.join(", ")}`;
      }
    });
  }

  clear() {
    return this.attempt(async () => {
      this.jobs.replace((await this.ask("clear")).msg.jobs);
    });
  }

  /** Looks at a job. @param {string} id */
  open(id) {
    this.marked = [];
    this.openings.show([id]);
  }

  /** Marks a job to be compared, or takes the mark away. With two, both are opened.
   * @param {string} id */
  mark(id) {
    const rest = this.marked.filter((one) => one !== id);
    this.marked = rest.length < this.marked.length ? rest : [...rest, id].slice(-2);
    if (this.marked.length === 2) this.openings.show(this.marked);
    else this.redraw();
  }

  /** A small picture of a file of the compose area; rejects where there is none. @param {string} file */
  preview(file) {
    const asked =
      this.previews.get(file) ??
      this.kernel.ask(/** @type {any} */ ("preview"), { file }).then(({ buffers: [jpeg] }) => {
        if (!jpeg) throw new Error("no picture");
        return new Blob([bytesOf(jpeg)], { type: "image/jpeg" });
      });
    asked.catch(() => {});
    this.previews.set(file, asked);
    return asked;
  }

  /** @param {string} id @returns {Row | null} */
  row(id) {
    return this.jobs.get(id) ?? this.history.find(id);
  }

  /** @param {any} content @param {DataView[]} buffers */
  #receive(content, buffers) {
    this.connected = true;
    if (content?.kind === "reply") this.kernel.answer(content, buffers);
    if (content?.kind === "draft") void this.composition.other(content.msg);
    if (content?.kind === "fault") {
      this.fault = content.msg.error;
      this.redraw();
    }
    if (content?.kind !== "update") return;
    const { ended, complete } = this.jobs.update(content.msg.jobs);
    for (const { id } of content.msg.jobs) {
      const row = this.jobs.get(id);
      if (row) this.openings.touch(row);
    }
    for (const row of ended) announce(this.model.get("notices"), row);
    if (!complete) void this.refresh();
    if (ended.length) void this.composition.review();
    const news = content.msg.jobs.some((/** @type {object} */ job) => "prompt" in job);
    if (ended.length || news) this.#historyChanged();
    this.redraw();
  }

  #historyChanged() {
    clearTimeout(this.#historyTimer);
    this.#historyTimer = setTimeout(() => void this.history.refresh(), HISTORY_PAUSE_MS);
  }

  /** Brings all views up to date. */
  redraw() {
    for (const redraw of this.#subscribers) redraw();
  }
}
