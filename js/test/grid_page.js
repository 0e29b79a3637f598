import { CONTROLS, entry, QUOTED } from "./fake_model.js";

// A page with a sweep of two cells, whose kernel is on the page too, for tests/widget to drive.
const [file, poster] = await Promise.all(
  ["/clip.mp4", "/poster.jpg"].map((path) => fetch(path).then((got) => got.arrayBuffer())),
);
const cell = (number, more) => ({
  cell: number,
  state: "READY",
  message: "",
  reused: false,
  queue_position: null,
  held: false,
  received: 0,
  total: null,
  created_at: Date.now() / 1000,
  expected: null,
  shape: 16 / 9,
  prompt: "a heron",
  cost: "free",
  plan: "about $0.70",
  job: `job${number}`,
  steps: [],
  price: "about $0.70",
  width: 64,
  height: 36,
  duration: 1,
  fps: 8,
  rating: null,
  name: "heron.mp4",
  url: null,
  ...more,
});

/** What the kernel answers; tests put others in their place. */
const handlers = {
  snapshot: () => ({
    now: Date.now() / 1000,
    mode: "together",
    local: true,
    title: "2 videos",
    price: "free",
    rows: [],
    columns: [],
    row_axis: "",
    column_axis: "",
    captions: ["5 s", "10 s"],
    places: null,
    revision: 1,
    start_price: "about $1.40",
    done: false,
    started: true,
    summary: "1 of 2 ready",
    money: "",
    beat: 0,
    board: null,
    cells: [cell(0), cell(1, { state: "IN_PROGRESS", width: null })],
  }),
  start: () => ({}),
  retry: () => ({}),
  resume: () => ({}),
  rate: () => ({}),
  cancel: () => ({ outcome: "fal was asked; it may still finish." }),
  poster: () => ({ buffers: [new DataView(poster)] }),
  chunk: ({ offset, length }) => ({
    offset,
    total: file.byteLength,
    content_type: "video/mp4",
    name: "heron.mp4",
    buffers: [new DataView(file, offset, Math.min(length, file.byteLength - offset))],
  }),
  result: ({ of, kind, msg }) => results[kind](msg, of),
};

/** What the kernel answers about the cell that is opened, or those that are compared. */
const results = {
  snapshot({ key = 1 }, of) {
    const film = { width: 64, height: 36, duration: 1, fps: 8, frame_count: 8, number: 1 };
    const takes = of
      .split(" ")
      .map((cell, at) =>
        entry(at + 1, { state: "READY", job_id: `cell-${cell}`, revision: at + 2, ...film }),
      );
    const log = { first_line: 0, lines: [], now: Date.now() / 1000, controls: CONTROLS };
    return { ...takes[key - 1], ...log, takes };
  },
  poster: () => handlers.poster(),
  chunk: (asked) => handlers.chunk(asked),
  quote: () => QUOTED,
};
const listeners = new Map();
const sent = [];
const model = {
  sent,
  get: (name) => ({ sweep_id: "sweep-1", count: 2, summary: "0 of 2 ready" })[name],
  set: () => {},
  save_changes: () => {},
  on: (name, listener) => listeners.set(name, listener),
  send({ id, kind, msg }) {
    sent.push({ kind, msg });
    const { buffers = [], ...answer } = handlers[kind](msg);
    const reply = { id, kind: "reply", ok: !answer.error, msg: answer };
    queueMicrotask(() => listeners.get("msg:custom")(reply, buffers));
  },
};
const { default: widget } = await import("/grid.js");
let definition = widget();
await definition.initialize({ model });

/** Begins again, as on a page of its own. */
async function again() {
  definition = widget();
  await definition.initialize({ model });
}

/** Shows one more view; gives the clean-up. */
async function view() {
  const el = document.createElement("div");
  document.body.append(el);
  return definition.render({ model, el });
}

/** The kernel is gone, or another one is there. */
const lose = () => listeners.get("comm_live_update")();

/** The kernel sends a message that answers nothing. */
const tell = (/** @type {any} */ message) => listeners.get("msg:custom")(message, []);

Object.assign(window, { model, handlers, view, again, lose, tell });
