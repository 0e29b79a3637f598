import { resultParts } from "../result/view.js";
import { coverRule, hasCard } from "../shared/card.js";
import { arrange as arrangeNodes, button, element, scrolling, write } from "../shared/dom.js";
import { keepKeys } from "../shared/keys.js";
import { menu } from "../shared/menu.js";
import { GONE, LOCAL_PREVIEW, unansweredWords, upper } from "../shared/words.js";
import { filmTools, movable, shotTools } from "./board.js";
import { inSequence, together } from "./playback.js";
import { hasEnded, tile } from "./tile.js";

/** @typedef {import("./live_grid.js").LiveGrid} LiveGrid */
/** @typedef {import("./tile.js").Tile} Tile */

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
  /** @type {import("./playback.js").Playback | null} */
  let player = null;
  /** What only a storyboard has. @type {{tools: ReturnType<typeof shotTools>, film: import("../shared/dom.js").Part} | null} */
  let board = null;
  const tools = element("div", "sw-player");
  const head = header(live);
  const body = element("div", "sw-body");
  const opened = openedCell(live);
  const cover = element("style", "");
  const root = element(
    "section",
    "sweep kling-widget",
    {
      "data-kling-job": live.id,
      ariaLabel: "Kling videos",
      // What is typed in an opened cell is not for all videos.
      onkeydown(/** @type {KeyboardEvent & {target: any}} */ event) {
        if (opened.node.contains(event.target) || event.target.closest(".kling-sw-film")) return;
        player?.onkeydown(event);
        if (!event.defaultPrevented) board?.tools.onkeydown(event);
      },
    },
    cover,
    head.node,
    tools,
    body,
    opened.node,
  );
  const full = () => {
    const change = document.fullscreenElement
      ? document.exitFullscreen()
      : root.requestFullscreen();
    change.catch(() => {}); // this page may not
  };
  /** @type {Record<string, () => void>} */
  const press = document.fullscreenEnabled ? { full } : {};
  const releaseKeys = keepKeys(root);
  const sight = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const one = tiles.find(({ node }) => node === target);
      if (!one || one.seen === isIntersecting) continue;
      one.see(isIntersecting);
      void player?.moved(one);
    }
  });
  /** Puts the shots of a storyboard in their order. */
  const arrange = () => {
    const sequence = shots ?? begin();
    const order = live.shots.map(({ cell }) => cell);
    if (`${order}` !== `${tiles.map(({ index }) => index)}`) {
      const was = sequence.play.current()?.one;
      const at = was ? tiles.indexOf(was) : 0;
      tiles = order.map((cell) => known.get(cell) ?? made(cell));
      for (const one of known.values()) if (!tiles.includes(one)) one.leave();
      arrangeNodes(
        sequence.strip,
        tiles.map(({ node }) => node),
      );
      const now = was && tiles.includes(was) ? tiles.indexOf(was) : Math.min(at, tiles.length - 1);
      void sequence.play.go(now);
    }
    for (const [at, one] of tiles.entries()) one.number(at + 1);
  };
  /** @type {Map<number, Tile>} */
  const known = new Map();
  /** @type {{play: ReturnType<typeof inSequence>, strip: HTMLElement} | null} */
  let shots = null;
  const monitor = { node: element("div", "sw-monitor"), go: goTo };
  function goTo(/** @type {number} */ cell) {
    void shots?.play.go(tiles.findIndex(({ index }) => index === cell));
  }
  /** @param {number} cell */
  const made = (cell) => {
    const prompt = live.cells[cell]?.prompt ?? "";
    const one = tile(live, cell, prompt, true, () => player?.toggle(), monitor);
    known.set(cell, one);
    sight.observe(one.node);
    return one;
  };
  const begin = () => {
    const play = inSequence(() => tiles, press);
    const about = { tabIndex: 0, role: "region", ariaLabel: "Shots in order" };
    const strip = scrolling(element("div", "sw-strip", about));
    board = { tools: shotTools(live, play.place), film: filmTools(live) };
    movable(live, strip, () => tiles);
    tools.append(monitor.node, play.node);
    body.append(board.tools.points, strip, board.film.node, board.tools.node);
    player = play;
    shots = { play, strip };
    return shots;
  };
  const update = () => {
    head.update();
    if (live.whole?.board) arrange();
    else if (live.whole && !tiles.length) {
      const made = sheet(live, () => player?.toggle());
      player = together(() => tiles, press);
      tools.append(player.node);
      tiles = made.tiles;
      body.append(made.node);
      for (const one of tiles) sight.observe(one.node);
    }
    for (const one of tiles) one.update();
    opened.update();
    root.toggleAttribute("data-planned", live.whole?.started === false);
    player?.draw();
    board?.tools.update();
    board?.film.update();
    cover.textContent = live.whole ? coverRule(live.id) : "";
    root.style.display = live.kernel.missing && hasCard(live.id) ? "none" : "";
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
    opened.close?.();
    board?.tools.close?.();
    board?.film.close?.();
    for (const one of new Set([...tiles, ...known.values()])) one.close();
    root.remove();
  };
}

/** The cell that is opened, in the view that a job has everywhere.
 * @param {LiveGrid} live @returns {import("../shared/dom.js").Part} */
function openedCell(live) {
  const close = button("✕", () => live.open(), "sw-close", { ariaLabel: "Close" });
  const title = element("strong", "sw-title");
  const place = element("div", "result");
  const bar = element("div", "sw-line", {}, title, close);
  const node = element("section", "sw-opened", { ariaLabel: "Opened cell" }, bar, place);
  /** @type {typeof live.opened} */
  let drawn = null;
  /** @type {ReturnType<typeof resultParts> | null} */
  let parts = null;
  let unsubscribe = () => {};
  const leave = () => {
    unsubscribe();
    parts?.close();
    parts = null;
    place.replaceChildren();
  };
  const draw = () => {
    if (!parts && drawn?.result.shown.about.key) {
      parts = resultParts(drawn.result);
      place.replaceChildren(...parts.nodes);
    }
    parts?.update();
    /** @type {HTMLElement | null} */
    const prompt = place.querySelector("[data-kind=text] textarea");
    if (live.writing && prompt) {
      live.writing = false;
      // Who writes elsewhere by now is left alone.
      if (!document.activeElement?.matches(":read-write")) prompt.focus();
    }
  };
  return {
    node,
    update() {
      if (drawn !== live.opened) {
        leave();
        drawn = live.opened;
        unsubscribe = drawn ? drawn.result.subscribe(draw) : () => {};
        const names = drawn?.cells.map((cell) => live.whole?.captions[cell] ?? "");
        write(title, names?.join(" | ") ?? "");
      }
      node.hidden = !drawn;
      draw();
    },
    close: leave,
  };
}

/** What it is, what it costs, how far it is. @param {LiveGrid} live */
function header(live) {
  const title = element("strong", "sw-title", {});
  const badge = element("span", "badge", { hidden: true }, LOCAL_PREVIEW);
  const status = element("span", "sw-status", { role: "status" });
  const cancel = button("Cancel all", () => void live.cancel());
  const start = button("Start", () => {}, "primary");
  start.onclick = ({ detail }) => void (detail > 1 || live.start());
  const price = element("div", "sw-price");
  const note = element("div", "why", {
    role: "status",
    hidden: true,
    "data-state": "UNCERTAIN",
  });
  const size = element("input", "range kling-sw-size", {
    type: "range",
    min: 120,
    max: 480,
    step: 20,
    value: "220",
    ariaLabel: "Size of the videos",
    title: "Size of the videos",
    oninput() {
      const { style } = /** @type {HTMLElement} */ (size.closest(".kling-sweep"));
      style.setProperty("--kling-sw-size", `${size.value}px`);
      style.setProperty("--kling-sw-tall", `${size.value}px`);
    },
  });
  const contact = menu("Contact sheet ▾", "Contact sheet", () => [
    { label: "HTML, its videos play", act: () => void save(false) },
    { label: "PNG, one image", act: () => void save(true) },
  ]);
  const save = async (/** @type {boolean} */ png) => {
    contact.opener.disabled = true;
    await live.saveSheet(png, bar);
    contact.opener.disabled = false;
  };
  const sized = element("label", "sw-sized", {}, "Size", size);
  const right = element("div", "sw-tools", {}, sized, contact.node, start, cancel);
  const bar = element("div", "sw-line", {}, title, badge, status, right);
  return {
    node: element("header", "sw-head", {}, bar, price, note),
    update() {
      const { whole } = live;
      write(title, whole?.title ?? "");
      badge.hidden = !whole?.local;
      write(status, live.summary);
      write(price, whole?.done ? "" : (whole?.price ?? ""));
      const running = Boolean(whole) && !whole?.done && live.cells.some((cell) => !hasEnded(cell));
      write(start, `Start · ${whole?.start_price}`);
      start.hidden = !whole || whole.started || !live.connected;
      write(cancel, live.asked === "cancel" ? "Cancelling…" : "Cancel all");
      cancel.hidden = !running || !whole?.started || !live.connected;
      start.ariaDisabled = cancel.ariaDisabled = `${Boolean(live.asked)}`;
      contact.node.hidden = !live.connected || !live.cells.some((one) => one?.width);
      write(
        note,
        live.connected
          ? unansweredWords(live.kernel) || live.outcome
          : whole?.done
            ? GONE.cells
            : GONE.grid,
      );
    },
  };
}

/** Names of parameters as the form has them. @param {string} names */
const axis = (names) => upper(names.replaceAll("_", " "));

/**
 * All cells: a table of two axes with their headings, or one after the other.
 *
 * @param {LiveGrid} live with its snapshot
 * @param {() => void} press
 */
function sheet(live, press) {
  const whole = /** @type {import("./protocol.js").Snapshot} */ (live.whole);
  const { places, captions, rows, columns } = whole;
  const tiles = captions.map((caption, at) => tile(live, at, caption, !places, press));
  const nodes = tiles.map(({ node }) => node);
  if (!places) return { tiles, node: element("div", "sw-flow", {}, ...nodes) };

  const axes = [`${axis(whole.row_axis)} ↓`, `${axis(whole.column_axis)} →`];
  const corner = element(
    "td",
    "sw-corner",
    {},
    ...axes.map((text) => element("div", "", {}, text)),
  );
  const heads = columns.map((text) =>
    element("th", "sw-column", { scope: "col", dir: "auto" }, text),
  );
  const body = rows.map((text, row) => {
    const side = element(
      "th",
      "sw-row",
      { scope: "row", dir: "auto", title: text },
      element("div", "", {}, text),
    );
    const cells = columns.map((_, column) => {
      const at = places.findIndex(([r, c]) => r === row && c === column);
      return element("td", "", {}, ...(nodes[at] ? [nodes[at]] : []));
    });
    return element("tr", "", {}, side, ...cells);
  });
  const table = element(
    "table",
    "sw-table",
    {},
    element("thead", "", {}, element("tr", "", {}, corner, ...heads)),
    element("tbody", "", {}, ...body),
  );
  const about = { tabIndex: 0, role: "region", ariaLabel: "Cells of the sweep" };
  return { tiles, node: scrolling(element("div", "sw-scroll", about, table)) };
}
