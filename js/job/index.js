import { liveJob } from "./live_job.js";
import { mount } from "./view.js";

/**
 * anywidget calls this once for each model, then `render` for each view of it.
 *
 * @type {() => {
 *   initialize: import("@anywidget/types").Initialize<import("./protocol.js").JobModel>,
 *   render: import("@anywidget/types").Render<import("./protocol.js").JobModel>,
 * }}
 */
const widget = () => {
  /** @type {import("./live_job.js").LiveJob} */
  let live;
  return {
    initialize({ model }) {
      live = liveJob(model);
      return () => live.close();
    },
    render: ({ el }) => mount(el, live),
  };
};

export default widget;
