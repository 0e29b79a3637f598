/** @typedef {import("./protocol.js").State} State */

/** The states in words, the same as on cards: `STATES` and `NOT_STARTED` of `card/words.py`. The last two are
 * those of cells of a sweep that have no job. */
const STATES = {
  SUBMITTING: "Submitting",
  IN_QUEUE: "In queue",
  IN_PROGRESS: "Generating",
  DOWNLOADING: "Downloading",
  READY: "Ready",
  FAILED: "Failed",
  CANCELLED: "Cancelled",
  UNCERTAIN: "Uncertain",
  WAITING: "Not started",
  SKIPPED: "Not started",
};

/** In the place of the state of a job that no kernel follows here. */
export const LOST = "Not connected";

/** Of a take that was there already, the same as on cards (`WORDS` in `job/plan.py`). */
export const ALREADY_MADE = "already made, free";

/** Words of a message that do not break, as on cards (`CODE_WORDS` of `card/words.py`). */
export const CODE_WORDS = /(?:%%?kling|kling-nb)(?: [a-z]+)?|(?<![^\s(])(?=\S{3,40}(?!\S))\S*-\S*/g;

/** A state in words; one that is not known here shows as it is. @param {keyof typeof STATES} state
 * @param {boolean} [held] whether fal does not accept it yet */
export const label = (state, held = false) => (held ? "Waiting" : (STATES[state] ?? state));

/** The state of a job in words, of one that sends a file first, too.
 * @param {{state: keyof typeof STATES, held?: boolean, received?: number}} job */
export const stateWord = ({ state, held, received }) =>
  state === "SUBMITTING" && received && !held ? "Uploading" : label(state, held);

/** @param {State} state */
export const isFinished = (state) => /^(READY|FAILED|CANCELLED|UNCERTAIN)$/.test(state);

/** What there is of these words, in one line.
 * @param {any[]} words @param {string} [between] */
export const inLine = (words, between = " · ") => words.filter(Boolean).join(between);

/** Whether there is something left to cancel: a result being fetched is made, and paid.
 * @param {State} state */
export const isCancellable = (state) => !isFinished(state) && state !== "DOWNLOADING";

/** Whether files are on their way up, or the result down. @param {string} state */
const isTransfer = (state) => /^(SUBMITTING|DOWNLOADING)$/.test(state);

/**
 * What is going on, where the state alone does not say it.
 *
 * @param {{state: State, queue_position: number | null, held: boolean, received: number, total: number | null}} job
 */
export function phase({ state, queue_position: ahead, held, received, total }) {
  if (held) {
    return "Waiting: the account runs its maximum of requests";
  }
  if (state === "IN_QUEUE" && ahead !== null) {
    return ahead > 0 ? `${ahead} ahead in the queue` : "Next in the queue";
  }
  if (!received || !isTransfer(state)) return "";
  const moved = total ? `${megabytes(received)} of ${megabytes(total)}` : megabytes(received);
  return state === "SUBMITTING" ? `Uploading ${moved}` : moved;
}

/**
 * Where a job stands that has no video yet, in a few words.
 *
 * @param {Parameters<typeof phase>[0] & {progress?: number | null}} job
 */
export function standing(job) {
  const { state, received, progress } = job;
  const more = phase(job);
  if (state === "IN_PROGRESS" && progress) return `Generating, ${Math.round(progress * 100)} %`;
  if (state === "DOWNLOADING") return `Downloading ${received ? more : "the result"}`;
  if (more) return more;
  if (state === "SUBMITTING") return "Sending the request";
  return state === "IN_QUEUE" ? "In the queue" : label(state);
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
 * How far the job is, 0 to 1: an upload or download by its bytes, the rest by what its own log says,
 * else by the time that such jobs took. Null where nothing is known: before it runs, and once the
 * usual time is over.
 *
 * @param {{state: string, received: number, total: number | null, progress?: number | null}} job
 * @param {number | null} seconds so far
 * @param {number | null} expected
 */
export function share({ state, received, total, progress }, seconds, expected) {
  if (received && isTransfer(state)) return total ? received / total : null;
  if (state !== "IN_PROGRESS") return null;
  if (progress) return progress;
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

/** Whether a finished job gave a video; some endpoints give audio, images or data.
 * @param {{width: number | null, height: number | null}} job */
export const hasVideo = ({ width, height }) => Boolean(width && height);

/** With a capital letter. @param {string} words */
export const upper = (words) => words.charAt(0).toUpperCase() + words.slice(1);

/** Seconds as 0:03.25, next to a slider. @param {number} seconds */
export function moment(seconds) {
  const hundredths = Math.round(Math.max(0, seconds) * 100);
  const rest = `${pair(Math.floor(hundredths / 100) % 60)}.${pair(hundredths % 100)}`;
  return `${Math.floor(hundredths / 6000)}:${rest}`;
}

/** How long ago something was, in its largest unit. @param {number} seconds */
export function ago(seconds) {
  for (const [unit, size] of /** @type {[string, number][]} */ ([
    ["d", 86_400],
    ["h", 3_600],
    ["min", 60],
  ])) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
  }
  return "just now";
}

/** Bytes as a person reads them. @param {number} bytes */
export const fileSize = (bytes) =>
  bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : megabytes(bytes);

/** Dollars, e.g. "about $0.49". @param {number} dollars */
export const price = (dollars) => `about $${dollars.toFixed(2)}`;

/** The beginning of a prompt, for names of buttons. @param {string} text */
export const brief = (text) => text.slice(0, 60);

/** What an error says. @param {any} error @returns {string} */
export const messageOf = (error) => error?.message ?? `${error}`;

export const LOCAL_PREVIEW = "LOCAL PREVIEW";

export const UNPLAYABLE = "This browser cannot play the file. Save it instead.";

const BUSY = "The kernel is busy and has not answered. ■ interrupts the running cell.";
const SILENT =
  "The kernel does not answer. It is busy, or it was restarted: then run the cell again.";

/** What a view says of a kernel that has not answered yet. @param {{busy: boolean, silent: boolean}} kernel */
export const unansweredWords = ({ busy, silent }) => (silent ? SILENT : busy ? BUSY : "");

export const RESTARTED = "The kernel was restarted or shut down.";

/**
 * What a view says of a job that no kernel follows here.
 *
 * @param {State} state the last one that is known
 * @param {"fal" | "local"} backend
 * @param {boolean} silent whether the kernel only does not answer
 */
export function lostWords(state, backend, silent) {
  const start = silent ? "The kernel does not answer." : RESTARTED;
  if (backend === "local") return `${start} Run the cell again to make it again.`;
  if (state === "SUBMITTING")
    return `${start} Perhaps nothing was sent: run the cell again, it is not paid for twice.`;
  return `${start} The job goes on at fal: run the cell again to follow it, free.`;
}
