import { button, div, element, span } from "../shared/dom.js";

/**
 * Where the storyboard of marked jobs is shown: the view of another widget, which the front end makes.
 *
 * @param {import("./live_panel.js").LivePanel} live
 * @returns {import("../shared/dom.js").Part}
 */
export function storyboard(live) {
  const close = button("✕", () => show(""), "remove", { "aria-label": "Close the storyboard" });
  const place = div("");
  const bar = div("line-up", span("quiet", "In Python: panel.storyboard"), close);
  const node = element("section", "opened", { "aria-label": "Storyboard" }, bar, place);
  let drawn = "";
  /** @type {any} */
  let view = null;
  const leave = () => {
    view?.remove();
    view = null;
  };
  const show = (/** @type {string} */ model) => {
    live.board = model;
    live.redraw();
  };
  const draw = async (/** @type {string} */ id) => {
    const manager = /** @type {any} */ (live.model.widget_manager);
    if (!manager?.create_view) throw new Error(ELSEWHERE);
    const made = await manager.create_view(await manager.get_model(id));
    if (drawn !== id) return made.remove();
    view = made;
    place.replaceChildren(made.el);
    node.scrollIntoView({ block: "nearest" });
  };
  return {
    node,
    update() {
      const { board } = live;
      node.hidden = !board;
      if (drawn === board) return;
      drawn = board;
      leave();
      if (board) void live.attempt(() => draw(board));
    },
    close: leave,
  };
}

const ELSEWHERE = "This front end cannot show it here. Run a cell with: panel.storyboard";
