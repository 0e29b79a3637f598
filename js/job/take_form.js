import { createForm } from "../controls/form.js";
import { settingOf, wordsOf } from "../controls/value.js";
import { alarm, button, element, write } from "../shared/dom.js";
import { fold } from "./fold.js";

/**
 * The parameters as controls, and "Generate take" with what it costs.
 *
 * @param {import("./live_job.js").LiveJob} live
 * @returns {import("../shared/dom.js").Part}
 */
export function takeForm(live) {
  const { newTake } = live;
  const { node: folded, summary, open } = fold(live, "parameters");
  const generate = button("", () => void newTake.generate(), "primary");
  const price = element("span", "price", { role: "status" });
  const row = element("div", "generate", {}, generate, price);
  const problem = alarm();
  const node = element("div", "", {}, folded, row, problem);
  /** @type {ReturnType<typeof createForm> | null} */
  let form = null;
  /** @type {unknown} */
  let controls = null;
  /** @type {number | null} */
  let shown = null;
  let seen = false;
  const want = (/** @type {number | undefined} */ pause) => {
    const values = form?.values() ?? {};
    const changes = (form?.changed() ?? []).map((name) => [name, values[name] ?? null]);
    if (seen) newTake.want(live.shown.about.key, Object.fromEntries(changes), pause);
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
      form = createForm(live.controls, { onChange: changing });
      folded.append(form.node);
      shown = null;
    }
    if (shown !== key) {
      shown = key;
      form?.setValues(input);
      want(0);
    }
  };
  const update = () => {
    const { shown: take, connected } = live;
    const over = !take.finished || !live.controls.length;
    // With the form the focus would be lost, where "Generate take" was pressed by a key.
    if (over && node.matches(":focus-within")) node.parentElement?.querySelector("header")?.focus();
    node.hidden = over;
    if (over) {
      shown = null;
      return;
    }
    build();
    if (newTake.idle() && connected) want(0);
    open(false);
    form?.setDisabled(!connected);
    const changed = form?.changed().length ?? 0;
    const values = live.controls.flatMap((control) =>
      /text|json|media/.test(control.kind)
        ? []
        : `${control.label} ${wordsOf(settingOf(control, take.about.input))}`,
    );
    write(summary, ["Parameters", ...(changed ? [`${changed} changed`] : values)].join(" · "));
    const made = changed || take.now.state === "READY";
    write(generate, newTake.sending ? "Starting…" : made ? "Generate take" : "Try again");
    generate.ariaDisabled = `${!newTake.quote || newTake.sending}`;
    row.hidden = !connected;
    write(price, newTake.quote?.words ?? "");
    write(problem, newTake.error);
  };
  const sight = new IntersectionObserver((entries) => {
    seen = entries.some((entry) => entry.isIntersecting);
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
