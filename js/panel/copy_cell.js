import { copyButton } from "../shared/copy.js";

/**
 * A button that copies a `%%kling` cell.
 *
 * @param {import("./live_panel.js").LivePanel} live
 * @param {() => Promise<string>} job gives the id of a job, or "" for the compose area
 */
export const copyCellButton = (live, job) =>
  copyButton(
    "Copy as cell",
    () => live.attempt(async () => (await live.ask("code", { job: await job() })).msg.text),
    {
      title: "Copies a %%kling cell that asks for exactly this",
      onRefusal(text) {
        live.note = text; // the reader copies it by hand
        live.redraw();
      },
    },
  );
