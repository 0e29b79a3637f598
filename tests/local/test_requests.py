"""The list of requests, as the platform API has it: FAL-PROTOCOL §12.4."""

from datetime import UTC, datetime, timedelta

import pytest
from local.running_server import TEXT, running

PATH = "/v1/models/requests/by-endpoint"


def listed(server, **params):
    reply = server.http.get(PATH, params={"endpoint_id": TEXT, **params})
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_a_request_with_its_times_input_and_output(server):
    before = datetime.now(UTC) - timedelta(seconds=1)
    job = server.submit(TEXT, {"prompt": "a barn owl at dusk"})
    server.finish(job)
    (found,) = [
        item for item in listed(server, expand="payloads")["items"] if item["request_id"] == job["request_id"]
    ]
    assert found["endpoint_id"] == TEXT
    assert found["json_input"] == {"prompt": "a barn owl at dusk"}
    assert found["json_output"]["video"]["url"].startswith(server.url)
    assert found["status_code"] == 200
    times = [datetime.fromisoformat(found[name]) for name in ("sent_at", "started_at", "ended_at")]
    assert before <= times[0] <= times[1] <= times[2] <= datetime.now(UTC)
    assert found["duration"] >= 0
    assert not {"json_input", "json_output"} & set(listed(server)["items"][0])


def test_without_payloads_where_they_are_not_to_be_kept(server):
    job = server.submit(TEXT, {"prompt": "a secret"}, headers={"X-Fal-Store-IO": "0"})
    found = listed(server, expand="payloads", request_id=job["request_id"])["items"]
    assert [item["request_id"] for item in found] == [job["request_id"]]
    assert "json_input" not in found[0]
    server.finish(job)


def test_pages_newest_first(server):
    jobs = [server.submit(TEXT, {"prompt": f"page {number}"}) for number in range(3)]
    for job in jobs:
        server.finish(job)
    first = listed(server, limit="2")
    second = listed(server, limit="2", cursor=first["next_cursor"])
    ids = [item["request_id"] for page in (first, second) for item in page["items"]]
    assert ids[:3] == [job["request_id"] for job in reversed(jobs)]
    assert first["has_more"]


def test_what_is_asked_for(server):
    ready = server.submit(TEXT)
    failed = server.submit(TEXT, {"duration": "5"})
    for job in (ready, failed):
        server.finish(job)
    status = {
        word: {item["request_id"] for item in listed(server, status=word, limit="100")["items"]}
        for word in ("success", "user_error", "error")
    }
    assert ready["request_id"] in status["success"]
    assert failed["request_id"] in status["user_error"]
    assert not status["error"] & {ready["request_id"], failed["request_id"]}
    now = datetime.now(UTC)
    assert listed(server, end=(now - timedelta(hours=1)).isoformat())["items"] == []
    assert listed(server, start=(now + timedelta(hours=1)).isoformat())["items"] == []
    assert server.http.get(PATH, params={"endpoint_id": f"{TEXT}-unknown"}).json()["items"] == []


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"endpoint_id": TEXT, "limit": "101"},
        {"endpoint_id": TEXT, "limit": "many"},
        {"endpoint_id": TEXT, "cursor": "-1"},
        {"endpoint_id": TEXT, "start": "yesterday"},
    ],
    ids=str,
)
def test_what_makes_no_sense(server, params):
    reply = server.http.get(PATH, params=params)
    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "validation_error"


def test_not_without_the_key(server):
    reply = server.http.get(PATH, params={"endpoint_id": TEXT}, headers={"Authorization": "Key x:y"})
    assert reply.status_code == 401
    assert reply.json()["error"]["type"] == "authorization_error"


def test_a_list_by_the_end_of_requests():
    """fal documents neither what its times mean nor whether unfinished requests are listed."""
    with running("--speed", "1", "--list-by", "ended", "--list-finished") as server:
        job = server.submit(TEXT, {"prompt": "a barn owl"})
        assert listed(server)["items"] == []
        server.http.put(job["cancel_url"])
        server.finish(job)
        (found,) = listed(server)["items"]
        sent, ended = (datetime.fromisoformat(found[name]) for name in ("sent_at", "ended_at"))
        assert len(listed(server, start=(sent + (ended - sent) / 2).isoformat())["items"]) == 1
        assert listed(server, start=(ended + timedelta(seconds=1)).isoformat())["items"] == []
