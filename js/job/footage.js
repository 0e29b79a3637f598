import { PATIENCE_MS } from "./kernel.js";

/** @typedef {import("./kernel.js").Kernel} Kernel */

/**
 * The file of a take on this page.
 *
 * @typedef {object} Footage
 * @property {"none" | "loading" | "loaded" | "failed"} phase
 * @property {number} received bytes so far
 * @property {number} total bytes in all, 0 while unknown
 * @property {Blob | null} blob
 * @property {string} name file name, for saving
 * @property {string} error
 */

// The first piece is small, so that its answer tells a busy kernel from a slow connection.
const FIRST_PIECE = 256 * 1024;
const PIECE = 1024 * 1024;
const LATER_PATIENCE_MS = 5000;

/**
 * Fetches the take's file from the kernel, piece by piece.
 *
 * @param {Kernel} kernel
 * @param {number} key of the take
 * @param {(received: number, total: number) => void} onProgress
 * @returns {Promise<{blob: Blob, name: string}>}
 */
export async function fetchFootage(kernel, key, onProgress) {
  /** @type {ArrayBuffer[]} */
  const pieces = [];
  let [offset, total, type, name] = [0, 1, "", ""];
  while (offset < total) {
    const first = offset === 0;
    const length = first ? FIRST_PIECE : PIECE;
    const patience = first ? PATIENCE_MS : LATER_PATIENCE_MS;
    const { msg, buffers } = await kernel.ask("chunk", { key, offset, length }, patience);
    const chunk = /** @type {import("./protocol.js").Chunk} */ (msg);
    const piece = buffers[0];
    if (chunk.offset !== offset || !piece?.byteLength) throw new Error("The file came incomplete.");
    if (!first && chunk.total !== total) throw new Error("The file changed while it was read.");
    pieces.push(bytesOf(piece));
    ({ total, content_type: type, name } = chunk);
    offset += piece.byteLength;
    onProgress(offset, total);
  }
  return { blob: new Blob(pieces, { type }), name };
}

/**
 * The bytes of a buffer, which may be a window into a larger message.
 *
 * @param {DataView} view
 */
export function bytesOf({ buffer, byteOffset, byteLength }) {
  return /** @type {ArrayBuffer} */ (buffer.slice(byteOffset, byteOffset + byteLength));
}
