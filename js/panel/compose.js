import { createForm } from "../controls/form.js";
import { mediaPicker } from "../controls/media_picker.js";
import { howMany } from "../result/make_another.js";
import { offer } from "../result/offer.js";
import { button, div, element, write } from "../shared/dom.js";
import { droppedFiles, hasFiles } from "../shared/dragged.js";
import { copyCellButton } from "./copy_cell.js";
import { endpointChooser } from "./endpoint_chooser.js";

/**
 * Where a request is composed: an endpoint, its controls, and what it would cost.
 *
 * @param {import("./live_panel.js").LivePanel} live
 * @returns {import("../shared/dom.js").Part}
 */
export function compose(live) {
  const { composition } = live;
  const chooser = endpointChooser(live);
  const picker = mediaPicker(live);
  const place = div("place");
  const generate = button("Generate", () => void go(false), "primary");
  const again = button("", () => void go(true));
  const copy = copyCellButton(live, async () => {
    await composition.flush();
    return "";
  });
  const hint = element("div", "texts kling-quiet", { role: "status" });
  const { node: counts, count } = howMany(() => live.redraw());
  const buttons = div("line-up", generate, counts, again);
  const node = element(
    "section",
    "compose",
    { "aria-label": "Compose" },
    chooser.node,
    place,
    buttons,
    div("hint kling-line-up", copy, hint),
  );
  /** @type {ReturnType<typeof createForm> | null} */
  let form = null;
  let [endpoint, version] = ["", -1];
  async function go(/** @type {boolean} */ another) {
    const button = another ? again : generate;
    if (button.ariaDisabled === "true" || composition.submitting) return;
    await live.generate(another, count());
  }
  const begin = () => {
    const { controls, values } = composition;
    // What is being typed while the controls of another endpoint arrive goes on in the same field.
    if (form) return form.setControls(controls, values);
    form = createForm(controls, {
      values,
      onChange: () => {
        if (form) composition.edit(form.values(), node);
        version = composition.version;
      },
      mediaPicker: picker.field,
    });
    place.replaceChildren(form.node);
    grow(form.node);
  };
  node.onkeydown = (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    event.stopPropagation();
    if (live.connected && !composition.submitting) void live.generate(false, count());
  };
  const taken = async (/** @type {Event} */ event, /** @type {DataTransfer | null} */ data) => {
    if (!hasFiles(data)) return;
    event.preventDefault();
    event.stopPropagation(); // what is dropped here is not for the notebook's page
    const [file] = (await live.attempt(() => droppedFiles(data))) ?? [];
    if (file && !picker.offer(file)) {
      live.note = "This endpoint takes no such file: choose one that does.";
      live.redraw();
    }
  };
  node.onpaste = (event) => void taken(event, event.clipboardData);
  node.ondrop = (event) => void taken(event, event.dataTransfer);
  // A text that is dragged into a field stays the browser's.
  node.ondragover = (event) => {
    if (hasFiles(event.dataTransfer)) event.preventDefault();
  };
  return {
    node,
    update() {
      chooser.update();
      if (composition.endpoint !== endpoint) {
        ({ endpoint, version } = composition);
        begin();
      } else if (composition.version !== version) {
        version = composition.version;
        if (composition.editor !== node) form?.setValues(composition.values);
      }
      if (live.prompting) {
        const { replacing } = live;
        live.prompting = live.replacing = false;
        const prompt = node.querySelector("textarea");
        // Who writes already is left alone.
        if (!node.contains(document.activeElement)) replacing ? prompt?.select() : prompt?.focus();
      }
      const { touched, submitting } = composition;
      // Of a kernel that is gone, no price and no plan holds.
      const quote = live.following ? composition.quote : null;
      const words = offer(quote, touched && live.following, count());
      generate.textContent = submitting ? "Submitting…" : words.generate;
      generate.ariaDisabled = `${!words.able || submitting}`;
      write(again, words.again);
      again.ariaDisabled = generate.ariaDisabled;
      // The kernel names the parameter as a cell would; here it has a label.
      const named = composition.controls.find(({ name }) => name === quote?.parameter);
      write(hint, named ? words.hint.replaceAll(named.name, named.label) : words.hint);
      hint.hidden = false;
      hint.toggleAttribute("data-wrong", words.wrong);
      copy.disabled = !touched || !live.connected;
      chooser.node.inert = counts.disabled = !live.connected;
    },
    close: () => form?.destroy(),
  };
}

/** Makes text areas as high as their text, where the browser does not do so by itself.
 * @param {HTMLElement} form */
function grow(form) {
  if (CSS.supports("field-sizing", "content")) return;
  form.addEventListener("input", ({ target }) => {
    if (!(target instanceof HTMLTextAreaElement)) return;
    target.style.height = "auto";
    target.style.height = `${target.scrollHeight + 2}px`;
  });
}
