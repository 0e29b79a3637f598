import { button, element, write } from "./element.js";

const TOLD_MS = 1500;

/**
 * A button that copies a text, and says that it did.
 *
 * @param {string} label
 * @param {() => string} text
 */
export function copyButton(label, text) {
  const node = button(
    label,
    async () => {
      write(node, (await copy(text(), node)) ? "Copied" : "Not allowed here");
      setTimeout(() => {
        node.textContent = label;
      }, TOLD_MS);
    },
    "",
    { ariaLive: "polite" },
  );
  return node;
}

/** @param {string} text @param {HTMLElement} beside @returns {Promise<boolean>} */
async function copy(text, beside) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Pages that came over plain http have no clipboard; the old command works there.
    const box = element("textarea", "spoken", { value: text });
    beside.after(box); // in the widget, whose styles hide it
    box.select();
    const done = document.execCommand("copy");
    box.remove();
    beside.focus();
    return done;
  }
}
