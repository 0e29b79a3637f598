import { copyButton } from "./copying.js";
import { button, element, write } from "./element.js";
import { dimensions, hasVideo, phase } from "./words.js";

/**
 * The small print: place in the queue, bytes, or the size and cost of the take; what to copy and save.
 *
 * @param {import("./live_job.js").LiveJob} live
 * @returns {import("./view.js").Part}
 */
export function facts(live) {
  const text = element("span", "");
  const request = element("span", "request");
  const copyId = copyButton("Copy id", () => live.record.now.request_id ?? "");
  const cell = copyButton("Copy as cell", () => live.record.now.cell);
  const save = button("Save", () => void saveFile(live));
  const node = element("div", "facts", {}, text, request, copyId, cell, save);
  return {
    node,
    update() {
      const { now, about } = live.record;
      const number = now.number ? `take ${now.number}` : "";
      const words = [
        dimensions(now),
        phase(now),
        number,
        now.cost,
        now.resumed ? "picked up again" : "",
      ];
      write(text, words.filter(Boolean).join(" · "));
      write(request, now.request_id ? `request ${now.request_id}` : "");
      request.hidden = false; // it keeps the buttons at the right
      copyId.hidden = !now.request_id;
      cell.hidden = !now.cell;
      save.hidden = !hasVideo(now) || !about.key;
      node.hidden = text.hidden && copyId.hidden && cell.hidden;
    },
  };
}

/** @param {import("./live_job.js").LiveJob} live */
async function saveFile(live) {
  const take = live.record;
  const { url } = take.now;
  if (!url) await live.loadFootage(take);
  const { blob, name } = take.footage;
  if (!url && !blob) return;
  const href = url ?? URL.createObjectURL(/** @type {Blob} */ (blob));
  element("a", "", { href, download: name ?? "" }).click();
  if (!url) setTimeout(() => URL.revokeObjectURL(href), 10_000);
}
