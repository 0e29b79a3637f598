/**
 * What all widgets and the kernel have in common; each widget's own protocol.js has the rest.
 *
 * @typedef {"SUBMITTING" | "IN_QUEUE" | "IN_PROGRESS" | "DOWNLOADING" | "READY" | "FAILED" |
 *   "CANCELLED" | "UNCERTAIN"} State
 *
 * What a plan does: `Outcome` of `kling_nb/job/plan.py`.
 * @typedef {"REUSE" | "COPY" | "LIBRARY" | "FOLLOW" | "LOOK_UP" | "ASK_RESULT" | "REFETCH" |
 *   "RESULT_GONE" | "SUBMIT"} Outcome
 *
 * One log line: time stamp as fal sent it (ISO 8601), text, level.
 * @typedef {[timestamp: string | null, message: string, level: string | null]} Line
 *
 * What "chunk" is answered with, next to the bytes.
 * @typedef {{offset: number, total: number, content_type: string, name: string}} Chunk
 */
export {};
