import assert from "node:assert/strict";
import { test } from "node:test";
import { upload } from "../controls/media_picker.js";
import { Composition } from "../panel/composition.js";
import { offer } from "../result/offer.js";

const quote = {
  backend: "fal",
  estimate: 0.5,
  price: "about $0.50",
  outcome: "SUBMIT",
  notices: "",
  words: "About $0.50.",
  take: null,
  refusal: null,
  problem: null,
};

test("the button says what it costs", () => {
  const labelOf = (change) => offer({ ...quote, ...change }, true).generate;
  assert.equal(labelOf({}), "Generate · about $0.50");
  assert.equal(
    labelOf({ estimate: null, price: "no price on record" }),
    "Generate · no price on record",
  );
  assert.equal(labelOf({ backend: "local" }), "Generate · free");
  assert.equal(offer(null, true).generate, "Generate · …");
});

test("of several takes the button says what all of them cost", () => {
  const labelsOf = (change) => {
    const { generate, again } = offer({ ...quote, ...change }, true, 4);
    return [generate, again];
  };
  assert.deepEqual(labelsOf({}), ["Generate 4 · about $2.00", ""]);
  assert.deepEqual(labelsOf({ estimate: null, price: "no price on record" }), [
    "Generate 4 · no price on record for each",
    "",
  ]);
  assert.deepEqual(labelsOf({ backend: "local" }), ["Generate 4 · free", ""]);
  assert.deepEqual(labelsOf({ outcome: "REUSE" }), ["Generate", "4 more takes · about $2.00"]);
});

test("several takes are of one request, and what is there already is found once", async () => {
  const { composition, of } = startComposition();
  composition.edit({ prompt: "a fox" }, {});
  await composition.flush();
  const started = [];
  await composition.submit(false, 2, (job) => started.push(job.id));
  assert.deepEqual(
    of("submit").map((sent) => [sent.new, sent.values.prompt]),
    [
      [false, "a fox"],
      [true, "a fox"],
    ],
  );
  assert.deepEqual(started, ["j", "j"]);
  composition.quote = { ...quote, outcome: "REUSE" };
  await composition.submit(false, 2);
  assert.equal(of("submit").length, 3);
  composition.close();
});

test("a take that is refused does not hide those before it", async () => {
  let number = 0;
  const { composition } = startComposition({
    submit: () => {
      if (++number > 1) throw new Error("The limit is reached.");
      return { job: { id: "one" } };
    },
  });
  composition.edit({ prompt: "a fox" }, {});
  const started = [];
  const asked = composition.submit(false, 4, (job) => started.push(job.id));
  await assert.rejects(asked, /^Error: 1 of 4 takes were started. The limit is reached.$/);
  assert.deepEqual(started, ["one"]);
  composition.close();
});

test("a preview says that it is one, and what fal would ask", () => {
  const words = "Free preview (about $0.50 on fal).";
  assert.equal(offer({ ...quote, backend: "local", words }, true).hint, words);
  assert.equal(offer({ ...quote, words }, true).hint, "", "the button has the price");
  const notices = "The video has the shape of the image.";
  assert.equal(offer({ ...quote, words, notices }, true).hint, notices);
  assert.equal(
    offer({ ...quote, backend: "local", words, notices }, true).hint,
    `${words} ${notices}`,
  );
});

test("a take that exists is free, another one says its price", () => {
  const words = "Already made, free.";
  const made = offer({ ...quote, outcome: "REUSE", words, take: 2 }, true);
  assert.deepEqual([made.generate, made.hint], ["Generate", words]);
  assert.deepEqual([made.again, made.able], ["Another take · about $0.50", true]);
});

test("the kernel's words say what else a run would do, below the same button", () => {
  for (const outcome of ["FOLLOW", "LOOK_UP", "REFETCH"]) {
    const found = offer({ ...quote, outcome, words: outcome }, true);
    assert.deepEqual([found.generate, found.hint, found.wrong], ["Generate", outcome, false]);
    assert.equal(found.again, "Another take · about $0.50");
  }
});

test("a refusal is shown, and can be tried against: a limit may have been lifted since", () => {
  for (const change of [{}, { backend: "local" }, { outcome: "FOLLOW" }]) {
    const { hint, wrong, able } = offer({ ...quote, ...change, refusal: "No key." }, true);
    assert.deepEqual([hint, wrong, able], ["No key.", true, true]);
  }
});

test("a problem is shown as one only once something was composed", () => {
  const bad = { ...quote, problem: "prompt is missing" };
  assert.deepEqual([offer(bad, false).wrong, offer(bad, true).wrong], [false, true]);
  assert.equal(offer(bad, false).hint, "");
  assert.equal(offer(bad, true).able, false);
  assert.equal(offer(null, true).able, false);
});

const CONTROLS = {
  text: [{ name: "prompt" }, { name: "duration" }],
  image: [{ name: "prompt" }, { name: "image_url" }],
};

/** A kernel that answers at once and keeps what it was asked. */
function kernel(answers = {}) {
  const asked = [];
  let revision = 0;
  const ask = async (kind, msg) => {
    asked.push([kind, msg]);
    if (answers[kind]) return { msg: answers[kind](msg) };
    if (kind === "controls") return { msg: { controls: CONTROLS[msg.endpoint] } };
    if (kind === "compose") return { msg: { revision: ++revision, quote } };
    if (kind === "submit") return { msg: { job: { id: "j" } } };
    throw new Error(`unexpected ${kind}`);
  };
  return {
    ask,
    asked,
    of: (kind) => asked.filter(([name]) => name === kind).map(([, msg]) => msg),
  };
}

const draft = (change) => ({
  revision: 0,
  author: 0,
  endpoint: "text",
  values: {},
  files: {},
  ...change,
});

function startComposition(answers) {
  const fake = kernel(answers);
  const composition = new Composition(fake.ask, () => {});
  composition.begin({ draft: draft({}), controls: CONTROLS.text, quote });
  return { composition, ...fake };
}

test("changes go to the kernel together, after a moment", async () => {
  const { composition, of } = startComposition();
  composition.edit({ prompt: "a" }, {});
  composition.edit({ prompt: "a fox" }, {});
  assert.equal(composition.quote, null);
  await composition.flush();
  assert.deepEqual(
    of("compose").map(({ values }) => values),
    [{ prompt: "a fox" }],
  );
  assert.equal(composition.quote, quote);
  composition.close();
});

test("another endpoint keeps the values that it knows", async () => {
  const { composition } = startComposition();
  composition.edit({ prompt: "a fox", duration: "10" }, {});
  await composition.choose("image");
  assert.deepEqual(composition.values, { prompt: "a fox" });
  assert.equal(composition.endpoint, "image");
  composition.close();
});

test("a draft of another page is taken, an own or older one is not", async () => {
  const { composition } = startComposition();
  await composition.other(
    draft({ revision: 3, author: 7, endpoint: "image", values: { prompt: "b" } }),
  );
  assert.deepEqual([composition.endpoint, composition.values], ["image", { prompt: "b" }]);
  await composition.other(draft({ revision: 2, author: 7, values: { prompt: "old" } }));
  await composition.other(
    draft({ revision: 9, author: composition.author, values: { prompt: "own" } }),
  );
  assert.deepEqual(composition.values, { prompt: "b" });
});

test("what was changed here and not sent yet stays when another page composes", async () => {
  const { composition } = startComposition();
  composition.edit({ prompt: "a fox", duration: "5" }, {});
  await composition.flush();
  composition.edit({ prompt: "a fox runs", duration: "5" }, {});
  const values = { prompt: "a fox", duration: "10" };
  await composition.other(draft({ revision: 6, author: 7, values }));
  assert.deepEqual(composition.values, { prompt: "a fox runs", duration: "10" });
  composition.close();
});

test("two pages that agree do not answer each other for ever", async () => {
  const { composition, of } = startComposition();
  composition.edit({ prompt: "a fox" }, {});
  await composition.flush();
  await composition.other(draft({ revision: 6, author: 7, values: { prompt: "a fox" } }));
  await composition.flush();
  assert.equal(of("compose").length, 1);
});

test("of two endpoints that are chosen the last one counts, and typing goes on meanwhile", async () => {
  const answers = [];
  const composition = new Composition(
    (kind, { endpoint }) =>
      new Promise((answer) => {
        if (kind === "controls")
          answers.push(() => answer({ msg: { controls: CONTROLS[endpoint] ?? [] } }));
      }),
    () => {},
  );
  composition.begin({ draft: draft({}), controls: CONTROLS.text, quote });
  const first = composition.choose("audio");
  const last = composition.choose("image");
  composition.edit({ prompt: "typed", duration: "10" }, {});
  for (const answer of answers.reverse()) answer();
  await Promise.all([first, last]);
  assert.deepEqual([composition.endpoint, composition.values], ["image", { prompt: "typed" }]);
  await composition.choose("text");
  assert.deepEqual(composition.values, { prompt: "typed", duration: "10" });
  composition.close();
});

test("what was not sent yet is not lost to a snapshot", async () => {
  const { composition } = startComposition();
  composition.edit({ prompt: "typing" }, {});
  composition.begin({ draft: draft({ revision: 5 }), controls: CONTROLS.text, quote });
  assert.deepEqual(composition.values, { prompt: "typing" });
  composition.close();
});

test("a submission says for which backend its price was shown", async () => {
  const { composition, of } = startComposition();
  composition.edit({ prompt: "a fox" }, {});
  await composition.flush();
  assert.equal((await composition.submit(true)).id, "j");
  const [sent] = of("submit");
  assert.deepEqual([sent.new, sent.backend, sent.values], [true, "fal", { prompt: "a fox" }]);
});

test("nothing is submitted where the backend has become another one since it was shown", async () => {
  let backend = "local";
  const { composition, of } = startComposition({
    compose: () => ({ revision: 1, quote: { ...quote, backend } }),
  });
  composition.edit({ prompt: "a fox" }, {});
  await composition.flush();
  composition.edit({ prompt: "a fox!" }, {});
  backend = "fal";
  assert.equal(await composition.submit(false), null);
  assert.deepEqual(of("submit"), []);
});

test("a refusal becomes the problem that is shown", async () => {
  const { composition } = startComposition({
    compose: () => {
      throw new Error("no such thing");
    },
  });
  composition.edit({ prompt: "a" }, {});
  await composition.flush();
  assert.equal(composition.quote.problem, "no such thing");
  assert.equal(await composition.submit(false), null);
});

test("a file goes in pieces, and its mark comes with the last one", async () => {
  const bytes = new Uint8Array(2_500_000).map((_, i) => i % 251);
  const got = [];
  const shares = [];
  const ask = async (kind, { offset, total, upload: word, buffers }) => {
    got.push([kind, offset, buffers[0].byteLength, word]);
    const last = offset + buffers[0].byteLength === total;
    return {
      msg: { file: last ? { file: "f", name: "n", type: "image/png", size: total } : null },
    };
  };
  const mark = await upload(ask, new Blob([bytes], { type: "image/png" }), (share) =>
    shares.push(share),
  );
  assert.equal(mark.file, "f");
  assert.deepEqual(
    got.map(([, offset, length]) => [offset, length]),
    [
      [0, 1_048_576],
      [1_048_576, 1_048_576],
      [2_097_152, 402_848],
    ],
  );
  assert.equal(new Set(got.map(([, , , word]) => word)).size, 1);
  assert.equal(shares.at(-1), 1);
});
