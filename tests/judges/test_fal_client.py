"""fal's Python client, as published, drives the local preview server. Only its module constants are set."""

import asyncio
import gc
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fal_client
import httpx
import pytest
from fal_client import client as module
from gate import Gate
from local.running_server import IMAGE, TEXT, RunningServer
from PIL import Image
from webhook_receiver import receiving

from kling_nb.fal.webhooks import KeySource, WebhookKeys, verify
from kling_nb.video import probe

KITE = {"prompt": "a red kite over the sea", "duration": "5", "aspect_ratio": "1:1"}
REFUSED = {"prompt": "x", "duration": "7"}


@pytest.fixture(autouse=True)
def pointed_at_the_server(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no setting for a plain http host; these constants are read at each call."""
    monkeypatch.setattr(module, "QUEUE_URL_FORMAT", f"{server.url}/")
    monkeypatch.setattr(module, "REST_URL", server.url)
    monkeypatch.setattr(module, "CDN_URL", server.url)


@contextmanager
def connected(key: str) -> Iterator[fal_client.SyncClient]:
    client = fal_client.SyncClient(key=key)
    try:
        yield client
    finally:
        client._client.close()  # it has no way of its own to close its connections


@pytest.fixture
def fal(server: RunningServer) -> Iterator[fal_client.SyncClient]:
    with connected(server.key) as client:
        yield client


@pytest.fixture
def stranger() -> Iterator[fal_client.SyncClient]:
    """A client with a wrong key."""
    with connected("some:body") as client:
        yield client


@pytest.fixture
def running(fal: fal_client.SyncClient) -> Iterator[fal_client.SyncRequestHandle]:
    """A job that runs until the test ends: its picture does not come."""
    with Gate() as gate:
        handle = fal.submit(IMAGE, {"prompt": "a long walk through a neon city", "image_url": gate.url})
        while isinstance(handle.status(), fal_client.Queued):
            pass
        yield handle
        handle.cancel()
        gate.open()
        with pytest.raises(fal_client.FalClientHTTPError):
            handle.get()


def fetched(url: str) -> bytes:
    answer = httpx.get(url, trust_env=False)
    assert answer.status_code == 200
    return answer.content


# -- a job --------------------------------------------------------------------


def test_subscribe_with_logs(fal, tmp_path):
    enqueued, updates = [], []
    result = fal.subscribe(
        TEXT, KITE, with_logs=True, on_enqueue=enqueued.append, on_queue_update=updates.append
    )
    assert len(enqueued) == 1
    assert isinstance(updates[-1], fal_client.Completed)
    assert updates[-1].error is None
    assert updates[-1].metrics["inference_time"] > 0
    lines = {
        line["message"]
        for update in updates
        if not isinstance(update, fal_client.Queued)
        for line in update.logs
    }
    assert any(line.startswith("Loading pipeline") for line in lines)
    file = tmp_path / result["video"]["file_name"]
    file.write_bytes(fetched(result["video"]["url"]))
    assert file.stat().st_size == result["video"]["file_size"]
    found = probe(file)
    assert (found.width, round(found.duration, 1)) == (found.height, 5.0)


def test_submit_status_result(fal):
    handle = fal.submit(TEXT, KITE, priority="low", hint="a", start_timeout=30)
    again = fal.get_handle(TEXT, handle.request_id)
    assert (again.status_url, again.response_url, again.cancel_url) == (
        handle.status_url,
        handle.response_url,
        handle.cancel_url,
    )
    states = list(handle.iter_events(with_logs=True, interval=0.01))
    assert isinstance(states[-1], fal_client.Completed)
    assert isinstance(fal.status(TEXT, handle.request_id, with_logs=True), fal_client.Completed)
    assert fal.result(TEXT, handle.request_id) == handle.get() == again.get()


def test_a_queued_job_tells_its_place_and_is_cancelled(fal, running):
    first, second = fal.submit(TEXT, KITE), fal.submit(TEXT, KITE)
    assert [handle.status().position for handle in (first, second)] == [0, 1]
    for handle in (second, first):
        handle.cancel()
        ended = handle.status(with_logs=True)
        assert isinstance(ended, fal_client.Completed)
        assert (ended.error_type, ended.logs) == ("client_cancelled", [])
        with pytest.raises(fal_client.FalClientHTTPError) as caught:
            handle.get()
        assert (caught.value.status_code, caught.value.error_type) == (499, "client_cancelled")


def test_too_late_and_unknown_cancels(fal):
    handle = fal.submit(TEXT, REFUSED)
    for _ in handle.iter_events(interval=0.01):
        pass
    for request_id, code in ((handle.request_id, 400), ("00000000-0000", 404)):
        with pytest.raises(fal_client.FalClientHTTPError) as caught:
            fal.cancel(TEXT, request_id)
        assert caught.value.status_code == code


def test_a_refused_input(fal):
    with pytest.raises(fal_client.FalClientHTTPError) as caught:
        fal.subscribe(TEXT, REFUSED)
    fault = caught.value
    assert fault.status_code == 422
    [detail] = fault.message
    assert (detail["loc"], detail["type"]) == (["body", "duration"], "one_of")
    assert fault.response_headers["x-fal-retryable"] == "false"


def test_a_wrong_key_and_an_unknown_app(fal, stranger):
    for client, app, code in ((stranger, TEXT, 401), (fal, "fal-ai/klong-video/v1", 404)):
        with pytest.raises(fal_client.FalClientHTTPError) as caught:
            client.submit(app, KITE)
        assert caught.value.status_code == code
        assert isinstance(caught.value.message, str)


def test_a_start_timeout(fal, running):
    late = fal.submit(TEXT, KITE, start_timeout=1.01)
    with pytest.raises(fal_client.FalClientHTTPError) as caught:
        late.get()
    assert caught.value.status_code == 504
    assert caught.value.response_headers["x-fal-request-timeout-type"] == "user"


def test_webhook(fal, server):
    with receiving() as receiver:
        handle = fal.submit(TEXT, KITE, webhook_url=receiver.url)
        event = verify(*receiver.take(), keys=WebhookKeys(KeySource(server.url)))
    assert event.request_id == handle.request_id
    assert event.payload == handle.get()


async def test_the_async_client(server):
    fal = fal_client.AsyncClient(key=server.key)
    updates = []
    one, other = await asyncio.gather(
        fal.subscribe(TEXT, KITE, with_logs=True, on_queue_update=updates.append),
        fal.upload(b"a text", "text/plain", "a.txt"),
    )
    assert one["video"]["content_type"] == "video/mp4"
    assert isinstance(updates[-1], fal_client.Completed)
    assert fetched(other) == b"a text"
    handle = await fal.submit(TEXT, REFUSED)
    assert [type(event).__name__ async for event in handle.iter_events(interval=0.01)][-1] == "Completed"
    await (await fal._client).aclose()


@contextmanager
def leaving_sockets_open() -> Iterator[None]:
    """It leaves the connections of its uploads to the garbage collector."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


# -- files ----------------------------------------------------------------------


def test_small_uploads_and_a_image_as_input(fal, tmp_path):
    image = Image.linear_gradient("L").resize((400, 300))
    file = tmp_path / "an image.png"
    image.save(file)
    with leaving_sockets_open():
        urls = [
            fal.upload(file.read_bytes(), "image/png"),
            fal.upload(
                file.read_bytes(),
                "image/png",
                "named.png",
                lifecycle=fal_client.StorageSettings(expires_in="1h"),
            ),
            fal.upload(file.read_bytes(), "image/png", repository="fal"),
            fal.upload_file(file),
        ]
    assert {fetched(url) for url in urls} == {file.read_bytes()}
    assert urls[1].endswith("named.png")
    with leaving_sockets_open():
        uploaded = fal.upload_image(image, "png")
    assert Image.open(io.BytesIO(fetched(uploaded))).size == (400, 300)
    result = fal.subscribe(IMAGE, {"prompt": "it moves", "image_url": uploaded, "duration": "5"})
    assert result["video"]["file_size"] > 0


def test_a_data_uri_as_input(fal, tmp_path):
    image = Image.linear_gradient("L").resize((400, 300))
    file = tmp_path / "p.png"
    image.save(file)
    for uri in (fal_client.encode_image(image), fal_client.encode_file(file)):
        handle = fal.submit(IMAGE, {"prompt": "it moves", "image_url": uri, "duration": "5"})
        assert handle.get()["video"]["file_size"] > 0
        assert any("Fetched image_url" in line["message"] for line in handle.status(with_logs=True).logs)


def test_an_upload_in_parts(fal, tmp_path):
    size = (100 << 20) + 12_345
    data = bytearray(size)
    data[0], data[50 << 20], data[-1] = 1, 2, 3
    file: Path = tmp_path / "large.mp4"
    file.write_bytes(data)
    with leaving_sockets_open():
        urls = fal.upload_file(file), fal.upload(bytes(data), "video/mp4", "large.mp4")
    for url in urls:
        assert fetched(url) == data


def test_an_upload_with_a_wrong_key_is_refused(stranger):
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        stranger.upload(b"x", "text/plain", fallback_repository=[])
