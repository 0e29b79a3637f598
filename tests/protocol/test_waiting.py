"""Waiting for a job: time limits, loops that run already, Ctrl-C, and the end of the program."""

import asyncio
import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest
from scripted import Done, Hold, Log, Queue, Run, Script, ScriptedFal

from kling_nb import errors
from kling_nb.events import State
from kling_nb.ledger import Ledger
from kling_nb.session import Session

MakeSession = Callable[..., Session]


@pytest.mark.parametrize("limit", [0, 0.05])
def test_a_wait_that_runs_out_leaves_the_job_alone(session: Session, fal: ScriptedFal, limit: float) -> None:
    fal.script = Script([Run(), Hold(), Done()])
    with pytest.raises(errors.WaitTimeout) as caught:
        session.generate("a cat", timeout=limit)
    assert isinstance(caught.value, TimeoutError)
    assert "the job goes on" in str(caught.value)
    assert "%kling show" in caught.value.remedy
    fal.wait_for("stream")
    assert fal.count("cancel") == 0
    fal.release()
    assert session.generate("a cat", timeout=float("inf")) is not None
    assert len(fal.accepted) == 1


@pytest.mark.parametrize("timeout", ["soon", -1, float("nan"), []])
def test_a_wrong_limit_is_refused_before_anything_is_sent(
    session: Session, fal: ScriptedFal, timeout: Any
) -> None:
    with pytest.raises(errors.UsageError, match="timeout must be a number of seconds from 0"):
        session.generate("a cat", timeout=timeout)
    assert not fal.requests


def test_a_listener_must_be_a_function(session: Session, fal: ScriptedFal) -> None:
    with pytest.raises(errors.UsageError, match="on_event must be a function, not 5"):
        session.submit("a cat", on_event=5)  # type: ignore[arg-type] -- a user's mistake
    assert not fal.requests


def test_a_listener_that_fails_is_reported_once(
    session: Session, fal: ScriptedFal, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[object] = []

    def fail(event: object, state: object) -> None:
        calls.append(event)
        raise ValueError("in the listener")

    fal.script = Script([Run(), Log("one"), Log("two"), Done()])
    assert session.submit("a cat", on_event=fail).wait() is not None
    assert len(calls) > 3
    assert caplog.text.count("a listener failed") == 1


def test_the_limit_of_the_settings(make_session: MakeSession, fal: ScriptedFal) -> None:
    fal.script = Script([Run(), Hold(), Done()])
    session = make_session(timeout=0.05)
    with pytest.raises(errors.WaitTimeout, match=r"0\.05 s"):
        session.generate("a cat")
    fal.wait_for("stream")
    fal.release()
    assert session.generate("a cat", timeout=10) is not None


async def test_a_wait_of_a_coroutine_that_runs_out(session: Session, fal: ScriptedFal) -> None:
    fal.script = Script([Run(), Hold(), Done()])
    job = session.submit("a cat")
    with pytest.raises(errors.WaitTimeout):
        await job.wait_async(0.05)
    await asyncio.to_thread(fal.wait_for, "stream")
    fal.release()
    assert await job.wait_async(10) is not None


def test_inside_a_running_loop_other_tasks_go_on(fal: ScriptedFal, run: Any) -> None:
    fal.script = Script([Run(), Log("one"), Hold(), Done()])
    program = run(
        """
import asyncio
import kling_nb

async def main():
    ticks = 0
    async def tick():
        nonlocal ticks
        while True:
            await asyncio.sleep(0.001)
            ticks += 1
            if ticks == 20:
                print("ticking", flush=True)
    task = asyncio.create_task(tick())
    video = kling_nb.generate("a cat")     # blocks this coroutine, and no other
    task.cancel()
    print(video.path.exists(), ticks > 20, flush=True)
    try:
        kling_nb.generate("a dog", timeout=0.01)
    except kling_nb.errors.WaitTimeout:
        print("ran out", flush=True)

asyncio.run(main())
"""
    )
    assert program.says() == "ticking"
    fal.wait_for("stream")
    fal.jobs[0].release()
    assert program.says() == "True True"
    assert program.says() == "ran out"
    code, _, complaints = program.finish()
    assert (code, complaints) == (0, "")


INTERRUPTED = """
import kling_nb
try:
    kling_nb.generate("a cat")
except kling_nb.errors.Interrupted as error:
    print(str(error).replace("\\n", " "), flush=True)
print(kling_nb.jobs()[0].state.value, flush=True)
"""


def test_an_interrupt_in_the_queue_cancels(fal: ScriptedFal, run: Any, ledger: Ledger) -> None:
    fal.script = Script([Queue(3), Hold(), Run(), Done()])
    program = run(INTERRUPTED)
    fal.wait_for("stream")
    program.process.send_signal(signal.SIGINT)
    assert "Not charged" in program.says()
    assert program.says() == "CANCELLED"
    assert program.finish()[0] == 0
    assert fal.count("cancel") == 1


def test_an_interrupt_while_it_runs_does_not(fal: ScriptedFal, run: Any, ledger: Ledger) -> None:
    fal.script = Script([Run(), Hold(), Done()])
    program = run(INTERRUPTED)
    fal.wait_for(lambda: ledger.entries() and ledger.entries()[0].state is State.IN_PROGRESS)
    program.process.send_signal(signal.SIGINT)
    shown = program.says()
    assert "keeps running at fal" in shown
    assert fal.job().request_id in shown
    assert "%kling cancel" in shown
    assert program.says() == "IN_PROGRESS"
    code, _, complaints = program.finish()
    assert (code, complaints) == (0, "")
    assert fal.count("cancel") == 0


def test_an_interrupt_before_fal_has_answered_cancels_later(
    fal: ScriptedFal, run: Any, ledger: Ledger
) -> None:
    fal.script = Script([Queue(3), Hold(), Run(), Done()])
    stall = fal.fault("submit", "stall")
    program = run(INTERRUPTED + "import sys; sys.stdin.readline()")
    fal.wait_for("submit")
    program.process.send_signal(signal.SIGINT)
    assert "as soon as" in program.says()
    assert program.says() == "SUBMITTING"
    stall.release()
    fal.wait_for(lambda: ledger.entries()[0].state is State.CANCELLED)
    program.tell("enough")
    assert program.finish()[0] == 0


def test_a_program_that_submits_and_ends(
    session: Session, fal: ScriptedFal, run: Any, ledger: Ledger
) -> None:
    """Its end waits for fal's answer, so that the request id is not lost."""
    fal.script = Script([Queue(3), Hold(), Run(), Done()])
    stall = fal.fault("submit", "stall")
    program = run("import kling_nb\nkling_nb.submit('a cat')\nprint('the end', flush=True)")
    assert program.says() == "the end"
    fal.wait_for("submit")
    assert program.process.poll() is None
    stall.release()
    code, _, complaints = program.finish()
    assert (code, complaints) == (0, "")
    (entry,) = ledger.entries()
    assert entry.request_id == fal.job().request_id
    fal.release()
    assert session.get_job(entry.id).wait() is not None


def test_a_program_that_ends_while_its_job_runs(fal: ScriptedFal, run: Any, ledger: Ledger) -> None:
    fal.script = Script([Run(), Hold(), Done()])
    program = run(
        """
import sys
import kling_nb
kling_nb.submit('a cat')
sys.stdin.readline()
"""
    )
    fal.wait_for("stream")
    program.tell("end")
    code, _, complaints = program.finish()
    assert (code, complaints) == (0, "")
    assert not ledger.entries()[0].state.finished


@pytest.mark.parametrize("argument", ["take=0", "take='x'", "take=1, new=True", "duration=7", "nonsense=1"])
def test_bad_arguments_ask_nothing_of_fal(session: Session, fal: ScriptedFal, argument: str) -> None:
    with pytest.raises(errors.InputError):
        session.generate("a cat", **eval(f"dict({argument})"))
    assert not fal.requests
    assert session.jobs() == []


def test_an_image_given_twice(session: Session, fal: ScriptedFal) -> None:
    with pytest.raises(errors.InputError, match="image and image_url") as caught:
        session.submit("a cat", image="https://example.com/a.jpg", image_url="https://example.com/b.jpg")
    assert caught.value.parameter == "image_url"
    assert not fal.requests


def test_an_endpoint_without_prompt_or_image(session: Session, fal: ScriptedFal) -> None:
    with pytest.raises(errors.InputError, match="takes no prompt"):
        session.submit("a cat", endpoint="try-on")
    with pytest.raises(errors.InputError, match="takes no image"):
        session.submit("good evening", endpoint="tts", image="https://example.com/a.jpg")
    assert not fal.requests


# -- Loops that cannot nest, as web servers use them.

CANNOT_NEST = pytest.mark.skipif(sys.platform == "win32", reason="uvloop does not exist there")


def on_uvloop(work: Callable[[], Any]) -> Any:
    """Call `work` inside a running loop that cannot nest."""
    import uvloop

    async def call() -> Any:
        return work()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(call())


@CANNOT_NEST
@pytest.mark.parametrize(
    "call",
    [
        lambda session: session.generate("a cat"),
        lambda session: session.upload(b"GIF89a"),
        lambda session: session.sweep("a cat", duration=[5, 10], start=False).wait(),
    ],
    ids=["generate", "upload", "sweep"],
)
def test_a_blocking_call_that_cannot_nest_fails_before_anything_is_sent(
    session: Session, fal: ScriptedFal, call: Callable[[Session], Any]
) -> None:
    with pytest.raises(errors.UsageError, match="uvloop") as caught:
        on_uvloop(lambda: call(session))
    text = str(caught.value)
    assert "Nothing was sent" in text
    assert "await kling_nb.submit" in text
    assert "asyncio.to_thread" in text
    assert len(text.splitlines()) <= 4
    assert not fal.requests
    assert not session.jobs()


@CANNOT_NEST
def test_what_the_message_names_works_there(session: Session, fal: ScriptedFal) -> None:
    import uvloop

    fal.script = Script([Run(), Hold(), Done()])

    async def serve() -> None:
        job = session.submit("a cat")
        with pytest.raises(errors.UsageError, match=f"Job {job.id} goes on, and nothing was sent again"):
            job.wait()
        await asyncio.to_thread(fal.wait_for, "stream")
        fal.release()
        assert await job is not None
        assert job.wait() is job.result  # nothing is left to wait for
        fal.script = Script([Run(), Done()])
        assert await asyncio.to_thread(session.generate, "a dog") is not None
        assert session.get_job(job.id).cancel()
        session.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
    assert len(fal.accepted) == 2
