"""Webhooks of the server: FAL-PROTOCOL §8."""

import json
import os
import socket
from collections.abc import Callable
from typing import Any

import pytest
from local.running_server import IMAGE, TEXT, RunningServer, running, wait_for
from webhook_receiver import receiving

from kling_nb.errors import InputRefused, PlatformError
from kling_nb.fal.webhooks import KeySource, WebhookEvent, WebhookKeys, verify
from kling_nb.local.webhooks import PAUSES


def ask(server: RunningServer, url: str, values: Any = None, endpoint: str = TEXT) -> dict[str, Any]:
    return server.submit(endpoint, values, params={"fal_webhook": url})


def read(server: RunningServer, request: tuple[dict[str, str], bytes]) -> WebhookEvent:
    """Verified as a receiver would, by the keys that the server publishes."""
    return verify(*request, keys=WebhookKeys(KeySource(server.url)))


def has_logged(server: RunningServer, job: dict[str, Any], text: str) -> Callable[[], bool]:
    def look() -> bool:
        return any(text in line["message"] for line in server.status(job, logs=1).json()["logs"])

    return look


def test_a_result_is_delivered_signed(server):
    with receiving() as receiver:
        job = ask(server, receiver.url, {"prompt": "a kite", "duration": "5"})
        headers, body = receiver.take()
        event = read(server, (headers, body))
    assert event.ok
    assert (event.request_id, event.gateway_request_id) == (job["request_id"], job["request_id"])
    assert event.payload == server.http.get(job["response_url"]).json()
    assert set(json.loads(body)) == {"request_id", "gateway_request_id", "status", "payload"}
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Fal-Webhook-Request-Id"] == job["request_id"]


def test_a_refused_input_is_delivered_with_its_details(server):
    with receiving() as receiver:
        job = ask(server, receiver.url, {"prompt": "x", "duration": "7"})
        event = read(server, receiver.take())
        status = server.finish(job)
    assert isinstance(event.error, InputRefused)
    assert [detail.parameter for detail in event.error.details] == ["duration"]
    assert event.payload == server.http.get(job["response_url"]).json()
    assert json.loads(receiver.seen[0][1])["error"] == status["error"] == "Invalid status code: 422"


def test_a_file_that_cannot_be_fetched_is_delivered_as_an_error(server):
    values = {"prompt": "x", "image_url": "https://example.com/a.png"}
    with receiving() as receiver:
        ask(server, receiver.url, values, IMAGE)
        event = read(server, receiver.take())
    assert event.error.details[0].type == "file_download_error"


def test_an_unknown_path_has_no_payload(server):
    with receiving() as receiver:
        ask(server, receiver.url, endpoint="fal-ai/kling-video/v9/ultra")
        event = read(server, receiver.take())
    assert (event.ok, event.payload, event.error.status_code) == (False, None, 404)


def test_a_cancelled_request_is_delivered_as_an_error(server):
    busy = server.submit_held()
    with receiving() as receiver:
        job = ask(server, receiver.url)
        server.cancel(job)
        event = read(server, receiver.take())
    server.cancel(busy)
    assert isinstance(event.error, PlatformError)
    assert event.error.error_type == "client_cancelled"
    assert event.payload == {
        "detail": "Request was cancelled by the client",
        "error_type": "client_cancelled",
    }


def test_it_is_tried_again_until_it_is_taken(server):
    with receiving(500, 404, 0, 204) as receiver:
        job = ask(server, receiver.url, {"prompt": 1})
        receiver.take(4)
        events = [read(server, request) for request in receiver.seen]
        wait_for(has_logged(server, job, "Webhook not delivered: 500"))
    assert {event.request_id for event in events} == {job["request_id"]}
    assert len({body for _, body in receiver.seen}) == 1


def test_it_is_given_up_after_eleven_tries(server):
    with receiving(503) as receiver:
        job = ask(server, receiver.url, {"prompt": 1})
        receiver.take(11)
        wait_for(has_logged(server, job, "Webhook given up"))
        assert len(receiver.seen) == 11


def test_the_pauses_grow_to_two_hours_in_all():
    assert len(PAUSES) == 10
    assert list(PAUSES) == sorted(PAUSES)
    assert sum(PAUSES) == pytest.approx(7200, rel=0.01)


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_a_redirect_is_final(server, code):
    with receiving(code) as receiver:
        job = ask(server, receiver.url, {"prompt": 1})
        wait_for(has_logged(server, job, f"Webhook not delivered: {code}"))
        assert len(receiver.seen) == 1
    assert not has_logged(server, job, "given up")()


def test_no_receiver_listens(server):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        job = ask(server, f"http://127.0.0.1:{free.getsockname()[1]}/", {"prompt": 1})
        wait_for(has_logged(server, job, "Webhook given up"))


@pytest.mark.parametrize("url", ["https://example.com/hook", "http://10.0.0.1/", "nonsense", ""])
def test_it_delivers_to_this_machine_only(server, url):
    job = ask(server, url, {"prompt": 1})
    assert has_logged(server, job, "this machine only")()
    server.finish(job)


def test_each_server_has_its_own_key(server):
    first = server.http.get("/.well-known/jwks.json", headers={"Authorization": ""})
    assert first.status_code == 200
    assert [entry["crv"] for entry in first.json()["keys"]] == ["Ed25519"]
    with running("--speed", "inf") as other:
        assert other.http.get("/.well-known/jwks.json").json() != first.json()


def test_without_cryptography_it_says_that_it_cannot_sign(tmp_path):
    # As on a machine where it is not installed: this one's is hidden behind a package that fails to load.
    (tmp_path / "cryptography").mkdir()
    (tmp_path / "cryptography" / "__init__.py").write_text("raise ImportError('not here')\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    with running("--speed", "inf", env={"PYTHONPATH": path}) as server, receiving() as receiver:
        assert server.http.get("/.well-known/jwks.json").json() == {"keys": []}
        job = ask(server, receiver.url, {"prompt": 1})
        server.finish(job)
        assert has_logged(server, job, "kling_nb[webhooks]")()
    assert receiver.seen == []


def test_a_delivery_under_way_survives_the_end_of_the_server():
    with receiving() as receiver:
        with running("--speed", "inf") as server:
            job = ask(server, receiver.url, {"prompt": 1})
            server.finish(job)
        receiver.take()
