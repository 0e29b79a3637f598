import { button, div, element, span, watchSight, write } from "../shared/dom.js";
import { draggable } from "../shared/dragged.js";
import { player } from "../shared/player.js";
import { progressBar } from "../shared/progress.js";
import { screen } from "../shared/screen.js";
import { inLine, megabytes, share, standing, unansweredWords } from "../shared/words.js";
import { isPlayable } from "./live_job.js";

/** @typedef {import("./live_job.js").LiveJob} LiveJob */
/** @typedef {import("./take.js").Take} Take */
/** @typedef {import("../shared/screen.js").Screen} Screen */

/**
 * Makes the stage, which has the size of the video from the start. It shows progress, then the
 * poster and the video, or why there is none. The poster is fetched when the stage comes into view,
 * and the video when it is played.
 *
 * @param {LiveJob} live
 * @param {HTMLElement} trouble why there is no video: it stands in the place of the video, or over another one
 * @returns {import("../shared/dom.js").Part & {failed: () => boolean,
 *   place: () => ReturnType<ReturnType<typeof player>["place"]> | null}} `failed` returns true
 *   if nothing can be played here; `place` returns where the video stands
 */
export function stage(live, trouble) {
  const over = cover(live);
  const other = otherFile(live);
  const node = div("stage", other.node);
  let drawn = "";
  /** @type {Screen[]} */
  let screens = [];
  /** What selects each of the takes that are compared: actions belong to one of them. @type {HTMLElement[]} */
  let sides = [];
  /** @type {ReturnType<typeof player> | null} */
  let playing = null;
  let [seen, moved] = [false, false];
  const look = () => {
    for (const one of screens) seen ? one.poster() : one.rest();
  };
  const leaveSight = watchSight(node, (now) => {
    seen = now;
    look();
  });
  const noteMove = () => {
    moved = true;
  };
  for (const kind of MOVES) window.addEventListener(kind, noteMove, PASSIVE);
  const show = (/** @type {Take[]} */ takes, /** @type {boolean} */ compared) => {
    playing?.close();
    const [lead, ...others] = takes.map((take) => screenOf(live, take));
    if (!lead) return;
    screens = live.playable ? [lead, ...others] : [];
    sides = compared ? takes.map((take) => sideOf(live, take)) : [];
    playing = player([lead, ...others], live.memory, {
      name: compared ? takes.map(({ about }) => about.key).join() : takes[0]?.about.key,
      usable: live.playable,
      labels: sides,
      wipe: compared && live.wiped && takes.length === 2,
      over: over.node,
    });
    playing.node.style.setProperty("--kling-ratio", `${takes[0]?.ratio}`); // for the edge between two
    node.prepend(playing.node);
    look();
    if (compared) playing.play();
  };
  /** Scrolls a result into view if a part of it is visible and the reader has not scrolled. */
  const reveal = () => {
    if (seen && !moved) node.scrollIntoView({ block: "nearest" });
  };
  return {
    node,
    failed: () => other.node.hidden && (!live.playable || Boolean(playing?.failed())),
    place() {
      const place = live.playable && playing?.place();
      const [lead, own] = [screens[0], screens[live.staged.indexOf(live.acted)]];
      if (!place || !lead || !own) return null;
      const frame = Math.round((place.frame / lead.fps) * own.fps);
      return { frame: Math.min(own.frames - 1, frame), video: own.video };
    },
    update() {
      const { staged, shown, playable } = live;
      const compared = staged.length > 1;
      const wanted = inLine([
        staged.map(({ about }) => about.key),
        playable,
        compared && live.wiped,
      ]);
      if (wanted !== drawn) {
        const ready = playable && drawn && !compared;
        drawn = wanted;
        show(staged, compared);
        if (ready && shown.started) reveal();
      }
      sides.forEach((side, at) => {
        side.ariaPressed = `${staged[at] === live.acted}`;
      });
      other.update();
      node.classList.toggle("kling-vacant", !playable);
      node.toggleAttribute("data-over", shown.finished || !live.following);
      // Over another video it lies at the lower edge: nothing moves.
      const place = playable ? over.node : over.middle;
      if (trouble.parentElement !== place)
        playable ? over.middle.after(trouble) : place.append(trouble);
      node.classList.toggle("kling-compact", !playable && !other.node.hidden);
      over.update();
    },
    close() {
      leaveSight();
      for (const kind of MOVES) window.removeEventListener(kind, noteMove, PASSIVE);
      over.close?.();
      other.close?.();
      playing?.close();
    },
  };
}

const MOVES = /** @type {const} */ (["wheel", "touchmove"]);
const PASSIVE = { capture: true, passive: true };

/**
 * Makes the view of a result that is not a video: an image, audio, or a file to save.
 *
 * @param {LiveJob} live
 * @returns {import("../shared/dom.js").Part}
 */
function otherFile(live) {
  const node = div("other");
  /** @type {Take | null} */
  let drawn = null;
  let url = "";
  const leave = () => {
    if (url) URL.revokeObjectURL(url);
    url = "";
    node.replaceChildren();
  };
  return {
    node,
    update() {
      const { shown } = live;
      const { state, file_type: type } = shown.now;
      node.hidden = state !== "READY" || isPlayable(shown) || !type || !shown.about.key;
      const wanted = node.hidden ? null : shown;
      if (wanted === drawn) return;
      drawn = wanted;
      leave();
      if (!wanted || !/^(image|audio)/.test(type)) return;
      void wanted.footage.load().then(() => {
        const { blob, name } = wanted.footage;
        if (drawn !== wanted || !blob) return;
        url = URL.createObjectURL(blob);
        const made = type.startsWith("image")
          ? element("img", "", { src: url, alt: name })
          : element("audio", "", { src: url, controls: true, ariaLabel: name });
        node.replaceChildren(made);
      });
    },
    close: leave,
  };
}

/** @param {LiveJob} live @param {Take} take */
export const nameOf = (live, take) => `Take ${live.takes.indexOf(take) + 1}`;

/** The name of a take that is compared, which selects it. @param {LiveJob} live @param {Take} take */
const sideOf = (live, take) => button(nameOf(live, take), () => live.choose(take), "side");

/** @param {LiveJob} live @param {Take} take */
function screenOf(live, take) {
  const made = screen({
    label: take.about.prompt,
    facts: () => take.now,
    poster: () => take.poster(),
    bytes: () => take.footage.bytes(),
  });
  made.node.style.setProperty("--kling-ratio", `${take.ratio}`);
  draggable(made.node, () => (isPlayable(take) ? () => live.frame(take) : null));
  return made;
}

/**
 * Makes the layer over the stage: the progress of the job, or that the kernel does not answer.
 *
 * @param {LiveJob} live
 * @returns {import("../shared/dom.js").Part & {middle: HTMLElement}} `middle` has room for more
 */
function cover(live) {
  const tag = span("tag");
  const now = div("phase");
  const note = element("div", "why kling-note", { role: "status", "data-state": "UNCERTAIN" });
  const far = progressBar("Progress");
  const loading = progressBar("Loading the video");
  const waiting = element("div", "waiting", { role: "status" });
  const middle = div("middle", now, waiting);
  const node = div("over", tag, middle, note, far.node, loading.node);
  const tick = () => {
    const { shown, following, kernelNow } = live;
    far.node.hidden = shown.finished || !following;
    if (!far.node.hidden)
      far.draw(share(shown.now, shown.elapsed(kernelNow), shown.about.expected));
  };
  const ticking = setInterval(tick, 1000);
  return {
    node,
    middle,
    update() {
      const { shown, staged, following } = live;
      const empty = !isPlayable(shown) && staged[0] === shown;
      write(
        tag,
        empty || staged.includes(shown) ? "" : nameOf(live, /** @type {Take} */ (staged[0])),
      );
      write(now, empty && !shown.finished && following ? standing(shown.now) : "");
      write(note, noteText(live));
      const fetching = staged.find(({ footage }) => footage.phase === "loading")?.footage;
      loading.node.hidden = !fetching;
      const { received = 0, total = 0 } = fetching ?? {};
      if (fetching) loading.draw(total ? received / total : null);
      const size = total ? `Loading ${megabytes(total)}` : "Asking for the video";
      write(waiting, fetching ? size : "");
      tick();
    },
    close: () => clearInterval(ticking),
  };
}

/** @param {LiveJob} live */
function noteText({ shown, connected, following, kernel, cancelling }) {
  if (!shown.finished && !following) return ""; // the stage shows it
  if (connected && kernel.busy) return unansweredWords(kernel);
  return shown.finished ? "" : cancelling.outcome;
}
