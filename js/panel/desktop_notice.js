import { label } from "../shared/words.js";

/** Whether this browser may show notices. */
const granted = () => "Notification" in globalThis && Notification.permission === "granted";

/** Whether notices are wanted and allowed. @param {boolean} wanted */
export const noticesOn = (wanted) => wanted && granted();

/**
 * Asks the browser, which asks the reader.
 *
 * @returns {Promise<boolean>} whether notices may be shown
 */
export async function allowNotices() {
  if (!("Notification" in globalThis)) return false;
  return granted() || (await Notification.requestPermission()) === "granted";
}

/**
 * Shows a desktop notice that a job has ended.
 *
 * @param {boolean} wanted
 * @param {import("./protocol.js").Row} row
 */
export function announce(wanted, row) {
  if (!noticesOn(wanted)) return;
  // One tag for each job: a second page does not show it a second time.
  const notice = new Notification(`${label(row.state)}: ${row.title}`, {
    body: row.prompt.slice(0, 200),
    tag: `kling-${row.id}`,
  });
  notice.onclick = () => {
    window.focus();
    notice.close();
  };
}
