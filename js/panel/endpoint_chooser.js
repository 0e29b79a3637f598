import { div, element, newId } from "../shared/dom.js";
import { inLine } from "../shared/words.js";
import { search } from "./endpoint_search.js";
import { rowAfter } from "./virtual_list.js";

/** @typedef {import("./protocol.js").CatalogueRow} CatalogueRow */

/** Rows that PageUp and PageDown pass over. */
const SCREEN = 6;
/**
 * A field to search the catalogue in, and the list of what fits.
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
  const list = element("div", "options", { id, role: "listbox", "aria-label": "Endpoints" });
  const about = div("quiet");
  list.hidden = true;
  /** @type {CatalogueRow[]} */
  let found = [];
  let active = -1;
  const current = () => live.catalogue.find(([name]) => name === live.composition.endpoint);
  const activate = (/** @type {number} */ at) => {
    list.children[active]?.setAttribute("aria-selected", "false");
    active = at;
    const node = list.children[at];
    node?.setAttribute("aria-selected", "true");
    node?.scrollIntoView({ block: "nearest" });
    if (node) input.setAttribute("aria-activedescendant", node.id);
    else input.removeAttribute("aria-activedescendant");
  };
  const show = (/** @type {string} */ text) => {
    found = search(live.catalogue, text);
    list.replaceChildren(...found.map((row, at) => option(row, `${id}-${at}`)));
    if (found.length === 0) list.append(div("line-up kling-quiet", "No endpoint has these words."));
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    const at = found.findIndex(([name]) => name === live.composition.endpoint);
    activate(text ? Math.min(0, found.length - 1) : at);
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
  input.onclick = () => {
    if (!list.hidden) return;
    input.select();
    show("");
  };
  input.oninput = () => show(input.value);
  input.onblur = hide;
  input.onkeydown = (event) => {
    const open = !list.hidden;
    const to = rowAfter(event.key, active, found.length, SCREEN);
    if (open && event.key === "Enter") pick(found[active]);
    else if (open && event.key === "Escape") hide();
    else if (!open && (event.key === "ArrowDown" || event.key === "Enter")) {
      input.select();
      show("");
    } else if (open && to !== null && event.key !== "Home" && event.key !== "End") activate(to);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  // Before the field loses the focus, which hides the list.
  list.onpointerdown = (event) => {
    event.preventDefault();
    const node = /** @type {Element} */ (event.target).closest('[role="option"]');
    if (node) pick(found[[...list.children].indexOf(node)]);
  };
  return {
    node: div("chooser", div("combo", input, list), about),
    update() {
      if (list.hidden) input.value = current()?.[2] ?? live.composition.endpoint;
      const [, short = "", , category = "", price = ""] = current() ?? [];
      const text = inLine([short, category, price]);
      if (about.textContent !== text) about.textContent = text;
    },
  };
}

/** @param {CatalogueRow} row @param {string} id */
function option([endpoint, short, title, category, price], id) {
  return element(
    "div",
    "option",
    { id, role: "option", "aria-selected": "false", title: endpoint },
    div("words", title),
    div("about", inLine([short, category, price])),
  );
}
