import { handOver, placeBelow } from "../shared/cells.js";
import { flash } from "../shared/copy.js";
import { alarm, button, div, element, span, write } from "../shared/dom.js";
import { Footage, saveAs, saveBlob } from "../shared/footage.js";
import { menu } from "../shared/menu.js";
import { dimensions, inLine, messageOf } from "../shared/words.js";
import { finals } from "./finals.js";
import { isPlayable } from "./live_job.js";
import { rating } from "./rating.js";
import { nameOf } from "./stage.js";

/** How long after "Use this take" a new view is taken for the old one, drawn again. */
const REDRAWN_MS = 3_000;

/** How long a GIF may take until the kernel counts as busy. */
const GIF_MS = 60_000;

const CONTINUE = "Continue from this frame";

/** @typedef {import("./live_job.js").LiveJob} LiveJob */

/**
 * What to do with the take on the stage: use it for the NAME of its cell, continue from this frame, save it, or
 * this frame of it, rate it, and get its cell.
 *
 * @param {LiveJob} live
 * @param {() => {frame: number, video: HTMLVideoElement} | null} place where the video stands
 * @returns {import("../shared/dom.js").Part & {onkeydown: (event: KeyboardEvent) => void}}
 */
export function actions(live, place) {
  const take = () => live.acted;
  /** @type {unknown} */
  let asked = null;
  const attempt = async (/** @type {() => Promise<void>} */ act) => {
    asked = take();
    write(problem, "");
    await act().catch((error) => write(problem, messageOf(error)));
  };
  const saveVideo = async () => {
    const { now, footage } = take();
    if (!now.url) await footage.bytes();
    saveAs(now.url, footage, node);
  };
  const saveFrame = async () => {
    const { frame, video } = /** @type {NonNullable<ReturnType<typeof place>>} */ (place());
    if (!video.videoWidth) throw new Error("Go to a frame first: nothing is loaded yet.");
    const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
    canvas.getContext("2d")?.drawImage(video, 0, 0);
    const name = (take().footage.name || take().now.path.split(/[\\/]/).at(-1)) ?? "video";
    saveBlob(await canvas.convertToBlob(), `${name.replace(/\.\w+$/, "")}-${frame + 1}.png`, node);
  };
  /** For those who cannot drag it: an image input takes it by Ctrl+V. */
  const copyFrame = async () => {
    if (!navigator.clipboard?.write)
      throw new Error("This page cannot copy images. Save the frame.");
    const frame = live.frame(take());
    await navigator.clipboard.write([new ClipboardItem({ "image/png": frame })]);
  };
  const saveGif = async () => {
    const { key } = take().about;
    const made = new Footage(
      (piece) => live.kernel.ask("gif", { key, ...piece }, GIF_MS),
      () => {},
    );
    saveBlob(await made.bytes(), made.name, node);
  };
  const useIt = async () => {
    live.using = { key: take().about.key, words: "", at: use.matches(":focus") ? Date.now() : 0 };
    const { msg } = await live.ask("use", { key: live.using.key });
    live.using.words = msg.words;
    live.redraw();
  };
  const use = button("", () => void attempt(useIt));
  const answer = element("span", "price", { role: "status" });
  const full = finals(live, take, (text) => {
    asked = take();
    write(problem, text);
  });
  /** The request for a next shot. @param {object} [more] */
  const next = (more) =>
    live.kernel.ask(
      "continue",
      { key: take().about.key, frame: place()?.frame ?? null, ...more },
      GIF_MS,
    );
  const proceed = async () => {
    if (live.compose) return live.compose(next());
    const { msg } = await next({ cell: true });
    flash(further, await handOver(live.manager, node, msg.cell), CONTINUE);
  };
  const save = menu("Save ▾", "Save", () => [
    { label: isPlayable(take()) ? "Video" : "File", act: () => void attempt(saveVideo) },
    ...(isPlayable(take())
      ? [
          { label: "This frame", act: () => void attempt(saveFrame) },
          { label: "Copy this frame", act: () => void attempt(copyFrame) },
          { label: "GIF", act: () => void attempt(saveGif) },
        ]
      : []),
  ]);
  const further = button(CONTINUE, () => void attempt(proceed), "", {
    ariaLive: "polite",
    title: "It becomes the start image of the next video",
  });
  const cell = cellButton(live, take, (act) => void attempt(act));
  const stars = rating(live, take, (act) => void attempt(act));
  // The new card draws the output again, and the focus was in the old one.
  const isRedrawn = Date.now() - live.using.at < REDRAWN_MS;
  const sight = new IntersectionObserver(() => {
    sight.disconnect();
    if (isRedrawn) use.focus({ preventScroll: true });
  });
  sight.observe(use);
  const facts = div("facts");
  const problem = alarm();
  const whose = span("title");
  const node = div(
    "actions",
    ...[whose, use, further, save.node, cell.node, full.node],
    ...[div("take-line", stars.node, facts), answer, problem],
  );
  return {
    node,
    onkeydown: stars.onkeydown,
    close() {
      sight.disconnect();
      full.close?.();
      stars.close?.();
    },
    update() {
      const { now, about, finished } = take();
      // What to do without a result stands next to the reason. The place stays.
      node.inert = finished ? now.state !== "READY" : !live.following;
      if (!node.inert) full.update();
      write(whose, live.compared.length > 1 ? nameOf(live, take()) : "");
      use.disabled = now.state !== "READY" || !live.connected;
      use.ariaPressed = `${now.chosen}`;
      const several = live.staged.length > 1;
      const wish = several ? `Use ${nameOf(live, take()).toLowerCase()}` : "Use this take";
      write(use, now.chosen ? `✓ Used as ${about.variable}` : wish);
      use.hidden = !about.variable;
      use.title = `Let ${about.variable} be this take, in all notebooks with ${about.scope}`;
      save.opener.disabled = !isPlayable(take()) && !now.file_type;
      further.disabled = !isPlayable(take()) || !live.connected;
      stars.update();
      cell.update();
      // The number matters where it is neither in the strip nor the first.
      const number = (now.number ?? 1) > 1 && live.takes.length < 2 && `take ${now.number}`;
      write(facts, inLine([dimensions(now), number]));
      if (asked !== take() || take().footage.phase === "loading") write(problem, "");
      const { using } = live;
      write(answer, using.key === about.key ? using.words : "");
    },
  };
}

/**
 * A button that puts the cell of a take below, or copies it.
 *
 * @param {LiveJob} live
 * @param {() => import("./take.js").Take} take
 * @param {(act: () => Promise<void>) => void} attempt does something, and shows why it failed
 */
export function cellButton(live, take, attempt) {
  const label = () => (placeBelow(live.manager, node) === null ? "Copy as cell" : "Insert cell");
  const give = async () =>
    flash(node, await handOver(live.manager, node, take().now.cell), label());
  const node = button("Copy as cell", () => attempt(give), "", { ariaLive: "polite" });
  let labelled = "";
  return {
    node,
    update() {
      const { cell, no_cell } = take().now;
      if (labelled !== label()) write(node, label());
      labelled = label();
      node.disabled = !cell;
      node.title = no_cell ?? "";
    },
  };
}
