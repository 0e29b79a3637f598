import assert from "node:assert/strict";
import { test } from "node:test";
import { search } from "../panel/endpoint_search.js";
import { HistoryPages } from "../panel/history_pages.js";
import { JobList } from "../panel/job_list.js";
import { Openings } from "../panel/openings.js";
import { MARGIN, pagesOf, rowAfter, scrollFor, windowOf } from "../panel/virtual_list.js";
import { entry } from "./fake_model.js";

const CATALOGUE = [
  [
    "fal-ai/kling-video/v3/pro/text-to-video",
    "v3-pro",
    "Kling 3.0 (pro) Text to Video",
    "text-to-video",
    "$0.168/s",
  ],
  [
    "fal-ai/kling-video/v3/pro/image-to-video",
    "v3-pro-image",
    "Kling 3.0 (pro) Image to Video",
    "image-to-video",
    "",
  ],
  [
    "fal-ai/kling-video/v1/pro/text-to-video",
    "v1-pro",
    "Kling 1.0 Text to Video",
    "text-to-video",
    "",
  ],
  ["fal-ai/kling-video/v1/tts", "v1-tts", "Kling 1.0 Text to Speech", "text-to-speech", "$0.03"],
];
const found = (text) => search(CATALOGUE, text).map(([, short]) => short);

test("without words the catalogue is as it is", () => {
  assert.deepEqual(found(""), ["v3-pro", "v3-pro-image", "v1-pro", "v1-tts"]);
  assert.deepEqual(found("  ·!"), ["v3-pro", "v3-pro-image", "v1-pro", "v1-tts"]);
});

test("an endpoint is found by title, short name, category or id, in any case and order", () => {
  assert.deepEqual(found("SPEECH"), ["v1-tts"]);
  assert.deepEqual(found("image 3.0"), ["v3-pro-image"]);
  assert.deepEqual(found("video/v1/pro"), ["v1-pro"]);
  assert.deepEqual(found("vidéo pro"), ["v3-pro", "v3-pro-image", "v1-pro"]);
  assert.deepEqual(found("sora"), []);
});

test("what begins the short name comes first", () => {
  assert.deepEqual(found("v1"), ["v1-pro", "v1-tts"]);
  assert.equal(found("v3-pro")[0], "v3-pro");
  assert.equal(found("V3 pro image")[0], "v3-pro-image");
  assert.equal(found("tts")[0], "v1-tts");
});

test("only the rows of the window are drawn, with a margin", () => {
  assert.deepEqual(windowOf(0, 520, 52, 1000), { first: 0, end: 10 + MARGIN });
  assert.deepEqual(windowOf(5200, 520, 52, 1000), { first: 100 - MARGIN, end: 110 + MARGIN });
  assert.deepEqual(windowOf(51_480, 520, 52, 1000), { first: 990 - MARGIN, end: 1000 });
});

test("a window past the end of a list that became short shows its end", () => {
  assert.deepEqual(windowOf(51_480, 520, 52, 3), { first: 0, end: 3 });
  assert.deepEqual(windowOf(900, 520, 52, 0), { first: 0, end: 0 });
});

test("pages cover the rows", () => {
  assert.deepEqual(pagesOf(0, 14, 50), [0]);
  assert.deepEqual(pagesOf(45, 59, 50), [0, 1]);
  assert.deepEqual(pagesOf(50, 100, 50), [1]);
  assert.deepEqual(pagesOf(7, 7, 50), []);
});

test("scrolling goes as far as is needed", () => {
  assert.equal(scrollFor(3, 0, 520, 52), 0);
  assert.equal(scrollFor(10, 0, 520, 52), 52);
  assert.equal(scrollFor(2, 500, 520, 52), 104);
});

test("keys lead through the list and stop at its ends", () => {
  const keys = ["ArrowDown", "ArrowUp", "PageDown", "PageUp", "Home", "End", "a"];
  assert.deepEqual(
    keys.map((key) => rowAfter(key, 3, 10, 5)),
    [4, 2, 8, 0, 0, 9, null],
  );
  assert.equal(rowAfter("ArrowDown", -1, 10, 5), 0);
  assert.equal(rowAfter("ArrowDown", -1, 0, 5), null);
});

/** A ledger of `total` rows, and what was asked of it. */
function ledger(total) {
  const asked = [];
  const row = (i, word) => ({ id: `${word}${i}` });
  const ask = async ({ page, search: word }) => {
    asked.push(`${word}:${page}`);
    const length = Math.max(0, Math.min(50, total - page * 50));
    return {
      page,
      total,
      rows: Array.from({ length }, (_, i) => row(page * 50 + i, word)),
      ...(page === 0 ? { endpoints: { e: total }, states: { READY: total } } : {}),
    };
  };
  return { ask, asked };
}

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

test("a page of history is asked for once, when one of its rows is seen", async () => {
  const { ask, asked } = ledger(1000);
  let changes = 0;
  const pages = new HistoryPages(ask, () => changes++);
  pages.begin(await ask({ page: 0, search: "" }));
  pages.need(0, 14);
  assert.equal(pages.row(3).id, "3");
  pages.need(140, 160);
  pages.need(141, 161);
  assert.equal(pages.row(150), null);
  await nextTurn();
  assert.deepEqual(asked, [":0", ":2", ":3"]);
  assert.equal(pages.row(150).id, "150");
  assert.equal(pages.find("150").id, "150");
  assert.equal(changes, 2);
});

test("an answer to an older search is passed over", async () => {
  const held = [];
  const pages = new HistoryPages(
    (query) => new Promise((resolve) => held.push({ query, resolve })),
    () => {},
  );
  const answer = (at, id) => held[at].resolve({ page: 0, total: 1, rows: [{ id }] });
  const first = pages.look({ search: "f" });
  const second = pages.look({ search: "fo" });
  answer(1, "new");
  await second;
  answer(0, "old");
  await first;
  assert.equal(pages.row(0).id, "new");
  assert.equal(pages.everything, false);
});

test("a refresh asks for the first page and those that are seen, and keeps rows meanwhile", async () => {
  const { ask, asked } = ledger(400);
  const pages = new HistoryPages(ask, () => {});
  pages.begin(await ask({ page: 0, search: "" }));
  pages.need(200, 210);
  await nextTurn();
  asked.length = 0;
  const done = pages.refresh();
  assert.equal(pages.row(204).id, "204");
  await done;
  assert.deepEqual(asked, [":0", ":4"]);
});

test("a refusal is shown, and may be asked again", async () => {
  let refuse = true;
  const { ask } = ledger(60);
  const pages = new HistoryPages(
    (query) => (refuse ? Promise.reject(new Error("the disk is full")) : ask(query)),
    () => {},
  );
  await pages.look({ search: "x" });
  assert.equal(pages.error, "the disk is full");
  refuse = false;
  await pages.refresh();
  assert.equal(pages.error, "");
  assert.equal(pages.total, 60);
});

const job = (id, state) => ({ id, state, prompt: `prompt of ${id}` });

test("jobs come newest first and change in place", () => {
  const jobs = new JobList();
  jobs.update([job("a", "IN_QUEUE")]);
  jobs.update([job("b", "IN_QUEUE")]);
  const { ended, complete } = jobs.update([{ id: "a", state: "READY" }]);
  assert.deepEqual(
    jobs.rows.map(({ id, state, prompt }) => [id, state, prompt]),
    [
      ["b", "IN_QUEUE", "prompt of b"],
      ["a", "READY", "prompt of a"],
    ],
  );
  assert.deepEqual([ended.map(({ id }) => id), complete], [["a"], true]);
});

test("an end is announced once, and not of jobs that came with it", () => {
  const jobs = new JobList();
  assert.deepEqual(jobs.update([job("a", "READY")]).ended, []);
  assert.deepEqual(jobs.update([{ id: "a", state: "READY" }]).ended, []);
});

test("a change of an unknown job says that something was missed", () => {
  const jobs = new JobList();
  assert.equal(jobs.update([{ id: "x", state: "READY" }]).complete, false);
  assert.deepEqual(jobs.rows, []);
});

test("of what is opened the result is a job of its own, and its takes can be compared", async () => {
  const asked = [];
  const ask = async (kind, { of = "", kind: inner = "" }) => {
    asked.push([kind, of, inner]);
    if (kind === "open") return { msg: { row: job("a", "READY"), resumable: false } };
    const done = { state: "READY", width: 64, height: 36, revision: 2 };
    const takes = ["a", "b"].map((id, at) => entry(at + 1, { ...done, job_id: id }));
    return {
      msg: { ...takes[1], takes, lines: [], first_line: 0, controls: [], now: 0 },
      buffers: [],
    };
  };
  const openings = new Openings({ ask }, () => {});
  openings.show(["a", "b"]);
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
  const { result, model } = openings.opening;
  assert.deepEqual(asked.slice(0, 2), [
    ["open", "", ""],
    ["result", "a b", "snapshot"],
  ]);
  assert.equal(result.shown.about.job_id, "b", "the take that the kernel shows");
  assert.equal(result.compared.length, 2);
  openings.receive({ of: "a b", kind: "show", msg: { take: 1 } });
  openings.receive({ of: "another", kind: "show", msg: { take: 2 } });
  assert.equal(model.get("take"), 1);
  openings.show([]);
});

test("of a job that must be resumed first only its row is shown", async () => {
  const ask = async () => ({ msg: { row: job("a", "IN_QUEUE"), resumable: true } });
  const openings = new Openings({ ask }, () => {});
  openings.show(["a"]);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual([openings.opening.resumable, openings.opening.result], [true, null]);
});
