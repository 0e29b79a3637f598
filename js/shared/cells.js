import { copyText } from "./copy.js";

/**
 * Hands a cell to the reader: below the cell that shows `node`, where the front end allows it, else on
 * the clipboard.
 *
 * @param {any} manager the widget manager of the front end
 * @param {HTMLElement} node
 * @param {string} source
 * @returns {Promise<string>} what was done, in words
 */
export async function handOver(manager, node, source) {
  const at = placeBelow(manager, node);
  if (at === null) return (await copyText(source, node)) ? "Copied" : "Not allowed here";
  manager.context.model.sharedModel.insertCell(at, { cell_type: "code", metadata: {}, source });
  // JupyterLab makes the cell that has the focus the active one.
  const enter = (/** @type {number} */ tries) => {
    const cell = node.closest(".jp-Notebook")?.querySelector(`[data-windowed-list-index="${at}"]`);
    const editor = /** @type {HTMLElement | undefined} */ (cell?.querySelector(".cm-content"));
    if (editor) editor.focus();
    else if (tries) requestAnimationFrame(() => enter(tries - 1));
  };
  requestAnimationFrame(() => enter(TRIES));
  return "Inserted below";
}

/** Frames in which a new cell appears on the page. */
const TRIES = 30;

/**
 * The number of a new cell below the one that shows `node`, or null where none can be inserted. The
 * widget manager of JupyterLab and Notebook 7 has the notebook; those of other front ends do not.
 *
 * @param {any} manager
 * @param {HTMLElement} node
 */
export function placeBelow(manager, node) {
  const cell = /** @type {HTMLElement | null} */ (node.closest(".jp-Cell"));
  const at = Number(cell?.dataset.windowedListIndex ?? Number.NaN);
  return manager?.context?.model?.sharedModel?.insertCell && at >= 0 ? at + 1 : null;
}
