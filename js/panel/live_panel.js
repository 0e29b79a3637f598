import { upload } from "../controls/media_picker.js";
import { MOST_COMPARED } from "../result/live_job.js";
import { frameIn } from "../shared/dragged.js";
import { posterIn } from "../shared/footage.js";
import { Live } from "../shared/live.js";
import { isFinished, messageOf } from "../shared/words.js";
import { Composition } from "./composition.js";
import { announce } from "./desktop_notice.js";
import { HistoryPages } from "./history_pages.js";
import { JobList } from "./job_list.js";
import { lostWords } from "./lost.js";
import { Openings } from "./openings.js";

/** @typedef {import("./protocol.js").PanelModel} PanelModel */
/** @typedef {import("./protocol.js").Command} Command */
/** @typedef {import("./protocol.js").Row} Row */
/** @typedef {import("@anywidget/types").AnyModel<PanelModel>} Model */

/** How long after a change of the jobs the history is asked for again. */
const HISTORY_PAUSE_MS = 300;

/** The panel as a page sees it. */
export class LivePanel extends Live {
  /** Whether the first snapshot is here. */
  ready = false;
  /** What went wrong last, for the reader. */
  fault = "";
  /** What is worth knowing and no fault. */
  note = "";
  /** @type {import("./protocol.js").CatalogueRow[]} */
  catalogue = [];
  jobs = new JobList();
  /** Small pictures of the files in the compose area, by file. @type {Map<string, Promise<Blob>>} */
  previews = new Map();
  /** Whether the next thing to do is to write a prompt. */
  prompting = false;
  /** Whether all of it is to be replaced. */
  replacing = false;
  /** Jobs marked to be compared, or to become a film, in their order. @type {string[]} */
  marked = [];
  /** Jobs that have ended since the library was read. @type {Set<string>} */
  #ended = new Set();
  /** Whether there is a library of a studio. */
  studio = false;
  /** The model of the storyboard that is open. */
  board = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #historyTimer;

  /** @param {Model} model */
  constructor(model) {
    super(model);
    const redraw = () => this.redraw();
    this.composition = new Composition((kind, msg) => this.ask(kind, msg), redraw);
    this.openings = new Openings(this.kernel, redraw, {
      compose: (next) => this.continueWith(next),
      reuse: (job) => void this.reuse(job),
      lostWords,
    });
    this.history = new HistoryPages(
      async (query) => (await this.ask("history", query)).msg,
      redraw,
    );
    model.on("change:notices", redraw);
    void this.refresh();
  }

  /** @override */
  get expecting() {
    return this.jobs.rows.some(({ state }) => !isFinished(state));
  }

  /** The files of the compose area. */
  get files() {
    return this.composition.files;
  }

  /** Asks the kernel. @param {Command} kind @param {object} [msg] */
  ask(kind, msg) {
    return this.kernel.ask(kind, msg);
  }

  /** @override */
  close() {
    super.close();
    this.composition.close();
    clearTimeout(this.#historyTimer);
  }

  /** @override */
  restart() {
    this.openings?.restart();
  }

  /** Lets go of the bytes of videos once there is no view. @override @param {boolean} any */
  seen(any) {
    if (!any) this.openings.show([]);
  }

  /** @override @param {import("./protocol.js").Snapshot} snapshot */
  begin(snapshot) {
    this.ready = true;
    this.catalogue = snapshot.catalogue;
    this.studio = snapshot.studio;
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
      this.fault = messageOf(error);
      return null;
    } finally {
      this.redraw();
    }
  }

  /** @param {boolean} again whether it is to be another take @param {number} [count] how many takes */
  generate(again, count) {
    return this.attempt(async () => {
      let first = true;
      await this.composition.submit(again, count, (row) => {
        this.jobs.add(row);
        if (first) this.open(row.id);
        first = false;
      });
    });
  }

  /** @param {string} id */
  cancel(id) {
    return this.attempt(async () => {
      this.note = (await this.ask("cancel", { job: id })).msg.outcome;
    });
  }

  /** Resumes an unfinished submission of the ledger. @param {string} id */
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
      const since = this.composition.values;
      const { msg } = await this.ask("reuse", { job: id });
      await this.composition.choose(msg.endpoint, msg.values, since);
      if (msg.missing.length) {
        this.note = `Choose again, the file is not kept: ${msg.missing.join(", ")}`;
      }
      this.prompting = true;
    });
  }

  /** The jobs that run, and those that have just ended and are not in the list yet. A kernel that is gone moves none
   * of them to the list any more, so those that are there already are left out here. */
  get running() {
    const here = this.jobs.rows.filter(
      ({ id, state }) => !isFinished(state) || this.#ended.has(id),
    );
    return this.connected ? here : here.filter(({ id }) => !this.history.find(id));
  }

  /** Puts a shot that begins with a frame into the compose area, for the reader to write its prompt.
   * @param {Promise<import("../shared/kernel.js").Answer>} next */
  async continueWith(next) {
    const since = this.composition.values;
    const { endpoint, start, values } = (await next).msg;
    const file = await frameIn(next);
    const mark = await upload(this.ask.bind(this), file, () => {});
    this.previews.set(mark.file, Promise.resolve(file));
    this.files.set(mark.file, mark);
    const { prompt } = since;
    const first = { ...(prompt && { prompt }), ...values, [start]: mark };
    await this.composition.choose(endpoint, first, since);
    this.prompting = this.replacing = true;
    this.redraw();
  }

  /** Looks at a job. @param {string} id */
  open(id) {
    if (!this.connected) return;
    this.marked = [];
    this.openings.show([id]);
  }

  /** Marks a job, or takes the mark away. Two to four are compared.
   * @param {string} id */
  mark(id) {
    if (!this.connected) return;
    const rest = this.marked.filter((one) => one !== id);
    this.marked = rest.length < this.marked.length ? rest : [...rest, id];
    const { length } = this.marked;
    if (length > 1 && length <= MOST_COMPARED) this.openings.show(this.marked);
    else this.redraw();
  }

  /** The jobs that a storyboard gets: those that are marked, else what was made here, in this order. */
  get shots() {
    const made = this.jobs.rows.filter(({ state, has_media }) => state === "READY" && has_media);
    return this.marked.length ? this.marked : made.map(({ id }) => id).reverse();
  }

  /** Opens a storyboard. */
  storyboard() {
    return this.attempt(async () => {
      const { msg } = await this.ask("storyboard", { jobs: this.shots });
      this.board = msg.model;
      this.marked = [];
      this.openings.show([]);
    });
  }

  /** A small picture of a file of the compose area; rejects where there is none. @param {string} file */
  preview(file) {
    const found = this.previews.get(file);
    if (found) return found;
    const asked = posterIn(this.ask("preview", { file }));
    asked.catch(() => {}); // the view has a place without it
    this.previews.set(file, asked);
    return asked;
  }

  /** @param {string} id @returns {Row | null} */
  row(id) {
    return this.jobs.get(id) ?? this.history.find(id);
  }

  /** @override @param {any} error */
  fail(error) {
    if (this.connected) this.fault = messageOf(error);
  }

  /** @override @param {string} kind @param {any} msg */
  receive(kind, msg) {
    if (kind === "result") {
      this.openings.receive(msg);
      // Perhaps it was rated.
      if (msg.kind === "update" && msg.msg.state === "READY") this.#historyChanged();
    }
    if (kind === "draft") void this.composition.other(msg);
    if (kind === "fault") {
      this.fault = msg.error;
      this.redraw();
    }
    if (kind === "update") this.#update(msg.jobs);
  }

  /** @param {any[]} changes of jobs in the queue */
  #update(changes) {
    const { ended, complete } = this.jobs.update(changes);
    for (const row of ended) {
      this.#ended.add(row.id);
      announce(this.model.get("notices"), row);
    }
    if (!complete) void this.refresh();
    if (ended.length) void this.composition.review();
    if (ended.length || changes.some((job) => "prompt" in job)) this.#historyChanged();
    this.redraw();
  }

  #historyChanged() {
    clearTimeout(this.#historyTimer);
    this.#historyTimer = setTimeout(async () => {
      const ended = [...this.#ended];
      await this.history.refresh();
      for (const id of ended) this.#ended.delete(id);
      this.redraw();
    }, HISTORY_PAUSE_MS);
  }
}
