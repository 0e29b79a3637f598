"""Outputs in a Jupyter kernel: the live widget, and the static card beside it."""

from __future__ import annotations

import os
import re
from typing import Any

from kling_nb._default import LOCAL_NOTICE
from kling_nb._job import Job
from kling_nb._plan import Plan
from kling_nb._sweep import Sweep
from kling_nb.events import Event, JobState, Submitted
from kling_nb.media import Result
from kling_nb.notebook.job_card import card_of
from kling_nb.notebook.outputs import Notice, ShownSweep, backend_chosen, card_text, metadata_mark, plan_text


class KernelOutputs:
    """Shows jobs in cells.

    A running job has two outputs. The first is the widget. The second is the card, which is
    brought up to date by its `display_id` when the job ends; the live widget hides it on the
    page, and what has no widget (GitHub, nbviewer, a reopened notebook) shows it.
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
        """The widget and the card of a running job, the card alone of one that has ended."""
        if quiet:
            return
        if self._notice.due(job.backend, chosen=backend_chosen()):
            self.text(LOCAL_NOTICE)
        if not job.done:
            self._publish(widget_bundle(job), job)
        display_id = f"kling-{job.id}-{os.urandom(4).hex()}"
        self._publish(card_bundle(job), job, display_id=display_id)
        if not job.done:
            self._keep_up(job, display_id)

    def _keep_up(self, job: Job, display_id: str) -> None:
        def update(event: Event, state: JobState) -> None:
            # With its request id in the saved notebook, a job can be found whatever becomes of the kernel.
            if state.state.finished or isinstance(event, Submitted):
                self._publish(card_bundle(job), job, display_id=display_id, update=True)

        job.subscribe(update)
        if job.done:  # it ended in between, and will tell nobody any more
            self._publish(card_bundle(job), job, display_id=display_id, update=True)

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

    def _publish(
        self, data: dict[str, Any], job: Job, *, display_id: str | None = None, update: bool = False
    ) -> None:
        self._shell.display_pub.publish(
            data,
            metadata=metadata_mark(job, kernel_id()),
            transient={"display_id": display_id} if display_id else {},
            update=update,
        )


def widget_bundle(job: Job) -> dict[str, Any]:
    """MIME types of a job's live view."""
    from kling_nb.notebook.job_widget import JobWidget  # noqa: PLC0415 -- 100 ms of imports, at the first job

    bundle = JobWidget(job)._repr_mimebundle_()
    data = dict(bundle[0] if isinstance(bundle, tuple) else bundle or {})
    return {**data, "text/plain": f"Job {job.id}: {job.request.endpoint.title}"}


def card_bundle(job: Job) -> dict[str, Any]:
    """MIME types of a job's card."""
    from kling_nb.notebook import card  # noqa: PLC0415 -- not before something is shown

    return {"text/html": card.html(card_of(job)), "text/plain": card_text(job)}


def kernel_id() -> str | None:
    """The kernel's id as Jupyter Server knows it, from its connection file; None elsewhere."""
    try:
        from ipykernel.connect import get_connection_file  # noqa: PLC0415 -- only in a kernel

        found = re.search(r"kernel-([0-9a-f-]{36})\.json$", str(get_connection_file()))
    except (ImportError, RuntimeError):
        return None
    return found[1] if found else None
