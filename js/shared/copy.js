import { button, element, write } from "./dom.js";

const SHOWN_MS = 1500;

/**
 * A button that copies a text, and says that it did.
 *
 * @param {string} label
 * @param {() => string | null | Promise<string | null>} text null where there is nothing to copy
 * @param {{title?: string, onRefusal?: (text: string) => void}} [options] `onRefusal` is called
 *   where the page may not copy
 */
export function copyButton(label, text, { title = "", onRefusal = () => {} } = {}) {
  const node = button(
    label,
    async () => {
      const words = await text();
      if (words === null) return;
      const done = await copyText(words, node);
      flash(node, done ? "Copied" : "Not allowed here", label);
      if (!done) onRefusal(words);
    },
    "",
    { ariaLive: "polite", title },
  );
  return node;
}

/** Shows for a moment what a button did. @param {HTMLElement} node @param {string} words @param {string} label */
export function flash(node, words, label) {
  write(node, words);
  setTimeout(() => write(node, label), SHOWN_MS);
}

/**
 * Copies a text.
 *
 * @param {string} text
 * @param {HTMLElement} neighbour an element of the widget, which gets the focus back
 * @returns {Promise<boolean>} false where the page may not
 */
export async function copyText(text, neighbour) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Pages that came over plain http have no clipboard; the old command works there.
    const box = element("textarea", "spoken", { value: text });
    neighbour.after(box); // in the widget, whose styles hide it
    box.select();
    const done = document.execCommand("copy");
    box.remove();
    neighbour.focus();
    return done;
  }
}
