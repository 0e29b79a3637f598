import { copyButton } from "../shared/copy.js";
import { button, element, write } from "../shared/dom.js";
import { timeOfDay } from "../shared/words.js";

/** @typedef {import("./protocol.js").Line} Line */
/** @typedef {import("../shared/dom.js").Part} Part */

/** How near the end, in CSS pixels, still counts as being there. */
const NEAR = 12;

/** Lines in a block: the browser passes over whole blocks whose lines stay as they are. */
const BLOCK = 100;

/**
 * The log. It follows the newest line until the reader scrolls up.
 *
 * @param {import("./live_job.js").LiveJob} live
 * @returns {Part}
 */
export function log(live) {
  let following = true;
  const follow = () => {
    if (following) rows.scrollTop = rows.scrollHeight;
    newest.hidden = following;
  };
  const omitted = element("div", "omitted");
  const rows = element("div", "rows", {
    role: "log",
    ariaLive: "off",
    ariaLabel: "Log",
    tabIndex: 0,
    onscroll() {
      following = rows.scrollHeight - rows.scrollTop - rows.clientHeight < NEAR;
      newest.hidden = following;
    },
  });
  const toEnd = () => {
    following = true;
    follow();
    rows.focus();
  };
  const newest = button("↓ Newest", toEnd, "newest");
  const filter = element("input", "filter", {
    type: "search",
    placeholder: "Filter",
    ariaLabel: "Filter the log",
    oninput() {
      drawn.end = -1;
      part.update();
    },
  });
  const copy = copyButton("Copy log", () => asText(live.shown.lines.held.filter(matching(filter))));
  const tools = element("div", "log-tools", {}, filter, copy);
  const node = element("div", "log", {}, tools, omitted, rows, newest);
  const drawn = { first: 0, end: 0, of: /** @type {unknown} */ (null) };
  const part = {
    node,
    update() {
      const { lines } = live.shown;
      if (drawn.of !== live.shown) Object.assign(drawn, { end: -1, of: live.shown });
      node.hidden = !lines.end;
      write(omitted, lines.first ? `The first ${lines.first} lines are left out.` : "");
      // Of a fold that is closed, the browser need not work on thousands of lines.
      if (!live.detailed) return;
      drawRows(rows, lines, drawn, matching(filter));
      follow();
    },
  };
  return part;
}

/**
 * Adds new lines and removes those that are no longer kept.
 *
 * @param {HTMLElement} rows
 * @param {import("./log_lines.js").LogLines} lines
 * @param {{first: number, end: number}} drawn which lines are on the page, none where the end is -1;
 *   kept up to date here
 * @param {(line: Line) => boolean} matches
 * @returns {boolean} whether anything changed
 */
function drawRows(rows, lines, drawn, matches) {
  if (lines.first === drawn.first && lines.end === drawn.end) return false;
  if (lines.first < drawn.first || lines.first > drawn.end) {
    rows.replaceChildren();
    drawn.end = lines.first;
  } else {
    for (let i = drawn.first; i < lines.first; i++) {
      const block = /** @type {Element} */ (rows.firstElementChild);
      block.firstChild?.remove();
      if (!block.firstChild) block.remove();
    }
  }
  for (const line of lines.held.slice(drawn.end - lines.first)) {
    let block = rows.lastElementChild;
    if (!block || block.childElementCount >= BLOCK) {
      block = element("div", "");
      rows.append(block);
    }
    block.append(row(line, matches(line)));
  }
  drawn.first = lines.first;
  drawn.end = lines.end;
  return true;
}

/**
 * Two elements a line: the browser works on every one of them when a job writes thousands.
 *
 * @param {Line} line @param {boolean} shown
 */
function row([timestamp, message, level], shown) {
  const about = { hidden: !shown, "data-level": level?.toUpperCase() ?? "" };
  const time = element("time", "stamp", { title: timestamp ?? "" });
  time.append(timeOfDay(timestamp).padEnd(10));
  return element("div", "row", about, time, message);
}

/** @param {HTMLInputElement} filter @returns {(line: Line) => boolean} */
function matching({ value }) {
  const word = value.toLowerCase();
  return ([, message]) => message.toLowerCase().includes(word);
}

/** @param {Line[]} lines */
const asText = (lines) =>
  lines.map(([timestamp, message]) => `${timeOfDay(timestamp)}\t${message}`).join("\n");
