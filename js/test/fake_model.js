/** What the traits say of a job, and what the kernel adds. */
const SAVED = {
  state: "IN_QUEUE",
  request_id: null,
  finished_at: null,
  message: "",
  width: null,
  height: null,
  duration: null,
};
const ABOUT = {
  job_id: "abc123",
  endpoint: "fal-ai/kling-video/v1/pro/text-to-video",
  title: "Kling 1.0 Pro",
  prompt: "a heron",
  backend: "fal",
  created_at: 1000,
};

const control = (name, kind, more) => ({
  name,
  kind,
  label: name,
  description: "",
  required: false,
  default: null,
  options: null,
  minimum: null,
  maximum: null,
  step: null,
  max_length: null,
  media: null,
  many: false,
  max_items: null,
  fields: [],
  ...more,
});

export const CONTROLS = [
  control("prompt", "text", { label: "Prompt", required: true, max_length: 2500 }),
  control("duration", "stepped", {
    label: "Duration",
    default: "5",
    options: ["5", "10"],
    unit: "s",
  }),
  control("aspect_ratio", "choice", {
    label: "Aspect ratio",
    default: "16:9",
    options: ["16:9", "9:16", "1:1"],
  }),
  control("cfg_scale", "slider", {
    label: "CFG scale",
    default: 0.5,
    minimum: 0,
    maximum: 1,
    step: 0.01,
  }),
  control("generate_audio", "switch", { label: "Generate audio", default: false }),
];

/** What a new take costs. */
export const QUOTED = {
  backend: "fal",
  estimate: 0.49,
  price: "about $0.49",
  outcome: "SUBMIT",
  words: "About $0.49.",
  notices: "",
  take: null,
  refusal: null,
  problem: null,
};

/** A take as the strip has it. */
export function entry(key, more = {}) {
  return {
    key,
    ...ABOUT,
    expected: null,
    reused: false,
    outcome: "",
    notices: "",
    shape: 0,
    input: { prompt: "a heron" },
    revision: 1,
    ...SAVED,
    resumed: false,
    steps: [],
    queue_position: 2,
    held: false,
    received: 0,
    total: null,
    fps: null,
    frame_count: null,
    number: null,
    progress: null,
    path: "",
    file_type: "",
    url: null,
    cost: "",
    cell: "%%kling --endpoint v1-pro\na heron",
    no_cell: "",
    rating: null,
    note: "",
    ...more,
  };
}

/** anywidget's model with a kernel behind it that answers at once, though not in the same call. */
export class FakeModel {
  takes = [entry(1)];
  lines = [];
  first_line = 0;
  gone = false;
  /** Seconds between the messages of a kernel while a job runs; none is sent by itself. */
  beat = 0;
  silent = false;
  unanswered = [];
  sent = [];
  listeners = new Map();

  constructor(handlers = {}) {
    this.traits = { ...ABOUT, ...SAVED, take: 1, takes: 1, value: "" };
    const snapshot = ({ key }) => {
      const take = this.takes.find((one) => one.key === key) ?? this.takes[this.traits.take - 1];
      const lines = { first_line: this.first_line, lines: this.lines };
      const msg = {
        ...take,
        ...lines,
        now: Date.now() / 1000,
        beat: this.beat,
        controls: CONTROLS,
      };
      return { msg: { ...msg, takes: this.takes } };
    };
    const quote = () => ({ msg: QUOTED });
    this.handlers = { snapshot, quote, ...handlers };
  }

  get = (name) => this.traits[name];

  set(name, value) {
    if (this.traits[name] === value) return;
    this.traits[name] = value;
    this.trigger(`change:${name}`);
  }

  save_changes() {}

  on(name, listener) {
    this.listeners.set(name, [...(this.listeners.get(name) ?? []), listener]);
  }

  trigger(name, ...values) {
    for (const listener of this.listeners.get(name) ?? []) listener(...values);
  }

  send({ id, kind, msg }) {
    if (this.gone) throw new Error("the comm is closed");
    this.sent.push(kind);
    if (this.silent) {
      this.unanswered.push({ id, kind, msg });
      return;
    }
    this.answer({ id, kind, msg });
  }

  answer({ id, kind, msg }) {
    const answer = this.handlers[kind]?.(msg);
    const reply = answer
      ? { id, kind: "reply", ok: true, msg: answer.msg }
      : { id, kind: "reply", ok: false, msg: { error: "not here" } };
    queueMicrotask(() => this.trigger("msg:custom", reply, answer?.buffers ?? []));
  }

  /** The kernel tells what is new of a take: fields of it, and log lines. */
  update({ first_line = 0, lines = [], key = 1, ...fields } = {}) {
    const take = this.takes.find((one) => one.key === key);
    Object.assign(take, fields);
    const msg = { ...take, first_line, lines };
    this.trigger("msg:custom", { kind: "update", msg }, []);
  }

  /** The kernel has other takes now, and shows one of them. */
  arrange(takes, take) {
    this.takes = takes;
    this.trigger("msg:custom", { kind: "takes", msg: { takes } }, []);
    this.set("take", take);
  }

  /** The kernel is free again, and answers what was asked meanwhile. */
  wake() {
    this.silent = false;
    for (const command of this.unanswered.splice(0)) this.answer(command);
  }

  asked() {
    return this.sent;
  }
}

/** Until everything sent so far is answered. */
export async function nextTurn() {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
}
