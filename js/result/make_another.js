import { createForm } from "../controls/form.js";
import { mediaPicker } from "../controls/media_picker.js";
import { alarm, button, div, element, write } from "../shared/dom.js";
import { GONE, isFinished } from "../shared/words.js";

/** How many takes can be started at once. */
const COUNTS = [1, 2, 4, 8];

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
  generate.onclick = ({ detail }) => void (detail > 1 || newTake.generate());
  generate.onkeydown = (event) => {
    if (event.repeat) event.preventDefault();
  };
  const counts = element(
    "select",
    "",
    { ariaLabel: "How many takes", title: "How many takes", onchange: () => want(0) },
    ...COUNTS.map((count) => element("option", "", { value: `${count}` }, `×${count}`)),
  );
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
  let seen = false;
  /** Which takes were sent, and which had ended, when the price was asked for: it depends on that. */
  let priced = "";
  const stages = () =>
    live.takes
      .map(({ now: { state } }) => (state === "SUBMITTING" ? state : isFinished(state)))
      .join();
  const want = (/** @type {number | undefined} */ pause) => {
    const values = form?.values() ?? {};
    const changes = (form?.changed() ?? []).map((name) => [name, values[name] ?? null]);
    if (!seen) return;
    priced = stages();
    const count = COUNTS[counts.selectedIndex] ?? 1;
    newTake.want(live.shown.about.key, Object.fromEntries(changes), count, pause);
  };
  const changing = () => {
    want(undefined);
    update();
  };
  const build = () => {
    const { key, input } = live.shown.about;
    if (controls !== live.controls) {
      controls = live.controls;
      form?.destroy();
      form = createForm(live.controls, {
        onChange: changing,
        mediaPicker: mediaPicker(live).field,
      });
      place.append(form.node);
      shown = null;
    }
    if (shown !== key) {
      shown = key;
      form?.setValues(input);
      want(0);
    }
  };
  const update = () => {
    const { connected } = live;
    // With the form the focus would be lost, where "Generate" was pressed by a key.
    node.inert = !live.controls.length;
    if (!live.controls.length) return;
    build();
    if (connected && (newTake.idle() || priced !== stages())) want(0);
    form?.setDisabled(!connected);
    write(generate, newTake.sending ? "Starting…" : "Generate");
    generate.ariaDisabled = `${!newTake.quote || newTake.sending || !connected}`;
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
