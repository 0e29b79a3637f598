/**
 * What a parameter's value is, apart from any page.
 *
 * A control as `kling_nb.catalog.Control.to_json()` gives it.
 *
 * @typedef {object} Control
 * @property {string} name
 * @property {"stepped" | "slider" | "choice" | "switch" | "text" | "line" | "media" | "json"} kind
 * @property {string} label
 * @property {string} description
 * @property {boolean} required
 * @property {any} default
 * @property {any[] | null} options
 * @property {number | null} minimum
 * @property {number | null} maximum
 * @property {number | null} step
 * @property {number | null} max_length
 * @property {"image" | "video" | "audio" | null} media
 * @property {boolean} many
 * @property {number | null} max_items
 * @property {string} unit of its numbers, such as "s"
 * @property {Control[]} fields of one object, where the value is a list of flat objects
 *
 * @typedef {Record<string, any>} Values by name; a parameter that is not given is left out
 */

/**
 * The value that counts: the one given, else the schema's default, else null.
 *
 * @param {Control} control
 * @param {Values} values
 */
export const settingOf = (control, values) => values[control.name] ?? control.default ?? null;

/** Whether two values ask for the same thing. The order of an object's keys does not count.
 * @param {any} one @param {any} other */
export const same = (one, other) => canonical(one) === canonical(other);

/**
 * What another page, or the kernel, says, with all that was changed here since both agreed.
 *
 * @param {Values} base on which both agreed
 * @param {Values} mine
 * @param {Values} theirs
 * @returns {Values}
 */
export function merged(base, mine, theirs) {
  const made = { ...theirs };
  for (const name of new Set([...Object.keys(base), ...Object.keys(mine)])) {
    if (same(base[name], mine[name])) continue;
    if (name in mine) made[name] = mine[name];
    else delete made[name];
  }
  return made;
}

/** @param {any} value */
function canonical(value) {
  return JSON.stringify(value ?? null, (_, part) =>
    part?.constructor === Object ? Object.fromEntries(Object.entries(part).sort()) : part,
  );
}

/**
 * Names of the parameters in which two inputs differ, defaults filled in, in the schema's order.
 *
 * @param {Control[]} controls
 * @param {Values} one
 * @param {Values} other
 */
export function differing(controls, one, other) {
  return controls
    .filter((control) => !same(settingOf(control, one), settingOf(control, other)))
    .map(({ name }) => name);
}

/**
 * A value as a person reads it.
 *
 * @param {any} value
 */
export function wordsOf(value) {
  if (value === null || value === undefined || value === "") return "not set";
  if (typeof value === "boolean") return value ? "on" : "off";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** The same with the unit of the parameter. @param {Control} control @param {any} value */
export const textOf = ({ unit }, value) =>
  unit && value != null && value !== "" ? `${wordsOf(value)} ${unit}` : wordsOf(value);

/**
 * Returns the value of typed text, or null if it is empty. If JSON is required and the text is not
 * JSON, it stays text, and the kernel reports what is wrong with it.
 *
 * @param {Control} control
 * @param {string} text
 */
export function typed(control, text) {
  if (!text.trim()) return null;
  return control.kind === "json" ? (parsed(text) ?? text) : text;
}

/**
 * The text that stands for a value, in a field to type in.
 *
 * @param {Control} control
 * @param {any} value
 */
export function asTyped(control, value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "string") return value;
  return JSON.stringify(value, null, control.kind === "json" ? 2 : 0);
}

/** What a JSON text says, undefined where it is none. @param {string} text */
export function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
