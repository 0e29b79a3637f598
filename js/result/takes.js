import { differing, settingOf, textOf } from "../controls/value.js";
import { differenceRows } from "../shared/differences.js";
import { button, div, element, paintPoster, scrolling, span, write } from "../shared/dom.js";
import { draggable } from "../shared/dragged.js";
import { progressBar } from "../shared/progress.js";
import { stateChip } from "../shared/state.js";
import { dimensions, inLine, LOST, share, stateWord } from "../shared/words.js";
import { isPlayable } from "./live_job.js";
import { otherWords } from "./other_words.js";
import { starsOf } from "./rating.js";
import { nameOf } from "./stage.js";

/** @typedef {import("./live_job.js").LiveJob} LiveJob */
/** @typedef {import("./take.js").Take} Take */

/**
 * The takes as thumbnails, in their order. One is shown; Compare plays several in step.
 *
 * @param {LiveJob} live
 * @returns {import("../shared/dom.js").Part}
 */
export function takes(live) {
  const list = scrolling(element("div", "thumbs", { role: "group", ariaLabel: "Takes" }));
  const compare = button("Compare", () => live.compare(comparing() ? [] : undefined), "", {
    title: "Plays takes in step, up to four",
  });
  const wipe = button("Wipe", () => {
    live.wiped = !live.wiped;
    live.redraw();
  });
  const table = element("table", "differences");
  const node = div("strip", div("strip-line", list, div("strip-tools", compare, wipe)), table);
  const comparing = () => live.compared.length > 1;
  /** @type {Map<Take, ReturnType<typeof thumb>>} */
  let thumbs = new Map();
  let drawn = "";
  /** @type {Take | null} */
  let shown = null;
  const tick = () => {
    for (const one of thumbs.values()) one.tick();
  };
  const ticking = setInterval(tick, 1000);
  // Before its first layout, and in another width, the list shows other takes.
  const sized = new ResizeObserver(() => reveal(list, thumbs.get(live.shown)?.node));
  sized.observe(list);
  return {
    node,
    update() {
      const { takes, compared } = live;
      node.hidden = takes.length < 2;
      if (node.hidden) return;
      thumbs = new Map(takes.map((take) => [take, thumbs.get(take) ?? thumb(live, take)]));
      [...thumbs.values()].forEach((one, at) => {
        if (list.children[at] !== one.node) list.insertBefore(one.node, list.children[at] ?? null);
        one.update(at + 1);
      });
      while (list.children.length > takes.length) list.lastChild?.remove();
      if (shown !== live.shown) reveal(list, thumbs.get(live.shown)?.node);
      shown = live.shown;
      const on = comparing();
      compare.hidden = takes.filter(isPlayable).length < 2;
      compare.ariaPressed = `${on}`;
      wipe.hidden = compared.length !== 2;
      wipe.ariaPressed = `${live.wiped}`;
      table.hidden = !on;
      const names = compared.map(({ about }) => about.key).join();
      if (on && names !== drawn) table.replaceChildren(...rowsOf(live));
      drawn = names;
    },
    close() {
      clearInterval(ticking);
      sized.disconnect();
    },
  };
}

/** Scrolls a list sideways, and nothing else, until one of its children is seen.
 * @param {HTMLElement} list @param {HTMLElement} [node] */
function reveal(list, node) {
  if (!node) return;
  const [whole, part] = [list, node].map((one) => one.getBoundingClientRect());
  if (!whole || !part) return;
  const [before, after] = [part.left - whole.left - FADE, part.right - whole.right + FADE];
  list.scrollLeft += before < 0 ? before : Math.max(0, after);
}

/** Pixels at an edge of the list that are pale where more lies beyond it, as in `shared/style.css`. */
const FADE = 36;

/** @param {LiveJob} live @param {Take} take */
function thumb(live, take) {
  const picture = element("canvas", "picture");
  const words = span("caption");
  const stars = span("starred");
  const used = span("used");
  const chip = stateChip();
  const bar = progressBar("Progress");
  const choose = () => {
    const { compared } = live;
    if (compared.length < 2) return live.choose(take);
    const rest = compared.filter((one) => one !== take);
    live.compare(rest.length < compared.length ? rest : [...compared, take]);
  };
  const node = button(picture, choose, "thumb");
  node.append(chip.node, bar.node, words, stars, used);
  draggable(node, () => (isPlayable(take) ? () => live.frame(take) : null));
  let asked = false;
  return {
    node,
    tick() {
      bar.node.hidden = take.finished || !live.following;
      if (!bar.node.hidden)
        bar.draw(share(take.now, take.elapsed(live.kernelNow), take.about.expected));
    },
    /** @param {number} number */
    update(number) {
      const made = isPlayable(take);
      if (made && !asked) void paintPoster(picture, take.poster());
      asked ||= made;
      const lost = !take.finished && !live.following;
      const state = made ? dimensions(take.now) : lost ? LOST : stateWord(take.now);
      const { caption, whole } = captionOf(live, take, number);
      write(words, caption);
      chip.draw(lost ? "LOST" : take.now.state, made ? "" : state);
      write(used, take.now.chosen ? "✓ Used" : "");
      node.title = whole;
      const rated = take.now.rating ? `${take.now.rating} stars` : "";
      write(stars, starsOf(take.now.rating));
      node.ariaLabel = inLine(
        [
          `Take ${number}`,
          caption !== `${number}` && caption,
          take.now.chosen && "used", // the words in the order in which they are seen
          state,
          rated,
        ],
        ", ",
      );
      const pressed = live.compared.length > 1 ? live.compared.includes(take) : take === live.shown;
      node.ariaPressed = `${pressed}`;
      node.dataset.state = take.now.state;
      this.tick();
    },
  };
}

/** What tells a take from the first one, in few words with the shortest first, and whole.
 * @param {LiveJob} live @param {Take} take @param {number} number */
function captionOf({ controls, takes }, take, number) {
  const first = takes[0]?.about ?? take.about;
  const { input, endpoint, backend } = take.about;
  const names = differing(controls, first.input, input);
  const short = [];
  const whole = [`Take ${number}`];
  for (const control of controls) {
    if (!names.includes(control.name)) continue;
    const [before, now] = [first.input, input].map((given) => settingOf(control, given));
    short.push(shortly(control, before, now));
    whole.push(`${control.label}: ${textOf(control, now)}`);
  }
  short.sort((one, other) => one.length - other.length);
  if (endpoint !== first.endpoint) short.unshift(modelOf(take, takes[0]));
  if (backend === "local" && takes.some(({ about }) => about.backend === "fal"))
    short.push("preview");
  return { caption: inLine([number, ...short]), whole: whole.join("\n") };
}

/** How a value differs from that of the first take, in the few words that a thumbnail has room for.
 * @param {import("../controls/value.js").Control} control @param {any} before @param {any} now */
function shortly(control, before, now) {
  const { kind, label, unit } = control;
  if (kind === "text") return otherWords(before ?? "", now ?? "");
  if (/json|media/.test(kind)) return label;
  return unit || kind === "choice" ? textOf(control, now) : `${label} ${textOf(control, now)}`;
}

/** What tells the endpoint of a take from that of another one, such as "pro".
 * @param {Take} take @param {Take | undefined} other */
function modelOf({ about }, other) {
  const others = other?.about.endpoint.split("/") ?? [];
  const own = about.endpoint.split("/").filter((part) => !others.includes(part));
  return own.join(" ") || about.title;
}

/** In what the compared takes differ, as rows of a table. @param {LiveJob} live */
function rowsOf(live) {
  const { controls, compared } = live;
  const [first, ...others] = compared.map(({ about }) => about.input);
  const names = new Set(others.flatMap((input) => differing(controls, first ?? {}, input)));
  const heads = compared.map((take) => nameOf(live, take));
  return differenceRows(
    [names.size ? "Differences" : "Same parameters", ...heads],
    controls
      .filter(({ name }) => names.has(name))
      .map((control) => [
        control.label,
        ...compared.map(({ about }) => textOf(control, settingOf(control, about.input))),
      ]),
  );
}
