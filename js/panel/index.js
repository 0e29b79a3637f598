import { LivePanel } from "./live_panel.js";
import { mount } from "./view.js";

/**
 * anywidget calls this once for each model, then `render` for each view of it.
 *
 * @type {() => {
 *   initialize: import("@anywidget/types").Initialize<import("./protocol.js").PanelModel>,
 *   render: import("@anywidget/types").Render<import("./protocol.js").PanelModel>,
 * }}
 */
const widget = () => {
  /** @type {LivePanel} */
  let live;
  return {
    initialize({ model }) {
      live = new LivePanel(model);
      return () => live.close();
    },
    render: ({ el }) => mount(el, live),
  };
};

export default widget;
