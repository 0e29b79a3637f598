import { element, write } from "./element.js";
import { fold } from "./fold.js";
import { timeOfDay } from "./words.js";

/** @typedef {import("./protocol.js").Line} Line */
/** @typedef {import("./view.js").Part} Part */

/** How near the end, in CSS pixels, still counts as being there. */
const NEAR = 12;

/**
 * The log: open while the job runs, folded away once there is a video. It follows the newest
 * line until the reader scrolls up.
 *
 * @param {import("./live_job.js").LiveJob} live
 * @returns {Part}
 */
export function logPanel(live) {
  const omitted = element("div", "omitted");
  const rows = element("div", "rows", { role: "log", "aria-live": "off", "aria-label": "Log" });
  rows.tabIndex = 0;
  const newest = element("button", "newest", { type: "button" }, "↓ Newest");
  const { node, summary, open } = fold(live, "log", omitted, rows, newest);
  let following = true;
  const follow = () => {
    if (following) rows.scrollTop = rows.scrollHeight;
    newest.hidden = following;
  };
  rows.addEventListener("scroll", () => {
    following = rows.scrollHeight - rows.scrollTop - rows.clientHeight < NEAR;
    newest.hidden = following;
  });
  newest.addEventListener("click", () => {
    following = true;
    follow();
    rows.focus();
  });
  node.addEventListener("toggle", follow);
  const drawn = { first: 0, end: 0 };
  return {
    node,
    update() {
      const { lines, now } = live.record;
      node.hidden = lines.end === 0;
      write(summary, lines.end === 1 ? "Log · 1 line" : `Log · ${lines.end} lines`);
      write(omitted, lines.first ? `The first ${lines.first} lines are left out.` : "");
      omitted.hidden = lines.first === 0;
      open(now.state !== "READY");
      if (drawRows(rows, lines, drawn)) follow();
    },
  };
}

/**
 * Adds what is new and takes away what is no longer held.
 *
 * @param {HTMLElement} rows
 * @param {import("./log_lines.js").LogLines} lines
 * @param {{first: number, end: number}} drawn which lines are on the page; kept up to date here
 * @returns {boolean} whether anything changed
 */
function drawRows(rows, lines, drawn) {
  if (lines.first === drawn.first && lines.end === drawn.end) return false;
  if (lines.first < drawn.first || lines.first > drawn.end) {
    rows.replaceChildren();
    drawn.end = lines.first;
  } else {
    for (let i = drawn.first; i < lines.first; i++) rows.firstChild?.remove();
  }
  rows.append(...lines.held.slice(drawn.end - lines.first).map(row));
  drawn.first = lines.first;
  drawn.end = lines.end;
  return true;
}

/** @param {Line} line */
function row([timestamp, message, level]) {
  const time = element("time", "stamp", timestamp ? { title: timestamp } : {});
  time.textContent = timeOfDay(timestamp);
  const attributes = { "data-level": level?.toUpperCase() ?? "" };
  return element("div", "row", attributes, time, element("span", "line", {}, message));
}
