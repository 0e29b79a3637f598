import { ANY_WAY, button, div, element, span, write } from "../shared/dom.js";
import { progressBar } from "../shared/progress.js";
import { stateChip } from "../shared/state.js";
import {
  ALREADY_MADE,
  brief,
  duration,
  inLine,
  isCancellable,
  isFinished,
  LOST,
  phase,
  share,
  stateWord,
} from "../shared/words.js";
import { thumbnail } from "./job_face.js";

/** @typedef {import("./live_panel.js").LivePanel} LivePanel */
/** @typedef {import("./protocol.js").Row} Row */

/**
 * The jobs that run, at the top of the library: how far each is, with Cancel and Open. A job that has
 * just ended stays here until the list below has it.
 *
 * @param {LivePanel} live
 * @returns {import("../shared/dom.js").Part}
 */
export function running(live) {
  const node = element("ul", "jobs", { "aria-label": "Running" });
  /** @type {Map<string, ReturnType<typeof item>>} */
  const items = new Map();
  const draw = () => {
    const rows = live.running;
    node.hidden = rows.length === 0;
    for (const [id, one] of items) {
      if (rows.some((row) => row.id === id)) continue;
      one.node.remove();
      items.delete(id);
    }
    rows.forEach((row, at) => {
      const one = items.get(row.id) ?? item(live, row);
      items.set(row.id, one);
      one.draw(row);
      if (node.children[at] !== one.node) node.insertBefore(one.node, node.children[at] ?? null);
    });
  };
  const ticking = setInterval(() => {
    if (!node.hidden) draw();
  }, 1000);
  return { node, update: draw, close: () => clearInterval(ticking) };
}

/** @param {LivePanel} live @param {Row} first */
function item(live, first) {
  const { id } = first;
  const face = div("face");
  const prompt = element("bdi", "words", { title: first.prompt }, first.prompt);
  const about = div("about");
  const line = element("div", "line-now", ANY_WAY);
  const { node: bar, draw: drawBar } = progressBar(`Progress of ${brief(first.prompt)}`);
  const open = button("Open", () => live.open(id), "button", {
    "aria-label": `Open ${brief(first.prompt)}`,
  });
  const cancel = button("Cancel", () => void stop(), "button", {
    "aria-label": `Cancel ${brief(first.prompt)}`,
  });
  const actions = div("drop-line", cancel, open);
  const text = div("texts", prompt, about, line, bar);
  const node = element("li", "entry", {}, face, text, actions);
  const chip = stateChip();
  const now = span("");
  about.append(chip.node, now);
  let [drawn, cancelling] = ["", false];
  async function stop() {
    if (cancelling) return;
    cancelling = true;
    live.redraw();
    await live.cancel(id);
    cancelling = false;
    live.redraw();
  }
  return {
    node,
    /** @param {Row} row */
    draw(row) {
      const over = isFinished(row.state);
      if (drawn !== `${row.state} ${row.has_media}`) {
        drawn = `${row.state} ${row.has_media}`;
        face.replaceChildren(thumbnail(live, row));
      }
      const lost = !over && !live.following;
      chip.draw(lost ? "LOST" : row.state, lost ? LOST : stateWord(row));
      write(now, facts(row, lost ? null : live.kernelNow));
      write(line, over ? (row.message.split("\n")[0] ?? "") : "");
      bar.hidden = over || lost;
      const { received = 0, total = null, progress = null } = row;
      const so = { state: row.state, received, total, progress };
      if (!bar.hidden)
        drawBar(share(so, live.kernelNow - row.created_at, row.expected_seconds ?? null));
      cancel.hidden = over || lost || !isCancellable(row.state);
      open.hidden = !live.connected;
      cancel.ariaDisabled = `${cancelling}`;
      cancel.textContent = cancelling ? "Cancelling…" : "Cancel";
      node.toggleAttribute("data-open", live.openings.has(id));
    },
  };
}

/** The text next to the state. @param {Row} row @param {number | null} now null where no kernel follows it */
function facts(row, now) {
  const { state, queue_position = null, held = false, received = 0, total = null } = row;
  const { expected_seconds = null } = row;
  const end = row.finished_at ?? now;
  const time = end === null ? "" : duration(state, end - row.created_at, expected_seconds);
  const where = now === null ? "" : phase({ state, queue_position, held, received, total });
  const place = row.backend === "local" ? "local preview" : "";
  return inLine([where, row.reused ? ALREADY_MADE : time, row.facts, row.short_name, place]);
}
