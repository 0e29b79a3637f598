import { messageOf } from "../shared/words.js";
import { PAGE } from "./protocol.js";
import { pagesOf } from "./virtual_list.js";

/** @typedef {import("./protocol.js").Row} Row */
/** @typedef {import("./protocol.js").HistoryPage} HistoryPage */
/** @typedef {{search: string, endpoint: string, state: string, kept: string}} Query `kept`: stars, "chosen", or "studio" */

/** @type {Query} */
const ALL = { search: "", endpoint: "", state: "", kept: "" };

/**
 * What matches a query, of which only the pages that were looked at are here.
 */
export class HistoryPages {
  query = ALL;
  total = 0;
  error = "";
  /** How many there are in all, for the choices of the filters.
   * @type {{endpoints: Record<string, number>, states: Record<string, number>}} */
  tally = { endpoints: {}, states: {} };
  /** @type {Map<number, Row[]>} */
  #pages = new Map();
  /** @type {Set<number>} */
  #asked = new Set();
  #generation = 0;
  #wanted = [0];

  /**
   * @param {(query: Query & {page: number}) => Promise<HistoryPage>} ask
   * @param {() => void} onChange
   */
  constructor(ask, onChange) {
    this.ask = ask;
    this.onChange = onChange;
  }

  /** Whether nothing is left out by the query. */
  get everything() {
    return Object.values(this.query).every((part) => !part);
  }

  /** @param {number} index @returns {Row | null} null where it is still to come */
  row(index) {
    return this.#pages.get(Math.floor(index / PAGE))?.[index % PAGE] ?? null;
  }

  /** Rows that are here, by their job's id. @param {string} id @returns {Row | null} */
  find(id) {
    for (const rows of this.#pages.values()) {
      const found = rows.find((row) => row.id === id);
      if (found) return found;
    }
    return null;
  }

  /** Takes a page that came without being asked for. @param {HistoryPage} page */
  begin(page) {
    this.#generation++;
    this.#asked.clear();
    this.#pages.clear();
    this.#take(page);
  }

  /** Asks for what rows `first` up to `end` need. @param {number} first @param {number} end */
  need(first, end) {
    this.#wanted = pagesOf(first, end, PAGE);
    for (const page of this.#wanted) if (!this.#pages.has(page)) void this.#fetch(page);
  }

  /** Looks for something else. The rows stay until the first new page is here.
   * @param {Partial<Query>} change */
  async look(change) {
    this.query = { ...this.query, ...change };
    this.#wanted = [0];
    await this.refresh();
  }

  /** Asks again for what is seen: the ledger has changed. */
  async refresh() {
    this.#generation++;
    this.#asked.clear();
    const wanted = new Set([0, ...this.#wanted]);
    let first = true;
    for (const page of wanted) {
      const came = await this.#answer(page);
      if (!came) return;
      if (first) this.#pages.clear();
      first = false;
      this.#take(came);
    }
    this.onChange();
  }

  /** @param {number} page */
  async #fetch(page) {
    if (this.#asked.has(page)) return;
    this.#asked.add(page);
    const came = await this.#answer(page);
    if (!came) return;
    this.#take(came);
    this.onChange();
  }

  /** The page; null where it came too late for the query, or not at all. @param {number} page */
  async #answer(page) {
    const generation = this.#generation;
    try {
      const came = await this.ask({ ...this.query, page });
      return generation === this.#generation ? came : null;
    } catch (error) {
      if (generation === this.#generation) {
        this.error = messageOf(error);
        this.#asked.delete(page);
        this.onChange();
      }
      return null;
    }
  }

  /** @param {HistoryPage} page */
  #take({ page, total, rows, endpoints, states, error = "" }) {
    this.total = total;
    this.error = error;
    this.#pages.set(page, rows);
    if (endpoints && states) this.tally = { endpoints, states };
  }
}
