import { div, element, newId, write } from "../shared/dom.js";
import { inLine, upper } from "../shared/words.js";
import { search } from "./endpoint_search.js";
import { rowAfter } from "./virtual_list.js";

/** @typedef {import("./protocol.js").CatalogueRow} CatalogueRow */

/** Rows that PageUp and PageDown pass over. */
const SCREEN = 6;

/**
 * A field to search the catalogue in, a choice of kinds, and the list of what fits: with capabilities,
 * and what the composed request would cost there.
 *
 * @param {import("./live_panel.js").LivePanel} live
 * @returns {import("../shared/dom.js").Part}
 */
export function endpointChooser(live) {
  const id = newId("endpoints");
  const input = element("input", "input", {
    type: "text",
    role: "combobox",
    autocomplete: "off",
    spellcheck: false,
    "aria-label": "Endpoint",
    "aria-autocomplete": "list",
    "aria-expanded": "false",
    "aria-controls": id,
    placeholder: "Search the catalogue",
  });
  const kinds = element("select", "input", { "aria-label": "Kind of endpoint" });
  const list = element("div", "options", { id, role: "listbox", "aria-label": "Endpoints" });
  const about = div("quiet");
  list.hidden = true;
  /** @type {CatalogueRow[]} */
  let found = [];
  /** @type {HTMLElement[]} */
  let nodes = [];
  let active = -1;
  /** What the composed values cost, by endpoint. @type {Record<string, string>} */
  let prices = {};
  /** @type {unknown} */
  let catalogue = null;
  const current = () => live.catalogue.find(([name]) => name === live.composition.endpoint);
  const activate = (/** @type {number} */ at) => {
    nodes[active]?.setAttribute("aria-selected", "false");
    active = at;
    const node = nodes[at];
    node?.setAttribute("aria-selected", "true");
    node?.scrollIntoView({ block: "nearest" });
    if (node) input.setAttribute("aria-activedescendant", node.id);
    else input.removeAttribute("aria-activedescendant");
  };
  const draw = (/** @type {string} */ text) => {
    const fitting = search(live.catalogue, text).filter(
      ([, , , category]) => !kinds.value || category === kinds.value,
    );
    const first = text ? [] : fitting.filter(([, , , , , , recommended]) => recommended);
    found = [...first, ...fitting.filter((row) => !first.includes(row))];
    nodes = found.map((row, at) => option(row, prices[row[0]] ?? "", `${id}-${at}`));
    list.replaceChildren(
      ...(first.length
        ? [
            group("Recommended", nodes.slice(0, first.length)),
            group("All", nodes.slice(first.length)),
          ]
        : nodes),
    );
    if (found.length === 0) list.append(div("line-up kling-quiet", "No endpoint has these words."));
  };
  const show = (/** @type {string} */ text) => {
    if (list.hidden) void price();
    draw(text);
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    activate(text ? Math.min(0, found.length - 1) : -1);
  };
  /** Asks what the request would cost everywhere. */
  const price = async () => {
    const { values } = live.composition;
    const { msg } = await live.ask("prices", { values }).catch(() => ({ msg: { prices: {} } }));
    prices = msg.prices;
    for (const [at, node] of nodes.entries()) {
      const [endpoint, , , , listed] = found[at] ?? [""];
      const cost = node.lastElementChild;
      if (cost) cost.textContent = prices[endpoint] || (listed ?? "");
    }
  };
  const hide = () => {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
    input.value = current()?.[2] ?? live.composition.endpoint;
  };
  const pick = (/** @type {CatalogueRow | undefined} */ row) => {
    hide();
    if (!row || row[0] === live.composition.endpoint) return;
    void live.attempt(() => live.composition.choose(row[0]));
  };
  const open = () => {
    if (!list.hidden) return;
    input.select();
    show("");
  };
  input.onclick = open;
  input.oninput = () => show(input.value);
  input.onblur = hide;
  input.onkeydown = (event) => {
    const shown = !list.hidden;
    const to = rowAfter(event.key, active, found.length, SCREEN);
    if (shown && event.key === "Enter") pick(found[active]);
    else if (shown && event.key === "Escape") hide();
    else if (!shown && (event.key === "ArrowDown" || event.key === "Enter")) open();
    else if (shown && to !== null && event.key !== "Home" && event.key !== "End") activate(to);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  kinds.onchange = () => {
    input.focus();
    show("");
  };
  // Before the field loses the focus, which hides the list.
  list.onpointerdown = (event) => {
    event.preventDefault();
    const node = /** @type {Element} */ (event.target).closest('[role="option"]');
    if (node) pick(found[nodes.indexOf(/** @type {HTMLElement} */ (node))]);
  };
  return {
    node: div("chooser", div("combo", input, kinds, list), about),
    update() {
      if (catalogue !== live.catalogue) {
        catalogue = live.catalogue;
        const all = [...new Set(live.catalogue.map(([, , , category]) => category))].filter(
          Boolean,
        );
        const options = all.map((kind) => element("option", "", { value: kind }, kindWords(kind)));
        const { value } = kinds;
        kinds.replaceChildren(element("option", "", { value: "" }, "All kinds"), ...options);
        kinds.value = all.includes(value) ? value : "";
      }
      if (list.hidden) input.value = current()?.[2] ?? live.composition.endpoint;
      const [, short = "", , , listed = "", can = ""] = current() ?? [];
      write(about, inLine([short, can, listed]));
    },
  };
}

/** "text-to-video" as a person reads it. @param {string} kind */
const kindWords = (kind) => upper(kind.replaceAll("-", " "));

/** @param {string} name @param {HTMLElement[]} nodes */
function group(name, nodes) {
  const head = element("div", "group-name", { "aria-hidden": "true" }, name);
  return element("div", "", { role: "group", "aria-label": name }, head, ...nodes);
}

/** @param {CatalogueRow} row @param {string} cost of the request, where it is known @param {string} id */
function option([endpoint, short, title, category, listed, can], cost, id) {
  return element(
    "div",
    "option",
    { id, role: "option", "aria-selected": "false", title: endpoint },
    div("texts", div("words", title), div("about", inLine([short, kindWords(category), can]))),
    div("cost", cost || listed),
  );
}
