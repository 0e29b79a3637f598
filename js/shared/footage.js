import { element } from "./dom.js";
import { PATIENCE_MS } from "./kernel.js";
import { messageOf } from "./words.js";

/** @typedef {import("./kernel.js").Answer} Answer */
/** @typedef {(piece: {offset: number, length: number}, patience: number) => Promise<Answer>} AskPiece */

// The first piece is small, so that its answer tells a busy kernel from a slow connection.
const FIRST_PIECE = 256 * 1024;
const PIECE = 1024 * 1024;
const LATER_PATIENCE_MS = 5000;

/** How long a browser may take to start with a file. */
const STARTED_MS = 10_000;

/** The file of one take on this page. */
export class Footage {
  /** @type {"none" | "loading" | "loaded" | "failed"} */
  phase = "none";
  /** Bytes so far. */
  received = 0;
  /** Bytes in all, 0 while unknown. */
  total = 0;
  /** @type {Blob | null} */
  blob = null;
  /** File name, for saving. */
  name = "";
  error = "";
  /** @type {Promise<void> | undefined} */
  #loading;

  /**
   * @param {AskPiece} ask asks the kernel for a piece of the file
   * @param {() => void} onChange
   */
  constructor(ask, onChange) {
    this.ask = ask;
    this.onChange = onChange;
  }

  /** Fetches the file, once; after a failure it may be called again. Never rejects. */
  load() {
    if (!/^load/.test(this.phase)) this.#loading = this.#load();
    return /** @type {Promise<void>} */ (this.#loading);
  }

  /** Forgets the bytes. */
  drop() {
    this.#set({ phase: "none", blob: null });
  }

  /** Gives the bytes, or throws why they cannot be fetched. @returns {Promise<Blob>} */
  async bytes() {
    await this.load();
    if (!this.blob) throw new Error(this.error);
    return this.blob;
  }

  async #load() {
    this.#set({ phase: "loading", received: 0, total: 0, error: "" });
    this.onChange();
    try {
      this.#set({ phase: "loaded", ...(await this.#fetch()) });
    } catch (error) {
      this.#set({ phase: "failed", error: messageOf(error) });
    }
    this.onChange();
  }

  /** Fetches the file from the kernel, piece by piece. */
  async #fetch() {
    /** @type {ArrayBuffer[]} */
    const pieces = [];
    let [offset, total, type, name] = [0, 1, "", ""];
    while (offset < total) {
      const first = offset === 0;
      const length = first ? FIRST_PIECE : PIECE;
      const patience = first ? PATIENCE_MS : LATER_PATIENCE_MS;
      const { msg, buffers } = await this.ask({ offset, length }, patience);
      const chunk = /** @type {import("./protocol.js").Chunk} */ (msg);
      const piece = buffers[0];
      if (chunk.offset !== offset || !piece?.byteLength)
        throw new Error("The file came incomplete.");
      if (!first && chunk.total !== total) throw new Error("The file changed while it was read.");
      pieces.push(bytesOf(piece));
      ({ total, content_type: type, name } = chunk);
      offset += piece.byteLength;
      this.#set({ received: offset, total });
      this.onChange();
    }
    return { blob: new Blob(pieces, { type }), name };
  }

  /** @param {Partial<Footage>} fields */
  #set(fields) {
    Object.assign(this, fields);
  }
}

/** The small picture in an answer of the kernel; rejects where there is none.
 * @param {Promise<Answer>} answer */
export async function posterIn(answer) {
  const [jpeg] = (await answer).buffers;
  if (!jpeg) throw new Error("There is no picture.");
  return new Blob([bytesOf(jpeg)], { type: "image/jpeg" });
}

/** The bytes of a buffer, which may be a window into a larger message.
 * @param {DataView} view */
export const bytesOf = ({ buffer, byteOffset, byteLength }) =>
  /** @type {ArrayBuffer} */ (buffer.slice(byteOffset, byteOffset + byteLength));

/**
 * Has the browser save a file: from where a server has it, else the bytes that are here.
 *
 * @param {string | null | undefined} url
 * @param {Footage} footage
 * @param {HTMLElement} inside an element of the page
 */
export function saveAs(url, { blob, name }, inside) {
  if (url) follow(url, name, inside);
  else if (blob) saveBlob(blob, name, inside);
}

/** Has the browser save bytes. @param {Blob} blob @param {string} name @param {HTMLElement} inside */
export function saveBlob(blob, name, inside) {
  const href = URL.createObjectURL(blob);
  follow(href, name, inside);
  setTimeout(() => URL.revokeObjectURL(href), STARTED_MS);
}

/** @param {string} href @param {string} name @param {HTMLElement} inside */
function follow(href, name, inside) {
  const link = element("a", "", { href, download: name, hidden: true });
  inside.append(link); // VS Code opens its dialog only for a link that is in the page
  link.click();
  link.remove();
}
