// fal's JavaScript client, as published, drives the local preview server. Only its configuration is set:
// a request middleware sends what is meant for fal's hosts to the server, and a `fetch` that knows
// no other host stands behind it.

import assert from "node:assert/strict";
import { createHash, createPublicKey, verify } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { ApiError, createFalClient, ValidationError } from "@fal-ai/client";

const SERVER = process.env.JUDGED_URL ?? "";
const TEXT = "fal-ai/kling-video/v1/pro/text-to-video";
const IMAGE = "fal-ai/kling-video/v1/pro/image-to-video";
const KITE = { prompt: "a red kite over the sea", duration: "5", aspect_ratio: "1:1" };
const REFUSED = { prompt: "x", duration: "7" };
const FAL = new Set(["https://queue.fal.run", "https://rest.fal.ai"]);
const PIXEL =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

// Asked for the picture of a job, it does not answer: the job runs until its connection ends.
const gate = createServer(() => {}).listen(0, "127.0.0.1");
await once(gate, "listening");
const SLOW = {
  prompt: "a long walk",
  image_url: `http://127.0.0.1:${gate.address().port}/held.png`,
};

const sent = [];

function client(credentials) {
  return createFalClient({
    credentials,
    requestMiddleware: async (request) => {
      const { origin } = new URL(request.url);
      assert(FAL.has(origin), `${origin} is not asked by any of these`);
      return { ...request, url: request.url.replace(origin, SERVER) };
    },
    fetch: (url, init) => {
      assert.equal(new URL(url).origin, SERVER);
      sent.push({ url: String(url), method: init?.method, headers: new Headers(init?.headers) });
      return fetch(url, init);
    },
  });
}

const fal = client(process.env.JUDGED_KEY);

async function fetched(url) {
  const answer = await fetch(url);
  assert.equal(answer.status, 200);
  return new Uint8Array(await answer.arrayBuffer());
}

/** Waits until a runner has taken it. */
async function running(requestId) {
  for await (const status of await fal.queue.streamStatus(TEXT, { requestId })) {
    if (status.status !== "IN_QUEUE") return;
  }
}

for (const mode of ["polling", "streaming"]) {
  test(`subscribe with logs, ${mode}`, async () => {
    const updates = [];
    let enqueued;
    const { data, requestId } = await fal.subscribe(TEXT, {
      input: KITE,
      logs: true,
      mode,
      pollInterval: 20,
      onEnqueue: (id) => {
        enqueued = id;
      },
      onQueueUpdate: (update) => updates.push(update),
    });
    assert.equal(enqueued, requestId);
    assert.equal(updates.at(-1).status, "COMPLETED");
    assert(updates.at(-1).metrics.inference_time > 0);
    const lines = updates.flatMap((update) => update.logs ?? []).map((line) => line.message);
    assert(
      lines.some((line) => line.startsWith("Loading pipeline")),
      String(lines),
    );
    assert.equal(data.video.content_type, "video/mp4");
    assert.equal((await fetched(data.video.url)).length, data.video.file_size);
  });
}

test("submit, status, result", async () => {
  const queued = await fal.queue.submit(TEXT, {
    input: KITE,
    priority: "low",
    startTimeout: 30,
    hint: "a",
  });
  assert.equal(queued.status, "IN_QUEUE");
  assert.equal(typeof queued.queue_position, "number");
  const requestId = queued.request_id;
  assert.equal((await fal.queue.status(TEXT, { requestId, logs: true })).request_id, requestId);
  const ended = await fal.queue.subscribeToStatus(TEXT, {
    requestId,
    logs: true,
    pollInterval: 20,
  });
  assert.equal(ended.status, "COMPLETED");
  assert(ended.logs.every((line) => line.message && line.timestamp && line.level && line.source));
  const result = await fal.queue.result(TEXT, { requestId });
  assert.equal(result.requestId, requestId);
  assert(result.data.video.url.startsWith(SERVER));
});

test("streamStatus gives each line once", async () => {
  const { request_id: requestId } = await fal.queue.submit(TEXT, { input: KITE });
  const stream = await fal.queue.streamStatus(TEXT, { requestId, logs: true });
  const states = [];
  const lines = [];
  for await (const status of stream) {
    states.push(status.status);
    lines.push(...(status.logs ?? []).map((line) => `${line.timestamp} ${line.message}`));
  }
  assert.equal((await stream.done()).status, "COMPLETED");
  assert.equal(states.at(-1), "COMPLETED");
  assert(states.includes("IN_PROGRESS"));
  assert.equal(new Set(lines).size, lines.length);
  assert(lines.length > 1);
});

test("cancel: queued, running, too late, unknown", async () => {
  const busy = (await fal.queue.submit(IMAGE, { input: SLOW })).request_id;
  await running(busy);
  const queued = (await fal.queue.submit(TEXT, { input: KITE })).request_id;
  await fal.queue.cancel(TEXT, { requestId: queued });
  const status = await fal.queue.status(TEXT, { requestId: queued });
  assert.deepEqual([status.status, status.error_type], ["COMPLETED", "client_cancelled"]);
  await fal.queue.cancel(IMAGE, { requestId: busy });
  gate.closeAllConnections();
  await fal.queue.subscribeToStatus(IMAGE, { requestId: busy, pollInterval: 20 });
  await assert.rejects(fal.queue.result(IMAGE, { requestId: busy }), { status: 499 });
  await assert.rejects(fal.queue.cancel(IMAGE, { requestId: busy }), { status: 400 });
  await assert.rejects(fal.queue.cancel(IMAGE, { requestId: "00000000" }), { status: 404 });
});

test("a refused input is a ValidationError with its fields", async () => {
  await assert.rejects(fal.subscribe(TEXT, { input: REFUSED, pollInterval: 20 }), (fault) => {
    assert(fault instanceof ValidationError);
    assert.equal(fault.status, 422);
    assert.deepEqual(
      fault.fieldErrors.map(({ loc, type }) => [loc, type]),
      [[["body", "duration"], "one_of"]],
    );
    return true;
  });
});

test("a wrong key, an unknown app, a result that is not there yet", async () => {
  await assert.rejects(client("some:body").queue.submit(TEXT, { input: KITE }), (fault) => {
    assert(fault instanceof ApiError);
    assert.equal(fault.status, 401);
    return true;
  });
  await assert.rejects(fal.queue.submit("fal-ai/klong-video/v1", { input: KITE }), { status: 404 });
  const requestId = (await fal.queue.submit(IMAGE, { input: SLOW })).request_id;
  await assert.rejects(fal.queue.result(IMAGE, { requestId }), { status: 400 });
  await fal.queue.cancel(IMAGE, { requestId });
  gate.close();
  gate.closeAllConnections();
});

test("a small upload, and the key stays with the first step", async () => {
  const bytes = Uint8Array.from(Buffer.from(PIXEL, "base64"));
  const before = sent.length;
  const url = await fal.storage.upload(new File([bytes], "a dot.png", { type: "image/png" }), {
    lifecycle: { expiresIn: "1h" },
  });
  assert.deepEqual(await fetched(url), bytes);
  const [initiate, put] = sent.slice(before);
  assert(initiate.headers.has("authorization"));
  assert.equal(put.method, "PUT");
  assert(!put.headers.has("authorization"));
});

test("an upload in parts", async () => {
  const bytes = new Uint8Array(100 * 1024 * 1024 + 12_345);
  bytes[0] = 1;
  bytes[50 * 1024 * 1024] = 2;
  bytes[bytes.length - 1] = 3;
  const before = sent.length;
  const url = await fal.storage.upload(new File([bytes], "large.mp4", { type: "video/mp4" }));
  const digest = (data) => createHash("sha256").update(data).digest("hex");
  assert.equal(digest(await fetched(url)), digest(bytes));
  assert.equal(sent.slice(before).filter(({ method }) => method === "PUT").length, 11);
});

/** An image large enough for the endpoint, as a BMP: no encoder is needed for that. */
function bitmap() {
  const [width, height] = [320, 320];
  const bytes = Buffer.alloc(54 + width * height * 3, 0x60);
  bytes.fill(0, 0, 54);
  bytes.write("BM");
  bytes.writeUInt32LE(bytes.length, 2);
  bytes.writeUInt32LE(54, 10);
  bytes.writeUInt32LE(40, 14);
  bytes.writeInt32LE(width, 18);
  bytes.writeInt32LE(height, 22);
  bytes.writeUInt16LE(1, 26);
  bytes.writeUInt16LE(24, 28);
  return bytes;
}

for (const [name, image] of [
  ["a data URI", `data:image/bmp;base64,${bitmap().toString("base64")}`],
  ["a Blob, which the client uploads by itself", new Blob([bitmap()], { type: "image/bmp" })],
]) {
  test(`${name} as input`, async () => {
    const { data } = await fal.subscribe(IMAGE, {
      input: { prompt: "it moves", image_url: image, duration: "5" },
      pollInterval: 20,
    });
    assert(data.video.file_size > 0);
  });
}

test("a webhook, its signature checked by other means than ours", async () => {
  const server = createServer();
  const delivery = new Promise((resolve) => {
    server.on("request", async (request, response) => {
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      response.end();
      resolve({ headers: request.headers, body: Buffer.concat(chunks) });
    });
  });
  await new Promise((ready) => {
    server.listen(0, "127.0.0.1", ready);
  });
  const webhookUrl = `http://127.0.0.1:${server.address().port}/hook`;
  const { request_id: requestId } = await fal.queue.submit(TEXT, { input: KITE, webhookUrl });
  const { headers, body } = await delivery;
  server.close();
  const { keys } = await (await fetch(`${SERVER}/.well-known/jwks.json`)).json();
  const message = [
    headers["x-fal-webhook-request-id"],
    headers["x-fal-webhook-user-id"],
    headers["x-fal-webhook-timestamp"],
    createHash("sha256").update(body).digest("hex"),
  ].join("\n");
  const signature = Buffer.from(headers["x-fal-webhook-signature"], "hex");
  const key = createPublicKey({ key: keys[0], format: "jwk" });
  assert(verify(null, Buffer.from(message), key, signature));
  const event = JSON.parse(body);
  assert.deepEqual([event.request_id, event.status], [requestId, "OK"]);
  assert.deepEqual(event.payload, (await fal.queue.result(TEXT, { requestId })).data);
});
