/**
 * Keeps plain keys inside a widget: with the focus on a slider or a button, the notebook would
 * take `d d`, `x` or Delete for its own and remove the cell. Listeners inside of the widget get
 * their keys first; Ctrl, Meta and Alt combinations (save, undo) and Escape go on to the notebook.
 *
 * @param {HTMLElement} root outermost element of the widget
 * @returns {() => void} clean-up
 */
export function keepKeys(root) {
  // VS Code and Colab listen further out, in the bubbling phase.
  root.addEventListener("keydown", (event) => {
    if (isPlain(event)) event.stopPropagation();
  });
  // JupyterLab listens in the capturing phase. It looks for the attribute on the element that has
  // the focus, and on no other.
  const mark = (/** @type {KeyboardEvent & {target: any}} */ event) => {
    if (!root.contains(event.target)) return;
    event.target.toggleAttribute("data-lm-suppress-shortcuts", isPlain(event) || isUndo(event));
  };
  window.addEventListener("keydown", mark, true);
  return () => window.removeEventListener("keydown", mark, true);
}

/**
 * Whether a key is for the widget. Enter always is: with Ctrl or Alt it would run the cell, which
 * may cost money.
 *
 * @param {KeyboardEvent} event
 */
const isPlain = ({ key, ctrlKey, metaKey, altKey }) =>
  key === "Enter" || !(ctrlKey || metaKey || altKey || key === "Escape");

/** Whether a key takes back what was typed into a text field: JupyterLab would undo in the cell.
 * @param {KeyboardEvent & {target: any}} event */
const isUndo = ({ key, target }) => /^[yz]$/i.test(key) && target.matches(":read-write");
