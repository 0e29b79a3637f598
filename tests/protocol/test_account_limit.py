"""The account runs its maximum of requests: fal refuses submissions that it accepts later."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from scripted import Done, Hold, Queue, Run, Script, ScriptedFal

from kling_nb import errors
from kling_nb.events import State
from kling_nb.job.job import Job
from kling_nb.ledger import Ledger
from kling_nb.notebook.output.terminal import describe
from kling_nb.session import Session

MakeSession = Callable[..., Session]
MODEL = "fal-ai/kling-video/v1/pro/text-to-video"


class Gate:
    """Waits between two tries last until the gate is open."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.open = False

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0.001)
        while not self.open:  # noqa: ASYNC110 -- another thread opens it
            await asyncio.sleep(0.005)


@pytest.fixture
def gate(clock: Any) -> Gate:
    gate = Gate()
    clock.sleep = gate.sleep
    return gate


def held(session: Session, fal: ScriptedFal, **more: Any) -> Job:
    """Submit, and return the job once it waits for its turn."""
    fal.fault("submit", "at_limit")
    job = session.submit("a cat", **more)
    fal.wait_for(lambda: job.state.held)
    return job


def test_a_job_waits_for_its_turn_and_is_sent_once_more_for_each_refusal(
    session: Session, fal: ScriptedFal, ledger: Ledger, clock: Any
) -> None:
    fal.fault("submit", "at_limit", times=4)
    job = session.submit("a cat")
    assert job.wait() is not None
    assert (fal.count("submit"), len(fal.accepted)) == (5, 1)
    (entry,) = ledger.entries()
    assert (entry.state, entry.request_id, entry.id) == (State.READY, fal.job().request_id, job.id)
    for nominal, waited in zip([2, 4, 8, 10], clock.waits, strict=False):
        assert 0.75 * nominal <= waited <= min(1.25 * nominal, 10)
    assert [line.message for line in job.lines if "maximum of requests" in line.message]
    assert job.state.queue_position is None


def test_retry_after_is_honoured(session: Session, fal: ScriptedFal, clock: Any) -> None:
    fal.fault("submit", "at_limit", retry_after=77)
    assert session.generate("a cat") is not None
    assert clock.waits[0] == 77.0


def test_a_retry_after_of_nothing_is_no_hurry(session: Session, fal: ScriptedFal, clock: Any) -> None:
    for _ in range(3):
        fal.fault("submit", "at_limit", retry_after=0)
    assert session.generate("a cat") is not None
    assert all(seconds >= 2.0 for seconds in clock.waits[:3])
    assert fal.count("submit") == 4


def test_the_row_says_not_sent_while_the_job_waits(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger, gate: Gate
) -> None:
    job = held(make_session(), fal)
    (entry,) = ledger.entries()
    assert (entry.state, entry.sent_at, entry.request_id) == (State.SUBMITTING, None, None)
    assert (job.state.state, describe(job)) == (
        State.SUBMITTING,
        "waiting: the account runs its maximum of requests",
    )
    gate.open = True
    assert job.wait() is not None
    assert ledger.entries()[0].sent_at is not None
    assert len(fal.accepted) == 1


def test_a_process_ends_while_a_job_waits_for_its_turn_but_not_while_it_is_sent(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger, gate: Gate
) -> None:
    session = make_session()
    job = held(session, fal)
    assert job._may_end.done()
    assert not job._answered.done()
    door = fal.fault("submit", "stall", at="before_body")
    gate.open = True
    fal.wait_for(lambda: fal.count("submit") == 2)
    closing = threading.Thread(target=session.close)
    closing.start()
    assert not job._may_end.done()
    door.release()
    closing.join()
    assert ledger.entries()[0].request_id == fal.job().request_id  # the answer was waited for


def test_a_closed_session_leaves_a_job_that_waits_for_its_turn_unsent(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger, gate: Gate
) -> None:
    session = make_session()
    job = held(session, fal)
    session.close()
    with pytest.raises(errors.KlingError, match="was closed"):
        job.wait()
    (entry,) = ledger.entries()
    assert (entry.state, entry.sent_at, fal.count("submit")) == (State.SUBMITTING, None, 1)
    gate.open = True
    assert make_session().generate("a cat") is not None
    assert (len(fal.accepted), len(ledger.entries())) == (1, 1)


def test_a_cancel_ends_the_wait_at_once(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger, gate: Gate
) -> None:
    session = make_session(budget=100, prices={"v1-pro": 0.1})
    job = held(session, fal)
    assert job.cancel() == "Cancelled. Nothing was sent."
    with pytest.raises(errors.JobCancelled):
        job.wait()
    (entry,) = ledger.entries()
    assert (entry.state, entry.sent_at, entry.reserved_usd) == (State.CANCELLED, None, 0.0)
    gate.open = True
    assert session.generate("a dog") is not None  # the turn is free again
    assert [one.input["prompt"] for one in fal.accepted] == ["a dog"]


def test_a_cancel_before_the_refusal_ends_the_job(session: Session, fal: ScriptedFal, ledger: Ledger) -> None:
    door = fal.fault("submit", "stall", at="before_body")
    job = session.submit("a cat")
    fal.wait_for("submit")
    fal.queue.limit = 0
    job.cancel()
    door.release()
    with pytest.raises(errors.JobCancelled):
        job.wait()
    assert ledger.entries()[0].state is State.CANCELLED
    assert not fal.accepted


def test_a_wait_that_runs_out_leaves_the_job_waiting(
    make_session: MakeSession, fal: ScriptedFal, gate: Gate
) -> None:
    job = held(make_session(), fal)
    with pytest.raises(errors.WaitTimeout, match="Not sent after"):
        job.wait(0.01)
    gate.open = True
    assert job.wait() is not None
    assert len(fal.accepted) == 1


def test_others_wait_behind_the_one_that_tries_again(
    make_session: MakeSession, fal: ScriptedFal, gate: Gate
) -> None:
    session = make_session()
    first = held(session, fal)
    more = [session.submit(f"a dog {number}") for number in range(3)]
    fal.wait_for(lambda: all(job.state.held for job in more))
    assert fal.count("submit") == 1
    other = session.submit("a cat", endpoint="v1-standard")  # another endpoint may have another limit
    gate.open = True
    for job in (first, *more, other):
        assert job.wait() is not None
    assert fal.count("submit") == 6
    named = [one.input["prompt"] for one in fal.accepted if one.endpoint_id == MODEL]
    assert named == ["a cat", "a dog 0", "a dog 1", "a dog 2"]


def test_with_max_queue_length_it_fails(session: Session, fal: ScriptedFal, ledger: Ledger) -> None:
    fal.fault("submit", "at_limit")
    with pytest.raises(errors.RateLimited):
        session.generate("a cat", max_queue_length=5)
    assert fal.count("submit") == 1
    assert ledger.entries()[0].state is State.FAILED


OTHER: list[tuple[str, dict[str, Any]]] = [
    ("busy", {}),
    ("at_limit", {"request_id": "019e"}),
    ("nginx", {"status": 429}),
    ("nginx", {"status": 429, "headers": {"x-fal-error-type": "concurrent_requests_limit"}}),
    ("status", {"status": 429, "body": {"detail": "No", "error_type": "bad_request"}}),
    ("status", {"status": 429, "body": {"detail": "No", "error_type": "something_new"}}),
    ("named", {"status": 429, "body": {"error_type": "rate_limited"}, "request_id": "019e"}),
]


@pytest.mark.parametrize(("kind", "options"), OTHER, ids=[f"{kind}-{n}" for n, (kind, _) in enumerate(OTHER)])
def test_any_other_429_is_a_refusal(
    session: Session, fal: ScriptedFal, kind: str, options: dict[str, Any]
) -> None:
    fal.fault("submit", kind, **options)
    with pytest.raises(errors.RateLimited) as caught:
        session.generate("a cat")
    assert type(caught.value) is errors.RateLimited
    assert fal.count("submit") == 1


async def test_call_by_call_it_is_an_error(session: Session, fal: ScriptedFal, ledger: Ledger) -> None:
    fal.fault("submit", "at_limit", retry_after=9)
    with pytest.raises(errors.TooManyRunning) as caught:
        await session.client.submit(MODEL, {"prompt": "a cat"})
    assert caught.value.retry_after == 9.0
    assert ledger.entries()[0].state is State.FAILED
    assert await session.client.submit(MODEL, {"prompt": "a cat"})
    assert len(fal.accepted) == 1


def test_a_sweep_lowers_its_concurrency_and_fails_no_cell(session: Session, fal: ScriptedFal) -> None:
    fal.queue.limit = 2
    fal.script = Script([Queue(0), Run(), Hold(), Done()])
    study = session.sweep([f"fox {number}" for number in range(9)], concurrency=6)
    fal.wait_for(lambda: sum(cell.job is not None and cell.job.state.held for cell in study) == 4)
    assert sum(cell.state == "WAITING" for cell in study) == 3
    for number in range(9):
        fal.wait_for(lambda number=number: len(fal.jobs) > number)
        assert sum(not job.now.final for job in fal.jobs) <= 2
        fal.jobs[number].release()
        # The sweep must see that others are still held. On a busy machine it would see them all accepted.
        fal.wait_for(lambda number=number: sum(cell.state == "READY" for cell in study) > number)
    study.wait()
    assert [cell.state for cell in study] == ["READY"] * 9
    assert study.concurrency in {2, 3}  # one may wait for the place that becomes free next
    assert len(fal.accepted) == 9


def test_a_job_whose_process_was_killed_while_it_waited_is_sent_once(
    session: Session, fal: ScriptedFal, ledger: Ledger, run: Any
) -> None:
    fal.queue.limit = 0
    program = run("import kling_nb, time; kling_nb.submit('a cat'); time.sleep(60)")
    fal.wait_for(lambda: fal.count("submit") and ledger.entries()[0].sent_at is None, timeout=30.0)
    program.process.kill()
    program.process.wait()
    fal.queue.limit = None
    assert session.generate("a cat") is not None
    assert len(fal.accepted) == 1
    (entry,) = ledger.entries()
    assert entry.state is State.READY


def test_a_second_kernel_waits_with_the_first_one(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger, run: Any
) -> None:
    fal.queue.limit = 0
    program = run(
        """
import asyncio, kling_nb
from kling_nb.fal.patience import Patience
session = kling_nb.Session(patience=Patience(sleep=lambda seconds: asyncio.sleep(0.01)))
print(session.generate("a cat").path.name, flush=True)
"""
    )
    fal.wait_for(lambda: fal.count("submit") and ledger.entries()[0].sent_at is None, timeout=30.0)
    job = make_session().submit("a cat")
    fal.queue.limit = None
    assert job.wait() is not None
    assert program.says()
    assert len(fal.accepted) == 1
