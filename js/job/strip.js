import { differing, settingOf, wordsOf } from "../controls/value.js";
import { button, element, paintPoster, write } from "./element.js";
import { dimensions, hasVideo, label } from "./words.js";

/** @typedef {import("./live_job.js").LiveJob} LiveJob */
/** @typedef {import("./record.js").JobRecord} JobRecord */

/**
 * The takes as thumbnails: one is shown, another one may be put beside it.
 *
 * @param {LiveJob} live
 * @returns {import("./view.js").Part}
 */
export function strip(live) {
  const list = element("div", "thumbs", { role: "group", ariaLabel: "Takes" });
  const table = element("table", "differences");
  const node = element("div", "strip", {}, list, table);
  /** @type {Map<JobRecord, ReturnType<typeof thumb>>} */
  let thumbs = new Map();
  let drawn = "";
  return {
    node,
    update() {
      const { takes, record, other, controls } = live;
      node.hidden = takes.length < 2;
      if (node.hidden) return;
      thumbs = new Map(takes.map((take) => [take, thumbs.get(take) ?? thumb(live, take)]));
      [...thumbs.values()].forEach((one, at) => {
        if (list.children[at] !== one.node) list.insertBefore(one.node, list.children[at] ?? null);
        one.update(at + 1);
      });
      while (list.children.length > takes.length) list.lastChild?.remove();
      table.hidden = !other;
      const pair = `${record.about.key} ${other?.about.key}`;
      if (other && pair !== drawn)
        table.replaceChildren(...differences(controls, takes, record, other));
      drawn = pair;
    },
  };
}

/** @param {LiveJob} live @param {JobRecord} take */
function thumb(live, take) {
  const picture = element("canvas", "picture");
  const words = element("span", "");
  const show = button(picture, () => live.choose(take), "thumb");
  const beside = button("⇄", () => live.compare(live.other === take ? null : take), "beside");
  show.append(words);
  let asked = false;
  return {
    node: element("div", "cell", {}, show, beside),
    /** @param {number} number */
    update(number) {
      const { now } = take;
      const [made, shown, side] = [hasVideo(now), take === live.record, take === live.other];
      if (made && !asked) void paintPoster(picture, live.poster(take));
      asked ||= made;
      const state = made ? dimensions(now) : label(now.state);
      write(words, made ? `${number}` : state);
      show.ariaLabel = `Take ${number}, ${state}`;
      show.ariaPressed = `${shown}`;
      beside.hidden = shown || !made || !hasVideo(live.record.now);
      beside.ariaPressed = `${side}`;
      beside.ariaLabel = `Take ${number} beside the one shown`;
      beside.title = side ? "Put away" : "Play beside, in step";
    },
  };
}

/**
 * In what two takes differ, as rows of a table.
 *
 * @param {import("../controls/value.js").Control[]} controls
 * @param {JobRecord[]} takes
 * @param {JobRecord} one
 * @param {JobRecord} other
 */
function differences(controls, takes, one, other) {
  const cell = (/** @type {"th" | "td"} */ tag, /** @type {string} */ text) =>
    element(tag, "", {}, text);
  const pair = [one, other];
  const names = differing(controls, one.about.input, other.about.input);
  const rows = controls
    .filter(({ name }) => names.includes(name))
    .map((control) => [
      cell("th", control.label),
      ...pair.map(({ about }) => cell("td", wordsOf(settingOf(control, about.input)))),
    ]);
  const title = names.length ? "Different" : "Same parameters";
  const heads = pair.map((take) => cell("th", `Take ${takes.indexOf(take) + 1}`));
  return [[cell("td", title), ...heads], ...rows].map((cells) => element("tr", "", {}, ...cells));
}
