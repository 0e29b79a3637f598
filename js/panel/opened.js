import { differenceRows } from "../shared/differences.js";
import { ANY_WAY, button, div, element, span, write } from "../shared/dom.js";
import { saveAs } from "../shared/footage.js";
import {
  ALREADY_MADE,
  dimensions,
  inLine,
  isFinished,
  LOCAL_PREVIEW,
  label,
  timeOfDay,
} from "../shared/words.js";
import { copyCellButton } from "./copy_cell.js";
import { stateMark } from "./job_face.js";
import { stage } from "./stage.js";

/** @typedef {import("./live_panel.js").LivePanel} LivePanel */
/** @typedef {import("./openings.js").Opening} Opening */
/** @typedef {import("../shared/dom.js").Part} Part */

/**
 * What is looked at: one job with its video, or two side by side.
 *
 * @param {LivePanel} live
 * @returns {Part}
 */
export function opened(live) {
  const node = element("section", "opened", { "aria-label": "Opened" });
  const hint = div(
    "line-up kling-quiet",
    "Compose a request and generate it, or open something from the history.",
  );
  /** @type {{ids: string, parts: Part[]} | null} */
  let drawn = null;
  const leave = () => {
    for (const part of drawn?.parts ?? []) part.close?.();
  };
  node.append(hint);
  return {
    node,
    update() {
      const { shown } = live.openings;
      const ids = shown.map(({ id }) => id).join(" ");
      if (drawn?.ids !== ids) {
        leave();
        const videos = stage(live, shown);
        const sides = shown.map((one) => about(live, one));
        if (shown.length === 2) sides.push(comparison(shown));
        drawn = { ids, parts: [videos, ...sides] };
        const words = div("sides", ...sides.map((part) => part.node));
        node.replaceChildren(...(shown.length ? [videos.node, words] : [hint]));
        node.dataset.count = `${shown.length}`;
      }
      for (const part of drawn.parts) part.update();
    },
    close: leave,
  };
}

/** Words and actions about one opened job. @param {LivePanel} live @param {Opening} opening */
function about(live, opening) {
  const { id } = opening;
  const head = div("line-up");
  const prompt = element("div", "prompt-text kling-pad", ANY_WAY);
  const why = element("div", "why", { hidden: true });
  const small = div("pad kling-quiet");
  const close = button("✕", () => live.openings.show(rest()), "remove", { "aria-label": "Close" });
  const rest = () => live.openings.shown.filter((one) => one.id !== id).map((one) => one.id);
  const resume = button("Resume", () => void live.resume(id));
  const save = button("Save", () => void saveFile(live, opening, head));
  const copy = copyCellButton(live, async () => id);
  const reuse = button("Reuse parameters", () => void live.reuse(id));
  const actions = div("line-up", resume, reuse, copy, save);
  const facts = element("dl", "small");
  const omitted = div("pad kling-quiet");
  const lines = element("div", "log", {
    role: "log",
    "aria-live": "off",
    "aria-label": "Log",
    tabIndex: 0,
  });
  const parameters = element(
    "details",
    "",
    {},
    element("summary", "summary", {}, "Parameters"),
    facts,
  );
  const log = element("details", "", {}, element("summary", "summary", {}, "Log"), omitted, lines);
  const node = element("article", "side", {}, head, prompt, why, small, actions, parameters, log);
  let drawn = /** @type {unknown} */ (null);
  return {
    node,
    update() {
      const { detail } = opening;
      // What was found out on opening it counts more than what the ledger says: a file may be gone.
      const known = detail && isFinished(detail.row.state);
      const row = known ? detail.row : (live.row(id) ?? detail?.row);
      if (!row) {
        write(why, opening.error);
        return;
      }
      if (head.dataset.state !== row.state || !head.firstChild) {
        head.dataset.state = row.state;
        head.replaceChildren(
          stateMark(row.state),
          element("span", "", { title: row.endpoint }, row.title),
        );
        if (row.backend === "local") head.append(span("badge", LOCAL_PREVIEW));
        head.append(close);
        why.dataset.state = row.state;
        log.open = !isFinished(row.state);
      }
      write(prompt, detail?.prompt ?? row.prompt);
      const over = isFinished(row.state);
      const faulty = over && (row.state !== "READY" || !row.has_media);
      write(why, opening.error || (faulty ? row.message || label(row.state) : ""));
      write(small, smallPrint(opening, row));
      resume.hidden = !detail?.resumable;
      copy.hidden = !detail?.parameters;
      save.hidden = !row.has_media;
      if (drawn === detail) return;
      drawn = detail;
      facts.replaceChildren(
        ...(detail?.parameters ?? []).flatMap(([name, text]) => pair(name, text)),
      );
      const atEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 12;
      const { lines: held = [], line_count = 0 } = detail ?? {};
      const less = line_count - held.length;
      write(omitted, less > 0 ? `The first ${less} lines are left out.` : "");
      lines.replaceChildren(...held.map(logLine));
      if (atEnd) lines.scrollTop = lines.scrollHeight;
      log.hidden = !held.length;
    },
  };
}

/** @param {string} name @param {string} text */
const pair = (name, text) => [element("dt", "", {}, name), element("dd", "", ANY_WAY, text)];

/** @param {import("../shared/protocol.js").Line} line */
function logLine([stamp, message, level]) {
  const time = element("time", "stamp", {}, timeOfDay(stamp));
  const row = { "data-level": level?.toUpperCase() ?? "" };
  return element("div", "row", row, time, element("span", "", ANY_WAY, message));
}

/** @param {Opening} opening @param {import("./protocol.js").Row} row */
function smallPrint({ detail }, row) {
  const size = detail ? dimensions({ width: null, height: null, duration: null, ...detail }) : "";
  const took =
    row.finished_at && !row.reused ? `took ${Math.floor(row.finished_at - row.created_at)} s` : "";
  const words = [
    size,
    detail?.take ? `take ${detail.take}` : "",
    row.reused ? ALREADY_MADE : took,
    detail?.units && row.backend === "fal" ? detail.units : "",
    row.request_id ? `request ${row.request_id}` : "",
  ];
  return inLine(words);
}

/** Where the two differ. @param {Opening[]} shown @returns {Part} */
function comparison([one, other]) {
  const table = element("table", "differences");
  const title = element("h4", "pad", {}, "Differences");
  const node = div("comparison", title, table);
  /** @type {unknown[]} */
  let drawn = [];
  return {
    node,
    update() {
      const [a, b] = [one?.detail, other?.detail];
      if (!a || !b || (drawn[0] === a && drawn[1] === b)) return;
      drawn = [a, b];
      const rows = differences(parametersOf(a), parametersOf(b));
      title.textContent = rows.length
        ? "Differences"
        : "Both were asked for with the same parameters.";
      table.replaceChildren(...(rows.length ? differenceRows(["", "First", "Second"], rows) : []));
    },
  };
}

/** @param {import("./protocol.js").Detail} detail @returns {[name: string, text: string][]} */
const parametersOf = ({ row, prompt = "", parameters = [] }) => [
  ["prompt", prompt],
  ["endpoint", row.short_name],
  ...parameters,
];

/**
 * Parameters in which two jobs differ, each with the values of both; "–" where one has none.
 *
 * @param {[name: string, text: string][]} one
 * @param {[name: string, text: string][]} other
 * @returns {[name: string, one: string, other: string][]}
 */
export function differences(one, other) {
  const [first, second] = [new Map(one), new Map(other)];
  const names = [...new Set([...first.keys(), ...second.keys()])];
  return names
    .map((name) => /** @type {const} */ ([name, first.get(name) ?? "–", second.get(name) ?? "–"]))
    .filter(([, a, b]) => a !== b)
    .map(([name, a, b]) => [name, a, b]);
}

/** @param {LivePanel} live @param {Opening} opening @param {HTMLElement} inside */
async function saveFile(live, opening, inside) {
  const url = opening.detail?.url;
  if (!url) await opening.footage.load();
  const { blob, error } = opening.footage;
  live.fault = url || blob ? "" : error;
  saveAs(url, opening.footage, inside);
  live.redraw();
}
