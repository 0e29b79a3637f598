/** @typedef {import("./kernel.js").Kernel} Kernel */

// The first piece is small, so that its answer tells a busy kernel from a slow connection.
const FIRST_PIECE = 256 * 1024;
const PIECE = 1024 * 1024;
const LATER_PATIENCE_MS = 5000;

/**
 * Fetches the take's file from the kernel, piece by piece.
 *
 * @param {Kernel} kernel
 * @param {(received: number, total: number) => void} onProgress
 * @returns {Promise<{blob: Blob, name: string}>}
 */
export async function fetchFootage(kernel, onProgress) {
  /** @type {ArrayBuffer[]} */
  const pieces = [];
  let [offset, total, type, name] = [0, 1, "", ""];
  while (offset < total) {
    const first = offset === 0;
    const { msg, buffers } = first
      ? await kernel.ask("chunk", { offset, length: FIRST_PIECE })
      : await kernel.ask("chunk", { offset, length: PIECE }, LATER_PATIENCE_MS);
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
function bytesOf({ buffer, byteOffset, byteLength }) {
  return /** @type {ArrayBuffer} */ (buffer.slice(byteOffset, byteOffset + byteLength));
}
