import { button, div, element, span, write } from "../shared/dom.js";
import { inLine } from "../shared/words.js";
import { same } from "./value.js";

/** @typedef {import("./value.js").Control} Control */
/** @typedef {import("./value.js").Values} Values */
/** @typedef {{node: HTMLElement, values: () => Values, destroy: () => void}} Form */

/**
 * A list of objects: the shots of a video with their seconds, or elements with their images. Each has a
 * small form. Objects that nobody touches keep the values that they came with, so that the request stays
 * the same.
 *
 * @param {Control} control
 * @param {(fields: Control[], values: Values, onEdit: () => void) => Form} formOf
 * @param {() => void} onChange
 * @returns {import("./fields.js").Field & {destroy: () => void}}
 */
export function rowsOf(control, formOf, onChange) {
  const { fields, label, description, max_items: most } = control;
  const names = new Set(fields.map(({ name }) => name));
  const defaults = Object.fromEntries(
    fields.flatMap(({ name, default: value }) => (value === null ? [] : [[name, value]])),
  );
  // "name them in the prompt as @Element1"
  const token = description.match(/@[A-Z]\w*?(?=1\b)/)?.[0] ?? "";
  /** @type {{node: HTMLElement, name: HTMLElement, form: Form, given: Values}[]} */
  let rows = [];
  /** What is no list of objects, such as a text that was cut. @type {any} */
  let other = null;
  const list = div("rows-list");
  const total = span("total");
  const add = button("+ Add", () => append({}, true), "", { ariaLabel: `Add to ${label}` });
  const node = element("div", "list", { role: "group", ariaLabel: label }, list);
  node.append(div("list-line", add, total));
  const entryOf = (/** @type {typeof rows[number]} */ { form, given }) => {
    const kept = Object.entries(given).filter(([name]) => !names.has(name));
    const now = { ...Object.fromEntries(kept), ...defaults, ...form.values() };
    return same(now, { ...defaults, ...given }) ? given : now;
  };
  const read = () => {
    const values = rows.map(entryOf).filter((value) => !same(value, {}));
    return values.length ? values : other;
  };
  const draw = () => {
    rows.forEach((row, at) => {
      row.name.textContent = `${token}${at + 1}`;
    });
    const timed = fields.find(({ unit }) => unit === "s");
    const sum = rows.reduce(
      (seconds, row) => seconds + Number(timed ? { ...defaults, ...entryOf(row) }[timed.name] : 0),
      0,
    );
    write(
      total,
      rows.length > 1 && sum ? `${inLine([`${rows.length} shots`, `${sum} s`])} in all` : "",
    );
    add.hidden = most !== null && rows.length >= most;
  };
  const report = () => {
    draw();
    onChange();
  };
  const append = (/** @type {Values} */ given, wanted = false) => {
    const form = formOf(fields, given, report);
    const name = token
      ? button("", () => insert(node, name.textContent ?? ""), "", {
          title: "Put it into the prompt",
        })
      : span("label");
    const away = button("✕", () => remove(row), "remove", { ariaLabel: `Remove from ${label}` });
    const row = {
      form,
      given,
      name,
      node: div("list-item", div("list-line", name, away), form.node),
    };
    rows.push(row);
    list.append(row.node);
    if (!wanted) return;
    other = null;
    report();
    /** @type {HTMLElement | null} */ (form.node.querySelector("textarea, input"))?.focus();
  };
  const remove = (/** @type {typeof rows[number]} */ row) => {
    row.form.destroy();
    row.node.remove();
    rows = rows.filter((one) => one !== row);
    report();
    add.focus();
  };
  const destroy = () => {
    for (const { form, node: old } of rows) {
      form.destroy();
      old.remove();
    }
    rows = [];
  };
  return {
    node,
    read,
    show(given) {
      if (same(given, read())) return;
      destroy();
      const objects = Array.isArray(given) && given.every((one) => one?.constructor === Object);
      other = objects ? null : given;
      for (const one of objects ? given : []) append(one);
      draw();
    },
    destroy,
  };
}

/** Puts a name into the prompt, where the cursor was. @param {HTMLElement} node @param {string} name */
function insert(node, name) {
  /** @type {HTMLTextAreaElement | null | undefined} */
  const prompt = node.closest("form")?.querySelector("[data-kind=text] textarea");
  if (!prompt) return;
  const { selectionStart: start, selectionEnd: end, value } = prompt;
  const gap = start && !/\s$/.test(value.slice(0, start)) ? " " : "";
  prompt.setRangeText(`${gap}${name} `, start, end, "end");
  prompt.dispatchEvent(new Event("input", { bubbles: true }));
  prompt.focus();
}
