import { starsOf } from "../result/rating.js";
import { button, div, element, newId, span, write } from "../shared/dom.js";
import { stateChip } from "../shared/state.js";
import { ago, inLine, isFinished, label } from "../shared/words.js";
import { thumbnail } from "./job_face.js";
import { running } from "./running.js";
import { rowAfter, scrollFor, windowOf } from "./virtual_list.js";

/** @typedef {import("./live_panel.js").LivePanel} LivePanel */
/** @typedef {import("./protocol.js").Row} Row */

/** Pixels; style.css says the same. */
const ROW_HEIGHT = 52;
const SEARCH_PAUSE_MS = 200;
const TICK_MS = 20_000;

/**
 * Everything in the ledger, below what runs. Only the rows that are seen are on the page, and only pages of rows
 * that were seen have been asked for.
 *
 * @param {LivePanel} live
 * @returns {import("../shared/dom.js").Part}
 */
export function history(live) {
  const id = newId("history");
  const bar = filters(live);
  const top = running(live);
  const space = element("div", "space", { role: "presentation" });
  const list = element(
    "div",
    "window",
    {
      role: "listbox",
      tabIndex: 0,
      "aria-label": "Library",
      "aria-multiselectable": "true",
      title: "↑ ↓ go through the list, Enter opens, Space marks",
    },
    space,
  );
  const empty = div("line-up kling-quiet");
  const node = element(
    "section",
    "history",
    { "aria-label": "Library" },
    bar.node,
    top.node,
    empty,
    list,
  );
  /** By the job: where rows move, their small images move with them.
   * @type {Map<string, {node: HTMLElement, tick: () => void, row: Row | null, at: number}>} */
  let drawn = new Map();
  // "3 min ago" goes on while the panel is open.
  const ticking = setInterval(() => {
    for (const one of drawn.values()) one.tick();
  }, TICK_MS);
  let active = -1;
  const activate = (/** @type {number} */ at) => {
    active = at;
    list.scrollTop = scrollFor(at, list.scrollTop, list.clientHeight, ROW_HEIGHT);
    draw();
  };
  function draw() {
    const { total } = live.history;
    space.style.height = `${total * ROW_HEIGHT}px`;
    const { first, end } = windowOf(list.scrollTop, list.clientHeight, ROW_HEIGHT, total);
    live.history.need(first, end);
    const before = drawn;
    drawn = new Map();
    for (let at = first; at < end; at++) {
      const row = live.history.row(at);
      const key = row
        ? `${row.id} ${row.state} ${row.has_media} ${row.rating} ${live.following}`
        : `${at}`;
      const one = before.get(key) ?? { row, at, ...rowNode(live, row) };
      drawn.set(key, one);
      place(one, at, total);
    }
    for (const [key, { node: old }] of before) if (!drawn.has(key)) old.remove();
    const current = [...drawn.values()].find((one) => one.at === active);
    if (current?.row) list.setAttribute("aria-activedescendant", current.node.id);
    else list.removeAttribute("aria-activedescendant");
  }
  /** @param {{node: HTMLElement, row: Row | null, at: number}} one @param {number} at @param {number} total */
  function place(one, at, total) {
    const { node, row } = one;
    one.at = at;
    if (!node.isConnected) space.append(node);
    node.id = `${id}-${at}`;
    node.ariaSetSize = `${total}`;
    node.ariaPosInSet = `${at + 1}`;
    node.style.transform = `translateY(${at * ROW_HEIGHT}px)`;
    node.ariaSelected = `${row !== null && live.marked.includes(row.id)}`;
    node.toggleAttribute("data-active", at === active);
    node.toggleAttribute("data-open", live.openings.has(row?.id ?? ""));
  }
  list.onscroll = draw;
  list.onfocus = () => {
    if (active < 0 && live.history.total) activate(0);
  };
  list.onclick = (event) => {
    const target = /** @type {Element} */ (event.target);
    const found = [...drawn.values()].find((one) => one.node.contains(target));
    if (!found?.row) return;
    active = found.at;
    if (target.closest(".kling-mark")) live.mark(found.row.id);
    else live.open(found.row.id);
  };
  list.onkeydown = (event) => {
    const row = live.history.row(active);
    const screen = Math.max(1, Math.floor(list.clientHeight / ROW_HEIGHT) - 1);
    const to = rowAfter(event.key, active, live.history.total, screen);
    if (event.key === "Enter" && row) live.open(row.id);
    else if (event.key === " " && row) live.mark(row.id);
    else if (to !== null) activate(to);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const sized = new ResizeObserver(draw);
  sized.observe(list);
  return {
    node,
    update() {
      bar.update();
      bar.node.inert = !live.connected;
      top.update();
      const { total, error, everything } = live.history;
      const nothing = everything ? "Nothing was made yet." : "No job matches.";
      // Of a kernel that is gone, the top of the panel says all.
      write(empty, (live.connected && error) || (total === 0 && top.node.hidden ? nothing : ""));
      list.hidden = total === 0;
      draw();
    },
    close: () => {
      clearInterval(ticking);
      sized.disconnect();
      bar.close();
      top.close?.();
    },
  };
}

/** @param {LivePanel} live @param {Row | null} row */
function rowNode(live, row) {
  const node = element("div", "past", { role: "option" });
  if (!row) {
    node.append(span("", "…"));
    return { node, tick() {} };
  }
  const when = new Date((row.created_at - live.clockOffset) * 1000);
  const about = span("");
  const lost = !isFinished(row.state) && !live.following;
  const tick = () => {
    const place = row.backend === "local" ? "local preview" : "";
    write(about, inLine([ago(live.kernelNow - row.created_at), row.facts, row.short_name, place]));
  };
  tick();
  node.title = `${when.toLocaleString()} · ${row.endpoint}`;
  node.append(
    thumbnail(live, row),
    div(
      "texts",
      element("bdi", "words", {}, row.prompt),
      div(
        "about",
        stateChip(lost ? "LOST" : row.state).node,
        span("rated", starsOf(row.rating)),
        about,
      ),
    ),
    element(
      "span",
      "mark",
      { "aria-hidden": "true", title: "Mark to compare, or for a storyboard" },
      "✓",
    ),
  );
  return { node, tick };
}

const STUDIO = "studio";
/** What of the reader's decisions the library can keep to, or the library of the studio instead. */
const KEPT = /** @type {const} */ ([
  ["", "All ratings"],
  ["5", "5 stars"],
  ["4", "4 stars and up"],
  ["3", "3 stars and up"],
  ["1", "Rated"],
  ["chosen", "Chosen"],
  [STUDIO, "The studio's"],
]);

/** Search, and what to keep to. @param {LivePanel} live */
function filters(live) {
  const words = element("input", "input", {
    type: "search",
    placeholder: "Search prompts",
    "aria-label": "Search the library",
  });
  const endpoint = element("select", "input", { "aria-label": "Endpoint of the library" });
  const state = element("select", "input", { "aria-label": "State of the library" });
  const kept = element(
    "select",
    "input",
    { "aria-label": "Rating of the library" },
    ...KEPT.map(([value, text]) => element("option", "", { value }, text)),
  );
  kept.onchange = () => void live.history.look({ kept: kept.value });
  const count = element("span", "quiet", { role: "status" });
  const again = button("↻", () => void live.history.refresh(), "button", {
    "aria-label": "Refresh",
  });
  const film = button("Storyboard", () => void live.storyboard(), "button", {
    title: "Opens the marked videos as shots, in the order of their marks; else those made here",
  });
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  words.oninput = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      timer = undefined;
      void live.history.look({ search: words.value });
    }, SEARCH_PAUSE_MS);
  };
  endpoint.onchange = () => void live.history.look({ endpoint: endpoint.value });
  state.onchange = () => void live.history.look({ state: state.value });
  /** @type {unknown} */
  let drawn = null;
  const title = div("filter-head", element("h4", "", {}, "Library"), count, film, again);
  const choice = div("filter-line", words, endpoint, state, kept);
  return {
    node: element("div", "filters", { role: "search" }, title, choice),
    close: () => clearTimeout(timer),
    update() {
      const { tally, query } = live.history;
      const total = live.history.total + live.running.length;
      const text = `${total.toLocaleString("en")} ${total === 1 ? "job" : "jobs"}`;
      if (count.textContent !== text) count.textContent = text;
      if (drawn !== tally) {
        drawn = tally;
        const names = new Map(live.catalogue.map(([name, short]) => [name, short]));
        const short = (/** @type {string} */ name) => names.get(name) ?? name;
        choices(endpoint, "All endpoints", tally.endpoints, short);
        choices(state, "All states", tally.states, /** @type {(name: string) => string} */ (label));
      }
      if (document.activeElement !== words && words.value !== query.search && !timer)
        words.value = query.search;
      endpoint.value = query.endpoint;
      state.value = query.state;
      kept.value = query.kept;
      for (const one of kept.options) one.hidden = one.value === STUDIO && !live.studio;
      // The takes of a studio are listed as they are, the newest first.
      for (const one of [words, endpoint, state]) one.disabled = query.kept === STUDIO;
      film.hidden = live.shots.length < 2;
    },
  };
}

/** @param {HTMLSelectElement} select @param {string} all @param {Record<string, number>} tally @param {(name: string) => string} name */
function choices(select, all, tally, name) {
  const options = Object.entries(tally).map(([value, n]) =>
    element("option", "", { value }, `${name(value)} (${n.toLocaleString("en")})`),
  );
  select.replaceChildren(element("option", "", { value: "" }, all), ...options);
}
