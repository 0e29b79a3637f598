/**
 * What crosses between the panel and the kernel. `kling_nb/notebook/widgets/panel.py` is the other end;
 * `tests/widget/test_panel_boundary.py` keeps both lists the same.
 */

/** Commands a page sends as `{id, kind, msg}`. Each is answered by one "reply". */
export const COMMANDS = /** @type {const} */ ([
  "snapshot",
  "controls",
  "prices",
  "compose",
  "attach",
  "preview",
  "submit",
  "resume",
  "cancel",
  "history",
  "open",
  "reuse",
  "code",
  "poster",
  "result",
  "storyboard",
]);

/** Kinds of message that the kernel sends. */
export const NOTICES = /** @type {const} */ ([
  "reply",
  "update",
  "draft",
  "fault",
  "result",
  "beat",
]);

/** Synced traits. */
export const TRAITS = /** @type {const} */ (["notices"]);

/** What changes of a job as it goes on; other fields of a row come once. */
export const LIVE_FIELDS = /** @type {const} */ ([
  "id",
  "state",
  "request_id",
  "queue_position",
  "held",
  "received",
  "total",
  "finished_at",
  "message",
  "progress",
  "has_media",
  "rating",
]);

/** Rows in a page of the history. */
export const PAGE = 50;

/**
 * @typedef {typeof COMMANDS[number]} Command
 * @typedef {import("../shared/protocol.js").State} State
 * @typedef {import("../controls/value.js").Control} Control
 * @typedef {import("../controls/value.js").Values} Values
 * @typedef {import("../result/protocol.js").Quote} Quote
 *
 * @typedef {object} PanelModel
 * @property {boolean} notices whether pages show a desktop notice when a job ends
 */

/**
 * A job, running or in the library. Times are seconds since 1970 by the kernel's clock.
 *
 * @typedef {object} Row
 * @property {string} id
 * @property {State} state
 * @property {string | null} request_id
 * @property {number | null} finished_at
 * @property {string} message why there is no result
 * @property {boolean} has_media
 * @property {number | null} rating stars
 * @property {string} endpoint
 * @property {string} short_name
 * @property {string} facts duration and shape, such as "5 s · 16:9"
 * @property {string} title
 * @property {string} prompt
 * @property {"fal" | "local"} backend
 * @property {number} created_at
 * @property {number | null} [queue_position] this and the rest: of jobs that are followed
 * @property {boolean} [held]
 * @property {number} [received]
 * @property {number | null} [total]
 * @property {number | null} [progress] how far it is by its own log, 0 to 1
 * @property {number | null} [expected_seconds]
 * @property {boolean} [reused]
 */

/**
 * @typedef {{file: string, name: string, type: string, size: number}} FileMark
 * @typedef {{revision: number, author: number, endpoint: string, values: Values,
 *   files: Record<string, FileMark>}} Draft
 * @typedef {[id: string, shortName: string, title: string, category: string, price: string,
 *   capabilities: string, recommended: boolean]} CatalogueRow
 * @typedef {{page: number, total: number, rows: Row[], endpoints?: Record<string, number>,
 *   states?: Record<string, number>, error?: string}} HistoryPage
 * @typedef {{now: number, catalogue: CatalogueRow[], draft: Draft, controls: Control[], quote: Quote,
 *   studio: boolean, jobs: Row[], history: HistoryPage}} Snapshot `studio`: whether there is a library of a studio
 */
