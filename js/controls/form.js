import { button, element } from "../shared/dom.js";
import { fieldOf } from "./fields.js";
import { rowsOf } from "./rows.js";
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
  const words = controls.find(({ kind }) => kind === "text")?.name;
  // What few requests need folds away: lists of shots, references, what shall not be seen.
  const rare = rows.filter(
    ({ kind, name, list }) => /text|json|line/.test(kind) && name !== words && !list,
  );
  const grid = (/** @type {typeof rows} */ some) =>
    element("div", "controls", {}, ...some.map(({ node }) => node));
  const more = element("details", "more", {}, element("summary", "summary", {}, "More"));
  more.append(grid(rare));
  const all = element("fieldset", "all", {}, grid(rows.filter((made) => !rare.includes(made))));
  if (rare.length) all.append(more);
  const node = element("form", "form", { autocomplete: "off", onsubmit: () => false }, all);
  const form = {
    node,
    /** What is set now. What is left out is the default. @returns {Values} */
    values: () => Object.fromEntries(rows.flatMap((made) => made.entry())),
    /** Starts again with other values. @param {Values} given */
    setValues(given) {
      for (const made of rows) made.begin(given);
      if (rare.some((made) => made.entry().length)) more.open = true;
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
  const { name, label, kind, required, fields } = control;
  const list = fields.length > 0;
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
  const field = list
    ? rowsOf(
        control,
        (fields, values, onEdit) => createForm(fields, { values, onChange: onEdit, mediaPicker }),
        report,
      )
    : kind === "media" && mediaPicker
      ? mediaPicker(control, report)
      : fieldOf(control);
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
  const title = element("span", "label", {}, label);
  const need = element("span", "need", { title: "Required", ariaHidden: "true" }, " *");
  if (required) title.append(need);
  const head = element("div", "head", {}, title, back);
  const node = element("div", "field", { "data-kind": kind }, head, field.node);
  field.node.addEventListener("input", report);
  return {
    name,
    kind,
    list,
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
