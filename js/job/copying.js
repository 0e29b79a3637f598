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
      write(node, (await copy(text())) ? "Copied" : "Not allowed here");
      setTimeout(() => {
        node.textContent = label;
      }, TOLD_MS);
    },
    "",
    { ariaLive: "polite" },
  );
  return node;
}

/** @param {string} text @returns {Promise<boolean>} */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Pages that came over plain http have no clipboard; the old command works there.
    const box = element("textarea", "spoken", { value: text });
    document.body.append(box);
    box.select();
    const done = document.execCommand("copy");
    box.remove();
    return done;
  }
}
