import { RESTARTED } from "../shared/words.js";

/** What a panel says at its top once its kernel is gone. What becomes of a job stands in the place of its video. */
export const GONE = `${RESTARTED} Run the cell again for a new panel.`;

/**
 * What becomes of a job of a panel that no kernel follows here, and how the new panel shows it.
 *
 * @param {import("./protocol.js").State} state the last one that is known
 * @param {"fal" | "local"} backend
 * @param {boolean} silent whether the kernel only does not answer: the top of the panel says so
 */
export function lostWords(state, backend, silent) {
  if (silent) return "No news of this job.";
  if (backend === "local")
    return "The preview ended with its kernel. Make it again in the new panel, free.";
  const place = "The new panel has it in the library: Resume follows it, free.";
  return `${state === "SUBMITTING" ? "Perhaps nothing was sent." : "The job goes on at fal."} ${place}`;
}
