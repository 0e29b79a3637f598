/**
 * What crosses between the grid of a sweep and the kernel. `kling_nb/notebook/widgets/grid.py` is the
 * other end; `tests/widget/test_grid.py` keeps both lists the same.
 */

/** Commands a view sends as `{id, kind, msg}`. Each is answered by one "reply". */
export const COMMANDS = /** @type {const} */ ([
  "snapshot",
  "poster",
  "chunk",
  "start",
  "retry",
  "resume",
  "cancel",
  "rate",
  "result",
  "sheet",
  "arrange",
  "replace",
  "join",
  "save",
]);

/** Kinds of message that the kernel sends. */
export const NOTICES = /** @type {const} */ (["reply", "update", "result", "beat", "fault"]);

/** Synced traits. */
export const TRAITS = /** @type {const} */ (["sweep_id", "count", "summary"]);

/** What is known of a cell. */
export const CELL_FIELDS = /** @type {const} */ ([
  "cell",
  "state",
  "message",
  "reused",
  "queue_position",
  "held",
  "received",
  "total",
  "created_at",
  "expected",
  "shape",
  "prompt",
  "job",
  "plan",
  "steps",
  "price",
  "cost",
  "width",
  "height",
  "duration",
  "fps",
  "rating",
  "name",
  "url",
]);

/**
 * @typedef {object} GridModel
 * @property {string} sweep_id
 * @property {number} count how many cells there are
 * @property {string} summary how far it is, in words
 */

/**
 * A cell. Times are seconds since 1970 by the kernel's clock.
 *
 * @typedef {object} Cell
 * @property {number} cell its number, from 0
 * @property {import("../shared/protocol.js").State | "WAITING" | "SKIPPED"} state
 * @property {string} message why there is no video
 * @property {boolean} reused
 * @property {number | null} queue_position
 * @property {boolean} held
 * @property {number} received
 * @property {number | null} total
 * @property {number | null} created_at
 * @property {number | null} expected seconds that such jobs took before
 * @property {number} shape width by height as the request asks for it, 0 where it does not say
 * @property {string} prompt
 * @property {string} job id of its job; empty without one
 * @property {string} plan what a start would do with it, in words: the price, or why there is none
 * @property {string[]} steps what to do next without a result: the kernel's `STEPS`
 * @property {string} price of those that may send a request
 * @property {string} cost in words, once it has ended
 * @property {number | null} width
 * @property {number | null} height
 * @property {number | null} duration
 * @property {number | null} fps
 * @property {number | null} rating
 * @property {string} name of the file
 * @property {string | null} url where the notebook's server plays the file
 */

/**
 * What a page asks for when it opens. Until a page was answered, some updates are one, too.
 *
 * @typedef {object} Snapshot
 * @property {number} now
 * @property {number} beat seconds between two messages, at most, while something runs
 * @property {"together" | "sequence"} mode how they play
 * @property {boolean} local
 * @property {string} title
 * @property {string} price
 * @property {string} start_price for the button that starts it
 * @property {string[]} rows headings; empty where cells flow one after the other
 * @property {string[]} columns
 * @property {string} row_axis
 * @property {string} column_axis
 * @property {string[]} captions
 * @property {[row: number, column: number][] | null} places
 * @property {number} revision
 * @property {boolean} done
 * @property {boolean} started false while it is a plan, of which nothing was sent
 * @property {string} summary
 * @property {string} money what it cost so far and what is to come, in words
 * @property {Board | null} board of a storyboard
 * @property {Cell[]} cells
 */

/**
 * A storyboard. Each video that is or was a shot is a cell.
 *
 * @typedef {object} Board
 * @property {Shot[]} shots in their order
 * @property {string} document name of the file that has it, or empty
 * @property {Film} film
 *
 * @typedef {{cell: number, in: number | null, out: number | null}} Shot points in seconds
 *
 * What becomes of the film: its progress, 0 to 1; then its cell, its path, and what its shots lost.
 * @typedef {{progress?: number, cell?: number, path?: string, notes?: string[]}} Film
 */
