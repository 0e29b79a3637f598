/** anywidget's model with a kernel behind it that answers at once, though not in the same call. */
export class FakeModel {
  traits = {
    job_id: "abc123",
    state: "IN_QUEUE",
    request_id: null,
    endpoint: "fal-ai/kling-video/v1/pro/text-to-video",
    title: "Kling 1.0 Pro",
    prompt: "a heron",
    backend: "fal",
    created_at: 1000,
    finished_at: null,
    message: "",
    width: null,
    height: null,
    duration: null,
  };
  fields = {
    revision: 1,
    state: "IN_QUEUE",
    request_id: null,
    resumed: false,
    queue_position: 2,
    received: 0,
    total: null,
    finished_at: null,
    message: "",
    width: null,
    height: null,
    duration: null,
    first_line: 0,
    lines: [],
  };
  gone = false;
  silent = false;
  unanswered = [];
  sent = [];
  listeners = new Map();

  constructor(handlers = {}) {
    const snapshot = () => ({
      msg: { ...this.fields, now: Date.now() / 1000, parameters: [["duration", "5"]] },
    });
    this.handlers = { snapshot, ...handlers };
  }

  get = (name) => this.traits[name];

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

  update(fields) {
    this.trigger("msg:custom", { kind: "update", msg: { ...this.fields, ...fields } }, []);
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
export async function settle() {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
}
