// A page with panels of one model, whose kernel is on the page too, for tests/views to drive.
import { CONTROLS, entry } from "./fake_model.js";

const file = await fetch("/clip.mp4").then((got) => got.arrayBuffer());
const IMAGE = { ...CONTROLS[0], name: "image_url", kind: "media", label: "Image", media: "image" };
const quote = {
  backend: "local",
  estimate: 0.5,
  price: "about $0.50",
  outcome: "SUBMIT",
  words: "Free preview (about $0.50 on fal).",
  notices: "",
  take: null,
  refusal: null,
  problem: null,
};
const row = (id, prompt) => ({
  id,
  state: "READY",
  request_id: `r-${id}`,
  finished_at: 1010,
  message: "",
  has_media: true,
  endpoint: "kling",
  short_name: "v1-pro",
  title: "Kling 1.0 Pro",
  prompt,
  backend: "local",
  created_at: 1000,
});
const rows = [row("one", "a red boat"), row("two", "a blue boat"), row("three", "a heron")];
const history = ({ search = "" }) => {
  const found = rows.filter(({ prompt }) => prompt.includes(search));
  return {
    page: 0,
    total: found.length,
    rows: found,
    endpoints: { kling: 3 },
    states: { READY: 3 },
  };
};

/** What the kernel answers; tests put others in their place. */
const handlers = {
  snapshot: () => ({
    now: Date.now() / 1000,
    catalogue: [["kling", "v1-pro", "Kling 1.0 Pro", "image-to-video", "", "", false]],
    draft: { revision: 1, author: 0, endpoint: "kling", values: { prompt: "a boat" }, files: {} },
    controls: [CONTROLS[0], IMAGE],
    quote,
    jobs: [],
    history: history({}),
  }),
  history,
  compose: () => ({ revision: 2, quote }),
  attach: ({ name, type, total }) => ({ file: { file: "f-1", name, type, size: total } }),
  open: ({ job }) => ({ row: rows.find(({ id }) => id === job), resumable: false }),
  result: ({ of, kind, msg }) => results(of)[kind](msg),
  chunk: ({ offset, length }) => ({
    offset,
    total: file.byteLength,
    content_type: "video/mp4",
    name: "heron.mp4",
    buffers: [new DataView(file, offset, Math.min(length, file.byteLength - offset))],
  }),
};

/** What the kernel knows of opened jobs, apart from what every one of them has. */
const fields = {};

/** What the kernel answers about one result: of one job, or of some that are compared. */
function results(of) {
  const takes = of.split(" ").map((id, at) => {
    const { prompt, ...row } = rows.find((one) => one.id === id);
    const size = { width: 64, height: 36, duration: 1, fps: 8, frame_count: 8, number: 1 };
    const about = { job_id: id, prompt, input: { prompt }, path: "/media/heron.mp4" };
    return entry(at + 1, { ...row, ...size, ...about, revision: at + 2, ...fields });
  });
  const lines = fields.lines ?? [[null, "the last line", "INFO"]];
  return {
    snapshot: ({ key = 1 }) => ({
      ...takes[key - 1],
      first_line: 200,
      lines,
      now: Date.now() / 1000,
      controls: CONTROLS,
      takes,
    }),
    chunk: (asked) => handlers.chunk(asked),
    quote: () => quote,
  };
}
const listeners = new Map();
/** Commands that were sent, and those that wait for `held` to end. */
const sent = [];
const waiting = [];
const answer = ({ id, kind, msg }) => {
  let given;
  try {
    given = handlers[kind](msg);
  } catch {
    given = null;
  }
  const { buffers = [], ...answer } = given ?? { error: "not here" };
  const reply = { id, kind: "reply", ok: given !== null, msg: answer };
  queueMicrotask(() => listeners.get("msg:custom")(reply, buffers));
};
const model = {
  held: "",
  sent,
  get: () => false,
  set: () => {},
  save_changes: () => {},
  on: (name, listener) => listeners.set(name, listener),
  send(command) {
    const kind = command.kind === "result" ? command.msg.kind : command.kind;
    sent.push(kind);
    if (kind === model.held) waiting.push(command);
    else answer(command);
  },
  wake() {
    model.held = "";
    for (const command of waiting.splice(0)) answer(command);
  },
};
const definition = (await import("/panel.js")).default();
await definition.initialize({ model });

/** Shows one more view. */
async function view() {
  const el = document.createElement("div");
  document.body.append(el);
  await definition.render({ model, el });
}

Object.assign(window, { model, handlers, fields, view });
