import { differing, settingOf, wordsOf } from "../controls/value.js";
import { differenceRows } from "../shared/differences.js";
import { button, element, paintPoster, write } from "../shared/dom.js";
import { dimensions, hasVideo, label } from "../shared/words.js";

/** @typedef {import("./live_job.js").LiveJob} LiveJob */
/** @typedef {import("./take.js").Take} Take */
/** @typedef {import("../controls/value.js").Control} Control */

/**
 * The takes as thumbnails: one is shown, another one may play next to it.
 *
 * @param {LiveJob} live
 * @returns {import("../shared/dom.js").Part}
 */
export function takes(live) {
  const list = element("div", "thumbs", { role: "group", ariaLabel: "Takes" });
  const table = element("table", "differences");
  const node = element("div", "strip", {}, list, table);
  /** @type {Map<Take, ReturnType<typeof thumb>>} */
  let thumbs = new Map();
  let drawn = "";
  return {
    node,
    update() {
      const { takes, shown, other } = live;
      node.hidden = takes.length < 2;
      if (node.hidden) return;
      thumbs = new Map(takes.map((take) => [take, thumbs.get(take) ?? thumb(live, take)]));
      [...thumbs.values()].forEach((one, at) => {
        if (list.children[at] !== one.node) list.insertBefore(one.node, list.children[at] ?? null);
        one.update(at + 1);
      });
      while (list.children.length > takes.length) list.lastChild?.remove();
      table.hidden = !other;
      const pair = `${shown.about.key} ${other?.about.key}`;
      if (other && pair !== drawn) table.replaceChildren(...rowsOf(live, shown, other));
      drawn = pair;
    },
  };
}

/** @param {LiveJob} live @param {Take} take */
function thumb(live, take) {
  const picture = element("canvas", "picture");
  const words = element("span", "");
  const show = button(picture, () => live.choose(take), "thumb");
  const second = button("⇄", () => live.compare(live.other === take ? null : take), "beside");
  show.append(words);
  let asked = false;
  return {
    node: element("div", "cell", {}, show, second),
    /** @param {number} number */
    update(number) {
      const { now } = take;
      const [made, shown, side] = [hasVideo(now), take === live.shown, take === live.other];
      if (made && !asked) void paintPoster(picture, take.poster());
      asked ||= made;
      const state = made ? dimensions(now) : label(now.state);
      write(words, made ? `${number}` : state);
      show.ariaLabel = `Take ${number}, ${state}`;
      show.ariaPressed = `${shown}`;
      second.hidden = shown || !made || !hasVideo(live.shown.now);
      second.ariaPressed = `${side}`;
      second.ariaLabel = `Take ${number} next to the one shown`;
      second.title = side ? "Put away" : "Compare: play next to it, in step";
    },
  };
}

/**
 * In what two takes differ, as rows of a table.
 *
 * @param {LiveJob} live
 * @param {Take} one
 * @param {Take} other
 */
function rowsOf({ controls, takes }, one, other) {
  const names = differing(controls, one.about.input, other.about.input);
  const value = (/** @type {Take} */ take, /** @type {Control} */ control) =>
    wordsOf(settingOf(control, take.about.input));
  const number = (/** @type {Take} */ take) => `Take ${takes.indexOf(take) + 1}`;
  return differenceRows(
    [names.length ? "Different" : "Same parameters", number(one), number(other)],
    controls
      .filter(({ name }) => names.includes(name))
      .map((control) => [control.label, value(one, control), value(other, control)]),
  );
}
