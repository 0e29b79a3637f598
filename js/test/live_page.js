// A page with widgets that run in Python, for tests/views to drive: `kernel` is a function of the test.
const PAUSE = 20; // milliseconds between two looks for messages

const toText = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
const toBytes = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
const bytesOf = (buffer) =>
  buffer instanceof ArrayBuffer
    ? new Uint8Array(buffer)
    : new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);

/** anywidget's model. What it sends is handled in Python; what comes from there, it tells its listeners. */
class LiveModel {
  #changed = {};
  #listeners = new Map();

  /** The part of a front end's widget manager that shows one widget in another. */
  widget_manager = {
    get_model: async (name) => modelOf(await kernel({ kind: "model", name })),
    create_view: async ({ model, definition }) => {
      const el = document.createElement("div");
      const leave = await definition.render({ model, el });
      const remove = () => {
        leave();
        el.remove();
      };
      return { el, remove };
    },
  };

  /** The kernel goes away, and the front end says so. */
  lose() {
    this.lost = true;
    this.#tell("comm_live_update");
  }

  constructor(id, state) {
    this.id = id;
    this.state = state;
  }

  get = (name) => this.state[name];

  set(name, value) {
    if (this.state[name] === value) return;
    this.state[name] = value;
    this.#changed[name] = value;
    this.#tell(`change:${name}`);
  }

  save_changes() {
    this.#post({ method: "update", state: this.#changed, buffer_paths: [] });
    this.#changed = {};
  }

  on(name, listener) {
    this.#listeners.set(name, [...(this.#listeners.get(name) ?? []), listener]);
  }

  send(content, _callbacks, buffers = []) {
    if (this.lost) throw new Error("the comm is closed");
    this.#post({ method: "custom", content }, buffers);
  }

  receive({ method, state, content }, buffers) {
    if (this.lost) return;
    if (method === "custom") {
      const views = buffers.map((text) => new DataView(toBytes(text).buffer));
      this.#tell("msg:custom", content, views);
    }
    if (method !== "update") return;
    const changed = Object.keys(state).filter((name) => this.state[name] !== state[name]);
    Object.assign(this.state, state);
    for (const name of changed) this.#tell(`change:${name}`);
  }

  #post(data, buffers = []) {
    void kernel({
      kind: "comm",
      model: this.id,
      data,
      buffers: buffers.map((one) => toText(bytesOf(one))),
    });
  }

  #tell(name, ...values) {
    for (const listener of this.#listeners.get(name) ?? []) listener(...values);
  }
}

const models = new Map();

/** The model of a widget, with what its view is made of. */
async function modelOf({ id, view, state }) {
  if (!models.has(id)) {
    const model = new LiveModel(id, state);
    const definition = (await import(`/${view}.js`)).default();
    models.set(id, { model, definition });
    await definition.initialize({ model });
  }
  return models.get(id);
}

const leaving = [];

/** Shows a widget, or one more view of it, in an output area of its own. */
async function show(about) {
  const { model, definition } = await modelOf(about);
  const area = document.createElement("div");
  area.className = "jp-OutputArea";
  document.querySelector("main").append(area);
  const el = document.createElement("div");
  area.append(el);
  const close = await definition.render({ model, el });
  leaving.push(() => {
    area.remove(); // the page is without it before it hears of it
    close();
  });
}

async function listen() {
  for (const { model, data, buffers } of await kernel({ kind: "news" })) {
    models.get(model)?.model.receive(data, buffers);
  }
  setTimeout(listen, PAUSE);
}

for (const widget of await kernel({ kind: "widgets" })) await show(widget);
await listen();
window.leave = () => {
  for (const close of leaving.splice(0)) close();
};
window.gone = () => {
  for (const { model } of models.values()) model.lose();
};
window.show = show;
