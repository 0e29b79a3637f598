import { element, write } from "../shared/dom.js";
import { player } from "../shared/player.js";
import { progressBar } from "../shared/progress.js";
import { screen } from "../shared/screen.js";
import { hasVideo, megabytes } from "../shared/words.js";

/** @typedef {import("./take.js").Take} Take */
/** @typedef {import("../shared/screen.js").Screen} Screen */

/**
 * The video of the take shown, once there is one, and of the one next to it. Nothing is fetched
 * but a poster until it is played, and not even that until it is seen.
 *
 * @param {import("./live_job.js").LiveJob} live
 * @returns {import("../shared/dom.js").Part & {failed: () => boolean}} `failed` says that nothing
 *   can be played here
 */
export function stage(live) {
  const text = element("span", "");
  const bar = progressBar("Loading the video");
  const waiting = element("div", "waiting", { role: "status" }, text, bar.node);
  const node = element("div", "stage", {}, waiting);
  /** @type {Take[]} */
  let played = [];
  /** @type {Screen[]} */
  let screens = [];
  /** @type {ReturnType<typeof player> | null} */
  let playing = null;
  let seen = false;
  const look = () => {
    for (const one of screens) seen ? one.poster() : one.rest();
  };
  const sight = new IntersectionObserver((entries) => {
    seen = Boolean(entries.at(-1)?.isIntersecting);
    look();
  });
  sight.observe(node);
  const show = (/** @type {Take[]} */ takes) => {
    playing?.close();
    played = takes;
    screens = takes.map(screenOf);
    const [lead, ...others] = screens;
    const name = takes[0]?.about.key;
    playing = lead ? player([lead, ...others], live.memory, { name }) : null;
    if (playing) node.prepend(playing.node);
    look();
  };
  return {
    node,
    failed: () => !hasVideo(live.shown.now) || Boolean(playing?.failed()),
    update() {
      const { shown, other } = live;
      const takes = [shown, ...(other ? [other] : [])].filter(
        ({ now, about }) => about.key && hasVideo(now),
      );
      node.hidden = !takes.length;
      if (takes.length !== played.length || takes.some((take, at) => take !== played[at]))
        show(takes);
      const loading = takes.find(({ footage }) => footage.phase === "loading")?.footage;
      waiting.hidden = !loading;
      if (!loading) return;
      const { received, total } = loading;
      bar.draw(total ? received / total : null);
      write(text, total ? `Loading ${megabytes(total)}` : "Asking for the video");
    },
    close() {
      sight.disconnect();
      playing?.close();
    },
  };
}

/** @param {Take} take */
function screenOf(take) {
  const { width, height } = take.now;
  const made = screen({
    label: take.about.prompt,
    facts: () => take.now,
    poster: () => take.poster(),
    bytes: () => take.footage.bytes(),
  });
  made.node.style.setProperty("--kling-ratio", `${width} / ${height}`);
  made.node.style.setProperty("--kling-wide", `${width}px`);
  return made;
}
