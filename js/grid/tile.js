import { starsOf } from "../result/rating.js";
import { drawSteps, stepButton } from "../result/trouble.js";
import { button, div, element, paintPoster, span, write } from "../shared/dom.js";
import { draggable, frameIn } from "../shared/dragged.js";
import { saveAs } from "../shared/footage.js";
import { menu } from "../shared/menu.js";
import { progressBar } from "../shared/progress.js";
import { screen } from "../shared/screen.js";
import { stateChip } from "../shared/state.js";
import {
  duration,
  inLine,
  isCancellable,
  isFinished,
  messageOf,
  share,
  standing,
  stateWord,
  upper,
} from "../shared/words.js";

/** @typedef {import("./live_grid.js").LiveGrid} LiveGrid */
/** @typedef {import("./protocol.js").Cell} Cell */
/** @typedef {ReturnType<typeof tile>} Tile */

/**
 * One cell: what becomes of it, then its video, which the whole grid plays.
 *
 * @param {LiveGrid} live
 * @param {number} index
 * @param {string} caption
 * @param {boolean} captioned whether it says by itself which one it is
 * @param {() => void} press plays all, or stops all
 * @param {{node: HTMLElement, go: (index: number) => void} | null} [monitor] where its video plays, if
 *   not here; here is its image then, which goes there
 */
export function tile(live, index, caption, captioned, press, monitor = null) {
  const cell = () => /** @type {Cell | undefined} */ (live.cells[index]);
  const picture = screen(
    {
      label: caption,
      facts: () => cell() ?? {},
      poster: () => live.poster(index),
      bytes: () => live.footage(index).bytes(),
    },
    { className: "sw-picture", sparing: false },
  );
  picture.node.onclick = ({ target }) => {
    if (made.playable && target instanceof Element && !target.closest("button")) press();
  };
  picture.video.muted = !monitor; // one shot plays at a time, with its audio
  const chip = stateChip();
  const facts = span("sw-facts");
  const bar = progressBar(`Progress of ${caption}`);
  const now = div("phase");
  const words = span("sw-words");
  const stop = button("✕", () => void live.cancel(index), "sw-stop", {
    title: "Cancel",
    ariaLabel: `Cancel ${caption}`,
  });
  const open = button("Open", () => {
    if (live.marked !== null && made.playable) live.compare(index);
    else if (isOpen()) live.open();
    else live.open(index);
  });
  const isOpen = () => Boolean(live.opened?.cells.includes(index));
  /** @type {Record<string, HTMLButtonElement>} */
  const next = {
    start: stepButton("start", () => void live.again("retry", index)),
    retry: stepButton("retry", () => void live.again("retry", index)),
    resume: stepButton("resume", () => void live.again("resume", index)),
    edit: stepButton("edit", () => live.vary(index)),
  };
  const steps = div("steps");
  const why = element("div", "why", { hidden: true }, words, steps);
  const save = async () => {
    const footage = live.footage(index);
    const { url, name } = cell() ?? {};
    footage.name ||= name ?? "";
    if (!url) await footage.load();
    fault = footage.error;
    if (!fault) saveAs(url, footage, node);
    made.update();
  };
  const rating = menu("☆", `Rate ${caption}`, () =>
    STARS.map((label, stars) => ({ label, act: () => void live.rate(index, stars || null) })),
  );
  const more = menu("⋯", `More of ${caption}`, () => [
    ...(live.whole?.mode === "sequence"
      ? []
      : [
          { label: "Compare", act: () => live.compare(index) },
          { label: "More like this", act: () => live.vary(index) },
        ]),
    { label: "Save", act: () => void save() },
  ]);
  picture.node.append(div("over", div("middle", now, why), bar.node));
  const name = element("div", "sw-caption", { title: caption, dir: "auto" }, caption);
  name.hidden = !captioned;
  const still = element("canvas", "sw-still", { ariaHidden: "true" });
  const jump = button(still, () => monitor?.go(index), "sw-jump", {
    ariaLabel: `Go to ${caption}`,
  });
  const foot = div("sw-foot", chip.node, facts, div("sw-acts", open, rating.node, more.node, stop));
  chip.node.hidden = Boolean(monitor); // a shot is a video, and has no state
  monitor?.node.append(picture.node);
  const node = element(
    "div",
    "sw-tile",
    { role: "group", ariaLabel: caption, tabIndex: -1, onkeydown: rate },
    monitor ? jump : picture.node,
    name,
    foot,
  );
  /** The keys 1 to 5 rate the video, as in a result; 0 removes the rating. @param {KeyboardEvent} event */
  function rate(event) {
    const { key, ctrlKey, metaKey, altKey } = event;
    if (!/^[0-5]$/.test(key) || ctrlKey || metaKey || altKey || rating.node.hidden) return;
    event.preventDefault();
    event.stopPropagation();
    void live.rate(index, Number(key) || null);
  }
  const frame = () =>
    frameIn(live.kernel.ask("result", { of: `${index}`, kind: "frame", msg: {} }));
  if (monitor) draggable(node, () => frame);
  const shot = () => live.shots.find((one) => one.cell === index);
  let [seen, drawn] = [false, false];
  /** Why its video cannot be played or saved here. */
  let fault = "";
  const made = {
    node,
    index,
    video: picture.video,
    get playable() {
      const known = cell();
      return known !== undefined && isPlayable(known);
    },
    get seen() {
      return seen;
    },
    /** Seconds that are played. */
    get length() {
      return (shot()?.out ?? cell()?.duration ?? 0) - made.start;
    },
    /** The second at which it begins. */
    get start() {
      return shot()?.in ?? 0;
    },
    get fps() {
      return picture.fps;
    },
    /** Whether it has a source. */
    get loaded() {
      return Boolean(picture.video.src);
    },
    /** Gets a source, unless there is one; what fails is shown. */
    load: () =>
      picture.open().catch((error) => {
        fault = messageOf(error);
        made.update();
      }),
    /** Shows the moment `time`, or the last one of a shorter clip. @param {number} time seconds */
    show(time) {
      const { fps } = picture;
      const last = Math.max(0, Math.round((made.start + made.length) * fps) - 1);
      picture.show(Math.min(last, Math.floor((made.start + time) * fps + 1e-3)));
    },
    /** Names a shot by its place in the film. @param {number} number */
    number(number) {
      const known = cell();
      const words = `${number} · ${known?.prompt ?? ""}`;
      write(name, words);
      name.title = node.ariaLabel = words;
      jump.ariaLabel = `Go to shot ${number}`;
      const { in: from, out } = shot() ?? {};
      const end = out ?? known?.duration ?? 0;
      const trimmed = from != null || out != null;
      write(facts, trimmed ? `${round(from ?? 0)}–${round(end)} s` : `${round(end)} s`);
    },
    /** Gives up the source; the picture stays. */
    rest: picture.rest,
    /** Whether it is the one that plays now. @param {boolean} now */
    mark(now) {
      node.classList.toggle("kling-sw-now", now);
      picture.node.classList.toggle("kling-sw-on", now);
      node.setAttribute("aria-current", `${now}`);
    },
    /** It is no shot any more: another one plays where it played. */
    leave() {
      made.mark(false);
      picture.video.pause();
      picture.rest();
    },
    /** @param {boolean} now */
    see(now) {
      seen = now;
      if (!seen || !made.playable) return;
      picture.poster();
      if (monitor && !drawn) void paintPoster(still, live.poster(index));
      drawn = true;
    },
    update() {
      const known = cell();
      if (!known) return;
      node.dataset.state = known.state;
      node.title = known.prompt;
      const shown = made.playable;
      const size = shown ? `${known.width} / ${known.height}` : "";
      picture.node.style.setProperty("--kling-ratio", size || `${known.shape || 16 / 9}`);
      node.classList.toggle("kling-sw-shown", shown);
      made.see(seen);
      const since = known.created_at === null ? null : live.kernelNow - known.created_at;
      const running = isWaiting(known);
      const waiting = running && live.following;
      if (!monitor) {
        if (running && !waiting) chip.draw("LOST");
        else chip.draw(known.state, stateWord(known));
        write(facts, factsOf(known, waiting ? since : null));
      }
      write(now, waiting ? standing(known) : "");
      write(words, fault || inLine([known.message, live.refused.get(index)], "\n"));
      why.title = words.textContent ?? "";
      why.dataset.state = fault ? "FAILED" : known.state;
      const any = known.created_at !== null || known.state === "FAILED";
      const does = openWords(live.marked, known);
      write(open, does);
      open.hidden = Boolean(monitor) || !any || !live.connected;
      open.ariaLabel = `${does} ${caption}`;
      open.ariaExpanded = `${isOpen()}`;
      more.node.hidden = rating.node.hidden = !shown || !live.connected;
      const stars = starsOf(known.rating);
      if (rating.opener.textContent !== (stars || "☆")) rating.opener.textContent = stars || "☆";
      rating.opener.ariaLabel = `Rate ${caption}${stars && `: ${stars}`}`;
      drawSteps(steps, next, live.connected ? known.steps : [], known.price);
      for (const one of Object.values(next)) one.ariaLabel = `${one.textContent}, ${caption}`;
      why.hidden = words.hidden && steps.hidden;
      node.toggleAttribute("data-marked", live.marked === index || isOpen());
      stop.hidden = !live.following || !canBeStopped(known);
      bar.node.hidden = !waiting;
      if (waiting) bar.draw(share(known, since, known.expected));
    },
    close: picture.close,
  };
  return made;
}

/** What the menu of stars says, by their number. */
const STARS = ["No rating", "★", "★★", "★★★", "★★★★", "★★★★★"];

/** Seconds with two digits at most. @param {number} seconds */
const round = (seconds) => `${Math.round(seconds * 100) / 100}`;

/**
 * What else its tile says: what a start would do with it, how long it has run, or what it cost.
 *
 * @param {Cell} cell
 * @param {number | null} since seconds since it was submitted, while it runs
 */
export function factsOf(cell, since) {
  const { state, plan, cost, reused, expected } = cell;
  if (state === "WAITING") return upper(plan);
  if (since !== null && isWaiting(cell)) return duration(cell.state, since, expected);
  return state === "READY" && !reused ? "" : upper(cost);
}

/** What the button of a cell does, while a cell is marked or none. @param {number | null} marked @param {Cell} cell */
function openWords(marked, cell) {
  if (!isPlayable(cell)) return hasEnded(cell) ? "Details" : "Open";
  if (marked === null) return "Open";
  return marked === cell.cell ? "Cancel" : "Compare";
}

/** Whether there is a job whose video is still to come. @param {Cell} cell @returns {cell is Cell & {state: import("../shared/protocol.js").State}} */
const isWaiting = (cell) => !hasEnded(cell) && cell.state !== "WAITING";

/** @param {Cell} cell */
export const hasEnded = ({ state }) =>
  state === "SKIPPED" || (state !== "WAITING" && isFinished(state));

/** @param {Cell} cell */
export const canBeStopped = ({ state }) =>
  state !== "WAITING" && state !== "SKIPPED" && isCancellable(state);

/** @param {Cell} cell */
export const isPlayable = ({ state, width }) => state === "READY" && Boolean(width);
