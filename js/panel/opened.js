import { resultParts } from "../result/view.js";
import { ANY_WAY, button, div, element, span, write } from "../shared/dom.js";
import { stateChip } from "../shared/state.js";
import { isFinished, label } from "../shared/words.js";
import { lostWords } from "./lost.js";

/** @typedef {import("./live_panel.js").LivePanel} LivePanel */
/** @typedef {import("./openings.js").Opening} Opening */
/** @typedef {import("../shared/dom.js").Part} Part */

/**
 * What is looked at: a result with its takes, or two that are compared.
 *
 * @param {LivePanel} live
 * @returns {Part}
 */
export function opened(live) {
  const node = element("section", "opened", { "aria-label": "Result" });
  const words = div("", "Compose a request, or open one from the library.");
  const examples = div("line-up");
  const hint = div("hint kling-pad kling-quiet", words, examples);
  const use = (/** @type {string} */ prompt) => {
    const { composition } = live;
    composition.edit({ ...composition.values, prompt }, {});
  };
  let kind = "";
  /** @type {{opening: Opening, part: Part} | null} */
  let drawn = null;
  const leave = () => {
    drawn?.part.close?.();
    drawn = null;
  };
  node.append(hint);
  return {
    node,
    update() {
      const { opening } = live.openings;
      if (drawn?.opening !== opening) {
        leave();
        if (opening) drawn = { opening, part: shown(live, opening) };
        node.replaceChildren(drawn?.part.node ?? hint);
      }
      drawn?.part.update();
      const { endpoint } = live.composition;
      const category = live.catalogue.find(([name]) => name === endpoint)?.[3] ?? "";
      const texts = EXAMPLES[category] ?? [];
      if (kind !== category)
        examples.replaceChildren(...texts.map((text) => button(text, () => use(text))));
      kind = category;
      examples.hidden = !texts.length || live.history.total > 0 || !live.history.everything;
    },
    close: leave,
  };
}

/** What may be tried in an empty panel, by the kind of endpoint: a text tells what is seen, and of an image what
 * moves. @type {Record<string, string[]>} */
const EXAMPLES = {
  "text-to-video": [
    "A paper boat on a pond in the rain, seen from above",
    "A red fox crosses a snowy clearing at dawn, golden light",
    "Slow dolly along a bookshelf in the evening sun",
  ],
  "image-to-video": [
    "Slow push in, while the light turns golden",
    "A light wind moves leaves, cloth and hair",
    "The camera circles once around the subject",
  ],
};

/** @param {LivePanel} live @param {Opening} opening @returns {Part} */
function shown(live, opening) {
  const close = button("✕", () => live.openings.show([]), "remove", { "aria-label": "Close" });
  const title = element("h4", "", {}, opening.ids.length > 1 ? "Compare" : "Result");
  const bar = div("line-up", title, close);
  const lost = unfinished(live, opening);
  const place = div("result");
  const node = element("article", "", {}, bar, lost.node, place);
  /** @type {ReturnType<typeof resultParts> | null} */
  let parts = null;
  let unsubscribe = () => {};
  const draw = () => {
    lost.update();
    const { result } = opening;
    if (!parts && result?.shown.about.key) {
      parts = resultParts(result);
      place.replaceChildren(...parts.nodes);
    }
    parts?.update();
  };
  let subscribed = false;
  return {
    node,
    update() {
      if (opening.result && !subscribed) {
        subscribed = true;
        unsubscribe = opening.result.subscribe(draw);
      }
      draw();
    },
    close() {
      unsubscribe();
      parts?.close();
    },
  };
}

/** A job that has no result here, and how to get it. @param {LivePanel} live @param {Opening} opening */
function unfinished(live, opening) {
  const [id = ""] = opening.ids;
  const chip = stateChip();
  const title = span("title");
  const head = div("line-up", chip.node, title);
  const prompt = element("div", "pad", ANY_WAY);
  const why = element("div", "why", { hidden: true });
  const resume = button("Resume", () => void live.resume(id));
  const reuse = button("Edit in Compose", () => void live.reuse(id));
  const node = div("", head, prompt, why, div("line-up", resume, reuse));
  return {
    node,
    update() {
      const { resumable, error, result } = opening;
      node.hidden = Boolean(result && (live.following || result.shown.about.key));
      if (node.hidden) return chip.draw("LOST", "");
      const row = opening.row ?? live.row(id);
      resume.hidden = !resumable;
      reuse.hidden = !resumable && !error; // else a result comes, which has it too
      if (!row) {
        write(why, error);
        return;
      }
      chip.draw(isFinished(row.state) || live.following ? row.state : "LOST");
      why.dataset.state = row.state;
      write(title, row.title);
      write(prompt, row.prompt);
      const faulty = isFinished(row.state) && row.state !== "READY";
      const lost = live.connected || faulty ? "" : lostWords(row.state, row.backend, false);
      if (!live.connected) resume.hidden = reuse.hidden = true;
      write(why, lost || error || (faulty ? row.message || label(row.state) : ""));
    },
  };
}
