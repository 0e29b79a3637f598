import { LiveJob } from "../result/live_job.js";
import { mount } from "../result/view.js";
import { widgetOf } from "../shared/live.js";

export default widgetOf(LiveJob, mount);
