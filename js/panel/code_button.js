import { button } from "../job/element.js";

const TOLD_MS = 1500;

/**
 * A button that asks the kernel for the text of a cell, copies it, and says that it did.
 *
 * @param {import("./live_panel.js").LivePanel} live
 * @param {string} [job] id; the compose area where left out
 */
export function codeButton(live, job = "") {
  const node = button("Copy as cell", () => void live.attempt(copy), "button", {
    ariaLive: "polite",
    title: "Copies a %%kling cell that asks for exactly this",
  });
  async function copy() {
    if (!job) await live.composition.flush();
    const { text } = (await live.ask("code", { job })).msg;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Pages that came over plain http have no clipboard: the reader copies by hand.
      live.note = text;
      return;
    }
    node.textContent = "Copied";
    setTimeout(() => {
      node.textContent = "Copy as cell";
    }, TOLD_MS);
  }
  return node;
}
