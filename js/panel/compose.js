import { createForm } from "../controls/form.js";
import { button, element, write } from "../job/element.js";
import { div } from "./box.js";
import { codeButton } from "./code_button.js";
import { offer } from "./draft_text.js";
import { endpointChooser } from "./endpoint_chooser.js";
import { mediaPicker } from "./media_picker.js";

/**
 * Where a request is composed: an endpoint, its controls, and what it would cost.
 *
 * @param {import("./live_panel.js").LivePanel} live
 * @returns {import("../job/view.js").Part}
 */
export function compose(live) {
  const { composition } = live;
  const chooser = endpointChooser(live);
  const picker = mediaPicker(live);
  const place = div("place");
  const generate = button("Generate", () => void go(false), "primary");
  const again = button("", () => void go(true));
  const copy = codeButton(live);
  const hint = element("div", "hint kling-pad kling-quiet", { role: "status" });
  const buttons = div("line-up", generate, again, copy);
  const node = element(
    "section",
    "compose",
    { "aria-label": "Compose" },
    chooser.node,
    place,
    buttons,
    hint,
  );
  /** @type {ReturnType<typeof createForm> | null} */
  let form = null;
  let [endpoint, version] = ["", -1];
  async function go(/** @type {boolean} */ another) {
    const button = another ? again : generate;
    if (button.ariaDisabled === "true" || composition.submitting) return;
    await live.generate(another);
  }
  const begin = () => {
    form?.destroy();
    form = createForm(composition.controls, {
      values: composition.values,
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
    if (!composition.submitting) void live.generate(false);
  };
  const taken = (/** @type {Event} */ event, /** @type {DataTransfer | null} */ data) => {
    const [file] = data?.files ?? [];
    if (!file) return;
    event.preventDefault();
    event.stopPropagation(); // what is dropped here is not for the notebook's page
    if (!picker.offer(file)) {
      live.note = "This endpoint takes no such file: choose one that does.";
      live.redraw();
    }
  };
  node.onpaste = (event) => taken(event, event.clipboardData);
  node.ondrop = (event) => taken(event, event.dataTransfer);
  // A text that is dragged into a field stays the browser's.
  node.ondragover = (event) => {
    if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
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
      const { quote, touched, submitting } = composition;
      const said = offer(quote, touched);
      generate.textContent = submitting ? "Submitting…" : said.generate;
      generate.ariaDisabled = `${!said.able || submitting || !live.connected}`;
      write(again, said.again);
      again.ariaDisabled = generate.ariaDisabled;
      write(hint, said.hint);
      hint.hidden = false;
      hint.toggleAttribute("data-wrong", said.wrong);
      copy.disabled = !touched;
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
