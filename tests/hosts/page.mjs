// A page that shows the outputs of cells as VS Code or Colab does, with their own widget managers on a real kernel.

import * as base from "@jupyter-widgets/base";
import "@jupyter-widgets/controls/css/widgets.built.css"; // with ipywidgets' light colours, as both managers have
import { HTMLManager } from "@jupyter-widgets/html-manager/lib/htmlmanager";
import { KernelManager, ServerConnection } from "@jupyterlab/services";

const VIEW = "application/vnd.jupyter.widget-view+json";
const at = document.querySelector("main");

/** Where modules of third-party widgets are, as the two front ends read them from `nbextensions`. */
const modules = {
  widgetsRegisteredInRequireJs: new Set(["anywidget"]),
  async loadWidgetScript() {},
  successHandler() {},
  errorHandler(name, module, _version, error) {
    throw new Error(`${module}.${name}: ${error}`);
  },
};

/** ipywidgets' own manager for pages, with a kernel. Colab's is built on the same classes. */
class ColabManager extends HTMLManager {
  #kernel; // not as `kernel`, which tells a widget that there is one

  constructor(kernel) {
    super({ loader: (name) => new Promise((found, failed) => requirejs([name], found, failed)) });
    window.define("@jupyter-widgets/base", () => base);
    this.#kernel = kernel;
    kernel.registerCommTarget(this.comm_target_name, (comm, message) =>
      this.handle_comm_open(new base.shims.services.Comm(comm), message),
    );
  }

  async _create_comm(target, model, data, metadata, buffers) {
    const comm = this.#kernel.createComm(target, model);
    if (data || metadata) comm.open(data, metadata, buffers);
    return new base.shims.services.Comm(comm);
  }

  async _get_comm_info() {
    const reply = await this.#kernel.requestCommInfo({ target_name: this.comm_target_name });
    return reply.content.comms;
  }
}

class Host {
  /** @type {{node: HTMLElement, outputs: Map<any, any>, done: Promise<any>}[]} */
  cells = [];
  /** Displays whose metadata an update has changed: VS Code may lose the outputs of such a cell. */
  changed = [];
  updates = 0;
  alive = true;

  async start({ base, token, kernel }) {
    const settings = { baseUrl: base, wsUrl: base.replace("http", "ws"), token, appendToken: true };
    const serverSettings = ServerConnection.makeSettings(settings);
    const kernels = new KernelManager({ serverSettings });
    await kernels.ready; // its first list, if asked for before the start, would declare the new kernel dead
    this.kernel = await kernels.startNew({ name: kernel });
    this.kernel.iopubMessage.connect((_, message) => this.take(message));
    this.manager = this.newManager();
    await this.kernel.info;
  }

  newManager() {
    if (!window.vscIPyWidgets8) return new ColabManager(this.kernel);
    window.vscIPyWidgets8.load();
    return new window.vscIPyWidgets.WidgetManager(this.kernel, at, modules, () => {});
  }

  /** Runs a cell. @param {string} code */
  run(code) {
    const node = document.createElement("div");
    node.className = "cell_container";
    at.append(node);
    const future = this.kernel.requestExecute({ code, stop_on_error: false });
    const cell = { id: future.msg.header.msg_id, node, outputs: new Map(), done: future.done };
    this.cells.push(cell);
    return future.done.then((reply) => reply.content.status);
  }

  take({ header: { msg_type: type }, parent_header: parent, content }) {
    if (type === "update_display_data") return this.update(content);
    const cell = this.cells.find(({ id }) => id === parent.msg_id);
    if (!cell) return;
    if (type === "stream") return this.show(cell, { data: { "text/plain": content.text } });
    if (type === "error")
      return this.show(cell, { data: { "text/plain": content.traceback.join("\n") } });
    if (type === "display_data" || type === "execute_result") this.show(cell, content);
  }

  show(cell, output) {
    const node = document.createElement("div");
    node.className = "output_container";
    cell.node.append(node);
    const shown = { ...output, node };
    cell.outputs.set(output.transient?.display_id ?? Symbol(type(output)), shown);
    void this.draw(shown);
  }

  update({ data, metadata, transient }) {
    const id = transient.display_id;
    for (const { outputs } of this.cells) {
      const shown = outputs.get(id);
      if (!shown) continue;
      this.updates++;
      if (JSON.stringify(shown.metadata) !== JSON.stringify(metadata)) this.changed.push(id);
      shown.data = data;
      void this.draw(shown);
    }
  }

  /** Draws an output: the view if its model is there, else the HTML. @param {any} output */
  async draw(output) {
    const { data, node } = output;
    const turn = (output.turn ?? 0) + 1;
    output.turn = turn;
    const id = data[VIEW]?.model_id;
    const model =
      id && this.alive && this.manager.has_model(id) && (await this.manager.get_model(id));
    if (turn !== output.turn) return;
    output.view?.dispose();
    output.view = null;
    node.replaceChildren();
    if (model) {
      const view = await this.manager.create_view(model);
      if (turn !== output.turn) return view.dispose?.();
      await (window.vscIPyWidgets8
        ? this.manager.display_view({}, view, { node })
        : this.manager.display_view(view, node));
      output.view = view.luminoWidget;
    } else if (data["text/html"]) {
      const parsed = new DOMParser().parseFromString(data["text/html"], "text/html");
      node.append(...parsed.body.childNodes);
    } else {
      node.textContent = data["text/plain"] ?? "";
    }
  }

  /** What a saved notebook holds of each cell. */
  saved() {
    return this.cells.map(({ outputs }) =>
      [...outputs.values()].map(({ data, metadata }) => ({ data, metadata })),
    );
  }

  clear() {
    this.alive = true;
    at.replaceChildren();
    this.cells = [];
  }

  /** Shows saved outputs as after a reload, without a kernel. */
  reopen(saved) {
    this.clear();
    this.alive = false;
    for (const outputs of saved) {
      const node = document.createElement("div");
      node.className = "cell_container";
      at.append(node);
      this.cells.push({ id: "", node, outputs: new Map(), done: Promise.resolve() });
      for (const output of outputs) this.show(this.cells.at(-1), output);
    }
  }

  async restart() {
    await this.kernel.restart();
  }
}

const type = (output) => Object.keys(output.data).join(" ");

window.host = new Host();
