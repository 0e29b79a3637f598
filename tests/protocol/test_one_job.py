"""A job without faults: the requests to fal, and the events."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

from scripted import Done, Hold, Log, Queue, Run, Script, ScriptedFal

from kling_nb.events import (
    Completed,
    Downloading,
    Event,
    JobState,
    Logged,
    Queued,
    Ready,
    Running,
    State,
    Submitted,
    fold,
)
from kling_nb.ledger import Ledger
from kling_nb.session import Session


def gathered(events: list[Event]) -> list[str]:
    """The kinds of events, each run of one kind once."""
    names = [type(event).__name__ for event in events]
    return [name for index, name in enumerate(names) if index == 0 or names[index - 1] != name]


def test_a_job_by_its_stream_makes_five_requests(session: Session, fal: ScriptedFal) -> None:
    video = session.generate("a cat")
    assert video is not None
    assert [record.exchange for record in fal.requests] == [
        "submit",
        "stream",
        "status",
        "result",
        "download",
    ]
    assert fal.last("stream").query == {"logs": "1"}
    assert fal.last("status").query == {"logs": "1"}
    assert fal.last("submit").json == {"prompt": "a cat"}
    assert (video.width, video.height, video.backend, video.take) == (64, 36, "fal", 1)
    assert video.request_id == fal.job().request_id


def test_events_come_in_order_and_lines_once(session: Session, fal: ScriptedFal) -> None:
    events: list[tuple[Event, JobState]] = []
    job = session.submit("a cat", on_event=lambda event, state: events.append((event, state)))
    job.wait()
    reports = [event for event, _ in events]
    assert gathered(reports) == [
        "Submitted",
        "Queued",
        "Running",
        "Logged",
        "Completed",
        "Downloading",
        "Ready",
    ]
    assert reports[0] == Submitted(fal.job().request_id)
    positions = [event.position for event in reports if isinstance(event, Queued)]
    assert (positions[0], positions[-1]) == (2, 0)
    lines = ["Loading model", "Sampling 10%", "Sampling 60%", "Encoding video"]
    assert [event.message for event in reports if isinstance(event, Logged)] == lines
    assert [line.message for line in job.lines] == lines
    assert job.lines[0].timestamp == "2024-12-20T15:37:00.117120".replace("37", "00")
    assert Completed(None, None, 126.7) in reports
    assert reports[-1] == Ready("5")
    sizes = [event.received for event in reports if isinstance(event, Downloading)]
    assert sizes == sorted(sizes)
    assert job.video is not None
    assert sizes[-1] == job.video.path.stat().st_size

    state = JobState()
    for event, after in events:
        state = fold(state, event)
        assert state == after
    assert state == job.state
    assert (state.state, state.units, state.inference_time, state.lines) == (State.READY, "5", 126.7, 4)


def test_what_ledger_and_sidecar_hold_at_the_end(session: Session, fal: ScriptedFal, ledger: Ledger) -> None:
    job = session.submit("a cat", duration=10, notebook="cats.ipynb")
    video = job.wait()
    assert video is not None
    (entry,) = ledger.entries()
    assert (entry.id, entry.state, entry.request_id) == (job.id, State.READY, fal.job().request_id)
    assert (entry.units, entry.notebook, entry.prompt, entry.take) == ("5", "cats.ipynb", "a cat", 1)
    assert entry.media_path == str(video.path)
    assert entry.input == {"prompt": "a cat", "duration": "10"}
    assert entry.fingerprint == job.request.fingerprint
    assert json.loads(entry.result or "")["video"]["url"] == video.url
    assert entry.sent_at is not None
    assert entry.finished_at is not None
    assert entry.created_at <= entry.sent_at <= entry.finished_at
    sidecar = json.loads(video.path.with_suffix(".json").read_text())
    assert sidecar["billable_units"] == "5"
    assert [message for _, message in sidecar["lines"]] == [line.message for line in job.lines]
    assert sidecar["fingerprint"] == job.request.fingerprint


def test_the_second_time_nothing_is_asked(session: Session, fal: ScriptedFal) -> None:
    first = session.generate("a cat")
    before = len(fal.requests)
    job = session.submit("a cat")
    assert job.reused
    assert job.done
    again = job.wait()
    assert first is not None
    assert again is not None
    assert again.path == first.path
    assert len(fal.requests) == before
    assert len(session.jobs()) == 1


def test_takes(session: Session, fal: ScriptedFal) -> None:
    first = session.generate("a cat")
    second = session.generate("a cat", take=2)
    third = session.generate("a cat", new=True)
    assert [video.take for video in (first, second, third) if video] == [1, 2, 3]
    assert len(fal.accepted) == 3
    assert session.submit("a cat", take=2).wait() is not None
    assert len(fal.accepted) == 3


def test_two_calls_of_one_session_are_one_job(session: Session, fal: ScriptedFal) -> None:
    fal.script = Script([Queue(0), Hold(), Run(), Done()])
    reports: list[Event] = []
    first = session.submit("a cat")
    fal.wait_for("stream")
    second = session.submit("a cat", on_event=lambda event, _: reports.append(event))
    assert second is first
    fal.release()
    assert first.wait() is second.wait()
    assert isinstance(reports[-1], Ready)
    assert len(fal.accepted) == 1


def test_two_sessions_of_one_process_are_one_submission(
    make_session: Callable[..., Session], fal: ScriptedFal
) -> None:
    fal.script = Script([Queue(0), Run(), Hold(), Done()])
    stall = fal.fault("submit", "stall", at="after_head")
    first = make_session().submit("a cat")
    fal.wait_for("submit")
    second = make_session().submit("a cat")  # fal has not answered the first one yet
    assert second.id == first.id
    stall.release()
    fal.wait_for("stream", 2)
    fal.release()
    one, other = first.wait(), second.wait()
    assert one is not None
    assert other is not None
    assert one.path == other.path
    assert second.state.resumed
    assert not first.state.resumed
    assert len(fal.accepted) == 1


async def test_a_plain_asyncio_program(session: Session, fal: ScriptedFal) -> None:
    fal.script = Script([Queue(0), Run(), Log("one"), Hold(), Log("two"), Done()])
    job = session.submit("a cat")
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    await asyncio.to_thread(fal.wait_for, lambda: job.state.lines == 1)
    fal.release()
    video = await job
    ticking.cancel()
    assert video is not None
    assert ticks > 1
    assert await job is video  # a second time too


async def test_iteration_gives_every_event_to_the_last(session: Session, fal: ScriptedFal) -> None:
    for number in range(20):  # the last event used to be lost now and then
        fal.script = Script([Queue(0), Run(), Log("one"), Hold(), Log("two"), Done()])
        job = session.submit(f"cat {number}")
        await asyncio.to_thread(fal.wait_for, lambda job=job: job.state.lines == 1)
        reading = asyncio.create_task(listen(job))
        await asyncio.sleep(0)
        fal.release(job.request_id)
        events = await reading
        assert isinstance(events[-1], Ready)
        assert Logged("two", "2024-12-20T15:00:01.117120") in events
    assert [event async for event in job] == []  # it is over


async def listen(job: object) -> list[Event]:
    return [event async for event in job]  # type: ignore[attr-defined]


async def test_an_awaiting_task_that_is_cancelled_leaves_the_job_alone(
    session: Session, fal: ScriptedFal
) -> None:
    fal.script = Script([Queue(0), Run(), Hold(), Done()])
    job = session.submit("a cat")
    waiting = asyncio.create_task(job.wait_async())
    await asyncio.to_thread(fal.wait_for, "stream")
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    fal.release()
    assert await job is not None
    assert fal.count("cancel") == 0


def test_a_failing_listener_does_not_stop_the_others(
    session: Session, fal: ScriptedFal, caplog: object
) -> None:
    heard: list[Event] = []

    def fails(event: Event, state: JobState) -> None:
        raise ZeroDivisionError

    fal.script = Script([Queue(0), Hold(), Run(), Done()])
    job = session.submit("a cat", on_event=fails)
    fal.wait_for("stream")
    job.subscribe(lambda event, _: heard.append(event))
    end = job.subscribe(lambda event, _: heard.append(event))
    end()
    fal.release()
    assert job.wait() is not None
    assert [event for event in heard if isinstance(event, Running)] == [Running()]
    assert isinstance(heard[-1], Ready)


def test_many_jobs_at_once(session: Session, fal: ScriptedFal, tmp_path: Path) -> None:
    jobs = [session.submit(f"cat {number}") for number in range(24)]
    assert len({job.wait().path for job in jobs if job.wait()}) == 24  # type: ignore[union-attr]
    assert len(fal.accepted) == 24
    assert len(list((tmp_path / "media").glob("*.mp4"))) == 24
    assert not list((tmp_path / "media").glob(".*"))
