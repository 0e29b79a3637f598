import { element, write } from "./element.js";
import { dimensions, phase } from "./words.js";

/**
 * The small print: place in the queue, bytes, or the size of the take; the request id; Save.
 *
 * @param {import("./live_job.js").LiveJob} live
 * @param {HTMLAnchorElement} save
 * @returns {import("./view.js").Part}
 */
export function facts(live, save) {
  const where = element("span", "where");
  const request = element("span", "request");
  const node = element("div", "facts", {}, where, request, save);
  return {
    node,
    update() {
      const { now } = live.record;
      const words = [dimensions(now), phase(now), now.resumed ? "picked up again" : ""];
      write(where, words.filter(Boolean).join(" · "));
      where.hidden = !where.textContent;
      write(request, now.request_id ? `request ${now.request_id}` : "");
      request.title = now.request_id ?? "";
      node.hidden = where.hidden && !request.textContent && save.hidden;
    },
  };
}
