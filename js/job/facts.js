import { copyButton } from "../shared/copy.js";
import { alarm, button, element, write } from "../shared/dom.js";
import { saveAs } from "../shared/footage.js";
import { dimensions, hasVideo, inLine, isFinished, phase } from "../shared/words.js";

/**
 * The small print: place in the queue, bytes, or the size and cost of the take; what to copy and save.
 *
 * @param {import("./live_job.js").LiveJob} live
 * @returns {import("../shared/dom.js").Part}
 */
export function facts(live) {
  const text = element("span", "");
  const request = element("span", "request");
  const copyId = copyButton("Copy id", () => live.shown.now.request_id ?? "");
  const cell = copyButton("Copy as cell", () => live.shown.now.cell);
  /** @type {unknown} */
  let saved = null;
  const save = button("Save", async () => {
    const take = live.shown;
    const { url } = take.now;
    saved = take;
    if (!url) await take.footage.load();
    saveAs(url, take.footage, node);
  });
  const problem = alarm();
  const node = element("div", "facts", {}, text, request, copyId, cell, save, problem);
  return {
    node,
    update() {
      const { now, about, footage } = live.shown;
      // The strip counts what it shows; this is the take's place among those of its request.
      const number = now.number && live.takes.length < 2 ? `take ${now.number}` : "";
      const words = [
        dimensions(now),
        phase(now),
        number,
        now.cost,
        isFinished(now.state) ? now.resumed && "resumed, no extra charge" : about.outcome,
      ];
      write(text, inLine(words));
      write(request, now.request_id ? `request ${now.request_id}` : "");
      request.hidden = false; // it keeps the buttons at the right
      copyId.hidden = !now.request_id;
      cell.disabled = !now.cell;
      cell.title = now.no_cell ?? "";
      cell.hidden = !now.cell && !now.no_cell;
      write(problem, (saved === live.shown && footage.error) || "");
      save.hidden = !hasVideo(now) || !about.key;
      node.hidden = text.hidden && copyId.hidden && cell.hidden;
    },
  };
}
