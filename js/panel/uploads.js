/** @typedef {import("./protocol.js").FileMark} FileMark */

/** Bytes in one message; the notebook's server takes up to 10 MB. */
const PIECE = 1024 * 1024;

/**
 * Hands a file to the kernel, piece by piece.
 *
 * @param {(kind: "attach", msg: object) => Promise<{msg: any}>} ask
 * @param {File | Blob} file
 * @param {(share: number) => void} onProgress
 * @returns {Promise<FileMark>}
 */
export async function upload(ask, file, onProgress) {
  const name = file instanceof File ? file.name : "pasted";
  const about = { upload: crypto.randomUUID?.() ?? `${Math.random()}`, total: file.size, name };
  let offset = 0;
  for (;;) {
    const piece = await file.slice(offset, offset + PIECE).arrayBuffer();
    const { msg } = await ask("attach", { ...about, type: file.type, offset, buffers: [piece] });
    offset += piece.byteLength;
    onProgress(offset / file.size);
    if (msg.file) return msg.file;
    if (!piece.byteLength || offset >= file.size) throw new Error("The file did not arrive whole.");
  }
}
