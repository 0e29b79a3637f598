"""One trial: a job with a fault on one exchange, its outcome, and the same request without the fault."""

import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from PIL import Image
from scripted import Done, Fail, Hold, Log, Queue, Run, Script
from scripted.faults import Fault as Armed

from kling_nb import errors
from kling_nb.events import State
from kling_nb.job.job import Job
from kling_nb.session import Session

from .bench import Bench
from .fault import Fault

DEADLINE = 30.0
"""Most seconds of one wait of a trial. The longest one (six tries of 0.2 s, four times) takes 5."""

LASTING = 26
"""Uses after which a fault that lasts is lifted: more than the tries of any request, redirects included."""

LASTING_STALLS = 7
LASTING_STALLS_OF_AN_UPLOAD = 13  # it has two routes

HASTY = {"submit": "submit", "stream": "stream", "upload_initiate": "upload", "upload": "upload"}
"""The wait to shorten for an exchange that stays silent. All other exchanges are answered."""

SCRIPTS = {
    "plain": Script([Queue(1), Run(), Log("Sampling 10%"), Log("Sampling 60%"), Done()]),
    "back": Script([Queue(1), Run(), Log("Sampling 10%"), Queue(3), Queue(0), Run(), Done()]),
    "fails": Script([Queue(1), Run(), Log("Sampling 10%"), Fail.platform("runner_server_error", 500)]),
    "queued": Script([Queue(1), Hold(), Run(), Done()]),
}


T = TypeVar("T")


class Hang(AssertionError):
    """A wait did not end by its deadline."""


@dataclass(frozen=True)
class Trial:
    """The outcome of one trial.

    Attributes:
        outcome: Its name in the table.
        struck: Number of exchanges with the fault.
        accepted: Number of submissions that fal accepted in both runs; more than one is a duplicate.
        seconds: Its duration.
    """

    outcome: str
    struck: int
    accepted: int
    seconds: float


def attempt(bench: Bench, exchange: str, fault: Fault, *, lasting: bool = False) -> Trial:
    """Run a job with `fault` on `exchange`, once or at each try, then ask again without the fault."""
    bench.trials += 1
    prompt = f"{exchange} {bench.trials} of {id(bench):x}"
    started = time.monotonic()
    bench.fal.script = SCRIPTS[str(fault.options.get("name", "plain"))]
    try:
        outcome, struck = _Run(bench, exchange, fault, lasting, prompt).outcome()
    finally:
        bench.fal.clear_faults()
        bench.fal.script = SCRIPTS["plain"]
    trial = Trial(outcome, struck, bench.accepted(prompt), time.monotonic() - started)
    if not struck:
        raise Unmet(fault, trial)
    return trial


class Unmet(AssertionError):
    """The fault met nothing, so the trial does not show what it was made for."""

    def __init__(self, fault: Fault, trial: Trial) -> None:
        super().__init__(f"the fault met nothing: {fault}, {trial}")
        self.trial = trial


class _Run:
    """A running trial."""

    def __init__(self, bench: Bench, exchange: str, fault: Fault, lasting: bool, prompt: str) -> None:
        self.bench, self.fal = bench, bench.fal
        self.exchange, self.fault, self.lasting, self.prompt = exchange, fault, lasting, prompt
        self.armed: Armed | None = None
        self.waited = False

    @property
    def session(self) -> Session:
        if not self.fault.stalls:
            return self.bench.session()
        return self.bench.session(HASTY.get(self.exchange, "answer"))

    def outcome(self) -> tuple[str, int]:
        run = {"cancel": self._run_cancel, "lookup": self._run_look_up}.get(self.exchange, self._run_job)
        before, strays = len(self.fal.requests), len(self.fal.stray_keys)
        with self._clock():
            outcome = run()
        struck = self.armed.used if self.armed is not None else 0
        if self.fault.kind in {"refused", "clock", "script", "private"} or self.exchange == "lookup":
            struck = struck or 1
        assert len(self.fal.stray_keys) == strays, "the key reached another host"
        self._check_hosts(before)
        return outcome, struck

    def _check_hosts(self, before: int) -> None:
        strayed = [
            one for one in self.fal.requests[before:] if one.exchange == "stray" and one.listener == "media"
        ]
        assert not strayed, f"asked of another host: {strayed[0].method} {strayed[0].target}"

    # -- the exchanges

    def _run_job(self) -> str:
        """A job, from the submission to its file."""
        if self.exchange == "status":  # A status is requested only without a stream.
            self.fal.fault("stream", "status", status=405, times=None)
        if self.fault.kind == "refused":
            return self._judge(self._run_refused())
        self._arm(self.exchange)
        return self._judge(self._wait_for_end(self._submit()))

    def _run_cancel(self) -> str:
        self.fal.script = SCRIPTS["queued"]
        job = self._submit()
        self._until(lambda: job.state.state is State.IN_QUEUE)
        if self.fault.kind == "refused":
            shown = self._while_refused(lambda: self._ask_to_cancel(job))
        else:
            self._arm("cancel")
            shown = self._ask_to_cancel(job)()
        self._lift()
        if shown is not None:
            self.fal.jobs[-1].finish()
        self._wait_for_end(job)
        after = "" if shown is None else f" {type(shown).__name__}"
        if job.state.state is State.CANCELLED:
            return f"CANCELLED{after}"
        assert job.state.state is State.READY, job.state
        return f"goes on{after}"

    def _ask_to_cancel(self, job: Job) -> Callable[[], errors.KlingError | None]:
        asked = job.cancel_soon()

        def answer() -> errors.KlingError | None:
            try:
                asked.result(DEADLINE)
            except errors.KlingError as fault:
                return fault
            return None

        return answer

    def _run_look_up(self) -> str:
        """A submission whose answer was lost, looked up at the platform API."""
        self.fal.fault("submit", "reset")
        with suppress(errors.SubmissionUncertain):
            self._submit().wait(DEADLINE)
        if self.fault.kind == "refused":
            with self.fal.refusing():
                shown = self._ask_again(self.session)
        else:
            self._arm("lookup")
            shown = self._ask_again(self.session)
        self._lift()
        return shown if shown == "READY" else f"{shown}, then {self._ask_again()}"

    # -- parts of them

    def _submit(self) -> Job:
        image = _picture() if self.exchange in {"upload_initiate", "upload"} else None
        # No two trials may send the same bytes, because a file is uploaded only once.
        return self.session.submit(self.prompt, image=image and image + self.prompt.encode())

    def _arm(self, exchange: str) -> None:
        if self.fault.kind in {"script", "clock"}:
            return
        if self.fault.kind == "private" or exchange == "sign":
            self.fal.cdn.default_acl = str(self.fault.options.get("acl", "forbid"))
            self.fal.platform.may_sign = bool(self.fault.options.get("sign", True))
        if self.fault.kind == "private":
            return
        # The official client may still ask for its job of the trial before.
        self.armed = self.fault.arm(self.fal, exchange, None if self.lasting else 1, client="kling_nb/")

    def _run_refused(self) -> Job:
        """Refuse connections when the exchange is due; if the fault does not last, until the fourth try."""
        if self.exchange == "submit":  # It has no second try.
            with self.fal.refusing():
                return self._wait_for_end(self._submit())
        if self.exchange == "upload_initiate":
            return self._while_refused(self._start)
        door = self.fal.fault(self.exchange, "stall", at="before_body")
        job = self._submit()
        self._until(lambda: door.used or job.done)
        return self._while_refused(lambda: lambda: self._wait_for_end(job), lambda: job.done)

    def _start(self) -> Callable[[], Job]:
        job = self._submit()
        return lambda: self._wait_for_end(job)

    def _while_refused(
        self, begin: Callable[[], Callable[[], T]], over: Callable[[], bool] = lambda: False
    ) -> T:
        """Return the result of `begin`; no connection is accepted for three waits, or to its end."""
        clock = self.bench.clock
        before = clock.waits
        if not self.lasting:
            clock.stop_at = before + 3
        try:
            with self.fal.refusing():
                end = begin()
                if self.lasting and self.exchange not in {"status", "stream"}:
                    return end()
                self._until(lambda: over() or clock.waits >= before + (LASTING if self.lasting else 3))
        finally:
            clock.stop_at = None
        self.waited = self.lasting
        return end()

    def _wait_for_end(self, job: Job) -> Job:
        """Wait for the job's end. A lasting fault is removed after more tries than one wait has."""
        stalls = LASTING_STALLS_OF_AN_UPLOAD if self.exchange == "upload" else LASTING_STALLS
        limit = stalls if self.fault.stalls else LASTING
        armed = self.armed
        if self.lasting and armed is not None:
            self._until(lambda: job.done or armed.used >= limit)
            self.waited = not job.done
            self._lift()
        try:
            job.wait(DEADLINE)
        except errors.WaitTimeout as fault:
            raise Hang(f"{job!r} did not end; it is {job.state}") from fault
        except errors.KlingError:
            pass
        return job

    def _lift(self) -> None:
        self.fal.clear_faults()
        self.fal.cdn.default_acl, self.fal.platform.may_sign = "allow", True

    def _until(self, condition: Callable[[], object]) -> None:
        try:
            self.fal.wait_for(condition, timeout=DEADLINE)
        except AssertionError as fault:
            raise Hang(str(fault)) from fault

    # -- the outcome

    def _judge(self, job: Job) -> str:
        self._lift()
        error = job.error
        if error is None:
            assert job.state.state is State.READY
            assert job.file is not None
            assert job.file.is_file()
            assert self.bench.accepted(self.prompt) == 1
            if self.exchange in {"stream", "status"} and self.fault.kind != "script":
                self._check_lines(job)
            return "WAITS" if self.waited else "READY"
        assert isinstance(error, errors.KlingError), repr(error)
        assert type(error) is not errors.KlingError, f"an error of no kind: {error}"
        assert len(str(error).splitlines()) <= 4, error
        name = type(error).__name__
        if isinstance(error, errors.SubmissionUncertain):
            self._ask_again()
            return "UNCERTAIN"
        entry = self.bench.ledger.get(job.id)
        assert entry is not None
        if not self.bench.accepted(self.prompt):
            assert self._ask_again() == "READY"
            return f"refused {name}"
        if entry.state is State.FAILED and not entry.is_result_gone:
            return f"failed {name}"
        assert self._ask_again() == "READY"
        if entry.is_result_gone:
            return f"gone {name}"
        return f"kept {name}"

    def _check_lines(self, job: Job) -> None:
        """Check that the job has each line of the log once, from stream or status."""
        found = [line.message for line in job.lines]
        assert [found.count(line) for line in ("Sampling 10%", "Sampling 60%")] == [1, 1], found

    def _ask_again(self, session: Session | None = None) -> str:
        """Submit the same request without a fault: it must end with its video, or as uncertain."""
        job = (session or self.bench.session()).submit(self.prompt, image=self._image())
        self._wait_for_end(job)
        if job.error is None:
            return "READY"
        assert isinstance(job.error, errors.SubmissionUncertain), job.error
        assert job.error.remedy
        return "UNCERTAIN"

    def _image(self) -> bytes | None:
        if self.exchange not in {"upload_initiate", "upload"}:
            return None
        return _picture() + self.prompt.encode()

    @contextmanager
    def _clock(self) -> Iterator[None]:
        """Let the wall clock of this process jump after the submission was accepted."""
        if self.fault.kind != "clock":
            yield
            return
        real, seconds = time.time, float(self.fault.options["seconds"])
        time.time = lambda: real() + (seconds if self.bench.accepted(self.prompt) else 0.0)
        try:
            yield
        finally:
            time.time = real


@cache
def _picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (320, 320), "orange").save(buffer, "JPEG")
    return buffer.getvalue()
