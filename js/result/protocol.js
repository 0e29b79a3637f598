/**
 * What crosses between the view of a job and the kernel. `kling_nb/notebook/widgets/strip.py`
 * is the other end; `tests/widget/test_boundary.py` keeps both lists the same.
 */

/** Commands a view sends as `{id, kind, msg}`. Each is answered by one "reply". */
export const COMMANDS = /** @type {const} */ ([
  "snapshot",
  "cancel",
  "chunk",
  "poster",
  "quote",
  "generate",
  "use",
  "finals",
  "resume",
  "gif",
  "attach",
  "preview",
  "decide",
  "frame",
  "continue",
]);

/** Kinds of message that the kernel sends. */
export const NOTICES = /** @type {const} */ (["reply", "update", "takes", "beat"]);

/** Synced traits: small state that may be saved with the notebook. They speak of the take shown. */
export const TRAITS = /** @type {const} */ ([
  "job_id",
  "state",
  "request_id",
  "endpoint",
  "title",
  "prompt",
  "backend",
  "created_at",
  "finished_at",
  "shape",
  "message",
  "width",
  "height",
  "duration",
  "take",
  "takes",
  "value",
]);

/** What does not change in a take. */
export const TAKE_FIELDS = /** @type {const} */ ([
  "key",
  "job_id",
  "endpoint",
  "title",
  "prompt",
  "backend",
  "created_at",
  "expected",
  "reused",
  "outcome",
  "notices",
  "shape",
  "input",
  "variable",
  "scope",
]);

/** Fields of every "update" and of the answer to "snapshot", apart from the log lines. */
export const STATE_FIELDS = /** @type {const} */ ([
  "revision",
  "chosen",
  "state",
  "request_id",
  "resumed",
  "steps",
  "queue_position",
  "held",
  "received",
  "total",
  "finished_at",
  "message",
  "width",
  "height",
  "duration",
  "fps",
  "frame_count",
  "number",
  "progress",
  "path",
  "file_type",
  "url",
  "cost",
  "cell",
  "no_cell",
  "rating",
  "note",
]);

/** Log lines that a view keeps, and that the kernel sends at most at once. */
export const LINES_KEPT = 2000;

/**
 * @typedef {typeof COMMANDS[number]} Command
 * @typedef {import("../shared/protocol.js").State} State
 * @typedef {import("../shared/protocol.js").Line} Line
 */

/**
 * The model's traits. Times are seconds since 1970 by the kernel's clock.
 *
 * @typedef {object} JobModel
 * @property {string} job_id
 * @property {State} state
 * @property {string | null} request_id
 * @property {string} endpoint
 * @property {string} title
 * @property {string} prompt
 * @property {"fal" | "local"} backend
 * @property {number} created_at
 * @property {number | null} finished_at
 * @property {number} shape width by height of the video as the request asks for it, 0 where it does not say
 * @property {string} message why there is no video, in FAILED, CANCELLED and UNCERTAIN
 * @property {number | null} width
 * @property {number | null} height
 * @property {number | null} duration
 * @property {number} take which of the takes is shown, from 1
 * @property {number} takes how many there are
 * @property {string} value path of the video shown
 */

/**
 * @typedef {object} TakeAbout
 * @property {number} key names the take in commands; 0 until the kernel has named it
 * @property {string} job_id
 * @property {string} endpoint
 * @property {string} title
 * @property {string} prompt
 * @property {"fal" | "local"} backend
 * @property {number} created_at
 * @property {number | null} expected seconds that such jobs took before
 * @property {boolean} reused an earlier take was found, nothing was sent
 * @property {string} outcome what was done instead of a new submission, in words; else empty
 * @property {string} notices what the reader should know about the request
 * @property {number} shape width by height of the video as the request asks for it, 0 where it does not say
 * @property {import("../controls/value.js").Values} input what was given, without defaults
 * @property {string} variable the NAME of the cell that can use the take; else empty
 * @property {string} scope name of the media folder in which a choice holds
 */

/**
 * @typedef {object} JobFields
 * @property {number} revision grows; of two messages the larger one is newer
 * @property {boolean} chosen it is the take that the cell uses
 * @property {State} state
 * @property {string | null} request_id
 * @property {boolean} resumed the submission was made earlier, this kernel came back to it
 * @property {string[]} steps what to do next without a result: the kernel's `STEPS`
 * @property {number | null} queue_position requests ahead, 0 is next
 * @property {boolean} held it waits to be sent
 * @property {number} received bytes so far, of the files that go up or of the result that comes
 * @property {number | null} total bytes expected
 * @property {number | null} finished_at
 * @property {string} message why there is no video, or what an observer of the widget raised
 * @property {number | null} width
 * @property {number | null} height
 * @property {number | null} duration
 * @property {number | null} fps frames a second
 * @property {number | null} frame_count
 * @property {number | null} number of the take among those of its request
 * @property {number | null} progress how far it is by its own log, 0 to 1
 * @property {string} path of the file
 * @property {string} file_type such as "video/mp4"
 * @property {string | null} url where the notebook server plays the file, if it does
 * @property {string} cost in words, once known
 * @property {string} cell the `%%kling` cell that makes it
 * @property {string} no_cell why there is none
 * @property {number | null} rating stars
 * @property {string} note of the user
 */

/**
 * `first_line` is the index of the first line sent: earlier ones were sent before, or, in a
 * snapshot, left out.
 *
 * @typedef {JobFields & {key: number, first_line: number, lines: Line[]}} Progress
 * @typedef {Progress & {job_id: string}} Update
 * @typedef {TakeAbout & JobFields} TakeEntry
 * @typedef {{takes: TakeEntry[], controls: import("../controls/value.js").Control[], now: number}} Strip
 * @typedef {Progress & Strip} Snapshot
 * @typedef {{label: string, words: string, endpoint: string | null, backend: string,
 *   outcome: import("../shared/protocol.js").Outcome, refusal: string}} Final what can be made of the request as it
 *   is: its name, its price, what a press does, and why it would be refused, else empty
 */

/**
 * What a run of the composed request would do and cost.
 *
 * @typedef {object} Quote
 * @property {"fal" | "local"} backend
 * @property {number | null} estimate US dollars
 * @property {string} price the cost in words, also where it is not known
 * @property {string} notices what the reader should know about the request
 * @property {number | null} take number of the take that exists already
 * @property {import("../shared/protocol.js").Outcome} outcome what Generate would do
 * @property {string} words the same in one or two sentences, with its cost
 * @property {string | null} refusal why a run would be refused as things are
 * @property {string | null} problem why it makes no request
 * @property {string | null} [parameter] where the problem lies
 */
