"""Where a front end shows things. One of two, chosen when the extension loads."""

from __future__ import annotations

import json
import sys
from typing import Protocol, TextIO
from urllib.parse import urlencode

from kling_nb._default import LOCAL_NOTICE, default_session
from kling_nb._job import Job
from kling_nb._plan import Plan
from kling_nb._sweep import Sweep
from kling_nb.fal.options import SubmitOptions
from kling_nb.media import Result
from kling_nb.notebook.job_card import card_of
from kling_nb.notebook.progress import wait_with_progress


class Outputs(Protocol):
    """What the magics need of a front end."""

    @property
    def notebook(self) -> str | None:
        """Name of the notebook, for the ledger."""

    def text(self, text: str) -> None:
        """Show lines of text."""

    def table(self, text: str, html: str) -> None:
        """Show a table, in the form that fits."""

    def plan(self, plan: Plan) -> None:
        """Show what a call would do."""

    def show(self, job: Job, *, quiet: bool) -> None:
        """Show a job, live where it runs."""

    def wait(self, job: Job, timeout: float | None, *, quiet: bool) -> Result:
        """Block until the job has ended."""

    def show_sweep(self, study: Sweep, *, quiet: bool) -> ShownSweep:
        """Show a sweep, live where it runs."""


class ShownSweep(Protocol):
    """A sweep in the outputs."""

    def wait(self, timeout: float | None) -> None:
        """Block until every cell has ended, whatever came of it."""

    def settle(self) -> None:
        """Show what came of it, once all is done."""


class Notice:
    """Says once that jobs go to the embedded engine because there is no key."""

    def __init__(self) -> None:
        self._said = False

    def due(self, backend: str, *, chosen: bool) -> bool:
        """Whether it is to be said now."""
        if self._said or chosen or backend != "local":
            return False
        self._said = True
        return True


class TerminalOutputs:
    """Text, and a progress line while a job runs."""

    notebook: str | None = None

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._notice = Notice()

    def text(self, text: str) -> None:
        """Print it."""
        print(text, file=self._stream or sys.stdout)

    def table(self, text: str, html: str) -> None:
        """Print it."""
        self.text(text)

    def plan(self, plan: Plan) -> None:
        """Print it."""
        self.text(plan_text(plan))

    def show(self, job: Job, *, quiet: bool) -> None:
        """Print where the job stands."""
        if quiet:
            return
        if self._notice.due(job.backend, chosen=backend_chosen()):
            self.text(LOCAL_NOTICE)
        if job.done:
            self.text(card_text(job))

    def wait(self, job: Job, timeout: float | None, *, quiet: bool) -> Result:
        """Wait with a progress line, then print the result."""
        if quiet or job.done:
            return job.wait(timeout)
        result = wait_with_progress(job, self._stream or sys.stdout, timeout)
        self.text(card_text(job))
        return result

    def show_sweep(self, study: Sweep, *, quiet: bool) -> ShownSweep:
        """Print its progress as it is waited for."""
        from kling_nb.notebook.shown_sweep import TerminalSweep  # noqa: PLC0415 -- for who makes one

        if not quiet and self._notice.due(study[0].plan.settings.backend, chosen=backend_chosen()):
            self.text(LOCAL_NOTICE)
        return TerminalSweep(study, self._stream, quiet=quiet)


def card_text(job: Job) -> str:
    """The card of a job as text."""
    from kling_nb.notebook import card  # noqa: PLC0415 -- not before something is shown

    return card.text(card_of(job))


def plan_text(plan: Plan) -> str:
    """What a call would do, with the exact JSON."""
    request = plan.request
    estimate = plan.estimate
    cost = "price unknown" if estimate is None else f"about ${estimate:.2f}"
    if plan.found is not None:
        outcome = (
            f"Take {plan.found.sidecar.take} exists and would be shown: {plan.found.path.name}. No charge."
        )
    elif plan.settings.frozen:
        outcome = f"It has no take here ({cost} on fal), and it would be refused: frozen."
    elif plan.unfinished is not None and plan.unfinished.gone:
        outcome = (
            f"fal kept the result of its job {plan.unfinished.id} no longer, and would be asked once more."
            f" No new charge; another one ({cost}): --new."
        )
    elif plan.unfinished is not None and plan.unfinished.state.closed:
        outcome = (
            f"The file of its job {plan.unfinished.id} is gone and would be fetched again. No new charge."
        )
    elif plan.unfinished is not None and not plan.submits:
        outcome = f"Its unfinished job {plan.unfinished.id} would be taken up again. No new charge."
    elif plan.settings.backend == "local" and request.endpoint.fetched_at:
        outcome = f"The embedded engine has no preview of it; on fal ({cost}) it goes with %kling fal."
    elif plan.settings.backend == "local":
        outcome = f"It would be a free preview by the embedded engine ({cost} on fal)."
    else:
        outcome = f"It would be submitted to fal: {cost}."
    body = json.dumps(request.to_json()["input"], indent=2, ensure_ascii=False)
    asked = (plan.options.to_query() if plan.options else {}) | (
        {"fal_webhook": plan.webhook_url} if plan.webhook_url else {}
    )
    query = f"?{urlencode(asked)}" if asked else ""
    first = f"POST {plan.settings.hosts.queue}/{request.endpoint.id}{query}"
    options = _option_lines(plan.options)
    return "\n".join([first, *options, body, *plan.notices, f"{outcome} Nothing was sent."])


def _option_lines(options: SubmitOptions | None) -> list[str]:
    """The headers of the options. What the user's own ones hold is not shown: it may be a secret."""
    if options is None:
        return []
    own = options.headers or {}
    return [f"{name}: {'***' if name in own else value}" for name, value in options.to_headers().items()]


def backend_chosen() -> bool:
    """Whether the user said where jobs go."""
    return default_session().settings().chosen
