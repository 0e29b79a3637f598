import { widgetOf } from "../shared/live.js";
import { LiveJob } from "./live_job.js";
import { mount } from "./view.js";

export default widgetOf(LiveJob, mount);
