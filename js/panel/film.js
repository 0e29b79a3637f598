import { button, element, said } from "../job/element.js";
import { frameAt, middleOf, position, within } from "../job/frames.js";
import { div, span } from "./box.js";

/** @typedef {import("./openings.js").Opening} Opening */

/** Seconds that the second picture may be off while both play; at rest they agree on the frame. */
const DRIFT = 0.06;

/**
 * Plays the video of one job with the browser's own controls, or those of two in step.
 *
 * @param {import("./live_panel.js").LivePanel} live
 * @param {Opening[]} shown one or two that have a video
 */
export function film(live, shown) {
  const videos = shown.map((one) => picture(live, one));
  const node = div("", div("screens", ...videos.map((one) => one.node)));
  const [lead, other] = videos;
  if (lead && other) node.append(transport(lead, other));
  return {
    node,
    close() {
      for (const one of videos) one.close();
      node.remove();
    },
  };
}

/** @param {import("./live_panel.js").LivePanel} live @param {Opening} opening */
function picture(live, opening) {
  const { prompt = "", url, width, height, fps, duration } = opening.detail ?? {};
  const video = element("video", "", { loop: true, playsInline: true, "aria-label": prompt });
  const why = element("div", "why", { hidden: true, role: "alert", "data-state": "FAILED" });
  const node = div("screen", video, why);
  node.style.setProperty("--kling-ratio", `${width} / ${height}`);
  let [own, closed] = ["", false];
  // The kernel hands over the bytes where the server has no address for them, or it does not play.
  const load = async () => {
    await live.openings.load(opening);
    const { blob, error } = opening.footage;
    if (closed) return;
    why.textContent = error;
    why.hidden = !error;
    if (blob) video.src = own = URL.createObjectURL(blob);
  };
  video.onerror = () => {
    if (closed) return;
    why.textContent = "This browser cannot play the file. Save it.";
    why.hidden = !own;
    if (!own) void load();
  };
  video.controls = true;
  if (url) video.src = url;
  else void load();
  return {
    node,
    video,
    fps: fps || 24,
    seconds: duration ?? 0,
    close() {
      closed = true;
      video.removeAttribute("src");
      video.load();
      if (own) URL.revokeObjectURL(own);
    },
  };
}

/** @typedef {ReturnType<typeof picture>} Picture */

/** One set of controls for both: they play together, and at rest show the same moment.
 * @param {Picture} lead @param {Picture} other */
function transport(lead, other) {
  const { video, fps } = lead;
  const both = [video, other.video];
  const count = Math.max(1, Math.round(lead.seconds * fps));
  const scrub = element("input", "scrub", {
    type: "range",
    max: count - 1,
    value: 0,
    "aria-label": "Frame of both",
    oninput: () => go(scrub.valueAsNumber),
  });
  const where = span("quiet");
  const play = button("Play both", () => (video.paused ? start() : stop()));
  const draw = () => {
    const frame = within(frameAt(video.currentTime, fps), count);
    if (!video.seeking) scrub.value = `${frame}`;
    where.textContent = scrub.ariaValueText = position(scrub.valueAsNumber, fps, count);
    play.textContent = video.paused ? "Play both" : "Pause both";
  };
  const align = () => {
    if (Math.abs(other.video.currentTime - video.currentTime) > DRIFT) {
      other.video.currentTime = video.currentTime;
    }
  };
  function go(/** @type {number} */ frame) {
    stop();
    for (const one of both) one.currentTime = middleOf(frame, fps);
    draw();
  }
  function start() {
    align();
    for (const one of both) one.play().catch((error) => said(error));
  }
  function stop() {
    for (const one of both) one.pause();
    draw();
  }
  const onFrame = () => {
    if (!video.isConnected) return;
    video.requestVideoFrameCallback(onFrame);
    if (!video.paused) align();
    draw();
  };
  video.requestVideoFrameCallback(onFrame);
  for (const one of both) {
    one.controls = false;
    one.muted = one !== video;
    one.onplay = one.onpause = one.onseeked = draw;
  }
  draw();
  return div("line-up", play, scrub, where);
}
