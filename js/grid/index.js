import { widgetOf } from "../shared/live.js";
import { LiveGrid } from "./live_grid.js";
import { mount } from "./view.js";

export default widgetOf(LiveGrid, mount);
