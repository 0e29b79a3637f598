"""Outputs in a Jupyter kernel: the live widget, and the static card beside it."""

from __future__ import annotations

import os
import sys
from concurrent.futures import wait
from typing import Any

from kling_nb._default import LOCAL_NOTICE
from kling_nb._job import Job
from kling_nb._plan import Plan
from kling_nb._sweep import Sweep
from kling_nb.events import Event, JobState, Submitted
from kling_nb.media import Result
from kling_nb.notebook.bundles import Bundle, card_bundle, text_bundle, watched, widget_bundle
from kling_nb.notebook.mark import mark_of
from kling_nb.notebook.outputs import Notice, ShownSweep, backend_chosen, plan_text
from kling_nb.notebook.served import served_here

FIRST_SECONDS = 0.5
"""How long the first widget of a kernel, whose imports take a quarter of a second, waits for its job's
submission to be answered: the two would only hold each other up."""


class KernelOutputs:
    """Shows jobs in cells.

    Where our server extension settles notebooks when they are opened, a job has one output: the
    widget, with the card for whatever shows no widget. Elsewhere it has two, because an opened
    notebook would have an error in place of the first: the widget, and the card, which the live
    widget hides on the page. Where nobody watches (nbclient, papermill) it has the card alone. The
    card is brought up to date by its `display_id` when the job ends; its metadata stay what they were at
    first (`mark` has the reason). The first job of a kernel shows its card at once, and its widget after
    the submission has left.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._notice = Notice()

    @property
    def notebook(self) -> str | None:
        """The notebook's path as Jupyter or VS Code tells it."""
        name = os.environ.get("JPY_SESSION_NAME") or self._shell.user_ns.get("__vsc_ipynb_file__")
        return str(name) if name else None

    def text(self, text: str) -> None:
        """Print it."""
        print(text)  # noqa: T201 -- into the cell

    def table(self, text: str, html: str) -> None:
        """Display it, as HTML where that can be shown."""
        self._shell.display_pub.publish({"text/html": html, "text/plain": text})

    def plan(self, plan: Plan) -> None:
        """Print it."""
        self.text(plan_text(plan))

    def show(self, job: Job, *, quiet: bool) -> None:
        """The widget and the card: also of a take that was there, for its sliders make the next one."""
        if quiet:
            return
        if self._notice.due(job.backend, chosen=backend_chosen()):
            self.text(LOCAL_NOTICE)
        ended = job.done
        metadata = mark_of(job).to_metadata()
        name = f"kling-{job.id}-{os.urandom(4).hex()}"
        view_place, card_place = f"{name}-view", name
        live = watched()
        apart = live and not served_here()
        there = live and "anywidget" not in sys.modules
        if there:
            if apart:
                self._publish(text_bundle(job), metadata, view_place)
            self._publish(card_bundle(job), metadata, card_place)
            _let_it_leave(job)
        view = widget_bundle(job) if live else {}
        if view and apart:
            self._publish(view, metadata, view_place, update=there)
            view = {}
        if view or not there:
            self._publish({**view, **card_bundle(job)}, metadata, card_place, update=there)
        if not ended:  # even if it has ended while it was being shown
            self._keep_up(job, view, metadata, card_place)

    def _keep_up(self, job: Job, view: Bundle, metadata: Bundle, display_id: str) -> None:
        def publish() -> None:
            self._publish({**view, **card_bundle(job)}, metadata, display_id, update=True)

        def update(event: Event, state: JobState) -> None:
            # With its request id in the saved notebook, a job can be found whatever becomes of the
            # kernel. An output with a live view is drawn anew by an update, so it gets the last alone.
            if state.state.finished or (isinstance(event, Submitted) and not view):
                publish()

        job.subscribe(update)
        if job.done:  # it ended in between, and will tell nobody any more
            publish()

    def wait(self, job: Job, timeout: float | None, *, quiet: bool) -> Result:
        """Wait; the outputs tell the rest."""
        return job.wait(timeout)

    def show_sweep(self, study: Sweep, *, quiet: bool) -> ShownSweep:
        """The live grid, and the card that is brought up to date in the end."""
        from kling_nb.notebook.shown_sweep import KernelSweep, Quiet  # noqa: PLC0415 -- for who makes one

        if quiet:
            return Quiet(study)
        if self._notice.due(study[0].plan.settings.backend, chosen=backend_chosen()):
            self.text(LOCAL_NOTICE)
        shown = KernelSweep(study, self._shell)
        shown.show()
        return shown

    def _publish(self, data: Bundle, metadata: Bundle, display_id: str, *, update: bool = False) -> None:
        self._shell.display_pub.publish(
            data, metadata=metadata, transient={"display_id": display_id}, update=update
        )


def _let_it_leave(job: Job) -> None:
    if not job.done:
        wait([job.answered], FIRST_SECONDS)
