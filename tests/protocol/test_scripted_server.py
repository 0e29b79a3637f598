"""The scripted server itself, asked with plain httpx: does it do what fal is documented to do?"""

import io
import json
import re
import socket
from collections.abc import Generator, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import av
import httpx
import pytest
from scripted import (
    CUTS,
    FAULT_POINTS,
    KINDS,
    Done,
    Fail,
    Hold,
    Log,
    Ping,
    Queue,
    Run,
    Script,
    ScriptedFal,
    kinds_for,
    sample_mp4,
)

MODEL = "fal-ai/kling-video/v1/pro/text-to-video"
APP = "fal-ai/kling-video"
BRIEF = httpx.Timeout(5, read=0.05)
CAT = {"prompt": "a cat", "duration": "5"}


@pytest.fixture
def http(fal: ScriptedFal) -> Iterator[httpx.Client]:
    """A client with the key, for the queue's host only."""
    headers = {"authorization": f"Key {fal.key}"}
    with httpx.Client(base_url=fal.url, headers=headers, trust_env=False, verify=False, timeout=5) as client:
        yield client


@pytest.fixture
def cdn() -> Iterator[httpx.Client]:
    """A client without a key."""
    with httpx.Client(trust_env=False, verify=False, timeout=5) as client:
        yield client


def submit(http: httpx.Client, **more: Any) -> dict[str, Any]:
    reply = http.post(f"/{MODEL}", json=CAT, **more)
    assert reply.status_code == 200, reply.text
    value: dict[str, Any] = reply.json()
    return value


Event = dict[str, Any] | str


def read(http: httpx.Client, url: str, *, logs: str = "1") -> Generator[Event, None, None]:
    """Events as objects, comments as text."""
    with http.stream("GET", f"{url}/stream", params={"logs": logs}) as reply:
        assert reply.status_code == 200
        assert reply.headers["content-type"].startswith("text/event-stream")
        for line in reply.iter_lines():
            if line:
                yield json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else line


def torn(client: httpx.Client, url: str) -> tuple[bytes, Exception | None]:
    """What came of a body, and what ended it."""
    body = b""
    try:
        with client.stream("GET", url) as reply:
            for piece in reply.iter_raw():
                body += piece
    except httpx.TransportError as error:
        return body, error
    return body, None


def statuses(events: list[Event]) -> list[str]:
    return [event["status"] for event in events if isinstance(event, dict)]


def messages(value: Any) -> list[str]:
    return [entry["message"] for entry in value["logs"] or []]


# the way of a job


def test_submit_answers_with_eight_keys(fal: ScriptedFal, http: httpx.Client) -> None:
    value = submit(
        http, params={"fal_webhook": "https://example.com/x"}, headers={"x-fal-queue-priority": "low"}
    )
    address = f"{fal.url}/{APP}/requests/{value['request_id']}"
    assert value == {
        "status": "IN_QUEUE",
        "request_id": "019e0000-0000-7000-8000-000000000001",
        "response_url": address,
        "status_url": f"{address}/status",
        "cancel_url": f"{address}/cancel",
        "logs": None,
        "metrics": {},
        "queue_position": 2,
    }
    (accepted,) = fal.accepted
    assert (accepted.endpoint_id, accepted.app, accepted.input) == (MODEL, APP, CAT)
    assert accepted.query == {"fal_webhook": "https://example.com/x"}
    assert accepted.headers["x-fal-queue-priority"] == "low"


def test_polling_sees_every_step(http: httpx.Client) -> None:
    url = submit(http)["status_url"]
    seen: list[tuple[int, dict[str, Any]]] = []
    while not seen or seen[-1][1]["status"] != "COMPLETED":
        reply = http.get(url, params={"logs": "1"})
        seen.append((reply.status_code, reply.json()))
    states = [(code, value["status"], value.get("queue_position")) for code, value in seen]
    assert states[:3] == [(202, "IN_QUEUE", 2), (202, "IN_QUEUE", 0), (202, "IN_PROGRESS", None)]
    assert [code for code, _ in seen] == [202] * 7 + [200]
    assert seen[0][1]["logs"] is None
    assert messages(seen[-1][1]) == ["Loading model", "Sampling 10%", "Sampling 60%", "Encoding video"]
    assert seen[-1][1]["metrics"] == {"inference_time": 126.7}
    entry = seen[-1][1]["logs"][0]
    assert entry == {"timestamp": "2024-12-20T15:00:00.117120", "message": "Loading model", "labels": {}}
    assert all("error" not in value for _, value in seen)


def test_stream_sends_deltas_and_ends(fal: ScriptedFal, http: httpx.Client) -> None:
    events = list(read(http, submit(http)["status_url"]))
    assert [event["status"] for event in events if isinstance(event, dict)] == [
        *["IN_QUEUE"] * 2,
        *["IN_PROGRESS"] * 5,
        "COMPLETED",
    ]
    lines = [messages(event) for event in events]
    assert lines == [
        [],
        [],
        [],
        ["Loading model"],
        ["Sampling 10%"],
        ["Sampling 60%"],
        ["Encoding video"],
        [],
    ]
    fal.wait_for(lambda: fal.open_streams == 0)


def test_logs_come_only_when_asked_for(http: httpx.Client) -> None:
    url = submit(http)["status_url"]
    assert {event["logs"] for event in read(http, url, logs="0") if isinstance(event, dict)} == {None}
    assert http.get(url).json()["logs"] is None
    assert len(http.get(url, params={"logs": "true"}).json()["logs"]) == 4


def test_log_window_moves(fal: ScriptedFal, http: httpx.Client) -> None:
    lines = [Log(f"line {number}") for number in range(8)]
    fal.script = Script([Run(), *lines, Hold(), Done()], pace="free", log_window=3)
    url = submit(http)["status_url"]
    assert messages(http.get(url, params={"logs": "1"}).json()) == ["line 5", "line 6", "line 7"]
    events = read(http, url)
    assert messages(next(events)) == ["line 5", "line 6", "line 7"]
    fal.release()
    assert messages(next(events)) == []


def test_log_entries_have_many_shapes() -> None:
    assert Log("x", timestamp=None).entry(0) == {"message": "x"}
    stamp = "2026-01-01T00:00:00Z"
    whole = {"timestamp": stamp, "message": "x", "level": "INFO", "source": "USER"}
    assert Log("x", timestamp=stamp, level="INFO", source="USER").entry(3) == whole


def test_result_is_a_file_on_the_other_host(fal: ScriptedFal, http: httpx.Client, cdn: httpx.Client) -> None:
    fal.script = Script([Done(extra={"seed": 7}, units="10")])
    value = submit(http)
    reply = http.get(value["response_url"])
    assert reply.status_code == 200
    assert reply.headers["x-fal-request-id"] == value["request_id"]
    assert reply.headers["x-fal-billable-units"] == "10"
    assert reply.json()["seed"] == 7
    file = reply.json()["video"]
    assert re.fullmatch(rf"{fal.media_url}/files/b/[0-9a-f]{{8}}/output\.mp4", file["url"])
    assert cdn.get(file["url"]).content == sample_mp4()
    assert file["file_size"] == len(sample_mp4())
    assert http.get(value["response_url"]).json() == reply.json()
    assert not fal.stray_keys


def test_output_is_what_the_script_says(fal: ScriptedFal, http: httpx.Client, cdn: httpx.Client) -> None:
    fal.scripts.queue.extend(
        [Script([Done(video=b"film", bare=True, units=None)]), Script([Done(output=[1])])]
    )
    first = http.get(submit(http)["response_url"])
    assert set(first.json()["video"]) == {"url"}
    assert "x-fal-billable-units" not in first.headers
    assert cdn.get(first.json()["video"]["url"]).content == b"film"
    assert http.get(submit(http)["response_url"]).json() == [1]
    assert http.get(submit(http)["response_url"]).status_code == 400


def test_result_asked_early_is_a_400(fal: ScriptedFal, http: httpx.Client) -> None:
    fal.script = Script([Queue(), Hold(), Done()])
    value = submit(http)
    reply = http.get(value["response_url"])
    assert (reply.status_code, reply.json()["detail"]) == (400, "Request is still in progress")
    fal.release()
    for code in (400, 200):
        fal.fault("result", "in_progress", status=code)
        late = http.get(value["response_url"])
        assert (late.status_code, late.json()) == (code, reply.json())
    assert "video" in http.get(value["response_url"]).json()


REFUSAL = {"loc": ["body", "prompt"], "msg": "refused", "type": "content_policy_violation", "input": "x"}


@pytest.mark.parametrize(
    ("fail", "status", "body", "headers", "words"),
    [
        (
            Fail.refused(REFUSAL, units="0"),
            422,
            {"detail": [REFUSAL]},
            {"x-fal-retryable": "false", "x-fal-billable-units": "0"},
            {"error": "Invalid status code: 422"},
        ),
        (Fail.refused(REFUSAL, silent=True), 422, {"detail": [REFUSAL]}, {}, {}),
        (
            Fail.platform("runner_disconnected", 503, "gone"),
            503,
            {"detail": "gone", "error_type": "runner_disconnected"},
            {"x-fal-error-type": "runner_disconnected"},
            {"error": "gone", "error_type": "runner_disconnected"},
        ),
        (Fail.plain(404, "Path /x not found", silent=True), 404, {"detail": "Path /x not found"}, {}, {}),
        (
            Fail.start_timeout(),
            504,
            {"detail": "Request did not start in time", "error_type": "startup_timeout"},
            {"x-fal-request-timeout-type": "user"},
            {"error": "Request did not start in time", "error_type": "startup_timeout"},
        ),
    ],
)
def test_failures_have_three_bodies(
    fal: ScriptedFal,
    http: httpx.Client,
    fail: Fail,
    status: int,
    body: Any,
    headers: dict[str, str],
    words: dict[str, str],
) -> None:
    fal.script = Script([Run(), fail], pace="free")
    value = submit(http)
    state = http.get(value["status_url"])
    assert (state.status_code, state.json()["status"]) == (200, "COMPLETED")
    assert {key: text for key, text in state.json().items() if key.startswith("error")} == words
    reply = http.get(value["response_url"])
    assert (reply.status_code, reply.json()) == (status, body)
    assert headers.items() <= dict(reply.headers).items()


# the test's hand


def test_a_held_job_stays_until_released(fal: ScriptedFal, http: httpx.Client) -> None:
    fal.script = Script([Queue(1), Hold(), Run(), Hold(), Done()])
    url = submit(http)["status_url"]
    assert [http.get(url).json()["status"] for _ in range(5)] == ["IN_QUEUE"] * 5
    assert fal.job().held
    fal.release()
    assert [http.get(url).json()["status"] for _ in range(3)] == ["IN_PROGRESS"] * 3
    fal.release()
    assert http.get(url).json()["status"] == "COMPLETED"


def test_a_release_may_come_early(fal: ScriptedFal, http: httpx.Client) -> None:
    fal.script = Script([Queue(), Run(), Hold(), Done()])
    url = submit(http)["status_url"]
    fal.release()
    assert [http.get(url).json()["status"] for _ in range(2)] == ["IN_PROGRESS", "COMPLETED"]


def test_a_job_can_be_pushed_and_put_back(fal: ScriptedFal, http: httpx.Client) -> None:
    fal.script = Script([Queue(1), Hold(), Run(), Queue(3), Run(), Done()])
    value = submit(http)
    fal.advance(value["request_id"])
    events = read(http, value["status_url"])
    states = [(event["status"], event.get("queue_position")) for event in events if isinstance(event, dict)]
    assert states == [("IN_PROGRESS", None), ("IN_QUEUE", 3), ("IN_PROGRESS", None), ("COMPLETED", None)]
    submit(http)
    fal.jobs[1].finish()
    assert fal.jobs[1].state == "COMPLETED"


def test_a_free_job_runs_unwatched_and_a_delay_passes(fal: ScriptedFal, http: httpx.Client) -> None:
    fal.script = Script([Queue(), Run(after=0.01), Done(after=0.01)], pace="free")
    submit(http)
    fal.wait_for(lambda: fal.job().state == "COMPLETED")
    fal.script = Script([Queue(), Run(after=0.01), Done()])
    assert len(list(read(http, submit(http)["status_url"]))) == 3


def test_comments_keep_a_stream_awake(fal: ScriptedFal, http: httpx.Client) -> None:
    fal.script = Script([Queue(), Ping(), Run(), Done()])
    url = submit(http)["status_url"]
    kinds = [event if isinstance(event, str) else event["status"] for event in read(http, url)]
    assert kinds == ["IN_QUEUE", ": ping", "IN_PROGRESS", "COMPLETED"]
    fal.script = Script([Queue(), Hold(), Done()])
    fal.queue.ping_every = 0.01
    events = read(http, submit(http)["status_url"])
    next(events)
    assert [next(events) for _ in range(3)] == [": ping"] * 3
    fal.jobs[1].release()
    assert "COMPLETED" in statuses(list(events))


def test_a_script_for_each_endpoint(fal: ScriptedFal, http: httpx.Client) -> None:
    fal.scripts.of_endpoint[MODEL] = Script([Run()])
    submit(http)
    http.post(f"/{APP}/other", json={})
    assert [job.state for job in fal.jobs] == ["IN_PROGRESS", "IN_QUEUE"]


# cancelling


@pytest.mark.parametrize(
    ("steps", "mode", "reply", "after"),
    [
        ([Queue(1)], "stop", (200, "OK"), (200, "COMPLETED")),
        ([Run()], "stop", (202, "CANCELLATION_REQUESTED"), (200, "COMPLETED")),
        ([Run()], "ignore", (202, "CANCELLATION_REQUESTED"), (202, "IN_PROGRESS")),
        ([Queue(1)], "vanish", (200, "OK"), (404, "NOT_FOUND")),
        ([Done()], "stop", (400, "ALREADY_COMPLETED"), (200, "COMPLETED")),
    ],
)
def test_cancel(
    fal: ScriptedFal,
    http: httpx.Client,
    steps: Any,
    mode: Any,
    reply: tuple[int, str],
    after: tuple[int, str],
) -> None:
    fal.script = Script(steps, on_cancel=mode)
    value = submit(http)
    answer = http.put(value["cancel_url"])
    assert (answer.status_code, answer.json()["status"]) == reply
    state = http.get(value["status_url"])
    assert (state.status_code, state.json()["status"]) == after
    if mode == "stop" and reply[0] < 300:
        assert state.json()["error_type"] == "client_cancelled"
        assert http.get(value["response_url"]).status_code == 499


def test_cancel_reaches_an_open_stream(fal: ScriptedFal, http: httpx.Client) -> None:
    fal.script = Script([Queue(1), Hold()])
    value = submit(http)
    events = read(http, value["status_url"])
    next(events)
    http.put(value["cancel_url"])
    assert next(events)["error_type"] == "client_cancelled"  # type: ignore[index]
    assert list(events) == []


# who is let in, and where


def test_unknown_requests_and_wrong_urls(fal: ScriptedFal, http: httpx.Client) -> None:
    base = f"/{APP}/requests/nobody"
    assert (http.get(f"{base}/status").status_code, http.get(f"{base}/status").json()) == (
        404,
        {"status": "NOT_FOUND"},
    )
    assert http.get(f"{base}/status/stream").status_code == 404
    assert http.get(base).json() == {"detail": "Request not found"}
    assert (http.put(f"{base}/cancel").status_code, http.put(f"{base}/cancel").json()["status"]) == (
        404,
        "NOT_FOUND",
    )
    value = submit(http)
    request_id = value["request_id"]
    assert http.get(f"{value['response_url']}/response").status_code == 405
    assert http.get(f"/{MODEL}").status_code == 405
    for ending in ("", "/status", "/status/stream"):
        assert http.get(f"/{MODEL}/requests/{request_id}{ending}").status_code == 405
    assert http.put(f"/{MODEL}/requests/{request_id}/cancel").status_code == 405
    assert http.get(f"/fal-ai/kling/requests/{request_id}/status").status_code == 404
    assert http.get(f"{value['status_url']}/").status_code == 202
    assert http.post("/storage/nowhere").status_code == 404
    fal.job().forget()
    assert http.get(value["status_url"]).status_code == 404
    unknown = http.post("/fal-ai/dream/v1", json={})
    assert (unknown.status_code, unknown.json()) == (404, {"detail": 'Application "dream" not found'})


def test_keys(fal: ScriptedFal, http: httpx.Client, cdn: httpx.Client) -> None:
    none = cdn.post(f"{fal.url}/{MODEL}", json=CAT)
    assert none.status_code == 401
    assert none.json()["detail"].startswith(f'Cannot access application "{APP}"')
    wrong = http.post(f"/{MODEL}", json=CAT, headers={"authorization": "Key a:b"})
    assert (wrong.status_code, wrong.json()) == (401, {"detail": "Invalid key credentials"})
    assert cdn.get(f"{fal.url}/v1/models/pricing").json()["error"]["type"] == "authorization_error"
    assert fal.accepted == ()
    assert fal.count("submit") == 2


def test_stray_keys_are_noticed(fal: ScriptedFal, http: httpx.Client, cdn: httpx.Client) -> None:
    url = fal.cdn.put("a.mp4", b"x", "video/mp4")
    cdn.get(url)
    assert not fal.stray_keys
    cdn.get(url, headers={"authorization": "Bearer something"})
    cdn.get(url, headers={"x-key": fal.key})
    cdn.get(url, params={"key": fal.key.partition(":")[2]})
    http.get(f"{fal.media_url}/nowhere")
    assert [stray.exchange for stray in fal.stray_keys] == ["download"] * 3 + ["stray"]


def test_malformed_start_timeouts_and_bodies_are_bad_requests(fal: ScriptedFal, http: httpx.Client) -> None:
    for headers, content in (
        ({"x-fal-request-timeout": "soon"}, b"{}"),
        ({"x-fal-request-start-timeout": "0.1"}, b"{}"),
        ({}, b"{"),
    ):
        reply = http.post(f"/{MODEL}", content=content, headers=headers)
        assert (reply.status_code, reply.json()["error_type"]) == (400, "bad_request")
    assert fal.accepted == ()


# storage


def test_two_step_upload(fal: ScriptedFal, http: httpx.Client, cdn: httpx.Client) -> None:
    about = {"content_type": "image/png", "file_name": "cat.png"}
    place = http.post("/storage/upload/initiate?storage_type=fal-cdn-v3", json=about).json()
    assert (
        cdn.put(place["upload_url"], content=b"png", headers={"content-type": "image/jpeg"}).status_code
        == 403
    )
    assert (
        cdn.put(place["file_url"], content=b"png", headers={"content-type": "image/png"}).status_code == 403
    )
    put = cdn.put(place["upload_url"], content=iter([b"p", b"ng"]), headers={"content-type": "image/png"})
    assert put.status_code == 200
    assert (fal.cdn.get(place["file_url"]).data, fal.cdn.get(place["file_url"]).name) == (b"png", "cat.png")
    assert cdn.get(place["file_url"]).headers["content-type"] == "image/png"
    assert not fal.stray_keys
    assert http.post("/storage/upload/initiate", json={}).status_code == 422


def test_upload_with_a_token(fal: ScriptedFal, http: httpx.Client, cdn: httpx.Client) -> None:
    token = http.post("/storage/auth/token?storage_type=fal-cdn-v3", json={}).json()
    assert datetime.fromisoformat(token["expires_at"]) > datetime.now(UTC)
    headers = {"authorization": f"{token['token_type']} {token['token']}", "x-fal-file-name": "a.png"}
    url = f"{token['base_url']}/files/upload"
    assert fal.cdn.get(cdn.post(url, content=b"a", headers=headers).json()["access_url"]).name == "a.png"
    assert cdn.post(url, content=b"a").status_code == 401
    start = cdn.post(f"{url}/multipart", headers=headers).json()
    address = f"{start['access_url']}/multipart/{start['uploadId']}"
    tags = {
        number: cdn.put(f"{address}/{number}", content=b"%d" % number, headers=headers).headers["etag"]
        for number in (2, 1)
    }
    assert cdn.put(f"{address}/1", content=b"1").status_code == 403
    parts = [{"partNumber": number, "etag": tag} for number, tag in tags.items()]
    assert cdn.post(f"{address}/complete", json={"parts": parts[:1]}, headers=headers).status_code == 400
    assert cdn.post(f"{address}/complete", json={"parts": parts}, headers=headers).status_code == 200
    assert cdn.get(start["access_url"]).content == b"12"
    assert cdn.post(f"{url}/multipart").status_code == 401
    assert not fal.stray_keys


def test_upload_in_parts_with_a_signed_url(fal: ScriptedFal, http: httpx.Client, cdn: httpx.Client) -> None:
    about = {"content_type": "video/mp4", "file_name": "a.mp4"}
    place = http.post("/storage/upload/initiate-multipart?storage_type=fal-cdn-v3", json=about).json()
    path, _, query = place["upload_url"].partition("?")
    part = cdn.put(f"{path}/1?{query}", content=b"abc").json()
    assert part["partNumber"] == 1
    cdn.post(f"{path}/complete?{query}", json={"parts": [part]})
    assert fal.cdn.get(place["file_url"]).data == b"abc"
    assert cdn.put(f"{path}x/1", content=b"abc").status_code == 404


# the platform


def look_up(http: httpx.Client, **query: Any) -> dict[str, Any]:
    reply = http.get("/v1/models/requests/by-endpoint", params={"endpoint_id": MODEL, **query})
    assert reply.status_code == 200, reply.text
    value: dict[str, Any] = reply.json()
    return value


def test_requests_can_be_looked_up(fal: ScriptedFal, http: httpx.Client) -> None:
    fal.scripts.queue.append(Script([Run(), Done()], pace="free"))
    before = datetime.now(UTC) - timedelta(seconds=1)
    done, queued = submit(http), submit(http)
    items = look_up(http, expand="payloads", start=before.isoformat())["items"]
    assert [item["request_id"] for item in items] == [queued["request_id"], done["request_id"]]
    assert [item.get("status_code") for item in items] == [None, 200]
    assert items[0]["json_input"] == CAT
    assert items[1]["json_output"]["video"]["file_name"] == "output.mp4"
    assert "json_input" not in look_up(http)["items"][0]
    page = look_up(http, limit=1)
    assert page["has_more"]
    assert look_up(http, limit=1, cursor=page["next_cursor"])["items"][0]["request_id"] == done["request_id"]
    assert [item["request_id"] for item in look_up(http, status="success")["items"]] == [done["request_id"]]
    assert len(look_up(http, request_id=queued["request_id"])["items"]) == 1
    assert look_up(http, end=before.isoformat())["items"] == []
    fal.platform.keeps_payloads = False
    assert "json_input" not in look_up(http, expand="payloads")["items"][0]
    fal.fault("lookup", "no_items")
    assert look_up(http)["items"] == []
    assert http.get("/v1/models/requests/by-endpoint").json()["error"]["type"] == "validation_error"


def test_prices_and_openapi(fal: ScriptedFal, http: httpx.Client, cdn: httpx.Client) -> None:
    row = {"endpoint_id": MODEL, "unit_price": 0.098, "unit": "seconds", "currency": "USD"}
    assert http.get("/v1/models/pricing", params={"endpoint_id": MODEL}).json()["prices"] == [row]
    assert http.get("/v1/models/pricing", params={"endpoint_id": "x"}).status_code == 404
    fal.platform.openapi["fal-ai/x"] = {"openapi": "3.0.4"}
    address = f"{fal.url}/api/openapi/queue/openapi.json"
    assert cdn.get(address, params={"endpoint_id": "fal-ai/x"}).json() == {"openapi": "3.0.4"}
    missing = cdn.get(address, params={"endpoint_id": "fal-ai/y"})
    assert (missing.status_code, missing.json()) == (404, None)


# faults


@pytest.mark.parametrize("kind", ["reset", "close"])
@pytest.mark.parametrize("at", ["before_body", "after_body", "mid_head", "after_head", "mid_body", 40])
def test_a_cut_submit_is_accepted_once_its_body_was_taken(
    fal: ScriptedFal, http: httpx.Client, kind: str, at: str | int
) -> None:
    fault = fal.fault("submit", kind, at=at)
    with pytest.raises(httpx.TransportError):
        http.post(f"/{MODEL}", json=CAT)
    assert fault.used == 1
    assert len(fal.accepted) == (0 if at == "before_body" else 1)
    assert fal.last("submit").complete is (at != "before_body")
    assert fal.last("submit").fault == kind
    submit(http)
    assert fal.unused_faults == ()


def test_a_reset_is_a_reset_and_a_close_a_close(fal: ScriptedFal, http: httpx.Client) -> None:
    fal.fault("submit", "reset")
    with pytest.raises(httpx.ReadError):
        http.post(f"/{MODEL}", json=CAT)
    fal.fault("submit", "close")
    with pytest.raises(httpx.RemoteProtocolError):
        http.post(f"/{MODEL}", json=CAT)


@pytest.mark.parametrize("at", ["after_body", "mid_head", "after_head", "mid_body"])
def test_a_stall_lasts_until_the_client_gives_up(fal: ScriptedFal, http: httpx.Client, at: str) -> None:
    fal.fault("submit", "stall", at=at)
    with pytest.raises(httpx.ReadTimeout):
        http.post(f"/{MODEL}", json=CAT, timeout=BRIEF)
    fal.wait_for(lambda: len(fal.accepted) == 1)


@pytest.mark.parametrize("at", ["before_body", "after_body", "mid_body"])
def test_a_stall_can_be_released(fal: ScriptedFal, http: httpx.Client, at: str) -> None:
    fal.fault("submit", "stall", at=at).release()
    assert submit(http)["queue_position"] == 2


def test_a_stall_before_the_body_holds_the_job_back(fal: ScriptedFal, http: httpx.Client) -> None:
    fal.fault("submit", "stall", at="before_body")
    with pytest.raises(httpx.ReadTimeout):
        http.post(f"/{MODEL}", json=CAT, timeout=BRIEF)
    assert fal.accepted == ()


def test_half_a_file(fal: ScriptedFal, cdn: httpx.Client) -> None:
    url = fal.cdn.put("a.mp4", bytes(200_000), "video/mp4")
    for kind, error in (("reset", httpx.ReadError), ("close", httpx.RemoteProtocolError)):
        fal.fault("download", kind, at="mid_body")
        body, end = torn(cdn, url)
        assert (len(body), type(end)) == (100_000, error)
    fal.fault("download", "wrong_length", by=5)
    with pytest.raises(httpx.RemoteProtocolError):
        cdn.get(url)
    fal.fault("download", "wrong_length", by=-5)
    assert len(cdn.get(url).content) == 199_995
    fal.fault("download", "unsized")
    assert len(cdn.get(url).content) == 200_000


@pytest.mark.parametrize(
    ("kind", "options", "status", "text"),
    [
        ("status", {"status": 503}, 503, "Internal Server Error"),
        ("status", {"status": 404, "body": {"detail": "gone"}}, 404, "gone"),
        ("nginx", {}, 502, "<center>nginx</center>"),
        ("no_money", {}, 403, "Exhausted balance"),
        ("busy", {"retry_after": 2}, 429, "Too many requests"),
        ("platform", {"error_type": "internal_error", "status": 500}, 500, "internal_error"),
    ],
)
@pytest.mark.parametrize("handled", [False, True])
def test_replies_in_place_of_the_real_one(
    fal: ScriptedFal,
    http: httpx.Client,
    kind: str,
    options: dict[str, Any],
    status: int,
    text: str,
    handled: bool,
) -> None:
    fal.fault("submit", kind, handled=handled, **options)
    reply = http.post(f"/{MODEL}", json=CAT)
    assert reply.status_code == status
    assert text in reply.text
    assert len(fal.accepted) == handled


def test_retry_after_has_two_forms(fal: ScriptedFal, http: httpx.Client) -> None:
    moment = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    fal.fault("status", "busy", retry_after=3)
    fal.fault("status", "busy", retry_after=moment)
    url = submit(http)["status_url"]
    assert http.get(url).headers["retry-after"] == "3"
    assert parsedate_to_datetime(http.get(url).headers["retry-after"]) == moment


def test_redirects_go_to_the_other_host(fal: ScriptedFal, http: httpx.Client, cdn: httpx.Client) -> None:
    fal.fault("submit", "redirect")
    reply = http.post(f"/{MODEL}", json=CAT)
    assert (reply.status_code, reply.headers["location"]) == (307, f"{fal.media_url}/{MODEL}")
    fal.fault("submit", "redirect", to="http://127.0.0.1:1/x", status=302)
    assert http.post(f"/{MODEL}", json=CAT).headers["location"] == "http://127.0.0.1:1/x"
    url = fal.cdn.put("a.mp4", b"film", "video/mp4")
    fal.fault("download", "redirect")
    assert cdn.get(url, follow_redirects=True).content == b"film"
    assert fal.count("download") == 2


def test_edited_replies(fal: ScriptedFal, http: httpx.Client) -> None:
    def ask(kind: str, **options: Any) -> httpx.Response:
        fal.fault("submit", kind, **options)
        return http.post(f"/{MODEL}", json=CAT)

    for kind in ("truncated_json", "invalid_json", "empty"):
        with pytest.raises(ValueError, match="line 1"):
            ask(kind).json()
    assert ask("not_an_object").json() == []
    wrong = ask("wrong_types").json()
    assert (wrong["request_id"], wrong["logs"], wrong["metrics"]) == (7, "seven", {})
    assert set(ask("missing_keys", keys=["request_id", "logs"]).json()) & {"request_id", "logs"} == set()
    foreign = ask("foreign_urls").json()
    assert foreign["status_url"].startswith(f"{fal.media_url}/{APP}/requests/")
    assert ask("foreign_urls", to="http://example.com").json()["cancel_url"].startswith("http://example.com/")
    assert ask("response_suffix").json()["response_url"].endswith("/response")
    assert ask("edit", edit=lambda reply: reply.with_body(b"7")).json() == 7
    assert len(fal.accepted) == 10


def test_faults_come_in_order_so_often_and_not_before(fal: ScriptedFal, http: httpx.Client) -> None:
    url = submit(http)["status_url"]
    first = fal.fault("status", "status", status=500, times=2, skip=1)
    fal.fault("status", "nginx", times=None)
    assert [http.get(url).status_code for _ in range(5)] == [202, 500, 500, 502, 502]
    assert first.used == 2
    fal.clear_faults()
    assert http.get(url).status_code == 202


def test_faults_that_cannot_be_are_refused(fal: ScriptedFal) -> None:
    for exchange, kind in (
        ("submit", "nonsense"),
        ("nowhere", "reset"),
        ("submit", "repeat"),
        ("connect", "nginx"),
    ):
        with pytest.raises(ValueError, match="there are"):
            fal.fault(exchange, kind)
    with pytest.raises(ValueError, match="at="):
        fal.fault("submit", "reset", at="somewhere")
    with pytest.raises(TypeError):
        fal.fault("submit", "nginx", colour="red")
    assert set(KINDS) == {kind for point in FAULT_POINTS for kind in kinds_for(point)}


@pytest.mark.parametrize("kind", sorted(CUTS))
def test_cuts_at_connecting(fal: ScriptedFal, http: httpx.Client, kind: str) -> None:
    fal.fault("connect", kind)
    with pytest.raises(httpx.TransportError):
        http.post(f"/{MODEL}", json=CAT, timeout=BRIEF)
    assert fal.requests == ()
    submit(http)


def test_a_server_that_is_not_there(fal: ScriptedFal, http: httpx.Client) -> None:
    value = submit(http)
    with fal.refusing(), pytest.raises(httpx.ConnectError):
        http.get(value["status_url"])
    assert http.get(value["status_url"]).status_code == 202


# faults of the stream


@pytest.mark.parametrize(
    ("kind", "error"), [("reset", httpx.ReadError), ("close", httpx.RemoteProtocolError)]
)
def test_a_stream_torn_in_an_event(
    fal: ScriptedFal, http: httpx.Client, kind: str, error: type[Exception]
) -> None:
    fal.script = Script([Queue(2), Queue(1), Run(), Log("a"), Done()])
    url = submit(http)["status_url"]
    fal.fault("stream", kind, at="mid_body", frame=2)
    text, end = torn(http, f"{url}/stream?logs=1")
    assert type(end) is error
    assert text.count(b"\n\n") == 2
    assert not text.endswith(b"\n")
    assert fal.job().state == "IN_PROGRESS"
    fal.wait_for(lambda: fal.open_streams == 0)
    assert statuses(list(read(http, url))) == ["IN_PROGRESS", "IN_PROGRESS", "COMPLETED"]


def test_a_stream_that_falls_silent(fal: ScriptedFal, http: httpx.Client) -> None:
    fal.queue.ping_every = 0.001
    fal.fault("stream", "stall", at="after_head", frame=1)
    url = submit(http)["status_url"]
    http.timeout = BRIEF
    text, end = torn(http, f"{url}/stream")
    assert isinstance(end, httpx.ReadTimeout)
    assert text.count(b"\n\n") <= 1
    fal.wait_for(lambda: fal.open_streams == 0)


@pytest.mark.parametrize("status", [404, 405, 500])
def test_a_refused_stream(fal: ScriptedFal, http: httpx.Client, status: int) -> None:
    fal.fault("stream", "status", status=status)
    assert http.get(f"{submit(http)['status_url']}/stream").status_code == status


def test_streams_that_misbehave(fal: ScriptedFal, http: httpx.Client) -> None:
    fal.script = Script([Queue(), Run(), Log("ä"), Log("b"), Log("c"), Done()])

    def run(kind: str, **options: Any) -> list[Event]:
        fal.fault("stream", kind, **options)
        return list(read(http, submit(http)["status_url"]))

    plain = ["IN_QUEUE", *["IN_PROGRESS"] * 4, "COMPLETED"]
    assert statuses(run("repeat")) == [word for word in plain for _ in range(2)]
    assert [messages(event) for event in run("replay")][-2:] == [["ä", "b", "c"]] * 2
    assert [messages(event) for event in run("reorder")] == [[], [], [], ["b", "ä"], [], ["c"]]
    assert statuses(run("shred", size=1)) == plain
    assert statuses(run("crlf")) == plain
    assert statuses(run("end", frame=2)) == plain[:2]
    fal.fault("stream", "garbage")
    with http.stream("GET", f"{submit(http)['status_url']}/stream") as reply:
        text = reply.read().decode()
    assert text.count("DREAMING") == text.count("{broken") == 6
    assert text.count('"COMPLETED"') == 1


def test_a_stream_that_stays_open(fal: ScriptedFal, http: httpx.Client) -> None:
    fal.fault("stream", "linger")
    url = submit(http)["status_url"]
    events = read(http, url)
    while "COMPLETED" not in statuses([next(events)]):
        pass
    # one that ends by itself would be over once another exchange is through
    assert http.get(url).status_code == 200
    assert fal.open_streams == 1
    events.close()
    fal.wait_for(lambda: fal.open_streams == 0)


# the record, and the sample


def test_requests_are_recorded(fal: ScriptedFal, http: httpx.Client) -> None:
    url = submit(http)["status_url"]
    http.get(url, params={"logs": "1"})
    first, second = fal.requests
    assert (first.number, first.exchange, first.method, first.path) == (0, "submit", "POST", f"/{MODEL}")
    assert first.json == CAT
    assert first.headers["authorization"] == f"Key {fal.key}"
    assert (second.exchange, second.query, second.body) == ("status", {"logs": "1"}, b"")
    assert second.time >= first.time
    assert fal.connections == 1
    assert fal.wait_for("status", count=1)
    with pytest.raises(AssertionError, match=r"2 × status; arrived: .*'submit': 1"):
        fal.wait_for("status", count=2, timeout=0.01)


def test_a_mistake_of_the_server_fails_the_test() -> None:
    def broken(reply: Any) -> Any:
        raise RuntimeError("mistake")

    def ask() -> None:
        with ScriptedFal() as fal:
            fal.fault("submit", "edit", edit=broken)
            headers = {"authorization": f"Key {fal.key}"}
            with pytest.raises(httpx.TransportError):
                httpx.post(f"{fal.url}/{MODEL}", json=CAT, headers=headers, trust_env=False, verify=False)

    with pytest.raises(ExceptionGroup) as caught:
        ask()
    assert isinstance(caught.value.exceptions[0], RuntimeError)


def test_what_is_not_http_is_a_400(fal: ScriptedFal) -> None:
    port = httpx.URL(fal.url).port
    with socket.create_connection(("127.0.0.1", port or 0)) as plain:
        plain.sendall(b"hello\r\n\r\n")
        assert plain.recv(100).startswith(b"HTTP/1.1 400 Bad Request")


def test_the_sample_is_a_real_film_and_always_the_same() -> None:
    data = sample_mp4(32, 18, 12, 0.5)
    with av.open(io.BytesIO(data), "r") as film:
        stream = film.streams.video[0]
        frames = [frame.to_ndarray(format="gray") for frame in film.decode(stream)]
        assert (stream.width, stream.height, len(frames)) == (32, 18, 6)
        assert stream.average_rate == 12
    assert (frames[0] != frames[3]).any()
    assert sample_mp4.__wrapped__(32, 18, 12, 0.5) == data
