import { div, element, newId, span, write } from "../shared/dom.js";

/** @typedef {import("./live_job.js").LiveJob} LiveJob */
/** @typedef {import("./take.js").Take} Take */

const HIGHEST = 5;

/**
 * Stars and a note of the take on the stage. The keys 1 to 5 rate it, 0 takes the rating away.
 *
 * @param {LiveJob} live
 * @param {() => Take} take
 * @param {(act: () => Promise<void>) => void} attempt does something, and shows why it failed
 * @returns {import("../shared/dom.js").Part & {onkeydown: (event: KeyboardEvent) => void}}
 */
export function rating(live, take, attempt) {
  /** @param {Take} of @param {{rating: number | null}} values */
  const decide = ({ about }, values) =>
    attempt(async () => {
      const asked = live.kernel.ask("decide", { key: about.key, ...values });
      await asked.finally(() => live.redraw()); // what was not stored is not shown
    });
  const rate = (/** @type {number} */ stars) => {
    const one = take();
    decide(one, { rating: stars && stars !== one.now.rating ? stars : null });
  };
  /** Stores a note. Until then it is kept here, also where it cannot be stored. @param {Take} of */
  const store = (of) => {
    const text = live.notes.get(of);
    if (text === undefined) return;
    attempt(async () => {
      await live.kernel.ask("decide", { key: of.about.key, note: text });
      if (live.notes.get(of) === text) live.notes.delete(of);
      of.now = { ...of.now, note: text };
      live.redraw();
    });
  };
  const name = newId("stars");
  const radios = Array.from({ length: HIGHEST }, (_, at) => {
    const words = `${at + 1} star${at ? "s" : ""}`;
    const title = `${words}: press ${at + 1}. 0 removes it`;
    const radio = element("input", "spoken", { type: "radio", name, ariaLabel: `Rate ${at + 1}` });
    // A radio that is chosen changes no more, but it can be clicked.
    radio.onclick = () => rate(at + 1);
    return { radio, star: element("label", "star", { title }, radio), face: span("") };
  });
  for (const { star, face } of radios) star.append(face);
  const stars = element("div", "stars", { role: "radiogroup" }, ...radios.map(({ star }) => star));
  /** The take that the note is of, while it is written. @type {Take | null} */
  let noted = null;
  const note = element("textarea", "input kling-note-text", {
    rows: 1,
    maxLength: 10_000,
    ariaLabel: "Note",
    placeholder: "Note",
    title: "Enter stores it",
    onfocus() {
      noted = take();
    },
    oninput() {
      live.notes.set(noted ?? take(), note.value);
    },
    onchange: () => store(noted ?? take()),
    onkeydown(/** @type {KeyboardEvent} */ event) {
      if (event.key !== "Enter" || event.shiftKey) return;
      event.preventDefault();
      note.blur();
    },
  });
  const node = div("rating", stars, note);
  return {
    node,
    onkeydown({ key, ctrlKey, metaKey, altKey, target }) {
      const typing = target instanceof Element && target.matches("select, :read-write");
      const count = { 0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5 }[key];
      if (typing || ctrlKey || metaKey || altKey || node.inert || count === undefined) return;
      if (count !== take().now.rating) rate(count);
    },
    update() {
      const { now } = take();
      node.inert = now.state !== "READY" || !take().about.key || !live.connected; // its place stays
      stars.ariaLabel = `Rating of take ${live.takes.indexOf(take()) + 1}`;
      radios.forEach(({ radio, star, face }, at) => {
        radio.checked = at + 1 === now.rating;
        // Another sign, because forced colours are the same for both.
        write(face, star.toggleAttribute("data-on", at < (now.rating ?? 0)) ? "★" : "☆");
      });
      if (document.activeElement === note) return;
      note.value = live.notes.get(take()) ?? now.note ?? "";
    },
    close() {
      for (const take of live.notes.keys()) store(take);
    },
  };
}

/** Stars as the strip shows them. @param {number | null | undefined} stars */
export const starsOf = (stars) => (stars ? `★ ${stars}` : "");
