import { Refused } from "../shared/kernel.js";
import { messageOf } from "../shared/words.js";

/**
 * The model of a result that is open in a view of another kind: its commands and messages travel
 * inside of those of the outer view, and what a job widget has in its traits is of this page only.
 */
export class NestedModel {
  /** @type {Map<string, ((...values: any[]) => void)[]>} */
  #listeners = new Map();
  #known = false;
  /** True while the kernel shows another take. */
  showing = false;

  /**
   * @param {import("../shared/kernel.js").Kernel} outer
   * @param {string} name of the result
   * @param {Record<string, any>} row what is known of its job
   */
  constructor(outer, name, row) {
    this.outer = outer;
    this.name = name;
    this.manager = outer.model?.widget_manager;
    /** @type {Record<string, any>} */
    this.traits = { shape: 0, value: "", ...row, job_id: row.id, take: 1, takes: 1 };
  }

  /** @param {string} name */
  get = (name) => this.traits[name];

  /** @param {string} name @param {any} value */
  set(name, value) {
    if (this.traits[name] === value) return;
    this.traits[name] = value;
    this.trigger(`change:${name}`);
  }

  save_changes() {}

  /** @param {string} name @param {(...values: any[]) => void} listener */
  on(name, listener) {
    this.#listeners.set(name, [...(this.#listeners.get(name) ?? []), listener]);
  }

  /** @param {string} name @param {...any} values */
  trigger(name, ...values) {
    for (const listener of this.#listeners.get(name) ?? []) listener(...values);
  }

  /** @param {{id: number, kind: string, msg: any}} command @param {any} _ @param {ArrayBuffer[]} [buffers] */
  async send({ id, kind, msg }, _, buffers = []) {
    try {
      const answer = await this.outer.ask("result", { of: this.name, kind, msg, buffers });
      if (kind === "snapshot") this.#begin(answer.msg);
      this.#reply({ id, kind: "reply", ok: true, msg: answer.msg }, answer.buffers);
    } catch (error) {
      if (!(error instanceof Refused)) return this.lose();
      const words = messageOf(error);
      if (kind === "snapshot" && !this.#known) this.trigger("refused", words);
      this.#reply({ id, kind: "reply", ok: false, msg: { error: words } }, []);
    }
  }

  /** The kernel is gone, or another one is there. */
  lose() {
    this.trigger("gone");
  }

  /** Takes a message of the kernel. @param {{kind: string, msg: any}} message */
  receive({ kind, msg }) {
    if (kind === "show") {
      this.showing = true;
      this.set("take", msg.take);
      this.showing = false;
    } else this.trigger("msg:custom", { kind, msg }, []);
  }

  /** The first snapshot is of the take that is to be shown. @param {any} snapshot */
  #begin({ key, takes }) {
    if (this.#known) return;
    this.#known = true;
    this.traits.take = takes.findIndex((/** @type {{key: number}} */ one) => one.key === key) + 1;
  }

  /** @param {object} reply @param {DataView[]} buffers */
  #reply(reply, buffers) {
    this.trigger("msg:custom", reply, buffers);
  }
}
