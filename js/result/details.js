import { settingOf, textOf } from "../controls/value.js";
import { ANY_WAY, element } from "../shared/dom.js";
import { log } from "./log.js";

/**
 * What folds away: all parameters, the ids, the file, the log. It stays as the reader leaves it,
 * in later views of the job too.
 *
 * @param {import("./live_job.js").LiveJob} live
 * @returns {import("../shared/dom.js").Part}
 */
export function details(live) {
  const facts = element("dl", "facts-list");
  const lines = log(live);
  const summary = element("summary", "summary");
  const node = element("details", "fold", {}, summary, facts, lines.node);
  summary.onclick = () => {
    live.detailed = !node.open;
  };
  node.ontoggle = () => lines.update();
  let drawn = "";
  return {
    node,
    update() {
      const { shown, controls } = live;
      node.open = live.detailed;
      const { about, now, lines: held } = shown;
      const count = held.end ? ` · Log · ${held.end} line${held.end === 1 ? "" : "s"}` : "";
      if (summary.textContent !== `Details${count}`) summary.textContent = `Details${count}`;
      lines.update();
      const rows = [
        ["Prompt", about.prompt],
        ...controls
          .map((control) => ({ control, value: settingOf(control, about.input ?? {}) }))
          .filter(({ control, value }) => value !== null && value !== about.prompt && control)
          .map(({ control, value }) => [control.label, textOf(control, value)]),
        ["Cost", now.cost?.includes(" = ") ? now.cost : ""], // the header has the rest
        ["Endpoint", about.endpoint],
        ["Request", now.request_id ?? ""],
        ["Job", about.job_id],
        ["File", now.path ?? ""],
      ].filter(([, text]) => text);
      const text = JSON.stringify(rows);
      if (text === drawn) return;
      drawn = text;
      facts.replaceChildren(
        ...rows.flatMap(([name, value]) => [
          element("dt", "", {}, name ?? ""),
          element("dd", "", ANY_WAY, value ?? ""),
        ]),
      );
    },
    close: lines.close,
  };
}
