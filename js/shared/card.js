/** What holds the outputs of one cell: in JupyterLab, in VS Code, in Colab. */
const OUTPUTS = ":is(.jp-OutputArea, .cell_container, #output-area)";

/**
 * A rule that hides the static card of a job in the cell that shows its live view. It leaves
 * with the view, so a card is never hidden by a widget that is gone.
 *
 * @param {string} jobId
 */
export function coverRule(jobId) {
  const id = CSS.escape(jobId);
  return `${OUTPUTS}:has([data-kling-job="${id}"]) [data-kling-card="${id}"] { display: none }`;
}

/** Whether the page has the static card of a job. @param {string} jobId */
export const hasCard = (jobId) =>
  Boolean(document.querySelector(`[data-kling-card="${CSS.escape(jobId)}"]`));

/**
 * Whether the live view says all the card says. Not so where the video is made and cannot be
 * shown here: then the card, which plays the file from the server, is wanted.
 *
 * @param {{state: string, failed: boolean, loading: boolean, busy: boolean}} view
 */
export function covers({ state, failed, loading, busy }) {
  return state !== "READY" || !(failed || (loading && busy));
}
