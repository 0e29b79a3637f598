import { arrange, button, div, element } from "../shared/dom.js";
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
 * @param {object} options
 * @param {Values} [options.values] what it begins with; defaults are filled in
 * @param {() => void} options.onChange called after every change by the reader
 * @param {MediaPicker} options.mediaPicker draws images, videos and audio
 */
export function createForm(controls, { values = {}, onChange, mediaPicker }) {
  /** @type {ReturnType<typeof row>[]} */
  let rows = [];
  const [usual, seldom] = [div("controls"), div("controls")];
  const more = element("details", "more", {}, element("summary", "summary", {}, "More"), seldom);
  const all = element("fieldset", "all", {}, usual, more);
  const node = element("form", "form", { autocomplete: "off", onsubmit: () => false }, all);
  const form = {
    node,
    /** What is set now. What is left out is the default. @returns {Values} */
    values: () => Object.fromEntries(rows.flatMap((made) => made.entry())),
    /**
     * Starts again with other values. What shows the same value already is left alone, with the cursor in it.
     *
     * @param {Values} given
     * @param {Values} [edits] what the reader has changed of them, null for a default
     */
    setValues(given, edits = {}) {
      for (const made of rows) made.begin(given, edits);
      if (rows.some((made) => seldom.contains(made.node) && made.entry().length)) more.open = true;
    },
    /**
     * Takes the controls of another endpoint. Fields that both have stay, with what is typed in them.
     *
     * @param {Control[]} next
     * @param {Values} given @param {Values} [edits]
     */
    setControls(next, given, edits = {}) {
      const held = cursorIn(node);
      const before = rows;
      rows = next.map(
        (control) =>
          before.find((made) => made.adapt(control)) ?? row(control, mediaPicker, onChange),
      );
      const words = next.find(({ kind }) => kind === "text")?.name;
      // What few requests need folds away: lists of shots, references, what shall not be seen.
      const rare = rows.filter(
        ({ kind, name, list }) => /text|json|line/.test(kind) && name !== words && !list,
      );
      const nodes = (/** @type {typeof rows} */ some) => some.map((made) => made.node);
      arrange(usual, nodes(rows.filter((made) => !rare.includes(made))));
      arrange(seldom, nodes(rare));
      more.hidden = !rare.length;
      for (const made of before) if (!rows.includes(made)) made.destroy();
      form.setValues(given, edits);
      if (held && !node.contains(document.activeElement)) setCursor(node, held);
    },
    /** Names of the parameters that differ from what it began with. @returns {string[]} */
    changed: () => rows.flatMap((made) => (made.changed() ? made.name : [])),
    /** Names of the parameters that were changed by hand. @returns {string[]} */
    touched: () => rows.flatMap((made) => (made.touched() ? made.name : [])),
    /** @param {boolean} disabled */
    setDisabled(disabled) {
      all.disabled = disabled;
    },
    destroy() {
      for (const made of rows) made.destroy();
      node.remove();
    },
  };
  form.setControls(controls, values);
  return form;
}

/** Where the reader writes: in which parameter, in which of its inputs, and the selection there.
 * @typedef {{name: string, at: number, start: number | null, end: number | null}} Cursor */

/** What can have the cursor. */
const INPUTS = "input, textarea, select, button";

/** @param {HTMLElement} form @returns {Cursor | null} null where the focus is elsewhere */
export function cursorIn(form) {
  const { activeElement: active } = document;
  if (!active || !form.contains(active)) return null;
  const field = [...form.querySelectorAll("[data-name]")].find((one) => one.contains(active));
  if (!field) return null;
  const at = [...field.querySelectorAll(INPUTS)].indexOf(active);
  const { selectionStart: start = null, selectionEnd: end = null } =
    /** @type {HTMLInputElement} */ (active);
  return { name: /** @type {HTMLElement} */ (field).dataset.name ?? "", at, start, end };
}

/** Puts the cursor where it was in another form, or in this one before. @param {HTMLElement} form @param {Cursor} cursor */
export function setCursor(form, { name, at, start, end }) {
  const field = form.querySelector(`[data-name="${CSS.escape(name)}"]`);
  const node = /** @type {HTMLInputElement | undefined} */ (field?.querySelectorAll(INPUTS)[at]);
  if (!node) return;
  node.focus({ preventScroll: true });
  if (start !== null && node.selectionStart !== null) node.setSelectionRange(start, end);
}

/** What the field of a parameter is made for; texts can take the rest from another endpoint.
 * @param {Control} control */
function shapeOf({ description, required, max_length, ...shape }) {
  const soft = /text|line|json|media/.test(shape.kind) && !shape.fields.length;
  return soft ? { ...shape, default: null } : { ...shape, description, required };
}

/**
 * One parameter: its label, its field, and the way back.
 *
 * @param {Control} control
 * @param {MediaPicker} mediaPicker
 * @param {() => void} onChange
 */
function row(control, mediaPicker, onChange) {
  const { name, label, kind, fields } = control;
  const list = fields.length > 0;
  let about = control;
  /** @type {any} */
  let first = null;
  let [drawn, touched] = [false, false];
  const current = () => field.read() ?? about.default;
  const changed = () => !same(current(), first);
  const mark = () => {
    node.toggleAttribute("data-changed", changed());
    back.hidden = !changed();
  };
  const report = () => {
    touched = true;
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
    : kind === "media"
      ? mediaPicker(control, report)
      : fieldOf(control);
  const undo = () => {
    field.show(first);
    touched = false;
    mark();
    onChange();
    const focus = field.node.querySelector("input") ?? field.node;
    focus.focus();
  };
  const back = button("↺", undo, "undo", {
    ariaLabel: `Undo the change of ${label}`,
    title: "Undo",
  });
  const title = element("span", "label", {}, label);
  const need = element("span", "need", { title: "Required", ariaHidden: "true" }, " *");
  title.append(need);
  need.hidden = !control.required;
  const head = element("div", "head", {}, title, back);
  const node = element("div", "field", { "data-kind": kind, "data-name": name }, head, field.node);
  field.node.addEventListener("input", report);
  return {
    name,
    kind,
    list,
    node,
    changed,
    touched: () => touched,
    /** Becomes the row of another endpoint's control, if that is as good. @param {Control} given @returns {boolean} */
    adapt(given) {
      if (!same(shapeOf(about), shapeOf(given))) return false;
      about = given;
      need.hidden = !given.required;
      field.adapt?.(given);
      return true;
    },
    /** @returns {[name: string, value: any][]} */
    entry() {
      const value = field.read();
      return value === null || same(value, about.default) ? [] : [[name, value]];
    },
    /** @param {Values} values @param {Values} edits */
    begin(values, edits) {
      touched = name in edits;
      first = settingOf(about, values);
      const value = settingOf(about, touched ? edits : values);
      if (!drawn || !same(current(), value)) field.show(value);
      drawn = true;
      mark();
    },
    destroy: () => field.destroy?.(),
  };
}
