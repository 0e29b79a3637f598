import { element, write } from "../shared/dom.js";
import { upper } from "../shared/words.js";
import { asTyped, parsed, same, textOf, typed, wordsOf } from "./value.js";

/** @typedef {import("./value.js").Control} Control */

/**
 * What draws one parameter. `read` gives null where nothing is set.
 *
 * @typedef {object} Field
 * @property {HTMLElement} node
 * @property {() => any} read
 * @property {(value: any) => void} show
 * @property {(control: Control) => void} [adapt] takes what another endpoint says of the same parameter
 */

/** Most options that lie side by side; more of them go into a list. */
const SIDE_BY_SIDE = 5;

/**
 * @param {Control} control
 * @returns {Field}
 */
export function fieldOf(control) {
  const { kind, options } = control;
  const few = (options ?? []).length <= SIDE_BY_SIDE;
  if (kind === "stepped" || kind === "slider")
    return options && few ? segments(control) : slider(control);
  if (kind === "choice") return few ? segments(control) : list(control);
  return kind === "switch" ? toggle(control) : typing(control);
}

/** Name and explanation of what is operated. @param {Control} control */
const named = ({ label, description, required }) => ({
  ariaLabel: label,
  title: description,
  ...(required && { ariaRequired: "true" }),
});

/**
 * A slider over numbers, or over the places of the options. Left of the first option is "not set".
 *
 * @param {Control} control
 * @returns {Field}
 */
function slider(control) {
  const { options, minimum, maximum, step } = control;
  /** @type {any} */
  let value = null;
  const tell = () => {
    range.ariaValueText = textOf(control, value);
    write(out, textOf(control, value));
  };
  const range = element("input", "range", {
    ...named(control),
    type: "range",
    min: options ? (control.default === null ? -1 : 0) : minimum,
    max: options ? options.length - 1 : maximum,
    step: options ? 1 : (step ?? "any"),
    oninput() {
      value = options ? (options[range.valueAsNumber] ?? null) : range.valueAsNumber;
      tell();
    },
  });
  const out = element("output", "reading");
  return {
    node: element("div", "slider", {}, range, out),
    read: () => value,
    show(given) {
      value = given;
      range.value = options
        ? options.findIndex((option) => same(option, given))
        : (given ?? minimum);
      tell();
    },
  };
}

/** Words side by side, one of them chosen. @param {Control} control @returns {Field} */
function segments(control) {
  const { name, label, description, options } = control;
  const pairs = (options ?? []).map((option) => ({
    option,
    radio: element("input", "", { type: "radio", name, title: description }),
  }));
  return {
    node: element(
      "div",
      "segments",
      { role: "radiogroup", ariaLabel: label },
      ...pairs.map(({ option, radio }) =>
        element("label", "segment", {}, radio, upper(textOf(control, option))),
      ),
    ),
    read: () => pairs.find(({ radio }) => radio.checked)?.option ?? null,
    show(given) {
      for (const { option, radio } of pairs) radio.checked = same(option, given);
    },
  };
}

/** @param {Control} control @returns {Field} */
function list(control) {
  const options = [null, ...(control.options ?? [])];
  const names = options.map((option) => element("option", "", {}, wordsOf(option)));
  const node = element("select", "input", named(control), ...names);
  return {
    node,
    read: () => options[node.selectedIndex],
    show: (given) => {
      node.selectedIndex = options.findIndex((option) => same(option, given));
    },
  };
}

/** @param {Control} control @returns {Field} */
function toggle(control) {
  const node = element("input", "switch", { ...named(control), type: "checkbox", role: "switch" });
  return {
    node,
    // Untouched, a switch without a default stays unset.
    read: () => (node.indeterminate ? null : node.checked),
    show(given) {
      node.checked = given === true;
      node.indeterminate = given === null;
    },
  };
}

/** Words, numbers without bounds, JSON. @param {Control} control @returns {Field} */
function typing(control) {
  const { kind } = control;
  const long = kind === "text" || kind === "json";
  const judge = () => {
    node.ariaInvalid = `${kind === "json" && node.value.trim() !== "" && parsed(node.value) === undefined}`;
  };
  const node = element(long ? "textarea" : "input", "input", {
    ...named(control),
    oninput: judge,
    ...(long ? { rows: kind === "text" ? 2 : 1 } : {}),
  });
  /** @param {Control} given */
  const adapt = ({ description, required, max_length: most }) => {
    node.title = description;
    node.ariaRequired = required ? "true" : null;
    if (most) node.maxLength = most;
    else node.removeAttribute("maxlength");
  };
  adapt(control);
  return {
    node,
    read: () => typed(control, node.value),
    show(given) {
      node.value = asTyped(control, given);
      judge();
    },
    adapt,
  };
}
