/** @typedef {import("./protocol.js").State} State */

/** A state in words, e.g. "In queue". @param {State} state */
export const label = (state) =>
  state === "IN_PROGRESS"
    ? "Generating"
    : state.charAt(0) + state.slice(1).toLowerCase().replace("_", " ");

/** @param {State} state */
export const isFinished = (state) => /^(READY|FAILED|CANCELLED|UNCERTAIN)$/.test(state);

/** What there is of these words, in one line.
 * @param {any[]} words @param {string} [between] */
export const inLine = (words, between = " · ") => words.filter(Boolean).join(between);

/** Whether there is something left to cancel: a result being fetched is made, and paid.
 * @param {State} state */
export const isCancellable = (state) => !isFinished(state) && state !== "DOWNLOADING";

/**
 * What is going on, where the state alone does not say it.
 *
 * @param {{state: State, queue_position: number | null, received: number, total: number | null}} job
 */
export function phase({ state, queue_position: ahead, received, total }) {
  if (state === "IN_QUEUE" && ahead !== null) {
    return ahead > 0 ? `${ahead} ahead in the queue` : "Next in the queue";
  }
  if (received) {
    return total ? `${megabytes(received)} of ${megabytes(total)}` : megabytes(received);
  }
  return "";
}

/** @param {number} bytes */
export const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

/** Two digits, as clocks have them. @param {number} n */
export const pair = (n) => `${n}`.padStart(2, "0");

/** Seconds as 0:07, 12:30 or 1:02:03.
 * @param {number} seconds */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  const rest = pair(whole % 60);
  return hours ? `${hours}:${pair(minutes)}:${rest}` : `${minutes}:${rest}`;
}

/** How long the job has been going, and how long such jobs take; or how long it went on.
 * @param {State} state @param {number} seconds @param {number | null} [expected] */
export function duration(state, seconds, expected) {
  if (isFinished(state)) return `${state === "READY" ? "took" : "after"} ${clock(seconds)}`;
  return expected ? `${clock(seconds)} · usually ${clock(expected)}` : clock(seconds);
}

/**
 * How far the job is, 0 to 1, as far as anybody knows: an upload or download by its bytes, the rest
 * by the time that such jobs took. Null where nothing is known, or the usual time is over.
 *
 * @param {{received: number, total: number | null}} job
 * @param {number | null} seconds so far
 * @param {number | null} expected
 */
export function share({ received, total }, seconds, expected) {
  if (received) return total ? received / total : null;
  return expected && seconds !== null && seconds < expected ? seconds / expected : null;
}

/**
 * Time of day of a log line, in the reader's zone. fal sends some stamps without a zone; those
 * are UTC. Empty where the stamp cannot be read.
 *
 * @param {string | null} timestamp ISO 8601
 * @param {string} [timeZone] the reader's own by default
 */
export function timeOfDay(timestamp, timeZone) {
  if (!timestamp) return "";
  const zoned = /(Z|[+-]\d\d:?\d\d)$/i.test(timestamp) ? timestamp : `${timestamp}Z`;
  const date = new Date(zoned.replace(/(\.\d{3})\d+/, "$1"));
  return Number.isNaN(+date) ? "" : date.toLocaleTimeString("en-GB", { timeZone });
}

/**
 * Size and length of a take, e.g. "1280 × 720 · 5 s".
 *
 * @param {{width: number | null, height: number | null, duration: number | null}} job
 */
export function dimensions({ width, height, duration }) {
  const size = width && height ? `${width} × ${height}` : "";
  const length = duration ? `${Number(duration.toFixed(1))} s` : "";
  return inLine([size, length]);
}

/** Whether a finished job gave a video; some endpoints give sound, pictures or data.
 * @param {{width: number | null, height: number | null}} job */
export const hasVideo = ({ width, height }) => Boolean(width && height);

export const BUSY = "The kernel is busy and has not answered. ■ interrupts the running cell.";

/** @param {string} backend */
export const gone = (backend) =>
  `The kernel was restarted or shut down. ${
    backend === "local"
      ? "Run the cell again to make it anew."
      : "The job goes on at fal: run the cell again, or call kling_nb.resume(). It is not paid for twice."
  }`;
