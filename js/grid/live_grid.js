import { said } from "../job/element.js";
import { bytesOf, fetchFootage } from "../job/footage.js";
import { Kernel, Refused } from "../job/kernel.js";

/** @typedef {import("./protocol.js").GridModel} GridModel */
/** @typedef {import("./protocol.js").Cell} Cell */
/** @typedef {import("./protocol.js").Snapshot} Snapshot */
/** @typedef {ReturnType<typeof liveGrid>} LiveGrid */

/**
 * One sweep as a page sees it, shared by all views of a model. Fields change, then every subscriber
 * is called. Nothing here touches the page.
 *
 * @param {import("@anywidget/types").AnyModel<GridModel>} model
 */
export function liveGrid(model) {
  /** @type {Set<() => void>} */
  const subscribers = new Set();
  /** @type {Map<number, Promise<Blob>>} */
  const posters = new Map();
  /** @type {Map<number, Promise<Blob>>} */
  const files = new Map();
  /** @type {number[]} */
  const revisions = [];
  let newest = -1;
  let clockOffset = 0; // seconds by which the kernel's clock is ahead of the browser's
  const redraw = () => {
    for (const one of subscribers) one();
  };
  const kernel = new Kernel(model, redraw, () => {
    live.connected = false;
    newest = -1;
    revisions.length = 0;
    void refresh();
  });

  const live = {
    kernel,
    id: model.get("sweep_id"),
    /** @type {Snapshot | null} */
    whole: null,
    /** @type {Cell[]} */
    cells: [],
    /** False once the kernel is known to be gone. */
    connected: true,
    /** What came of a cancel, for the user to read. */
    outcome: "",
    cancelling: false,

    /** How far it is; the model says so until the kernel has answered. */
    get summary() {
      return live.whole?.summary ?? model.get("summary");
    },

    /** Seconds since 1970 by the kernel's clock. */
    kernelNow: () => Date.now() / 1000 + clockOffset,

    /** @param {() => void} draw @returns {() => void} unsubscribes */
    subscribe(draw) {
      subscribers.add(draw);
      return () => void subscribers.delete(draw);
    },

    close() {
      subscribers.clear();
      kernel.close();
    },

    /** A small picture of a cell's video. @param {number} cell */
    poster(cell) {
      return kept(posters, cell, () =>
        kernel
          .ask("poster", { cell })
          .then(({ buffers: [jpeg] }) => new Blob(jpeg ? [bytesOf(jpeg)] : [])),
      );
    },

    /** The file of a cell, fetched from the kernel once. @param {number} cell */
    file(cell) {
      return kept(files, cell, () =>
        fetchFootage(
          { ask: (kind, msg, patience) => kernel.ask(kind, { ...msg, cell }, patience) },
          cell,
          () => {},
        ).then(({ blob }) => blob),
      );
    },

    /** Asks for the end of the whole, or of one cell. @param {number} [cell] */
    async cancel(cell) {
      if (live.cancelling) return;
      live.cancelling = true;
      redraw();
      live.outcome = await kernel
        .ask("cancel", cell === undefined ? {} : { cell })
        .then(({ msg }) => msg.outcome ?? "", said);
      live.cancelling = false;
      redraw();
    },
  };

  const refresh = async () => {
    try {
      const { msg } = await kernel.ask("snapshot");
      live.connected = true;
      clockOffset = msg.now - Date.now() / 1000;
      take(msg);
    } catch (error) {
      live.connected = error instanceof Refused;
    }
    redraw();
  };

  /** Takes a snapshot or an update; of each cell, what is newest. @param {Snapshot} msg */
  const take = (msg) => {
    const { revision } = msg;
    if (revision > newest || !live.whole) {
      newest = revision;
      live.whole = { ...live.whole, ...msg };
    } else {
      live.whole = { ...msg, ...live.whole };
    }
    for (const one of msg.cells) {
      if (revision < (revisions[one.cell] ?? 0)) continue;
      revisions[one.cell] = revision;
      live.cells[one.cell] = one;
    }
  };

  model.on("msg:custom", (content, buffers) => {
    const { kind, msg } = content ?? {};
    if (kind === "reply") return kernel.answer(content, buffers);
    if (kind === "update") {
      live.connected = true;
      if (live.whole) take(msg);
    }
    redraw();
  });
  void refresh();
  return live;
}

/** What `make` gave for a key before; a failure is not kept.
 * @template T @param {Map<number, Promise<T>>} store @param {number} key @param {() => Promise<T>} make */
function kept(store, key, make) {
  const found = store.get(key);
  if (found) return found;
  const made = make();
  store.set(key, made);
  made.catch(() => store.delete(key));
  return made;
}
