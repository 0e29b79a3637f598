import { drawSteps, stepButton } from "../result/trouble.js";
import { coverRule, hasCard } from "../shared/card.js";
import {
  arrange as arrangeNodes,
  button,
  div,
  element,
  scrolling,
  span,
  write,
} from "../shared/dom.js";
import { keepKeys } from "../shared/keys.js";
import { menu } from "../shared/menu.js";
import { stateChip } from "../shared/state.js";
import {
  inLine,
  LOCAL_PREVIEW,
  label,
  RESTARTED,
  unansweredWords,
  upper,
} from "../shared/words.js";
import { filmTools, movable, shotTools } from "./board.js";
import { inSequence, together } from "./playback.js";
import { resultPlace } from "./result_place.js";
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
  const head = header(live);
  const size = sizeSlider();
  const tools = div("sw-player");
  const body = div("sw-body");
  const opened = openedCell(live);
  const cover = element("style", "");
  const root = element(
    "section",
    "sweep kling-widget",
    {
      "data-kling-job": live.id,
      ariaLabel: "Kling videos",
      // What is typed in an opened cell is not for all videos, and arrows at the size change the size.
      onkeydown(/** @type {KeyboardEvent & {target: any}} */ event) {
        const { target } = event;
        if (opened.node.contains(target) || target.closest(".kling-sw-film, .kling-sw-sized"))
          return;
        player?.onkeydown(event);
        if (!event.defaultPrevented) board?.tools.onkeydown(event);
      },
    },
    cover,
    head.node,
    head.note,
    tools,
    body,
    opened.node,
  );
  const full = () => (shots ? tools : root);
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
  const monitor = { node: div("sw-monitor"), go: goTo };
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
    const play = inSequence(
      () => tiles,
      full,
      () => board?.tools.update(),
    );
    const about = { tabIndex: 0, role: "region", ariaLabel: "Shots in order" };
    const strip = scrolling(element("div", "sw-strip", about));
    board = { tools: shotTools(live, play.place), film: filmTools(live) };
    movable(live, strip, () => tiles);
    const { head: top, taken, points, form, node } = board.tools;
    body.before(top);
    body.classList.add("kling-sw-board");
    play.node.append(size);
    tools.append(monitor.node, play.node);
    body.append(tools, taken, div("sw-edit", points, strip, board.film.node), form, node);
    player = play;
    shots = { play, strip };
    return shots;
  };
  const update = () => {
    const focused = /** @type {HTMLElement | null} */ (document.activeElement);
    const near = root.contains(focused) && focused?.closest(".kling-sw-tile, .kling-sw-head");
    head.update();
    if (live.whole?.board) arrange();
    else if (live.whole && !tiles.length) {
      const made = sheet(live, () => player?.toggle());
      player = together(() => tiles, full);
      player.node.append(size);
      tools.append(player.node);
      tiles = made.tiles;
      body.append(made.node);
      for (const one of tiles) sight.observe(one.node);
    }
    for (const one of tiles) one.update();
    opened.update();
    player?.draw();
    board?.tools.update();
    board?.film.update();
    cover.textContent = live.whole ? coverRule(live.id) : "";
    root.style.display = live.kernel.missing && hasCard(live.id) ? "none" : "";
    // With a button that goes, the focus would be lost.
    if (near instanceof HTMLElement && !focused?.checkVisibility()) near.focus();
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

/** The cell that is opened, as a result; of one that has no job, why.
 * @param {LiveGrid} live @returns {import("../shared/dom.js").Part} */
function openedCell(live) {
  const close = button("✕", () => live.open(), "", { ariaLabel: "Close" });
  const title = element("strong", "sw-title");
  const words = span("");
  const steps = div("steps");
  const start = stepButton("start", () => void live.again("retry", drawn?.cells[0] ?? -1));
  const why = element("div", "why", { "data-state": "FAILED" }, words, steps);
  const body = div("result", why);
  const about = { ariaLabel: "Opened cell", tabIndex: -1 };
  const node = element("section", "sw-opened", about, div("sw-line", title, close), body);
  const result = resultPlace(body, body);
  /** @type {typeof live.opened} */
  let drawn = null;
  /** What opened the cell here, and gets the focus back. @type {Element | null} */
  let opener = null;
  const bringIntoView = () => opener && node.scrollIntoView({ block: "nearest" });
  const draw = () => {
    const cell = drawn && !drawn.result ? live.cells[drawn.cells[0] ?? -1] : null;
    write(words, cell ? inLine([cell.message, live.refused.get(cell.cell)], "\n") : "");
    drawSteps(steps, { start }, live.connected ? (cell?.steps ?? []) : [], cell?.price);
    why.hidden = words.hidden;
    if (result.draw()) bringIntoView();
    /** @type {HTMLElement | null} */
    const prompt = body.querySelector("[data-kind=text] textarea");
    if (live.writing && prompt) {
      live.writing = false;
      // Who writes elsewhere by now is left alone.
      if (!document.activeElement?.matches(":read-write")) prompt.focus();
    }
  };
  const turn = () => {
    const focused = document.activeElement;
    const here = node.contains(focused);
    drawn = live.opened;
    result.show(drawn?.result ?? null, draw);
    const names = drawn?.cells.map((cell) => live.whole?.captions[cell] ?? "");
    write(title, names?.join(" | ") ?? "");
    node.hidden = !drawn;
    if (here && drawn && !node.contains(document.activeElement))
      node.focus({ preventScroll: true });
    if (!drawn) {
      if (here && opener instanceof HTMLElement) opener.focus();
      opener = null;
    } else if (!here && focused && node.parentElement?.contains(focused)) {
      opener = focused;
      node.focus({ preventScroll: true });
      bringIntoView();
    }
  };
  node.hidden = true;
  return {
    node,
    update() {
      if (drawn !== live.opened) turn();
      draw();
    },
    close: result.close,
  };
}

/** The state, what it is, how far it is and what it costs. @param {LiveGrid} live */
function header(live) {
  const chip = stateChip();
  const place = span("chip-place", chip.node);
  const title = span("title");
  const badge = span("badge", LOCAL_PREVIEW);
  const facts = element("span", "time", { role: "status" });
  const cancel = button("Cancel all", () => void live.cancel(), "sw-cancel");
  const start = button("Start", () => {}, "primary");
  start.onclick = ({ detail }) => void (detail > 1 || live.start());
  const note = element("div", "why", {
    role: "status",
    "data-state": "UNCERTAIN",
  });
  const contact = menu("Contact sheet ▾", "Contact sheet", () => [
    { label: "HTML, its videos play", act: () => void save(false) },
    { label: "PNG, one image", act: () => void save(true) },
  ]);
  const save = async (/** @type {boolean} */ png) => {
    contact.opener.disabled = true;
    await live.saveSheet(png, node);
    contact.opener.disabled = false;
  };
  const names = span("names", title, badge, facts);
  const node = element(
    "header",
    "bar kling-sw-head",
    { tabIndex: -1 },
    place,
    names,
    start,
    cancel,
    contact.node,
  );
  return {
    node,
    note,
    update() {
      const { whole, cells, connected, following } = live;
      const planned = whole?.started === false;
      write(title, whole?.title ?? "");
      badge.hidden = !whole?.local || Boolean(whole.board); // the header of the shot has it
      place.hidden = !whole;
      const running = Boolean(whole) && !whole?.done && cells.some((cell) => !hasEnded(cell));
      if (running && !planned && !following) chip.draw("LOST");
      else if (whole) chip.draw(...stateOf(whole, cells));
      write(facts, planned ? whole.price : inLine([live.summary, whole?.money]));
      write(start, `Start · ${whole?.start_price}`);
      start.hidden = !planned || !connected;
      write(cancel, live.asked === "cancel" ? "Cancelling…" : "Cancel all");
      cancel.hidden = !running || planned || !following;
      start.ariaDisabled = cancel.ariaDisabled = `${Boolean(live.asked)}`;
      contact.node.hidden = !connected || !cells.some((one) => one?.width);
      write(note, connected ? unansweredWords(live.kernel) || live.outcome : goneWords(whole));
    },
  };
}

/** What to do once the kernel is gone. @param {import("./protocol.js").Snapshot | null} whole */
function goneWords(whole) {
  const aim = whole?.board
    ? "change the storyboard"
    : whole?.started === false
      ? "start it: nothing was sent"
      : whole?.done
        ? "open cells or make more: nothing is paid for twice"
        : whole?.local
          ? "make the others again"
          : "get jobs back, which go on at fal: nothing is paid for twice";
  return `${RESTARTED} Run the cell again to ${aim}.`;
}

/** States of a cell that runs, from the one that says most about the whole on. */
const FOREMOST = /** @type {const} */ (["IN_PROGRESS", "DOWNLOADING", "IN_QUEUE", "SUBMITTING"]);

/**
 * The state of the whole, and its words: that of its foremost cell while it runs. Of one that ended, the state of
 * all cells.
 *
 * @param {import("./protocol.js").Snapshot} whole
 * @param {import("./protocol.js").Cell[]} cells
 * @returns {[state: import("./protocol.js").Cell["state"], words: string]}
 */
function stateOf({ started }, cells) {
  if (!started) return ["WAITING", label("WAITING")];
  const states = new Set(cells.map(({ state }) => state));
  const [first = "WAITING", ...others] = states;
  const running = FOREMOST.find((state) => states.has(state));
  if (running) {
    const held = cells.every(({ state, held }) => held || state !== running);
    return [running, label(running, held)];
  }
  // Between two cells, the next one is about to be submitted.
  if (states.has("WAITING")) return ["WAITING", label("WAITING", true)];
  return others.length ? ["UNCERTAIN", "Incomplete"] : [first, label(first)];
}

/** Makes the videos larger or smaller than they are at first. */
function sizeSlider() {
  const slider = element("input", "range kling-sw-size", {
    type: "range",
    min: 0.5,
    max: 3,
    step: 0.1,
    value: "1",
    ariaLabel: "Size of the videos",
    title: "Size of the videos",
    oninput() {
      const { style } = /** @type {HTMLElement} */ (slider.closest(".kling-sweep"));
      style.setProperty("--kling-sw-scale", slider.value);
      slider.ariaValueText = `${Math.round(slider.valueAsNumber * 100)} %`;
    },
  });
  return element("label", "sw-sized", {}, "Size", slider);
}

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
  if (!places) return { tiles, node: div("sw-flow", ...nodes) };

  const axes = [`${upper(whole.row_axis)} ↓`, `${upper(whole.column_axis)} →`];
  const corner = element("td", "sw-corner", {}, ...axes.map((text) => div("", text)));
  const heads = columns.map((text) =>
    element("th", "sw-column", { scope: "col", dir: "auto" }, text),
  );
  const body = rows.map((text, row) => {
    const side = element("th", "sw-row", { scope: "row", dir: "auto", title: text }, div("", text));
    const cells = columns.map((_, column) => {
      const at = places.findIndex(([r, c]) => r === row && c === column);
      // Where there is room for one column, each cell says which it would be in.
      const name = element(
        "div",
        "sw-named",
        { ariaHidden: "true", dir: "auto" },
        columns[column] ?? "",
      );
      return element("td", "", {}, ...(nodes[at] ? [name, nodes[at]] : []));
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
  table.style.setProperty("--kling-sw-columns", `${columns.length}`);
  const about = { tabIndex: 0, role: "region", ariaLabel: "Cells of the sweep" };
  return { tiles, node: scrolling(element("div", "sw-scroll", about, table)) };
}
