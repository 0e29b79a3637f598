import { createForm, cursorIn, setCursor } from "../controls/form.js";
import { mediaPicker } from "../controls/media_picker.js";
import { same } from "../controls/value.js";
import { alarm, button, div, element, write } from "../shared/dom.js";
import { GONE, isFinished } from "../shared/words.js";

/** How many takes can be started at once. */
const COUNTS = [1, 2, 4, 8];

/**
 * A choice of how many takes are made at once.
 *
 * @param {() => void} onChange
 */
export function howMany(onChange) {
  const about = { ariaLabel: "How many takes", title: "How many takes", onchange: onChange };
  const options = COUNTS.map((count) => element("option", "", { value: `${count}` }, `×${count}`));
  const node = element("select", "", about, ...options);
  return { node, count: () => COUNTS[node.selectedIndex] ?? 1 };
}

/**
 * In a view with a form elsewhere: what puts this request there.
 *
 * @param {import("./live_job.js").LiveJob} live
 * @param {(job: string) => void} reuse
 * @returns {import("../shared/dom.js").Part}
 */
export function makeElsewhere(live, reuse) {
  const words = "Make another";
  const go = button(words, () => reuse(live.shown.about.job_id), "", {
    title: "Puts these parameters into Compose, to be changed there",
  });
  const row = div("generate", go);
  return {
    node: element("section", "another", { ariaLabel: words }, row),
    update() {
      go.disabled = !live.connected;
    },
  };
}

/**
 * The parameters as controls, and "Generate" with what it costs. They stay usable while jobs run.
 *
 * @param {import("./live_job.js").LiveJob} live
 * @returns {import("../shared/dom.js").Part}
 */
export function makeAnother(live) {
  const { newTake } = live;
  const generate = button("Generate", () => {}, "primary");
  // A double click, or a key that is held, is one wish: each take may cost money.
  generate.onclick = ({ detail }) => void (detail > 1 || start());
  generate.onkeydown = (event) => {
    if (event.repeat) event.preventDefault();
  };
  const { node: counts, count } = howMany(() => recount());
  const price = element("span", "price", { role: "status" });
  const row = div("generate", generate, counts, price);
  const problem = alarm();
  const place = div("");
  const node = element("section", "another", { ariaLabel: "Make another" }, place, row, problem);
  /** @type {ReturnType<typeof createForm> | null} */
  let form = null;
  /** @type {unknown} */
  let controls = null;
  /** @type {number | null} */
  let shown = null;
  let [seen, edited] = [false, 0];
  const start = async () => {
    if (generate.ariaDisabled === "true") return;
    const sent = live.edits;
    if (!(await newTake.generate())) return;
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
    newTake.want(live.shown.about.key, Object.fromEntries(changes), count(), pause);
  };
  const recount = () => {
    live.counted = counts.selectedIndex;
    want(0);
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
    write(generate, newTake.sending ? "Starting…" : "Generate");
    generate.ariaDisabled = `${!newTake.quote || newTake.sending || !connected || !ready}`;
    counts.disabled = !connected;
    const gone = live.shown.finished ? GONE.take : ""; // the stage says more of one that runs
    price.textContent = connected ? (newTake.quote?.words ?? "") : gone;
    write(problem, newTake.error);
  };
  const sight = new IntersectionObserver((entries) => {
    seen = Boolean(entries.at(-1)?.isIntersecting);
    update();
  });
  sight.observe(row);
  return {
    node,
    update,
    close() {
      sight.disconnect();
      form?.destroy();
    },
  };
}
