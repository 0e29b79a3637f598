import { button, div, element, span, write } from "../shared/dom.js";
import { saveAs } from "../shared/footage.js";
import { newMemory, player } from "../shared/player.js";
import { progressBar } from "../shared/progress.js";
import { screen } from "../shared/screen.js";
import { inLine } from "../shared/words.js";
import { resultPlace } from "./result_place.js";

/** @typedef {import("./live_grid.js").LiveGrid} LiveGrid */
/** @typedef {import("./tile.js").Tile} Tile */
/** @typedef {import("../shared/dom.js").Part} Part */
/** @typedef {{one: Tile, frame: number, video: HTMLVideoElement}} Place */

/** What moves a shot within its storyboard, by drag and drop. */
const SHOT = "application/x-kling-shot";

/**
 * What can be done with the shot on the stage: its points and its place; and its result, with the parts and the order
 * that a result has everywhere. `head` is above the stage, `taken` below its transport; then come `points` and the
 * strip of shots, `form` and `node`. Where there is room, `form` stands next to the stage.
 *
 * @param {LiveGrid} live
 * @param {() => Place | null} place
 * @returns {Part & {head: HTMLElement, taken: HTMLElement, points: HTMLElement, form: HTMLElement,
 *   onkeydown: (event: KeyboardEvent) => void}}
 */
export function shotTools(live, place) {
  /** The shot on the stage, and its place in the film. */
  const at = () => live.shots.findIndex(({ cell }) => cell === place()?.one.index);
  const point = (/** @type {string} */ which) => {
    const { one, frame } = /** @type {Place} */ (place());
    const time = (which === "in" ? frame : frame + 1) / one.fps;
    change((shot) => ({ ...shot, [which]: Math.round(time * 1e5) / 1e5 }));
  };
  const change = (/** @type {(shot: import("./protocol.js").Shot) => object} */ edit) => {
    const here = at();
    const shots = live.shots.map((shot, index) => (index === here ? edit(shot) : shot));
    void live.alter("arrange", { shots });
  };
  const starts = button("Start here", () => point("in"), "", { title: "In point (I)" });
  const ends = button("End here", () => point("out"), "", { title: "Out point (O)" });
  const whole = button("Whole shot", () => change((shot) => ({ ...shot, in: null, out: null })));
  const earlier = button("← Earlier", () => move(live, at(), at() - 1), "", {
    title: "Move the shot one place towards the start of the film",
  });
  const later = button("Later →", () => move(live, at(), at() + 1), "", {
    title: "Move the shot one place towards the end of the film",
  });
  const remove = button("Remove", () =>
    live.alter("arrange", { shots: live.shots.filter((_, index) => index !== at()) }),
  );
  const buttons = [starts, ends, whole, earlier, later, remove];
  const name = element("strong", "sw-title");
  const points = div("actions", name, ...buttons);
  const taken = element("section", "sw-shot", { ariaLabel: "Shot", tabIndex: -1 });
  const form = div("sw-form");
  const node = div("result");
  const parts = [taken, form, node];
  const named = element("strong", "sw-title");
  const file = span("time");
  const head = div("sw-shot-head", named, file);
  const result = resultPlace(head, node, place);
  /** @type {ReturnType<LiveGrid["shot"]> | null} */
  let drawn = null;
  const draw = () => {
    if (result.draw()) {
      const [main, another] = node.firstElementChild?.children ?? [];
      if (main && another) {
        taken.append(main);
        form.append(another);
      }
      head.lastElementChild?.prepend(named);
    }
    if (!result.drawn()) head.prepend(named);
    // A shot that is a file of the user has no job, and so no takes.
    write(file, result.drawn() ? "" : (live.cells[drawn?.cells[0] ?? -1]?.name ?? ""));
  };
  /** Whether someone writes about the shot that is shown here: then it stays, whatever plays. */
  const writing = () => document.activeElement?.matches(":read-write") && holdsFocus();
  const holdsFocus = () => [head, ...parts].some((one) => one.contains(document.activeElement));
  const update = () => {
    const here = at();
    const shot = live.shots[here];
    const shown = shot ? live.shot(shot.cell) : null;
    if (drawn !== shown && !writing()) {
      if (holdsFocus()) taken.focus(); // it would be lost
      for (const one of [taken, form]) one.replaceChildren();
      drawn = shown;
      result.show(shown?.result ?? null, draw);
    }
    const number = live.shots.findIndex(({ cell }) => cell === drawn?.cells[0]);
    write(name, here < 0 ? "" : `Shot ${here + 1}`);
    // A shot that got another take has another cell; who writes about it still sees the one before.
    if (number >= 0 || !writing()) write(named, number < 0 ? "" : `Shot ${number + 1}`);
    for (const one of buttons) one.disabled = !live.connected || !shot;
    whole.disabled ||= shot?.in == null && shot?.out == null;
    earlier.disabled ||= here < 1;
    later.disabled ||= here > live.shots.length - 2;
    remove.disabled ||= live.shots.length < 2;
    draw();
  };
  for (const one of parts)
    one.addEventListener("focusout", () => setTimeout(() => node.isConnected && update()));
  return {
    node,
    head,
    taken,
    points,
    form,
    onkeydown(event) {
      const { key, target, ctrlKey, metaKey, altKey } = event;
      const typing = target instanceof Element && target.matches("select, :read-write");
      if (typing || ctrlKey || metaKey || altKey) return;
      const which = { i: "in", o: "out" }[key.toLowerCase()];
      if (which) point(which);
      else result.onkeydown(event);
    },
    update,
    close: result.close,
  };
}

/** Moves a shot to another place. @param {LiveGrid} live @param {number} from @param {number} to */
function move(live, from, to) {
  const shots = [...live.shots];
  shots.splice(to, 0, ...shots.splice(from, 1));
  void live.alter("arrange", { shots });
}

/**
 * Lets shots be moved by drag and drop.
 *
 * @param {LiveGrid} live
 * @param {HTMLElement} strip
 * @param {() => Tile[]} tiles in their order
 */
export function movable(live, strip, tiles) {
  const under = (/** @type {Event} */ { target }) =>
    tiles().findIndex(({ node }) => target instanceof Node && node.contains(target));
  const mark = (/** @type {number} */ at) => {
    tiles().forEach(({ node }, index) => void node.toggleAttribute("data-over", index === at));
  };
  strip.addEventListener("dragstart", (event) => {
    const from = under(event);
    event.dataTransfer?.setData(SHOT, `${live.id} ${live.shots[from]?.cell}`);
  });
  strip.ondragover = (event) => {
    if (!event.dataTransfer?.types.includes(SHOT)) return;
    event.preventDefault();
    mark(under(event));
  };
  strip.ondragleave = strip.ondragend = () => mark(-1);
  strip.ondrop = (event) => {
    mark(-1);
    const [board, cell] = (event.dataTransfer?.getData(SHOT) ?? "").split(" ");
    const from = live.shots.findIndex((shot) => `${shot.cell}` === cell);
    const to = under(event);
    if (board !== live.id) return;
    event.preventDefault();
    event.stopPropagation();
    if (to >= 0 && to !== from) move(live, from, to);
  };
}

/** What joins unequal shots, in words. */
const FITS = /** @type {const} */ ([
  ["letterbox", "with bars"],
  ["crop", "cropped"],
  ["scale", "stretched"],
]);
const TRANSITIONS = /** @type {const} */ ([
  ["cut", "Cuts"],
  ["fade", "Fades through black"],
  ["dissolve", "Dissolves"],
]);

/** @param {string} label @param {readonly (readonly [string, string])[]} choices */
const select = (label, choices) =>
  element(
    "select",
    "",
    { ariaLabel: label, title: label },
    ...choices.map(([value, text]) => element("option", "", { value }, text)),
  );

/**
 * The document of a storyboard, and the film that is joined of it.
 *
 * @param {LiveGrid} live
 * @returns {Part}
 */
export function filmTools(live) {
  const join = button("Join", () => start(), "primary");
  const start = () =>
    void live.alter("join", { transition: transition.value, ...(mixed() && { fit: fit.value }) });
  const stop = button("Stop", () => void live.cancel());
  const transition = select("Between the shots", TRANSITIONS);
  const fit = select("Shots of another shape", FITS);
  const warning = span("quiet");
  const bar = progressBar("Progress of the film");
  const name = element("input", "sw-name", { type: "text", value: "film" });
  const named = element("label", "quiet", {}, "Storyboard name ", name);
  const save = button("Save storyboard", () => void live.alter("save", { name: name.value }), "", {
    title: "Stores order and points next to the notebook",
  });
  const saved = span("quiet");
  const store = div("sw-store", saved, named, save);
  const row = div("actions", join, stop, transition, warning, fit, store);
  const film = element("section", "sw-film", { ariaLabel: "Film" });
  const node = div("", row, bar.node, film);
  /** Whether shots differ in shape or rate. */
  const mixed = () => {
    const facts = live.shots.map(({ cell }) => live.cells[cell]);
    return new Set(facts.map((one) => `${one?.width} ${one?.height} ${one?.fps}`)).size > 1;
  };
  /** @type {number | undefined} */
  let drawn;
  /** @type {ReturnType<typeof player> | null} */
  let playing = null;
  const show = (/** @type {import("./protocol.js").Film} */ made) => {
    playing?.close();
    playing = null;
    film.replaceChildren();
    const { cell, path = "", notes = [] } = made;
    const facts = cell === undefined ? null : live.cells[cell];
    if (cell === undefined || !facts) return;
    const one = screen({
      label: "The film",
      facts: () => facts,
      poster: () => live.poster(cell),
      bytes: () => live.footage(cell).bytes(),
    });
    one.node.style.setProperty("--kling-ratio", `${(facts.width ?? 16) / (facts.height ?? 9)}`);
    one.poster();
    playing = player([one], newMemory());
    const keep = button("Save film", async () => {
      const footage = live.footage(cell);
      if (!facts.url) await footage.bytes();
      saveAs(facts.url, footage, film);
    });
    const about = element("div", "quiet", { title: path }, inLine([facts.name, ...notes]));
    film.append(playing.node, div("actions", keep, about));
  };
  return {
    node,
    update() {
      const { board } = /** @type {import("./protocol.js").Snapshot} */ (live.whole);
      if (!board) return;
      const { document: file, film: made } = board;
      const running = made.progress !== undefined;
      bar.node.hidden = !running;
      if (running) bar.draw(made.progress ?? 0);
      write(join, running ? `Joining ${Math.round(100 * (made.progress ?? 0))} %` : "Join");
      join.disabled = running || !live.connected;
      stop.hidden = !running;
      write(
        warning,
        mixed()
          ? "Shots differ in shape or frame rate. The film has those of shot 1; others are shown"
          : "",
      );
      fit.hidden = warning.hidden;
      write(saved, file ? `Saved in ${file}` : "");
      named.hidden = save.hidden = Boolean(file);
      save.disabled = !live.connected;
      if (made.cell !== drawn && (made.cell === undefined || live.cells[made.cell])) {
        drawn = made.cell;
        show(made);
      }
    },
    close: () => playing?.close(),
  };
}
