import { widgetOf } from "../shared/live.js";
import { LivePanel } from "./live_panel.js";
import { mount } from "./view.js";

export default widgetOf(LivePanel, mount);
