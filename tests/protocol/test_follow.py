"""From the request id to COMPLETED: whatever the stream and the status do, a job is followed to its end."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from scripted import Done, Fail, Hold, Log, Ping, Queue, Run, Script, ScriptedFal, sample_mp4

from kling_nb import errors
from kling_nb.events import Completed, Event, Logged, Queued, Running, State
from kling_nb.fal.follow import REFUSAL_PATIENCE, Follower, stream_slots
from kling_nb.fal.hosts import RequestRef
from kling_nb.fal.patience import POLL
from kling_nb.fal.queue import NOT_FOUND_PATIENCE, QueueClient
from kling_nb.session import Session

MakeSession = Callable[..., Session]
LINES = ["Loading model", "Sampling 10%", "Sampling 60%", "Encoding video"]
MODEL = "fal-ai/kling-video/v1/pro/text-to-video"


@pytest.fixture
async def ref(client: QueueClient) -> RequestRef:
    return (await client.submit(MODEL, {"prompt": "a cat"})).ref


async def followed(follower: Follower, ref: RequestRef) -> list[Event]:
    return [event async for event in follower.follow(ref)]


def lines(events: list[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Logged)]


# tests/faults/table.py has more of these, each striking once.
STREAM_FAULTS: list[tuple[str, dict[str, Any], int | None]] = [
    *(("status", {"status": status}, 1) for status in (400, 410)),
    ("in_progress", {}, 1),
    ("close", {"at": "before_body"}, 1),
    *(
        (action, {"at": "mid_body", "frame": frame}, 1)
        for action in ("reset", "close")
        for frame in (0, 1, 3)
    ),
    *((action, {"at": "after_head", "frame": frame}, 1) for action in ("reset", "close") for frame in (0, 2)),
    ("end", {"frame": 0}, 1),
    *(("status", {"status": status}, None) for status in (401, 404, 500)),
    ("nginx", {}, None),
    ("redirect", {}, None),
    ("reset", {"at": "after_body"}, None),
    ("reset", {"at": "mid_body", "frame": 1}, None),
    ("close", {"at": "after_head", "frame": 2}, None),
    ("stall", {"at": "after_head"}, None),
    ("stall", {"at": "mid_body", "frame": 2}, None),
    ("repeat", {}, None),
    ("replay", {}, None),
    ("garbage", {}, None),
    ("linger", {}, None),
    ("end", {"frame": 2}, None),
]


@pytest.mark.parametrize(("kind", "options", "times"), STREAM_FAULTS, ids=lambda value: str(value)[:40])
def test_a_faulty_stream(
    make_session: MakeSession, fal: ScriptedFal, kind: str, options: dict[str, Any], times: int | None
) -> None:
    fal.fault("stream", kind, times=times, **options)
    job = make_session(silence=0.15).submit("a cat")
    assert job.wait() is not None
    assert sorted(line.message for line in job.lines) == sorted(LINES)
    assert len(fal.accepted) == 1
    assert not fal.unused_faults


def test_reordered_lines_come_once_each(session: Session, fal: ScriptedFal) -> None:
    fal.fault("stream", "reorder")
    job = session.submit("a cat")
    assert job.wait() is not None
    assert sorted(line.message for line in job.lines) == sorted(LINES)


async def test_a_stream_that_spoke_is_opened_again_and_one_that_did_not_is_given_up(
    follower: Follower, ref: RequestRef, fal: ScriptedFal
) -> None:
    fal.fault("stream", "end", frame=2, times=2)
    await followed(follower, ref)
    assert fal.count("stream") == 3

    fal.fault("stream", "end", frame=0, times=None)
    await followed(follower, ref)  # the job is over by now
    assert fal.count("stream") == 4


async def test_a_stream_that_stays_open_after_the_end_is_left(
    follower: Follower, ref: RequestRef, fal: ScriptedFal
) -> None:
    fal.fault("stream", "linger")
    assert isinstance((await followed(follower, ref))[-1], Completed)
    assert fal.count("status") == 1


async def test_pings_keep_a_stream_open(
    client: QueueClient, follower: Follower, fal: ScriptedFal, clock: Any
) -> None:
    fal.script = Script([Queue(0), Run(), Ping(), Ping(), Log("one"), Ping(), Done()])
    ref = (await client.submit(MODEL, {"prompt": "a cat"})).ref
    assert lines(await followed(follower, ref)) == ["one"]
    assert fal.count("stream") == 1
    assert clock.waits == []


async def test_events_of_a_job_that_goes_back_into_the_queue(
    client: QueueClient, follower: Follower, fal: ScriptedFal
) -> None:
    fal.script = Script([Queue(1), Run(), Log("one"), Queue(3), Queue(0), Run(), Log("two"), Done()])
    ref = (await client.submit(MODEL, {"prompt": "a cat"})).ref
    assert [event for event in await followed(follower, ref) if not isinstance(event, Logged)] == [
        Queued(1),
        Running(),
        Queued(3),
        Queued(0),
        Running(),
        Completed(None, None, 126.7),
    ]


def test_state_and_ledger_of_a_job_that_goes_back_into_the_queue(
    session: Session, fal: ScriptedFal, ledger: Any
) -> None:
    fal.script = Script([Run(), Queue(3), Hold(), Run(), Hold(), Done()])
    job = session.submit("a cat")
    fal.wait_for(lambda: job.state.queue_position == 3)
    assert job.state.state is State.IN_QUEUE
    assert ledger.entries()[0].state is State.IN_QUEUE
    fal.release()
    fal.wait_for(lambda: job.state.state is State.IN_PROGRESS)
    assert ledger.entries()[0].state is State.IN_PROGRESS
    fal.release()
    assert job.wait() is not None


# polling


@pytest.fixture
def polled(fal: ScriptedFal) -> ScriptedFal:
    """fal without a stream."""
    fal.fault("stream", "status", status=404, times=None)
    return fal


async def test_polling_waits_from_two_to_five_seconds(
    polled: ScriptedFal, client: QueueClient, follower: Follower, clock: Any
) -> None:
    polled.script = Script([Queue(0), *[Log(f"line {number}") for number in range(20)], Done()])
    ref = (await client.submit(MODEL, {"prompt": "a cat"})).ref
    events = await followed(follower, ref)
    assert lines(events) == [f"line {number}" for number in range(20)]
    assert polled.count("stream") == 1
    assert 0.75 * POLL.first <= clock.waits[0] <= 1.25 * POLL.first
    assert all(0.75 * POLL.cap <= wait <= POLL.cap for wait in clock.waits[8:])
    assert len(set(clock.waits)) > 1


# tests/faults/table.py has more of these.
STATUS_FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("status", {"status": 409}),
    ("missing_keys", {"keys": ("status",)}),
    ("missing_keys", {"keys": ("logs", "queue_position", "metrics", "request_id")}),
]


@pytest.mark.parametrize("times", [1, 9], ids=["once", "nine times"])
@pytest.mark.parametrize(("kind", "options"), STATUS_FAULTS, ids=lambda value: str(value)[:40])
async def test_a_faulty_status(
    polled: ScriptedFal, follower: Follower, ref: RequestRef, kind: str, options: dict[str, Any], times: int
) -> None:
    polled.fault("status", kind, times=times, skip=1, **options)
    assert isinstance((await followed(follower, ref))[-1], Completed)
    assert not polled.unused_faults


async def test_lines_of_a_moving_window_come_once_and_none_is_missed(
    polled: ScriptedFal, client: QueueClient, follower: Follower
) -> None:
    wanted = [f"line {number}" for number in range(12)]
    polled.script = Script([Run(), *map(Log, wanted), Done()], log_window=2)
    ref = (await client.submit(MODEL, {"prompt": "a cat"})).ref
    assert lines(await followed(follower, ref)) == wanted


async def test_the_last_lines_are_asked_for_after_the_end(
    polled: ScriptedFal, client: QueueClient, follower: Follower, fal: ScriptedFal
) -> None:
    """A traceback may be written at the very end."""
    polled.script = Script([Run(), Done()])
    ref = (await client.submit(MODEL, {"prompt": "a cat"})).ref

    def with_traceback(reply: Any) -> Any:
        value = json.loads(reply.body)
        value["logs"] = [{"message": '{"traceback": "…"}'}]
        return reply.with_body(json.dumps(value).encode())

    fal.fault("status", "edit", edit=with_traceback, skip=2, times=None)
    events = await followed(follower, ref)
    assert lines(events) == ['{"traceback": "…"}']
    assert isinstance(events[-1], Completed)


@pytest.mark.parametrize(
    ("kind", "options"), [("status", {"status": 500}), ("reset", {}), ("status", {"status": 404})]
)
async def test_the_end_stands_without_the_last_lines(
    follower: Follower, ref: RequestRef, fal: ScriptedFal, kind: str, options: dict[str, Any]
) -> None:
    fal.fault("status", kind, times=None, **options)
    events = await followed(follower, ref)
    assert lines(events) == LINES
    assert events[-1] == Completed(None, None, 126.7)


async def test_a_last_status_that_lags_behind_takes_nothing_back(
    follower: Follower, ref: RequestRef, fal: ScriptedFal
) -> None:
    def earlier(reply: Any) -> Any:
        value = json.loads(reply.body) | {"status": "IN_PROGRESS", "metrics": {}}
        return replace(reply.with_body(json.dumps(value).encode()), status=202)

    fal.fault("status", "edit", edit=earlier)
    events = await followed(follower, ref)
    assert events[-1] == Completed(None, None, 126.7)
    assert events.count(Running()) == 1


async def test_words_for_an_unknown_state(polled: ScriptedFal, follower: Follower, ref: RequestRef) -> None:
    def dreaming(reply: Any) -> Any:
        return reply.with_body(json.dumps(json.loads(reply.body) | {"status": "DREAMING"}).encode())

    polled.fault("status", "edit", edit=dreaming, times=3)
    events = await followed(follower, ref)
    assert {type(event) for event in events} <= {Queued, Running, Logged, Completed}
    assert isinstance(events[-1], Completed)


@pytest.mark.parametrize("late", [7, "moment", 9999, "nonsense", -3])
async def test_retry_after_is_heeded_within_reason(
    polled: ScriptedFal, follower: Follower, ref: RequestRef, clock: Any, late: Any
) -> None:
    moment = datetime.now(UTC) + timedelta(seconds=20)
    polled.fault("status", "busy", retry_after=moment if late == "moment" else late)
    await followed(follower, ref)
    first = clock.waits[0]
    if late == 7:
        assert first == 7
    elif late == "moment":
        assert 15 < first <= 20
    elif late == 9999:
        assert first == 120
    else:
        assert 0.3 < first < 0.7  # as without the header


@pytest.mark.parametrize("status", [400, 405, 410, 422, 451])
def test_a_status_that_is_refused_for_ever_ends_the_wait_and_not_the_job(
    session: Session, polled: ScriptedFal, ledger: Any, status: int
) -> None:
    """Such a job was polled for ever, without a word."""
    polled.fault("status", "status", status=status, times=None, body={"detail": "Not here"})
    job = session.submit("a cat")
    with pytest.raises(errors.ResultUnavailable, match=f"status now .*{status}.*Not here") as caught:
        job.wait()
    assert "--new" in str(caught.value)
    assert polled.count("status") == REFUSAL_PATIENCE
    assert not ledger.entries()[0].state.finished
    polled.clear_faults()
    assert session.generate("a cat") is not None
    assert len(polled.accepted) == 1


def test_a_status_that_is_refused_a_few_times_ends_nothing(session: Session, polled: ScriptedFal) -> None:
    polled.fault("status", "status", status=400, times=REFUSAL_PATIENCE - 1)
    assert session.generate("a cat") is not None


def test_a_status_that_does_not_come_for_long_is_shown_once(session: Session, polled: ScriptedFal) -> None:
    polled.fault("status", "nginx", times=32)
    job = session.submit("a cat")
    assert job.wait() is not None
    assert ["502" in line.message for line in job.lines if "no status" in line.message] == [True]


@pytest.mark.parametrize("kind", ["whole_path", "other_app"])
def test_urls_of_a_reply_that_are_refused_are_replaced_by_those_of_the_rule(
    session: Session, fal: ScriptedFal, ledger: Any, kind: str
) -> None:
    fal.fault("submit", kind)
    fal.script = Script([Queue(1), Run(), Hold(), Done()])
    job = session.submit("a cat")
    fal.wait_for("stream", 2)
    stale = ledger.entries()[0].status_url
    fal.release()
    assert job.wait() is not None
    asked = [record.path for record in fal.requests if record.exchange in {"stream", "status", "result"}]
    assert sum(f"{fal.url}{path}".startswith(stale) for path in asked) == 1  # only the first stream
    assert len(asked) == 5


@pytest.mark.parametrize("kind", ["whole_path", "other_app"])
def test_a_cancel_goes_to_the_url_of_the_rule_too(session: Session, fal: ScriptedFal, kind: str) -> None:
    fal.fault("submit", kind)
    fal.script = Script([Queue(1), Hold(), Done()])
    job = session.submit("a cat")
    fal.wait_for("stream", 2)
    assert job.cancel() == "Cancelled. Not charged."
    assert fal.job().cancel_asked


async def test_an_unknown_id_is_given_up_after_some_patience(
    polled: ScriptedFal, follower: Follower, ref: RequestRef
) -> None:
    polled.job(ref.request_id).forget()
    with pytest.raises(errors.RequestNotFound):
        await followed(follower, ref)
    assert polled.count("status") == NOT_FOUND_PATIENCE


async def test_a_replica_that_is_behind_does_not_end_a_job(
    polled: ScriptedFal, follower: Follower, ref: RequestRef
) -> None:
    unknown = {"status": 404, "body": {"status": "NOT_FOUND"}}
    polled.fault("status", "status", times=NOT_FOUND_PATIENCE - 1, **unknown)
    assert isinstance((await followed(follower, ref))[-1], Completed)


@pytest.mark.parametrize(
    ("status", "detail", "expected"),
    [
        (401, "No", errors.AuthenticationError),
        (403, "No", errors.AccessDenied),
        (403, "User is locked. Reason: Exhausted balance.", errors.InsufficientBalance),
    ],
)
def test_a_job_whose_key_is_refused_half_way_can_be_resumed(
    session: Session,
    polled: ScriptedFal,
    ledger: Any,
    status: int,
    detail: str,
    expected: type[errors.ResponseError],
) -> None:
    polled.fault("status", "status", status=status, body={"detail": detail}, skip=1)
    with pytest.raises(expected):
        session.generate("a cat")
    assert not ledger.entries()[0].state.finished
    assert session.generate("a cat") is not None
    assert len(polled.accepted) == 1
    assert ledger.entries()[0].state is State.READY


async def test_a_queue_that_has_ended_for_good_is_not_asked_for_ever(
    client: QueueClient, ref: RequestRef, fal: ScriptedFal, clock: Any
) -> None:
    follower = Follower(client, has_ended=lambda: True, sleep=clock.sleep)
    with fal.refusing(), pytest.raises(errors.UnreachableError):
        await followed(follower, ref)


async def test_without_a_free_stream_a_job_is_polled(
    client: QueueClient, ref: RequestRef, fal: ScriptedFal, clock: Any
) -> None:
    import asyncio

    slots = asyncio.Semaphore(1)
    async with slots:
        events = await followed(Follower(client, slots, sleep=clock.sleep), ref)
    assert isinstance(events[-1], Completed)
    assert lines(events) == LINES
    assert fal.count("stream") == 0
    assert not slots.locked()


async def test_a_slot_is_given_back(client: QueueClient, fal: ScriptedFal, clock: Any) -> None:
    import asyncio

    slots = asyncio.Semaphore(1)
    for fault in ("reset", "stall"):
        fal.fault("stream", fault, at="mid_body", frame=1)
    fal.script = Script([Queue(0), Run(), Hold()])
    ref = (await client.submit(MODEL, {"prompt": "a cat"})).ref
    following = asyncio.create_task(followed(Follower(client, slots, sleep=clock.sleep), ref))
    await asyncio.to_thread(fal.wait_for, "stream", 2)
    following.cancel()
    await asyncio.wait([following])
    assert not slots.locked()


def test_the_number_of_streams_has_a_limit() -> None:
    assert 1 <= stream_slots()._value <= 200


def test_the_network_is_away_for_a_while(session: Session, fal: ScriptedFal, clock: Any) -> None:
    fal.script = Script([Queue(0), Run(), Log("one"), Hold(), Log("two"), Done()])
    job = session.submit("a cat")
    fal.wait_for(lambda: job.state.lines == 1)
    with fal.refusing():
        fal.job().release()
        fal.wait_for(lambda: len(clock.waits) > 12)
        assert not job.done
    assert job.wait() is not None
    assert [line.message for line in job.lines] == ["one", "two"]


# the result


# tests/faults/table.py has more of these.
RESULT_FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("in_progress", {}),
    ("in_progress", {"status": 200}),
    ("in_progress", {"status": 202}),
    ("status", {"status": 503}),
]


@pytest.mark.parametrize(("kind", "options"), RESULT_FAULTS, ids=lambda value: str(value)[:40])
def test_a_result_that_is_not_there_at_once(
    session: Session, fal: ScriptedFal, kind: str, options: dict[str, Any]
) -> None:
    if kind == "in_progress" and options.get("status") in {200, 202}:
        body = {"status": "IN_PROGRESS", "logs": None}
        kind, options = "status", {"status": options["status"], "body": body}
    fal.fault("result", kind, times=3, **options)
    job = session.submit("a cat")
    assert job.wait() is not None
    assert job.state.units == "5"
    assert fal.count("result") == 4


@pytest.mark.parametrize(("kind", "options"), RESULT_FAULTS, ids=lambda value: str(value)[:40])
def test_a_result_that_fal_cannot_give_now_is_fetched_later(
    session: Session, fal: ScriptedFal, ledger: Any, kind: str, options: dict[str, Any]
) -> None:
    """It is paid for: the row stays unfinished, and the next run takes it up and pays nothing."""
    fault = fal.fault("result", kind, times=None, **options)
    with pytest.raises(errors.KlingError) as caught:
        session.generate("a cat")
    assert len(str(caught.value).splitlines()) <= 4
    assert not ledger.entries()[0].state.finished
    fal.clear_faults()
    assert fault.used
    assert session.generate("a cat") is not None
    assert len(fal.accepted) == 1


def test_a_response_url_with_a_suffix_that_is_not_allowed(session: Session, fal: ScriptedFal) -> None:
    fal.fault("submit", "response_suffix")
    assert session.generate("a cat") is not None
    assert [record.path.endswith("/response") for record in fal.requests if record.exchange == "result"] == [
        True,
        False,
    ]


def test_units_are_kept(session: Session, fal: ScriptedFal, ledger: Any) -> None:
    fal.script = Script([Done(units="10.5")])
    job = session.submit("a cat")
    video = job.wait()
    assert video is not None
    assert job.state.units == ledger.entries()[0].units == "10.5"
    fal.script = Script([Done(units=None)])
    job = session.submit("a dog")
    job.wait()
    assert job.state.units is None


MODEL_ERROR = {"detail": [{"loc": ["body"], "msg": "The model failed", "type": "internal_server_error"}]}


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("body", [{"detail": "Internal Server Error"}, MODEL_ERROR], ids=["flat", "list"])
def test_a_5xx_that_names_the_request_is_no_verdict(
    session: Session, fal: ScriptedFal, ledger: Any, status: int, body: Any
) -> None:
    """Two of them once ended the job, and the same cell bought the video again."""
    fal.fault("result", "named", status=status, body=body, times=None)
    with pytest.raises(errors.ResultUnavailable, match="fal cannot give the result now") as caught:
        session.generate("a cat")
    assert "--new" in str(caught.value)
    assert caught.value.status_code == status
    row = ledger.entries()[0]
    assert not row.state.finished
    assert row.request_id == fal.accepted[0].request_id
    with pytest.raises(errors.ResultUnavailable):
        session.generate("a cat")
    fal.clear_faults()
    assert session.generate("a cat") is not None
    assert len(fal.accepted) == 1


def test_a_5xx_that_the_status_reports_is_the_models(session: Session, fal: ScriptedFal, ledger: Any) -> None:
    fal.script = Script([Fail(500, MODEL_ERROR)])
    with pytest.raises(errors.PlatformError, match="The model failed"):
        session.generate("a cat")
    assert ledger.entries()[0].state is State.FAILED
    assert fal.count("result") == 1


@pytest.mark.parametrize("status", [400, 409, 410, 413, 422, 451])
def test_a_4xx_about_another_request_is_no_verdict(
    session: Session, fal: ScriptedFal, ledger: Any, status: int
) -> None:
    fal.fault("result", "named", status=status, body=MODEL_ERROR, request_id="another", times=None)
    with pytest.raises(errors.ResultUnavailable):
        session.generate("a cat")
    assert not ledger.entries()[0].state.finished
    fal.clear_faults()
    assert session.generate("a cat") is not None
    assert len(fal.accepted) == 1


@pytest.mark.parametrize(
    ("end", "kept"),
    [
        (Fail.plain(500), True),
        (Fail(500, MODEL_ERROR), True),
        (Fail.refused({"loc": ["body"], "msg": "No", "type": "value_error"}), True),
        (Fail.refused({"loc": ["body"], "msg": "No", "type": "value_error"}, units="0"), False),
        (Fail.platform("runner_disconnected", 503), False),
    ],
    ids=["500", "model error", "422", "422 of zero units", "the platform's"],
)
def test_a_failed_row_keeps_its_reservation_unless_fal_says_it_was_free(
    session: Session, fal: ScriptedFal, ledger: Any, end: Fail, kept: bool
) -> None:
    fal.script = Script([end])
    with pytest.raises(errors.ResponseError):
        session.generate("a cat", endpoint="v2.5-turbo-pro")
    row = ledger.entries()[0]
    assert row.state is State.FAILED
    assert bool(row.reserved_usd) is kept


# failures


def detail(**more: Any) -> dict[str, Any]:
    return {"loc": ["body", "prompt"], "msg": "The text is too odd", "type": "value_error", **more}


FAILURES: list[tuple[Fail, type[errors.ResponseError], str]] = [
    (Fail.refused(detail()), errors.InputRefused, "prompt: The text is too odd"),
    (Fail.refused(detail(), silent=True), errors.InputRefused, "prompt: The text is too odd"),
    (Fail.refused(detail(type="content_policy_violation")), errors.ContentRefused, "too odd"),
    (Fail.platform("runner_disconnected", 503), errors.PlatformError, "The runner failed"),
    (Fail.platform("runner_server_error", 500), errors.PlatformError, "The runner failed"),
    (Fail.start_timeout(), errors.PlatformError, "did not start in time"),
    (Fail.plain(500), errors.PlatformError, "Internal Server Error"),
    (Fail.plain(404, "Path /v9/text-to-video not found"), errors.EndpointNotFound, "Path /v9"),
    (Fail.plain(400, "Bad picture"), errors.InputRefused, "Bad picture"),
]


@pytest.mark.parametrize(("end", "expected", "text"), FAILURES, ids=lambda value: str(value)[:50])
def test_a_failure(
    session: Session,
    fal: ScriptedFal,
    ledger: Any,
    end: Fail,
    expected: type[errors.ResponseError],
    text: str,
) -> None:
    fal.script = Script([Queue(0), Run(), Log("Loading"), end])
    job = session.submit("a cat")
    with pytest.raises(expected, match=text) as caught:
        job.wait()
    assert type(caught.value) is expected
    assert caught.value.request_id == fal.job().request_id
    assert caught.value.status_code == end.status
    assert len(str(caught.value).splitlines()) <= 4
    assert (job.state.state, job.error) == (State.FAILED, caught.value)
    assert [line.message for line in job.lines] == ["Loading"]
    assert fal.count("download") == 0
    (entry,) = ledger.entries()
    assert entry.state is State.FAILED
    assert text in (entry.error or "")
    fal.script = Script()
    assert session.generate("a cat") is not None  # a failure is no take, and no obstacle
    assert len(fal.accepted) == 2


def test_a_refusal_names_all_parameters_and_limits(session: Session, fal: ScriptedFal, ledger: Any) -> None:
    fal.script = Script(
        [
            Fail.refused(
                detail(
                    loc=["body", "image_url"],
                    type="image_too_small",
                    ctx={"min_height": 300, "min_width": 300},
                ),
                detail(loc=["body", "elements", 0, "frontal_image_url"], type="file_download_error"),
                units="0",
            )
        ]
    )
    with pytest.raises(errors.InputRefused) as caught:
        session.generate("a cat")
    assert [one.parameter for one in caught.value.details] == ["image_url", "elements.0.frontal_image_url"]
    assert "min_height 300" in str(caught.value)
    assert caught.value.error_type == "image_too_small"
    assert caught.value.billable_units == "0"
    assert (ledger.entries()[0].error_type, ledger.entries()[0].units) == ("image_too_small", "0")


def test_the_status_tells_of_a_failure_whose_result_is_gone(session: Session, fal: ScriptedFal) -> None:
    fal.script = Script([Fail.platform("runner_scheduling_failure", 503, "No runner could be had")])
    fal.fault("result", "status", status=404, body={"detail": "Request not found"})
    with pytest.raises(errors.PlatformError, match="No runner could be had") as caught:
        session.generate("a cat")
    assert caught.value.error_type == "runner_scheduling_failure"


def test_a_result_that_is_gone(session: Session, fal: ScriptedFal, ledger: Any) -> None:
    fal.fault("result", "status", status=404, body={"detail": "Request not found"}, times=None)
    with pytest.raises(errors.RequestNotFound):
        session.generate("a cat")
    assert fal.count("result") == NOT_FOUND_PATIENCE
    assert ledger.entries()[0].state is State.FAILED


@pytest.mark.parametrize("status", [404, 409])
def test_a_result_that_is_refused_by_a_replica_that_is_behind_is_not_lost(
    session: Session, fal: ScriptedFal, ledger: Any, status: int
) -> None:
    fal.fault("result", "status", status=status, body={"detail": "No"})
    with suppress(errors.UnreachableError):
        session.generate("a cat")
    assert ledger.entries()[0].state is not State.FAILED
    assert session.generate("a cat") is not None
    assert len(fal.accepted) == 1


def test_a_stream_that_only_keeps_alive_is_looked_behind(make_session: MakeSession, fal: ScriptedFal) -> None:
    fal.fault("stream", "endless", times=None)
    session = make_session(silence=10.0, news=0.1)
    assert session.submit("a cat").wait(10.0) is not None


def test_a_file_that_is_shorter_than_the_result_says_is_fetched_again(
    session: Session, fal: ScriptedFal
) -> None:
    fal.fault("download", "wrong_length", by=-10)
    job = session.submit("a cat")
    job.wait()
    assert fal.count("download") == 2
    assert job.file is not None
    assert job.file.read_bytes() == sample_mp4()


async def test_no_further_status_is_asked_for_if_completed_has_all_lines(
    client: QueueClient, fal: ScriptedFal, clock: Any
) -> None:
    fal.script = Script([Run(), *map(Log, LINES), Done()])
    ref = (await client.submit(MODEL, {"prompt": "a cat"})).ref
    events = await followed(Follower(client, has_all_lines=True, sleep=clock.sleep), ref)
    assert isinstance(events[-1], Completed)
    assert fal.count("status") == 0
