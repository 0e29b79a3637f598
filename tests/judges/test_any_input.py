"""Random inputs to random endpoints: whatever comes, the server's replies have fal's shapes."""

import json
from typing import Any

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from judges import fact_sheet
from judges.any_input import inputs
from local.running_server import RunningServer

from kling_nb.catalog import Endpoint
from kling_nb.catalog.shipped import endpoints

ENDPOINTS = sorted([one for one in endpoints() if one.has_schema], key=lambda entry: entry.id)


def is_good(endpoint: Endpoint, values: Any) -> bool:
    """Whether the schema allows it. A null counts as not given."""
    if not isinstance(values, dict):
        return False
    return endpoint.validator.is_valid({name: value for name, value in values.items() if value is not None})


def names_a_file(endpoint: Endpoint, values: Any) -> bool:
    """Return True if a file must be fetched. No drawn URL can be fetched, so nothing is rendered then."""
    return any(values.get(name) for name in endpoint.media_parameters)


@settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=80,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_every_reply_has_the_shape_of_the_fact_sheet(server: RunningServer, data: st.DataObject) -> None:
    endpoint = data.draw(st.sampled_from(ENDPOINTS))
    values = data.draw(inputs(endpoint.input_schema))
    good = is_good(endpoint, values)
    renders = good and not names_a_file(endpoint, values)
    stop = renders or data.draw(st.booleans())  # a render is called off: others look at those

    reply = server.http.post(
        f"/{endpoint.id}", content=json.dumps(values), headers={"Content-Type": "application/json"}
    )
    job = fact_sheet.submitted(reply)
    first = server.http.get(job["response_url"])
    if first.status_code == 400:
        fact_sheet.not_yet(first)
    fact_sheet.status(server.status(job), logs=False)
    word = fact_sheet.cancelled(server.cancel(job)) if stop else None
    assert word in {None, "OK", "CANCELLATION_REQUESTED", "ALREADY_COMPLETED"}
    events = list(server.events(job))
    assert [event["status"] for event in events][-1] == "COMPLETED"
    last = fact_sheet.status(server.status(job, logs=1), logs=True)
    assert {key: events[-1][key] for key in set(last) - {"logs"}} == {
        key: last[key] for key in set(last) - {"logs"}
    }
    code = fact_sheet.result(server.http.get(job["response_url"]), last)
    if word in {"OK", "CANCELLATION_REQUESTED"}:
        assert (code, last["error_type"]) == (499, "client_cancelled")
    elif not renders:
        assert code == 422
    assert fact_sheet.cancelled(server.cancel(job)) == "ALREADY_COMPLETED"


@settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    request_id=st.text("0123456789abcdef-", min_size=1, max_size=40),
    tail=st.sampled_from(["", "/status", "/status/stream", "/cancel"]),
    app=st.sampled_from(["fal-ai/kling-video", "fal-ai/other", "workflows/fal-ai/kling-video"]),
)
def test_unknown_ids(server: RunningServer, request_id: str, tail: str, app: str) -> None:
    method = "PUT" if tail == "/cancel" else "GET"
    reply: httpx.Response = server.http.request(method, f"/{app}/requests/{request_id}{tail}")
    assert reply.status_code == 404
    assert reply.json() == ({"status": "NOT_FOUND"} if tail else {"detail": "Request not found"})
