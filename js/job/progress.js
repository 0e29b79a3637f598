import { element } from "./element.js";

/**
 * A thin bar: a share of something, or that there is no telling.
 *
 * @param {string} name what a screen reader calls it
 */
export function progressBar(name) {
  const fill = element("div", "fill");
  const node = element("div", "progress", { role: "progressbar", "aria-label": name }, fill);
  return {
    node,
    /** @param {number | null} share 0 to 1, or null where it is not known */
    draw(share) {
      node.classList.toggle("kling-unknown", share === null);
      const percent = share === null ? null : Math.round(Math.min(1, share) * 100);
      fill.style.width = percent === null ? "" : `${percent}%`;
      if (percent === null) node.removeAttribute("aria-valuenow");
      else node.setAttribute("aria-valuenow", String(percent));
    },
  };
}

/**
 * How far the job is, as far as anybody knows: only a download has a measure.
 *
 * @param {import("./live_job.js").LiveJob} live
 * @returns {import("./view.js").Part}
 */
export function progress(live) {
  const { node, draw } = progressBar("Progress");
  return {
    node,
    update() {
      const { now, finished, connected } = live.record;
      node.hidden = finished || !connected;
      draw(now.state === "DOWNLOADING" && now.total ? now.received / now.total : null);
    },
  };
}
