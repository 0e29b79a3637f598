import { ANY_WAY, button, div, element, paintPoster, span, write } from "../shared/dom.js";
import { droppedFiles } from "../shared/dragged.js";
import { fileSize, messageOf } from "../shared/words.js";

/** @typedef {import("./value.js").Control} Control */
/** @typedef {{file: string, name: string, type: string, size: number}} FileMark */
/**
 * Who has the files: the view, with its kernel.
 *
 * @typedef {object} MediaHost
 * @property {(kind: any, msg?: any) => Promise<{msg: any}>} ask
 * @property {Map<string, FileMark>} files by their id
 * @property {Map<string, Promise<Blob>>} previews small images, by the id of their file
 * @property {(file: string) => Promise<Blob>} preview a small image; rejects where there is none
 */

/**
 * Fields for images, videos and audio: drop, paste or pick a file, or type its path or address.
 *
 * @param {MediaHost} live
 */
export function mediaPicker(live) {
  /** @type {{control: Control, take: (file: File) => void, add: (mark: FileMark) => void}[]} */
  const fields = [];
  const fieldFor = (/** @type {string} */ type) =>
    fields.find(({ control }) => !control.media || control.media === type.split("/")[0]);
  return {
    /** Hands a file to the first field that takes its kind. @param {File} file @returns {boolean} */
    offer(file) {
      const field = fieldFor(file.type);
      field?.take(file);
      return field !== undefined;
    },
    /** @type {import("./form.js").MediaPicker} */
    field(control, onChange) {
      // A file may arrive when the controls of another endpoint are there.
      const late = (/** @type {FileMark} */ mark) => {
        if (fields.includes(listed)) listed.add(mark);
        else fieldFor(mark.type)?.add(mark);
      };
      const made = mediaField(live, control, onChange, late);
      const listed = { control, take: made.take, add: made.add };
      fields.push(listed);
      return { ...made, destroy: () => void fields.splice(fields.indexOf(listed), 1) };
    },
  };
}

/** @param {MediaHost} live @param {Control} control @param {() => void} onChange
 * @param {(mark: FileMark) => void} deliver gives a file that has arrived to the field that is there now */
function mediaField(live, control, onChange, deliver) {
  /** What is chosen: addresses and paths, or files of the panel. @type {(string | FileMark)[]} */
  let items = [];
  const shown = element("ul", "", { "aria-label": `${control.label}: chosen` });
  const text = element("input", "input", {
    type: "text",
    "aria-label": control.label,
    title: control.description,
    placeholder: "Drop, paste, or type a path or URL",
  });
  const file = element("input", "", {
    type: "file",
    hidden: true,
    tabIndex: -1,
    multiple: control.many,
    accept: control.media ? `${control.media}/*` : "",
    "aria-label": `${control.label}: file`,
  });
  const pick = button("Choose…", () => file.click(), "", {
    "aria-label": `Choose a file for ${control.label}`,
  });
  const status = element("div", "quiet", { role: "status", hidden: true });
  const line = div("drop-line", text, pick, file);
  const node = div("drop", shown, line, status);
  const draw = () => {
    shown.replaceChildren(...items.map((item) => chip(live, item, () => remove(item))));
    shown.hidden = items.length === 0;
    text.hidden = pick.hidden = items.length > 0 && !control.many;
  };
  const set = (/** @type {(string | FileMark)[]} */ next) => {
    items = control.many ? next : next.slice(-1);
    draw();
    onChange();
  };
  const remove = (/** @type {string | FileMark} */ item) => {
    set(items.filter((one) => one !== item));
    text.focus();
  };
  const tell = (/** @type {string} */ words) => write(status, words);
  const take = async (/** @type {File} */ given) => {
    try {
      const ask = live.ask.bind(live);
      const mark = await upload(ask, given, (share) =>
        tell(`${Math.round(share * 100)} % of ${given.name}`),
      );
      if (given.type.startsWith("image/")) live.previews.set(mark.file, Promise.resolve(given));
      live.files.set(mark.file, mark);
      tell("");
      deliver(mark);
    } catch (error) {
      tell(messageOf(error));
    }
  };
  const takeAll = (/** @type {Iterable<File>} */ files) => {
    for (const one of [...files].slice(0, control.many ? undefined : 1)) void take(one);
  };
  /** What was typed becomes an item. */
  const commit = () => {
    const typed = text.value.trim();
    if (!typed) return;
    text.value = "";
    set([...items, typed]);
  };
  file.onchange = () => {
    takeAll(file.files ?? []);
    file.value = "";
  };
  text.onchange = commit;
  text.onkeydown = (event) => {
    if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) commit();
  };
  node.onpaste = (event) => {
    if (!event.clipboardData?.files.length) return;
    event.preventDefault();
    event.stopPropagation();
    takeAll(event.clipboardData.files);
  };
  node.ondragover = (event) => {
    event.preventDefault();
    node.toggleAttribute("data-over", true);
  };
  node.ondragleave = () => node.toggleAttribute("data-over", false);
  node.ondrop = (event) => {
    event.preventDefault();
    event.stopPropagation();
    node.toggleAttribute("data-over", false);
    const data = event.dataTransfer;
    droppedFiles(data).then(takeAll, (error) => tell(messageOf(error)));
    // fal fetches a URL, this page does not.
    const [url = ""] = data?.files.length ? [] : (data?.getData("text/uri-list") ?? "").split(/\s/);
    if (/^https?:/.test(url)) set([...items, url]);
  };
  draw();
  return {
    node,
    take: (/** @type {File} */ given) => void take(given),
    add: (/** @type {FileMark} */ mark) => set([...items, mark]),
    /** @param {Control} given */
    adapt({ description }) {
      text.title = description;
    },
    read() {
      const typed = text.value.trim();
      const all = typed ? [...items, typed] : items;
      return all.length === 0 ? null : control.many ? all : all.at(-1);
    },
    /** @param {any} value */
    show(value) {
      text.value = "";
      items = [value ?? []].flat();
      draw();
    },
  };
}

/** One chosen thing, with its picture. @param {MediaHost} live @param {string | FileMark} item @param {() => void} remove */
function chip(live, item, remove) {
  const name = typeof item === "string" ? item : item.name;
  const node = element("li", "attached", { title: name });
  const about = [element("span", "attached-name", ANY_WAY, name)];
  if (typeof item !== "string") {
    const mark = live.files.get(item.file) ?? item;
    about.push(span("quiet", fileSize(mark.size)));
    if (mark.type?.startsWith("image/")) {
      const canvas = element("canvas", "thumbnail", { role: "img", "aria-label": name });
      void paintPoster(canvas, live.preview(item.file));
      node.append(canvas);
    }
  }
  node.append(...about);
  node.append(button("✕", remove, "remove", { "aria-label": `Remove ${name}` }));
  return node;
}

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
