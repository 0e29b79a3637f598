// A page with one output area, as JupyterLab has it, for tests/widget/test_view.py to drive.
import { FakeModel } from "./fake_model.js";

const file = await fetch("/clip.mp4").then((response) => response.arrayBuffer());

function chunk({ offset, length }) {
  const piece = new DataView(file, offset, Math.min(length, file.byteLength - offset));
  const msg = { offset, total: file.byteLength, content_type: "video/mp4", name: "heron.mp4" };
  return { msg, buffers: [piece] };
}

const model = new FakeModel({
  chunk,
  cancel: () => ({ msg: { outcome: "fal was asked; it may still finish." } }),
});
model.traits.created_at = Date.now() / 1000;

const area = document.createElement("div");
area.className = "jp-OutputArea";
const card = document.createElement("div");
card.id = "card";
card.dataset.klingCard = model.traits.job_id;
card.textContent = "the card";
area.append(card);
document.body.append(area);

let definition;
/** Shows the job; gives the clean-up. Later calls add views. */
async function view(traits = {}, fields = {}) {
  if (!definition) {
    Object.assign(model.traits, traits);
    Object.assign(model.fields, traits, fields);
    definition = (await import("/job.js")).default();
    await definition.initialize({ model });
  }
  const el = document.createElement("div");
  area.append(el);
  return definition.render({ model, el });
}

Object.assign(window, { model, view });
