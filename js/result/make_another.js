import { createForm, cursorIn, setCursor } from "../controls/form.js";
import { mediaPicker } from "../controls/media_picker.js";
import { same } from "../controls/value.js";
import { alarm, button, div, element, span, watchSight, write } from "../shared/dom.js";
import { isFinished, RESTARTED } from "../shared/words.js";
import { offer } from "./offer.js";

/** @typedef {import("../shared/dom.js").Part & {edit: () => void}} FormPart `edit` leads to the form */

const ABOUT = { ariaLabel: "Make another" };

/** How many takes can be started at once. */
const COUNTS = [1, 2, 4, 8];

/**
 * A choice of how many takes are made at once.
 *
 * @param {() => void} onChange
 */
export function howMany(onChange) {
  const about = { ariaLabel: "How many takes", onchange: onChange };
  const options = COUNTS.map((count) => element("option", "", { value: `${count}` }, `×${count}`));
  const node = element("select", "", about, ...options);
  return { node, count: () => COUNTS[node.selectedIndex] ?? 1 };
}

/** The head of the part, the same in every view. */
const heading = () => element("h4", "another-name", {}, "Make another");

/**
 * In a view with a form elsewhere: what puts this request there.
 *
 * @param {import("./live_job.js").LiveJob} live
 * @param {(job: string) => void} reuse
 * @returns {FormPart}
 */
export function makeElsewhere(live, reuse) {
  const go = button("Edit in Compose", () => reuse(live.shown.about.job_id));
  const words = span("price", "Puts this prompt and these parameters there.");
  const node = element("section", "another", ABOUT, heading(), div("generate", go, words));
  return {
    node,
    edit: () => go.focus(),
    update() {
      node.hidden = !live.connected;
    },
  };
}

/**
 * The parameters as controls, and "Generate" with what it costs. They stay usable while jobs run.
 *
 * @param {import("./live_job.js").LiveJob} live
 * @returns {FormPart}
 */
export function makeAnother(live) {
  const { newTake } = live;
  const [generate, again] = [button("", () => {}, "primary"), button("", () => {})];
  again.hidden = true;
  for (const one of [generate, again]) {
    // A double click, or a key that is held, is one wish: each take may cost money.
    one.onclick = ({ detail }) => void (detail > 1 || start(one === again));
    one.onkeydown = (event) => {
      if (event.repeat) event.preventDefault();
    };
  }
  const { node: counts, count } = howMany(() => recount());
  const hint = element("span", "price", { role: "status" });
  const row = div("generate", generate, counts, again, hint);
  const problem = alarm();
  const place = div("");
  const node = element("section", "another", ABOUT, heading(), place, row, problem);
  /** @type {ReturnType<typeof createForm> | null} */
  let form = null;
  /** @type {unknown} */
  let controls = null;
  /** @type {number | null} */
  let shown = null;
  let [seen, edited] = [false, 0];
  const start = async (/** @type {boolean} */ another) => {
    if (generate.ariaDisabled === "true") return;
    const sent = live.edits;
    if (!(await newTake.generate(another, count()))) return;
    // The new take has them. What was changed after the click is for the next one.
    const rest = Object.entries(live.edits).filter(([name, value]) => !same(value, sent[name]));
    live.edits = Object.fromEntries(rest);
    live.edited++;
    live.redraw();
  };
  /** Which takes were sent, and which had ended, when the price was asked for: it depends on that. */
  let priced = "";
  const stages = () =>
    live.takes
      .map(({ now: { state } }) => (state === "SUBMITTING" ? state : isFinished(state)))
      .join();
  const want = (/** @type {number | undefined} */ pause) => {
    const values = form?.values() ?? {};
    const changes = (form?.changed() ?? []).map((name) => [name, values[name] ?? null]);
    if (!seen || controls !== live.controls) return;
    priced = stages();
    newTake.want(live.shown.about.key, Object.fromEntries(changes), pause);
  };
  const recount = () => {
    live.counted = counts.selectedIndex;
    live.redraw();
  };
  const changing = () => {
    if (!form) return;
    const values = form.values();
    const known = live.controls.map(({ name }) => name);
    const others = Object.entries(live.edits).filter(([name]) => !known.includes(name));
    const own = form.touched().map((name) => [name, values[name] ?? null]);
    live.edits = Object.fromEntries([...others, ...own]);
    edited = ++live.edited;
    keepCursor();
    want(undefined);
    update();
  };
  const keepCursor = () => {
    if (form) live.cursor = cursorIn(form.node);
  };
  for (const kind of ["focusin", "keyup", "pointerup"]) place.addEventListener(kind, keepCursor);
  place.addEventListener("focusout", () => {
    // A view that is taken off the page, to be drawn again, keeps it for the next one.
    setTimeout(() => node.isConnected && keepCursor());
  });
  const begin = () => {
    const { input } = live.shown.about;
    controls = live.controls;
    if (form) return form.setControls(live.controls, input, live.edits);
    form = createForm(live.controls, { onChange: changing, mediaPicker: mediaPicker(live).field });
    form.setValues(input, live.edits);
    place.append(form.node);
    const free = !document.activeElement?.matches("input, select, :read-write");
    if (live.cursor && free)
      setTimeout(() => live.cursor && form && setCursor(form.node, live.cursor));
  };
  const build = () => {
    const { key, input } = live.shown.about;
    if (controls === live.controls && shown === key && edited === live.edited) return;
    if (controls !== live.controls) begin();
    else form?.setValues(input, live.edits);
    shown = key;
    edited = live.edited;
    want(0); // what the form shows is what has its price, and what is started
  };
  const update = () => {
    const { connected } = live;
    // With the form the focus would be lost, where "Generate" was pressed by a key, or someone writes.
    node.inert = !form && !live.controls.length;
    const ready = Boolean(live.controls.length);
    if (ready) build();
    if (ready && connected && (newTake.idle() || priced !== stages())) want(0);
    counts.selectedIndex = live.counted;
    form?.setDisabled(!connected && !form.node.contains(document.activeElement));
    const { quote, sending, error } = newTake;
    const words = offer(quote, connected && (quote !== null || !error), count());
    write(generate, sending ? "Submitting…" : words.generate);
    generate.ariaDisabled =
      again.ariaDisabled = `${!words.able || sending || !connected || !ready}`;
    counts.disabled = !connected;
    const gone = live.shown.finished ? `${RESTARTED} Run the cell again to make another take.` : ""; // the stage says more of one that runs
    // What was true of the request before stays until more is known: nothing moves while someone types.
    if (quote || !connected) {
      write(again, connected ? words.again : "");
      write(hint, connected ? (words.wrong ? "" : words.hint) : gone);
    }
    write(problem, error || (words.wrong ? words.hint : ""));
  };
  const leaveSight = watchSight(row, (now) => {
    seen = now;
    update();
  });
  return {
    node,
    update,
    edit() {
      const prompt = node.querySelector("textarea");
      prompt?.focus();
      prompt?.scrollIntoView({ block: "nearest" });
    },
    close() {
      leaveSight();
      form?.destroy();
    },
  };
}
