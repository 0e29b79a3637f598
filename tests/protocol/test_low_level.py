"""fal's queue call by call, and requests that were made elsewhere."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from scripted import Done, Fail, Hold, Log, Queue, Run, Script, ScriptedFal

from kling_nb import errors
from kling_nb.events import Completed, Logged, Queued, Running, State
from kling_nb.fal.hosts import RequestRef
from kling_nb.fal.replies import CancelOutcome
from kling_nb.ledger import Ledger
from kling_nb.session import Session

MakeSession = Callable[..., Session]
ENDPOINT = "fal-ai/kling-video/v1/pro/text-to-video"
CAT = {"prompt": "a cat", "duration": "10"}


async def finished(session: Session, ref: RequestRef) -> None:
    async for _ in session.client.events(ENDPOINT, ref.request_id):
        pass


# -- submit ---------------------------------------------------------------------------


async def test_a_request_from_submission_to_result(
    session: Session, fal: ScriptedFal, ledger: Ledger
) -> None:
    fal.script = Script([Queue(1), Run(), Log("one"), Hold(), Log("two"), Done(units="10")], pace="free")
    client = session.client
    ref = await client.submit(ENDPOINT, CAT, priority="low", webhook_url="http://127.0.0.1:9/")
    assert ref.request_id == fal.job().request_id
    sent = fal.last("submit")
    assert (sent.json, sent.headers["x-fal-queue-priority"]) == (CAT, "low")
    assert sent.query == {"fal_webhook": "http://127.0.0.1:9/"}

    (entry,) = ledger.entries()
    assert (entry.state, entry.request_id, entry.endpoint) == (State.IN_QUEUE, ref.request_id, ENDPOINT)
    assert (entry.input, entry.prompt, entry.take) == (CAT, "a cat", None)

    await asyncio.to_thread(fal.wait_for, lambda: len(fal.job().log) == 1)
    status = await client.status(ENDPOINT, ref.request_id, logs=True)
    assert (status.state, [line.message for line in status.logs]) == ("IN_PROGRESS", ["one"])
    assert (await client.status(ENDPOINT, ref.request_id)).logs == ()
    assert [record.query["logs"] for record in fal.requests if record.exchange == "status"] == ["1", "0"]

    with pytest.raises(errors.NotFinished, match="IN_PROGRESS"):
        await client.result(ENDPOINT, ref.request_id)
    assert fal.count("result") == 0
    fal.release()
    await finished(session, ref)
    result = await client.result(ENDPOINT, ref.request_id)
    assert result.data["video"]["url"].startswith(fal.media_url)
    assert result.units == "10"
    assert fal.count("download") == 0
    entry = ledger.entries()[0]
    assert (entry.state, entry.units, json.loads(entry.result or "")) == (State.READY, "10", result.data)


async def test_events_as_they_come(session: Session, fal: ScriptedFal) -> None:
    fal.script = Script([Queue(1), Run(), Log("one"), Log("two"), Done()])
    ref = await session.client.submit(ENDPOINT, CAT)
    events = [event async for event in session.client.events(ENDPOINT, ref.request_id)]
    assert [type(event) for event in events if not isinstance(event, Logged)] == [Queued, Running, Completed]
    assert [event.message for event in events if isinstance(event, Logged)] == ["one", "two"]


async def test_who_stops_listening_ends_the_stream_and_not_the_request(
    session: Session, fal: ScriptedFal
) -> None:
    fal.script = Script([Queue(1), Run(), Hold(), Done()])
    ref = await session.client.submit(ENDPOINT, CAT)
    events = session.client.events(ENDPOINT, ref.request_id)
    assert isinstance(await anext(events), Queued)
    await events.aclose()
    await asyncio.to_thread(fal.wait_for, lambda: fal.open_streams == 0)
    assert fal.count("cancel") == 0


async def test_every_submission_is_a_new_one(session: Session, fal: ScriptedFal) -> None:
    first, second = await asyncio.gather(*(session.client.submit(ENDPOINT, CAT) for _ in range(2)))
    assert first.request_id != second.request_id
    assert len(fal.accepted) == 2


def test_from_a_script_without_a_loop(session: Session, fal: ScriptedFal) -> None:
    ref = asyncio.run(session.client.submit("v1-pro", CAT))  # a short name will do
    assert fal.job().submission.endpoint_id == ENDPOINT
    assert asyncio.run(session.client.status(ENDPOINT, ref.request_id)).state == "IN_QUEUE"


async def test_an_endpoint_that_is_not_in_the_catalogue(session: Session, fal: ScriptedFal) -> None:
    await session.client.submit("fal-ai/kling-video/v99/dream", {"anything": [1, {"goes": None}]})
    assert fal.last("submit").json == {"anything": [1, {"goes": None}]}
    assert fal.job().submission.endpoint_id == "fal-ai/kling-video/v99/dream"


@pytest.mark.parametrize(
    ("input_", "options", "kind"),
    [
        (["a cat"], {}, errors.InputError),
        ({"image_url": b"bytes"}, {}, errors.InputError),
        ({"cfg_scale": float("nan")}, {}, errors.InputError),
        (CAT, {"speed": "high"}, errors.UsageError),
        (CAT, {"priority": "high"}, errors.UsageError),
        (CAT, {"webhook_url": "ftp://example.com"}, errors.UsageError),
        (CAT, {"max_cost": "0.01"}, errors.BudgetExceeded),
    ],
    ids=str,
)
async def test_what_is_refused_before_it_is_sent(
    session: Session, fal: ScriptedFal, ledger: Ledger, input_: Any, options: dict[str, Any], kind: type
) -> None:
    with pytest.raises(kind) as caught:
        await session.client.submit(ENDPOINT, input_, **options)
    assert len(str(caught.value).splitlines()) <= 4
    assert {one.exchange for one in fal.requests} <= {"pricing"}
    assert ledger.entries() == []


async def test_a_mistyped_short_name(session: Session, fal: ScriptedFal) -> None:
    with pytest.raises(errors.UnknownEndpoint):
        await session.client.submit("v1-por", CAT)
    assert not fal.requests


async def test_without_a_key(make_session: MakeSession, fal: ScriptedFal) -> None:
    client = make_session(credentials=None).client
    with pytest.raises(errors.MissingKey):
        await client.submit(ENDPOINT, CAT)
    with pytest.raises(errors.MissingKey):
        await client.status(ENDPOINT, "r-1")
    assert not fal.requests


async def test_a_budget_holds_here_too(make_session: MakeSession, fal: ScriptedFal) -> None:
    session = make_session(budget=1.5, prices={"v1-pro": 0.1})
    await session.client.submit(ENDPOINT, CAT)  # ten seconds: $1
    with pytest.raises(errors.BudgetExceeded):
        await session.client.submit(ENDPOINT, CAT)
    await session.client.submit(ENDPOINT, CAT, max_cost="none")
    assert len(fal.accepted) == 2


async def test_a_refusal_is_in_the_ledger(session: Session, fal: ScriptedFal, ledger: Ledger) -> None:
    fal.fault("submit", "no_money")
    with pytest.raises(errors.InsufficientBalance):
        await session.client.submit(ENDPOINT, CAT)
    entry = ledger.entries()[0]
    assert (entry.state, entry.reserved_usd) == (State.FAILED, 0.0)
    assert "balance" in (entry.error or "")


async def test_no_answer_is_no_second_submission(session: Session, fal: ScriptedFal, ledger: Ledger) -> None:
    fal.fault("submit", "reset", handled=True)
    with pytest.raises(errors.SubmissionUncertain):
        await session.client.submit(ENDPOINT, CAT)
    assert fal.count("submit") == 1
    assert ledger.entries()[0].state is State.UNCERTAIN


async def test_who_stops_waiting_for_a_submission_does_not_lose_it(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger
) -> None:
    session = make_session()
    stalled = fal.fault("submit", "stall", handled=True)
    task = asyncio.create_task(session.client.submit(ENDPOINT, CAT))
    await asyncio.to_thread(fal.wait_for, "submit")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    closing = asyncio.create_task(asyncio.to_thread(session.close))  # waits for the answer
    stalled.release()
    await closing
    entry = ledger.entries()[0]
    assert (entry.state, entry.request_id) == (State.IN_QUEUE, fal.job().request_id)


# -- cancel and failures --------------------------------------------------------------


async def test_cancel(session: Session, fal: ScriptedFal, ledger: Ledger) -> None:
    fal.script = Script([Queue(1), Hold(), Run(), Done()])
    ref = await session.client.submit(ENDPOINT, CAT)
    assert await session.client.cancel(ENDPOINT, ref.request_id) is CancelOutcome.REMOVED
    assert ledger.entries()[0].state is State.CANCELLED
    assert await session.client.cancel(ENDPOINT, "unknown") is CancelOutcome.NOT_FOUND


async def test_a_request_that_failed(session: Session, fal: ScriptedFal, ledger: Ledger) -> None:
    detail = {"loc": ["body", "prompt"], "msg": "No", "type": "content_policy_violation"}
    fal.script = Script([Run(), Fail.refused(detail, units="1")])
    ref = await session.client.submit(ENDPOINT, CAT)
    await finished(session, ref)
    with pytest.raises(errors.ContentRefused, match="prompt: No"):
        await session.client.result(ENDPOINT, ref.request_id)
    entry = ledger.entries()[0]
    assert (entry.state, entry.error_type, entry.units) == (State.FAILED, "content_policy_violation", "1")


async def test_a_result_that_fal_cannot_give_now_is_no_failure(
    session: Session, fal: ScriptedFal, ledger: Ledger
) -> None:
    ref = await session.client.submit(ENDPOINT, CAT)
    await finished(session, ref)
    fal.fault("result", "nginx", times=None)
    with pytest.raises(errors.UnreachableError):
        await session.client.result(ENDPOINT, ref.request_id)
    assert ledger.entries()[0].state is State.IN_QUEUE
    fal.clear_faults()
    assert (await session.client.result(ENDPOINT, ref.request_id)).data["video"]


async def test_a_failure_that_only_the_status_names_closes_the_row(
    session: Session, fal: ScriptedFal, ledger: Ledger
) -> None:
    fal.script = Script([Run(), Fail.plain(500)])
    ref = await session.client.submit(ENDPOINT, CAT)
    await finished(session, ref)
    with pytest.raises(errors.PlatformError):
        await session.client.result(ENDPOINT, ref.request_id)
    assert ledger.entries()[0].state is State.FAILED


@pytest.mark.parametrize("call", ["status", "result"])
async def test_an_unknown_request(session: Session, fal: ScriptedFal, call: str) -> None:
    with pytest.raises(errors.RequestNotFound):
        await getattr(session.client, call)(ENDPOINT, "no such?id")
    assert fal.requests[-1].target.startswith("/fal-ai/kling-video/requests/no%20such%3Fid/status")


# -- by id, high level ----------------------------------------------------------------


async def test_a_job_submitted_here_is_resumed_by_its_id(session: Session, fal: ScriptedFal) -> None:
    ref = await session.client.submit(ENDPOINT, CAT)
    job = session.get_job(ref.request_id)
    video = await job
    assert job.request.input == CAT
    assert video.request_id == ref.request_id
    assert session.submit("a cat", duration=10).reused  # a take like any other
    assert len(fal.accepted) == 1


async def test_a_result_that_was_fetched_is_stored_later(session: Session, fal: ScriptedFal) -> None:
    """From the ledger: fal need not know it any more, only its file must still be there."""
    ref = await session.client.submit(ENDPOINT, CAT)
    await finished(session, ref)
    await session.client.result(ENDPOINT, ref.request_id)
    asked = fal.count("result")
    job = session.get_job(ref.request_id)
    video = await job
    assert video.path.exists()
    assert fal.count("result") == asked
    assert session.get_job(ref.request_id).video.path == video.path


async def test_resume_takes_up_what_was_left(make_session: MakeSession, fal: ScriptedFal) -> None:
    ref = await make_session().client.submit(ENDPOINT, CAT)
    (job,) = make_session().resume()
    assert job.request.input == CAT
    assert (await job).request_id == ref.request_id


def elsewhere(fal: ScriptedFal) -> str:
    """Submit as another program does."""
    import httpx

    with httpx.Client(trust_env=False) as http:
        headers = {"authorization": f"Key {fal.key}"}
        return str(http.post(f"{fal.url}/{ENDPOINT}", json=CAT, headers=headers).json()["request_id"])


@pytest.mark.parametrize("name", [ENDPOINT, "v1-pro"])
def test_a_request_made_elsewhere_is_followed_and_stored(
    session: Session, fal: ScriptedFal, ledger: Ledger, name: str
) -> None:
    fal.script = Script([Queue(1), Run(), Log("one"), Done()])
    request_id = elsewhere(fal)
    job = session.get_job(request_id, endpoint=name)
    video = job.wait()
    assert video.request_id == request_id
    assert [line.message for line in job.lines] == ["one"]
    (entry,) = ledger.entries()
    assert (entry.state, entry.request_id, entry.input) == (State.READY, request_id, {})
    assert session.get_job(request_id).id == job.id
    assert session.get_job(request_id, endpoint=name).id == job.id
    assert fal.count("submit") == 1


def test_an_unknown_id_asks_for_the_endpoint(session: Session, fal: ScriptedFal) -> None:
    with pytest.raises(errors.UsageError, match="endpoint=") as caught:
        session.get_job(elsewhere(fal))
    assert len(str(caught.value).splitlines()) <= 4
    with pytest.raises(errors.UnknownEndpoint):
        session.get_job("r-1", endpoint="v1-por")
    assert session.jobs() == []


def test_an_id_that_fal_does_not_know(session: Session, ledger: Ledger) -> None:
    with pytest.raises(errors.RequestNotFound):
        session.get_job("no-such-id", endpoint="v1-pro").wait()
    assert ledger.entries()[0].state is State.FAILED


def test_the_start_of_an_id_is_not_enough_with_an_endpoint(session: Session, fal: ScriptedFal) -> None:
    """It might be the whole id of another request."""
    job = session.submit("a cat")
    job.wait()
    other = session.get_job(str(job.request_id)[:8], endpoint="v1-pro")
    assert other.id != job.id
    with pytest.raises(errors.RequestNotFound):
        other.wait()


def test_two_kernels_adopt_one_row(make_session: MakeSession, fal: ScriptedFal, ledger: Ledger) -> None:
    request_id = elsewhere(fal)
    jobs = [make_session().get_job(request_id, endpoint="v1-pro") for _ in range(2)]
    assert jobs[0].id == jobs[1].id
    for job in jobs:
        job.wait()
    assert len(ledger.entries()) == 1


def test_a_request_made_elsewhere_needs_a_key(make_session: MakeSession, fal: ScriptedFal) -> None:
    session = make_session(credentials=None)
    with pytest.raises(errors.MissingKey):
        session.get_job("r-1", endpoint="v1-pro")
    assert session.jobs() == []
