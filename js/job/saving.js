import { element } from "./element.js";

/** How long a browser may take to begin with a file. */
const BEGUN_MS = 10_000;

/**
 * Has the browser save a file: from where a server has it, else the bytes that are here.
 *
 * @param {string | null | undefined} url
 * @param {import("./footage.js").Footage} footage
 */
export function saveAs(url, { blob, name = "" }) {
  if (!url && !blob) return;
  const href = url ?? URL.createObjectURL(/** @type {Blob} */ (blob));
  element("a", "", { href, download: name }).click();
  if (!url) setTimeout(() => URL.revokeObjectURL(href), BEGUN_MS);
}
