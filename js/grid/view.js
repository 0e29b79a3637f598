import { coverRule } from "../job/card_cover.js";
import { button, element, write } from "../job/element.js";
import { BUSY } from "../job/words.js";
import { keepKeys } from "../shared/keys.js";
import { playback } from "./playback.js";
import { sequence } from "./sequence.js";
import { sheet } from "./sheet.js";
import { ended } from "./words.js";

/** @typedef {import("./live_grid.js").LiveGrid} LiveGrid */
/** @typedef {import("./tile.js").Tile} Tile */

const GONE =
  "The kernel was restarted or shut down. Jobs go on at fal: run the cell again to get them back. " +
  "Nothing is paid for twice.";

/**
 * Shows the sweep in `el`.
 *
 * @param {HTMLElement} el
 * @param {LiveGrid} live
 * @returns {() => void} clean-up
 */
export function mount(el, live) {
  /** @type {Tile[]} */
  let tiles = [];
  /** @type {ReturnType<typeof playback> | null} */
  let player = null;
  const tools = element("div", "sw-player");
  const head = header(live);
  const body = element("div", "sw-body");
  const cover = element("style", "");
  const root = element(
    "section",
    "sweep",
    {
      "data-kling-job": live.id,
      ariaLabel: "Kling videos",
      onkeydown: (/** @type {KeyboardEvent} */ event) => player?.onkeydown(event),
    },
    cover,
    head.node,
    tools,
    body,
  );
  const releaseKeys = keepKeys(root);
  const sight = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const one = tiles.find(({ node }) => node === target);
      if (!one || one.seen === isIntersecting) continue;
      one.see(isIntersecting);
      void player?.moved(one);
    }
  });
  const update = () => {
    head.update();
    if (live.whole && !tiles.length) {
      const play = live.whole.mode === "sequence" ? sequence : playback;
      const made = sheet(live, () => player?.toggle());
      player = play(() => tiles);
      tools.append(player.node);
      tiles = made.tiles;
      body.append(made.node);
      for (const one of tiles) sight.observe(one.node);
    }
    for (const one of tiles) one.update();
    player?.draw();
    cover.textContent = live.whole ? coverRule(live.id) : "";
  };
  el.append(root);
  update();
  const unsubscribe = live.subscribe(update);
  const ticking = setInterval(() => {
    if (!live.whole?.done) for (const one of tiles) one.update();
  }, 1000);
  return () => {
    unsubscribe();
    releaseKeys();
    clearInterval(ticking);
    sight.disconnect();
    player?.close();
    for (const one of tiles) one.close();
    root.remove();
  };
}

/** What it is, what it costs, how far it is. @param {LiveGrid} live */
function header(live) {
  const title = element("strong", "sw-title", {});
  const badge = element("span", "badge", { hidden: true }, "LOCAL PREVIEW");
  const status = element("span", "sw-status", { role: "status" });
  const cancel = button("Cancel all", () => void live.cancel());
  const price = element("div", "sw-price");
  const note = element("div", "why", {
    role: "status",
    hidden: true,
    "data-state": "UNCERTAIN",
  });
  const bar = element("div", "sw-line", {}, title, badge, status, cancel);
  return {
    node: element("header", "sw-head", {}, bar, price, note),
    update() {
      const { whole } = live;
      write(title, whole?.title ?? "");
      badge.hidden = !whole?.local;
      write(status, live.summary);
      write(price, whole?.price ?? "");
      const running = Boolean(whole) && !whole?.done && live.cells.some((cell) => !ended(cell));
      write(cancel, live.cancelling ? "Cancelling…" : "Cancel all");
      cancel.hidden = !running || !live.connected;
      cancel.ariaDisabled = `${live.cancelling}`;
      write(
        note,
        live.connected ? (live.kernel.busy ? BUSY : live.outcome) : whole?.done ? "" : GONE,
      );
    },
  };
}
