import { Kernel, Refused } from "./kernel.js";

/** `outer` is the kernel of the view around this one, if there is one.
 * @typedef {import("@anywidget/types").AnyModel<any> & {outer?: Kernel}} Model */

/** Messages that are kept for when a snapshot is here. */
const KEPT = 50;

/** Beats that are not heard before a kernel counts as silent. */
const MISSED = 3;

/**
 * One widget as a page sees it, shared by all views of a model, so that they agree. Fields change,
 * then every subscriber is called. Nothing here touches the page.
 *
 * A widget's own class says what becomes of a snapshot (`begin`) and of a message (`receive`), and
 * asks for the first snapshot once it is ready (`refresh`).
 *
 * @abstract
 */
export class Live {
  /** False once the kernel is known to be gone. */
  connected = true;
  /** Seconds by which the kernel's clock is ahead of the browser's. */
  clockOffset = 0;
  /** @type {Set<() => void>} */
  #subscribers = new Set();
  #asking = false;
  /** What came since the question. The answer may have been read before it, and may be taken after it.
   * @type {[string, any][]} */
  #since = [];
  /** Seconds between two messages, at most, while a job runs; 0 where the kernel promises none. */
  #beat = 0;
  /** Seconds without a message. */
  #quiet = 0;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #ticking;

  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    const onBusyChange = () => {
      if (this.kernel.missing) this.connected = false;
      this.redraw();
    };
    this.kernel = new Kernel(model, onBusyChange, () => {
      this.connected = this.#asking = false;
      this.restart();
      void this.refresh();
    });
    model.on("msg:custom", (content, buffers) => {
      const { kind, msg } = content ?? {};
      const { silent } = this.kernel;
      this.kernel.heard();
      this.#quiet = 0;
      if (silent) this.redraw();
      if (kind === "reply") return this.kernel.answer(content, buffers);
      this.connected = true;
      if (kind === "beat") return; // that it came says all
      if (this.#asking && /update|takes/.test(kind)) this.#since.push([kind, msg]);
      if (this.#since.length > KEPT) this.#since.shift();
      this.receive(kind, msg);
    });
  }

  /** Whether a job runs of which the kernel tells. */
  get expecting() {
    return false;
  }

  /** False where no kernel follows the jobs, as far as one can tell. */
  get following() {
    return this.connected && !this.kernel.silent;
  }

  /** Seconds since 1970 by the kernel's clock. */
  get kernelNow() {
    return Date.now() / 1000 + this.clockOffset;
  }

  /** Takes what a snapshot says of the kernel. @param {{now: number, beat?: number}} snapshot */
  setClock({ now, beat = 0 }) {
    this.clockOffset = now - Date.now() / 1000;
    // A view in another view hears no beat, but knows of the other one's kernel.
    this.#beat = this.model.outer ? 0 : beat;
  }

  /** @param {() => void} draw @returns {() => void} unsubscribes */
  subscribe(draw) {
    this.#subscribers.add(draw);
    this.#ticking ??= setInterval(() => this.#tick(), 1000);
    this.seen(true);
    return () => {
      this.#subscribers.delete(draw);
      if (this.#subscribers.size) return;
      this.#stop();
      this.seen(false);
    };
  }

  /** Brings all views up to date. */
  redraw() {
    for (const draw of this.#subscribers) draw();
  }

  close() {
    this.#subscribers.clear();
    this.#stop();
    this.kernel.close();
  }

  /** Ticks are counted, and not the time: a page that slept has heard nothing either. */
  #tick() {
    if (!this.#beat || !this.expecting) this.#quiet = 0;
    else if (++this.#quiet === MISSED * this.#beat) this.kernel.doubt();
  }

  #stop() {
    clearInterval(this.#ticking);
    this.#ticking = undefined;
  }

  /** Asks for everything. */
  async refresh() {
    if (this.#asking) return;
    this.#asking = true;
    this.#since = [];
    const about = this.question();
    try {
      const { msg } = await this.kernel.ask("snapshot", about);
      this.connected = true;
      this.setClock(msg);
      this.begin(msg);
      for (const message of this.#since.splice(0)) this.receive(...message);
    } catch (error) {
      // A refusal is still an answer; anything else means that nothing could be sent.
      this.connected = error instanceof Refused;
      this.fail(error, about);
    }
    this.#asking = false;
    this.change();
  }

  /** What to ask a snapshot of. @returns {object} */
  question() {
    return {};
  }

  /** Takes a snapshot. @abstract @param {any} _snapshot */
  begin(_snapshot) {}

  /** Takes a message that answers nothing. @abstract @param {string} _kind @param {any} _msg */
  receive(_kind, _msg) {}

  /** There is no snapshot. @param {any} _error @param {object} _about what was asked */
  fail(_error, _about) {}

  /** The kernel has come or gone, so its counts are no longer valid. */
  restart() {}

  /** A view was added, or the last one was removed. @param {boolean} _any */
  seen(_any) {}

  /** More is known than before. */
  change() {
    this.redraw();
  }
}

/**
 * What anywidget loads: it calls this once for each model, then `render` for each view of it.
 *
 * @template {Live} Own
 * @param {new (model: any) => Own} LiveWidget
 * @param {(el: HTMLElement, live: Own) => () => void} mount shows the widget; returns its clean-up
 */
export const widgetOf = (LiveWidget, mount) => () => {
  /** @type {Own} */
  let live;
  return {
    /** @param {{model: Model}} about */
    initialize({ model }) {
      live = new LiveWidget(model);
      return () => live.close();
    },
    /** @param {{el: HTMLElement}} about */
    render: ({ el }) => mount(el, live),
  };
};
