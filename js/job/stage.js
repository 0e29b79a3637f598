import { element, write } from "./element.js";
import { player } from "./player.js";
import { progressBar } from "./progress.js";
import { screen } from "./screen.js";
import { hasVideo, megabytes } from "./words.js";

/** @typedef {import("./record.js").JobRecord} JobRecord */

/**
 * The video of the take shown, once there is one, and of the one beside it. Nothing is fetched
 * but a poster until it is played, and not even that until it is seen.
 *
 * @param {import("./live_job.js").LiveJob} live
 * @returns {import("./view.js").Part & {failed: () => boolean}} `failed` says that nothing can be
 *   played here
 */
export function stage(live) {
  const text = element("span", "");
  const bar = progressBar("Loading the video");
  const waiting = element("div", "waiting", { role: "status" }, text, bar.node);
  const node = element("div", "stage", {}, waiting);
  /** @type {ReturnType<typeof screen>[]} */
  let screens = [];
  /** @type {ReturnType<typeof player> | null} */
  let playing = null;
  let seen = false;
  const look = () => {
    for (const one of screens) seen ? void one.poster() : one.rest();
  };
  const sight = new IntersectionObserver((entries) => {
    seen = Boolean(entries.at(-1)?.isIntersecting);
    look();
  });
  sight.observe(node);
  const set = (/** @type {JobRecord[]} */ takes) => {
    playing?.close();
    screens = takes.map((take) => screen(live, take));
    const [lead, ...others] = screens;
    playing = lead ? player(live, lead, others) : null;
    if (playing) node.prepend(playing.node);
    look();
  };
  return {
    node,
    failed: () => !hasVideo(live.record.now) || Boolean(playing?.failed()),
    update() {
      const { record, other } = live;
      const takes = [record, ...(other ? [other] : [])].filter(
        ({ now, about }) => about.key && hasVideo(now),
      );
      node.hidden = !takes.length;
      if (takes.length !== screens.length || takes.some((take, at) => take !== screens[at]?.take))
        set(takes);
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
