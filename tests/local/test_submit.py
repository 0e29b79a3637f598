"""Submitting: FAL-PROTOCOL §3."""

import pytest
from local.running_server import APP, TEXT

EIGHT = {
    "status",
    "request_id",
    "response_url",
    "status_url",
    "cancel_url",
    "logs",
    "metrics",
    "queue_position",
}


def test_reply_has_the_eight_keys_and_urls_without_the_sub_path(server):
    reply = server.http.post(f"/{TEXT}", json={"prompt": "a red kite"})
    body = reply.json()
    assert reply.status_code == 200
    assert set(body) == EIGHT
    url = f"{server.url}{APP}/requests/{body['request_id']}"
    assert (body["response_url"], body["status_url"], body["cancel_url"]) == (
        url,
        f"{url}/status",
        f"{url}/cancel",
    )
    assert (body["status"], body["logs"], body["metrics"]) == ("IN_QUEUE", None, {})
    assert reply.headers["x-fal-request-id"] == body["request_id"]
    server.cancel(body)


def test_an_unknown_app_is_refused(server):
    reply = server.http.post("/fal-ai/klong-video/v1/pro/text-to-video", json={"prompt": "x"})
    assert reply.status_code == 404
    assert reply.json() == {"detail": 'Application "klong-video" not found'}


@pytest.mark.parametrize("path", ["v9/ultra", "v1/pro/text-to-video/extra", ""])
def test_an_unknown_path_of_an_app_is_accepted_and_fails_in_the_result(server, path):
    endpoint = f"fal-ai/kling-video/{path}".rstrip("/")
    reply = server.result(endpoint, {"prompt": "x"})
    assert reply.status_code == 404
    assert reply.json() == {"detail": f"Path /{path} not found"}
    assert reply.headers["x-fal-billable-units"] == "0"


@pytest.mark.parametrize("body", [b"", b"not json", b"[1, 2]", b'{"prompt": 1}'])
def test_input_is_not_looked_at(server, body):
    reply = server.http.post(f"/{TEXT}", content=body)
    assert reply.status_code == 200
    server.finish(reply.json())
    assert server.http.get(reply.json()["response_url"]).status_code == 422


def test_webhook_url_is_accepted(server):
    job = server.submit(params={"fal_webhook": "https://example.com/hook?a=1"})
    server.cancel(job)


def test_queue_length_can_be_limited(server):
    running, waiting = server.submit_held(), server.submit()
    full = server.http.post(f"/{TEXT}", params={"fal_max_queue_length": 0}, json={"prompt": "x"})
    assert full.status_code == 429
    fits = server.submit(params={"fal_max_queue_length": 1})
    wrong = server.http.post(f"/{TEXT}", params={"fal_max_queue_length": "two"}, json={})
    assert (wrong.status_code, wrong.json()["error_type"]) == (400, "bad_request")
    for job in (fits, waiting, running):
        server.cancel(job)


def test_low_priority_waits_behind_everyone_else(server):
    running = server.submit_held()
    low = server.submit(headers={"X-Fal-Queue-Priority": "low"})
    normal = server.submit(headers={"X-Fal-Queue-Priority": "normal"})
    odd = server.submit(headers={"X-Fal-Queue-Priority": "whatever"})
    positions = [server.status(job).json()["queue_position"] for job in (normal, odd, low)]
    assert positions == [0, 1, 2]
    for job in (low, odd, normal, running):
        server.cancel(job)


@pytest.mark.parametrize("header", ["X-Fal-Request-Start-Timeout", "X-Fal-Request-Timeout"])
def test_a_job_that_does_not_start_in_time_fails(server, header):
    running = server.submit_held()
    late = server.submit(headers={header: "0.15"})
    status = server.finish(late)
    assert status["error_type"] == "request_timeout"
    assert status["error"]
    reply = server.http.get(late["response_url"])
    assert reply.status_code == 504
    assert reply.headers["x-fal-request-timeout-type"] == "user"
    assert reply.headers["x-fal-error-type"] == reply.json()["error_type"] == "request_timeout"
    server.cancel(running)


@pytest.mark.parametrize("value", ["soon", "0.1", "-3", "inf", "nan"])
def test_a_malformed_start_timeout_is_a_bad_request(server, value):
    reply = server.http.post(f"/{TEXT}", json={"prompt": "x"}, headers={"X-Fal-Request-Timeout": value})
    assert reply.status_code == 400
    assert reply.json()["error_type"] == reply.headers["x-fal-error-type"] == "bad_request"
