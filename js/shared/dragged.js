import { bytesOf } from "./footage.js";

/** What is being dragged on the page: the name of its type, which tells it from text and files. */
export const DRAGGED = "application/x-kling-frame";

// Each widget has a module of its own, so what is true of the page is kept on the page.
const KEY = Symbol.for("kling_nb.dragged");
const page = /** @type {Record<symbol, (() => Promise<File>) | undefined>} */ (globalThis);

/**
 * Lets a frame be dragged from `node` into any image input of the page.
 *
 * @param {HTMLElement} node
 * @param {() => (() => Promise<File>) | null} frame returns what fetches the frame, or null where there is none
 */
export function draggable(node, frame) {
  node.draggable = true;
  node.ondragstart = (event) => {
    const fetch = frame();
    if (!fetch) return event.preventDefault();
    page[KEY] = fetch;
    event.dataTransfer?.setData(DRAGGED, "");
  };
}

/** The files of a drop: a frame that was dragged on this page, or files of the desktop.
 * @param {DataTransfer | null} data @returns {Promise<File[]>} */
export async function droppedFiles(data) {
  const files = [...(data?.files ?? [])];
  const fetch = data?.types.includes(DRAGGED) && page[KEY];
  return fetch ? [await fetch()] : files;
}

/** Whether a drop has files or a frame. @param {DataTransfer | null} data */
export const hasFiles = (data) => /Files|x-kling-frame/.test(`${data?.types}`);

/** The frame in an answer of the kernel. @param {Promise<import("./kernel.js").Answer>} answer */
export async function frameIn(answer) {
  const { msg, buffers } = await answer;
  const [png] = buffers;
  if (!png) throw new Error("There is no image.");
  return new File([bytesOf(png)], msg.name, { type: msg.type });
}
