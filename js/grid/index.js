import { liveGrid } from "./live_grid.js";
import { mount } from "./view.js";

/**
 * anywidget calls this once for each model, then `render` for each view of it.
 *
 * @type {() => {
 *   initialize: import("@anywidget/types").Initialize<import("./protocol.js").GridModel>,
 *   render: import("@anywidget/types").Render<import("./protocol.js").GridModel>,
 * }}
 */
const widget = () => {
  /** @type {import("./live_grid.js").LiveGrid} */
  let live;
  return {
    initialize({ model }) {
      live = liveGrid(model);
      return () => live.close();
    },
    render: ({ el }) => mount(el, live),
  };
};

export default widget;
