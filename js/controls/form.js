import { button, element } from "../shared/dom.js";
import { fieldOf } from "./fields.js";
import { same, settingOf } from "./value.js";

/** @typedef {import("./value.js").Control} Control */
/** @typedef {import("./value.js").Values} Values */
/** @typedef {import("./fields.js").Field} Field */

/**
 * Draws a field for a media parameter; it calls `onChange` when its value changes.
 *
 * @typedef {(control: Control, onChange: () => void) => Field & {destroy?: () => void}} MediaPicker
 */

/**
 * The controls of an endpoint, as its schema implies them. What differs from the values it began
 * with is marked, and can be put back one by one.
 *
 * @param {Control[]} controls
 * @param {object} [options]
 * @param {Values} [options.values] what it begins with; defaults are filled in
 * @param {() => void} [options.onChange] called after every change by the reader
 * @param {MediaPicker} [options.mediaPicker] draws pictures, videos and sounds; without one they
 *   are paths or addresses to type
 */
export function createForm(controls, { values = {}, onChange = () => {}, mediaPicker } = {}) {
  const rows = controls.map((control) => row(control, mediaPicker, onChange));
  const all = element("fieldset", "controls", {}, ...rows.map(({ node }) => node));
  const node = element("form", "form", { autocomplete: "off", onsubmit: () => false }, all);
  const form = {
    node,
    /** What is set now. What is left out is the default. @returns {Values} */
    values: () => Object.fromEntries(rows.flatMap((made) => made.entry())),
    /** Starts again with other values. @param {Values} given */
    setValues(given) {
      for (const made of rows) made.begin(given);
    },
    /** Names of the parameters that differ from what it began with. @returns {string[]} */
    changed: () => rows.flatMap((made) => (made.changed() ? made.name : [])),
    /** @param {boolean} disabled */
    setDisabled(disabled) {
      all.disabled = disabled;
    },
    destroy() {
      for (const made of rows) made.destroy();
      node.remove();
    },
  };
  form.setValues(values);
  return form;
}

/**
 * One parameter: its label, its field, and the way back.
 *
 * @param {Control} control
 * @param {MediaPicker | undefined} mediaPicker
 * @param {() => void} onChange
 */
function row(control, mediaPicker, onChange) {
  const { name, label, kind } = control;
  /** @type {any} */
  let first = null;
  const changed = () => !same(field.read() ?? control.default, first);
  const mark = () => {
    node.toggleAttribute("data-changed", changed());
    back.hidden = !changed();
  };
  const report = () => {
    mark();
    onChange();
  };
  /** @type {Field & {destroy?: () => void}} */
  const field = kind === "media" && mediaPicker ? mediaPicker(control, report) : fieldOf(control);
  const undo = () => {
    field.show(first);
    report();
    const focus = field.node.querySelector("input") ?? field.node;
    focus.focus();
  };
  const back = button("↺", undo, "undo", {
    ariaLabel: `Undo the change of ${label}`,
    title: "Undo",
  });
  const head = element("div", "head", {}, element("span", "label", {}, label), back);
  const node = element("div", "field", { "data-kind": kind }, head, field.node);
  field.node.addEventListener("input", report);
  return {
    name,
    node,
    changed,
    /** @returns {[name: string, value: any][]} */
    entry() {
      const value = field.read();
      return value === null || same(value, control.default) ? [] : [[name, value]];
    },
    /** @param {Values} values */
    begin(values) {
      first = settingOf(control, values);
      field.show(first);
      mark();
    },
    destroy: () => field.destroy?.(),
  };
}
