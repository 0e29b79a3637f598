import { same } from "../controls/value.js";
import { said } from "./element.js";
import { bytesOf, fetchFootage } from "./footage.js";
import { Kernel, Refused } from "./kernel.js";
import { newTakeOf } from "./new_take.js";
import { TRAITS } from "./protocol.js";
import { JobRecord, noFootage } from "./record.js";

/** @typedef {import("./protocol.js").JobModel} JobModel */
/** @typedef {import("@anywidget/types").AnyModel<JobModel>} Model */
/** @typedef {ReturnType<typeof liveJob>} LiveJob */

/** How long files stay in memory with nothing showing them: outputs are replaced, not only removed. */
const KEPT_UNSEEN_MS = 10_000;

/**
 * One widget as a page sees it: its takes, and which of them is shown. Shared by all views of a
 * model, so that they agree.
 *
 * Fields change, then every subscriber is called. Nothing here touches the page.
 *
 * @param {Model} model
 */
export function liveJob(model) {
  /** @type {Set<() => void>} */
  const subscribers = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let unseen;
  let refreshing = false;
  let clockOffset = 0; // seconds by which the kernel's clock is ahead of the browser's

  const read = () =>
    /** @type {JobModel} */ (Object.fromEntries(TRAITS.map((name) => [name, model.get(name)])));
  const redraw = () => {
    for (const one of subscribers) one();
  };
  const kernel = new Kernel(model, redraw, () => {
    live.connected = refreshing = false;
    void refresh();
  });
  const named = (/** @type {number} */ key) => live.takes.find(({ about }) => about.key === key);

  const live = {
    kernel,
    newTake: newTakeOf(kernel, redraw),
    takes: [new JobRecord(read())],
    /** The take beside the one shown, if any. @type {JobRecord | null} */
    other: null,
    /** @type {import("../controls/value.js").Control[]} */
    controls: [],
    /** False once the kernel is known to be gone. */
    connected: true,
    cancelling: { asked: false, outcome: "" },
    /** What a player leaves behind for the next one, by take or for all; and what is folded open. */
    left: {
      places: /** @type {Map<number, import("./frames.js").Place>} */ (new Map()),
      whole: true,
      speed: 1,
      open: /** @type {Map<string, boolean>} */ (new Map()),
    },

    /** The take that is shown. @returns {JobRecord} */
    get record() {
      return /** @type {JobRecord} */ (live.takes[model.get("take") - 1] ?? live.takes.at(-1));
    },

    /** Seconds since 1970 by the kernel's clock. */
    kernelNow: () => Date.now() / 1000 + clockOffset,

    /** @param {() => void} draw @returns {() => void} unsubscribes */
    subscribe(draw) {
      clearTimeout(unseen);
      subscribers.add(draw);
      return () => {
        subscribers.delete(draw);
        if (subscribers.size) return;
        unseen = setTimeout(() => {
          for (const take of live.takes) if (take.footage.blob) take.footage = noFootage();
        }, KEPT_UNSEEN_MS);
      };
    },

    close() {
      subscribers.clear();
      kernel.close();
      live.newTake.close();
      clearTimeout(unseen);
    },

    /** Asks the kernel to cancel the job; the outcome is for the user to read. */
    async cancel() {
      if (live.cancelling.asked) return;
      live.cancelling = { asked: true, outcome: "" };
      redraw();
      await told("cancel");
    },

    /** Takes a job up again whose result fal may have. */
    resume: () => told("resume"),

    /** Shows another take, in all views and for Python. @param {JobRecord} take */
    choose(take) {
      model.set("take", live.takes.indexOf(take) + 1);
      model.save_changes();
    },

    /** Puts a take beside the one shown, or away. @param {JobRecord | null} take */
    compare(take) {
      live.other = take;
      redraw();
    },

    /** A small picture of a take. @param {JobRecord} take */
    poster(take) {
      take.poster ??= kernel
        .ask("poster", { key: take.about.key })
        .then(({ buffers: [jpeg] }) => new Blob(jpeg ? [bytesOf(jpeg)] : []));
      return take.poster;
    },

    /** Fetches the file of a take, once; after a failure it may be called again. @param {JobRecord} take */
    loadFootage(take) {
      const set = (/** @type {Partial<import("./footage.js").Footage>} */ change) => {
        take.footage = { ...take.footage, ...change };
        redraw();
      };
      if (!/^load/.test(take.footage.phase)) {
        set({ phase: "loading", received: 0, total: 0, error: "" });
        take.fetching = fetchFootage(kernel, take.about.key, (received, total) =>
          set({ received, total }),
        ).then(
          (file) => set({ phase: "loaded", ...file }),
          (error) => set({ phase: "failed", error: said(error) }),
        );
      }
      return take.fetching;
    },
    redraw,
  };

  /** Sends a command about the take shown, and tells what came of it.
   * @param {"cancel" | "resume"} kind */
  const told = async (kind) => {
    const asked = kernel.ask(kind, { key: live.record.about.key });
    const outcome = await asked.then(({ msg }) => msg.outcome ?? "", said);
    live.cancelling = { asked: false, outcome };
    redraw();
  };

  /** Takes the strip as the kernel has it. What was shown from the traits alone gets its key.
   * @param {import("./protocol.js").TakeEntry[]} entries */
  const arrange = (entries) => {
    const keyless = named(0);
    live.takes = entries.map((entry) => {
      const fits = keyless?.about.job_id === entry.job_id && keyless;
      const take = named(entry.key) ?? (fits || new JobRecord(entry));
      take.entry(entry);
      return take;
    });
    if (live.other && !live.takes.includes(live.other)) live.other = null;
  };

  /** Asks for all takes, and for all lines of the one shown. */
  const refresh = async () => {
    if (refreshing) return;
    refreshing = true;
    const { record } = live;
    const { key } = record.about;
    try {
      const { msg } = await kernel.ask("snapshot", key ? { key } : {});
      const snapshot = /** @type {import("./protocol.js").Snapshot} */ (msg);
      live.connected = true;
      clockOffset = snapshot.now - Date.now() / 1000;
      if (!same(live.controls, snapshot.controls)) live.controls = snapshot.controls;
      arrange(snapshot.takes);
      const take = named(snapshot.key);
      take?.update(snapshot);
      if (take) take.complete = true;
    } catch (error) {
      // A refusal is still an answer; anything else means that nothing could be sent.
      live.connected = error instanceof Refused;
      record.complete = true;
    }
    refreshing = false;
    shown();
  };

  /** Something else is shown, or more is known of it. */
  const shown = () => {
    if (live.other === live.record) live.other = null;
    if (!live.record.complete && live.connected) void refresh();
    redraw();
  };

  model.on("msg:custom", (content, buffers) => {
    const { kind, msg } = content ?? {};
    if (kind === "reply") return kernel.answer(content, buffers);
    live.connected = true;
    if (kind === "takes") arrange(msg.takes);
    if (kind === "update") {
      const take = named(msg.key);
      if (take && !take.update(msg)) take.complete = false;
    }
    shown();
  });
  model.on("change:state", () => {
    live.record.retrait(read());
    redraw();
  });
  model.on("change:take", shown);
  void refresh();
  return live;
}
