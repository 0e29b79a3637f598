// A page with one output area, as JupyterLab has it, for tests/views to drive.
import { entry, FakeModel, QUOTED } from "./fake_model.js";

const [file, poster] = await Promise.all(
  ["/clip.mp4", "/poster.jpg"].map((path) => fetch(path).then((got) => got.arrayBuffer())),
);

function chunk({ offset, length }) {
  const piece = new DataView(file, offset, Math.min(length, file.byteLength - offset));
  const msg = { offset, total: file.byteLength, content_type: "video/mp4", name: "heron.mp4" };
  return { msg, buffers: [piece] };
}

const area = document.createElement("div");
area.className = "jp-OutputArea";
const card = document.createElement("div");
card.id = "card";
card.dataset.klingCard = "abc123";
card.textContent = "the card";
area.append(card);
document.body.append(area);

/** A model of a kernel on this page. */
function makeModel() {
  const made = new FakeModel({
    chunk,
    poster: () => ({ msg: {}, buffers: [new DataView(poster)] }),
    cancel: () => ({ msg: { outcome: "fal was asked; it may still finish." } }),
    resume: () => ({ msg: { key: 1 } }),
    generate: ({ changes }) => {
      const key = made.takes.length + 1;
      const input = { ...made.takes.at(-1).input, ...changes };
      made.arrange([...made.takes, entry(key, { job_id: `job${key}`, input })], key);
      return { msg: { key } };
    },
  });
  made.traits.created_at = made.takes[0].created_at = Date.now() / 1000;
  return made;
}

const model = makeModel();
const definitions = new Map();

/** Shows the job; gives the clean-up. Later calls add views. */
async function view(traits = {}, fields = {}, of = model) {
  if (!definitions.has(of)) {
    const { lines, first_line, ...more } = fields;
    Object.assign(of.traits, traits);
    Object.assign(of.takes[0], traits, more);
    of.lines = lines ?? [];
    of.first_line = first_line ?? 0;
    const definition = (await import("/job.js")).default();
    definitions.set(of, definition);
    await definition.initialize({ model: of });
  }
  const el = document.createElement("div");
  area.append(el);
  return definitions.get(of).render({ model: of, el });
}

Object.assign(window, { model, view, makeModel, entry, quoted: QUOTED });
