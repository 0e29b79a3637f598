"""Status, its stream, and cancelling: FAL-PROTOCOL §4, §5, §7."""

import hashlib
import json
import re
from pathlib import Path

import pytest
from local.running_server import APP, LONG, TEXT, running

from kling_nb.video import probe

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}")
SHARED = {"status", "request_id", "response_url", "status_url", "cancel_url", "logs", "metrics"}


@pytest.fixture(scope="module")
def done(server):
    job = server.submit(TEXT, {"prompt": "a lighthouse in a storm"})
    return job, list(server.events(job))


def test_positions_fall_as_jobs_finish(server):
    running, first, second = server.submit_held(), server.submit(), server.submit()
    assert [server.status(job).json()["queue_position"] for job in (first, second)] == [0, 1]
    server.cancel(running)
    server.until(second, lambda status: status.get("queue_position") == 0)
    server.cancel(second)
    server.cancel(first)


def test_codes_and_keys_of_the_three_states(server):
    running, queued = server.submit_held(), server.submit()
    now = server.status(queued)
    assert now.status_code == 202
    assert set(now.json()) == SHARED | {"queue_position"}
    now = server.status(running)
    assert now.status_code == 202
    assert (set(now.json()), now.json()["status"], now.json()["metrics"]) == (SHARED, "IN_PROGRESS", {})
    server.cancel(running)
    server.finish(queued)
    now = server.status(queued)
    assert now.status_code == 200
    assert (set(now.json()), now.json()["status"]) == (SHARED, "COMPLETED")
    assert now.json()["metrics"]["inference_time"] > 0


@pytest.mark.parametrize("word", ["1", "true"])
def test_logs_come_when_asked_for(server, done, word):
    job, _ = done
    lines = server.status(job, logs=word).json()["logs"]
    assert 10 <= len(lines) <= 20
    assert all(set(line) == {"timestamp", "message", "level", "source"} for line in lines)
    assert all(STAMP.fullmatch(line["timestamp"]) for line in lines)
    assert {(line["level"], line["source"]) for line in lines} == {("INFO", "USER")}
    messages = [line["message"] for line in lines]
    assert messages[0] == "Loading pipeline kling-v1-pro"
    assert "Encoding 120 frames 192x108 at 24 fps, h264" in messages
    assert "Sampling 12/40  30%" in messages
    assert messages[-2] == "Sampling 40/40  100%"


@pytest.mark.parametrize("params", [{}, {"logs": "0"}, {"logs": "false"}])
def test_the_key_is_there_without_logs_too(server, done, params):
    assert server.status(done[0], **params).json()["logs"] is None


def test_stream_tells_every_line_once_and_ends_with_completed(server, done):
    job, events = done
    states = [event["status"] for event in events]
    assert states == sorted(states, key=["IN_QUEUE", "IN_PROGRESS", "COMPLETED"].index)
    assert states.count("COMPLETED") == 1
    lines = [line for event in events for line in event["logs"]]
    assert lines == server.status(job, logs=1).json()["logs"]
    assert len({(line["timestamp"], line["message"]) for line in lines}) == len(lines)
    assert all(event["metrics"] == {} for event in events[:-1])


def test_stream_shows_lines_while_they_come_and_many_in_one_event(done):
    _, events = done
    running = [event for event in events if event["status"] == "IN_PROGRESS" and event["logs"]]
    assert running
    assert any(len(event["logs"]) > 1 for event in events)


def test_stream_of_a_finished_job_is_one_event(server, done):
    (event,) = server.events(done[0])
    assert event["status"] == "COMPLETED"
    assert len(event["logs"]) > 10


def test_the_last_event_has_the_result_only_for_kling_nb(server, done):
    job, events = done
    assert "result" not in events[-1]
    (event,) = server.events(job, result="1")
    answer = server.http.get(job["response_url"])
    assert event["result"]["data"] == answer.json()
    assert event["result"]["units"] == answer.headers["x-fal-billable-units"]
    ((url, file),) = event["result"]["files"].items()
    path = Path(file["path"])
    assert url == answer.json()["video"]["url"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == file["sha256"]
    found = probe(path)
    assert file["measures"] == {name: getattr(found, name) for name in file["measures"]}


def test_the_paths_of_private_files_are_not_shown(server):
    lifecycle = json.dumps({"initial_acl": {"default": "forbid"}})
    job = server.submit(headers={"X-Fal-Object-Lifecycle-Preference": lifecycle})
    server.finish(job)
    (event,) = server.events(job, result="1")
    assert event["result"]["files"] == {}


def test_stream_without_logs_and_with_signs_of_life(server):
    running, waiting = server.submit_held(), server.submit()
    stream = server.raw_events(waiting, logs="0")
    seen = []
    for line in stream:
        seen.append(line)
        if seen.count(": ping") == 2:
            break
    stream.close()
    assert '"logs": null' in seen[0]
    server.cancel(waiting)
    server.cancel(running)


def test_unknown_ids(server):
    unknown = f"{APP}/requests/00000000-0000-0000-0000-000000000000"
    for reply in (
        server.http.get(f"{unknown}/status"),
        server.http.get(f"{unknown}/status/stream"),
        server.http.put(f"{unknown}/cancel"),
    ):
        assert (reply.status_code, reply.json()) == (404, {"status": "NOT_FOUND"})
    reply = server.http.get(unknown)
    assert (reply.status_code, reply.json()) == (404, {"detail": "Request not found"})


def test_a_request_belongs_to_its_app(server, done):
    reply = server.http.get(f"/fal-ai/kling/requests/{done[0]['request_id']}/status")
    assert reply.status_code == 404


def test_trailing_slashes_are_taken(server, done):
    assert server.http.get(done[0]["status_url"] + "/").status_code == 200
    assert server.http.get(done[0]["response_url"] + "/").status_code == 200


def test_cancel_in_every_state(server):
    running, queued = server.submit_held(), server.submit()
    reply = server.cancel(queued)
    assert (reply.status_code, reply.json()) == (200, {"status": "OK"})
    reply = server.cancel(running)
    assert (reply.status_code, reply.json()) == (202, {"status": "CANCELLATION_REQUESTED"})
    for job in (queued, running):
        status = server.finish(job)
        assert status["error_type"] == "client_cancelled"
        result = server.http.get(job["response_url"])
        assert (result.status_code, result.json()["error_type"]) == (499, "client_cancelled")
        reply = server.cancel(job)
        assert (reply.status_code, reply.json()) == (400, {"status": "ALREADY_COMPLETED"})


def test_a_render_is_called_off():
    """At speed 1, 15 s of video take 3.6 s at least."""
    with running() as server:
        job = server.submit(LONG, {"prompt": "a long walk through a neon city", "duration": "15"})
        server.until(job, lambda status: any("Sampling" in line["message"] for line in status["logs"] or ()))
        assert server.cancel(job).json() == {"status": "CANCELLATION_REQUESTED"}
        assert server.finish(job)["error_type"] == "client_cancelled"


def test_runner_goes_on_after_a_cancelled_job(server):
    server.cancel(server.submit_held())
    assert server.result("fal-ai/kling-video/v1/tts", {"text": "still here"}).status_code == 200
