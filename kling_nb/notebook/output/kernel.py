"""Outputs in a Jupyter kernel: the live widget and the static card."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import wait
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kling_nb import front_end
from kling_nb._lazy import lazy
from kling_nb.events import Event, JobState, Submitted
from kling_nb.job.job import Job
from kling_nb.media import Result
from kling_nb.notebook.card import grid as grid_card
from kling_nb.notebook.card.grid import sizes
from kling_nb.notebook.card.job import Bundle, card_bundle
from kling_nb.notebook.card.mark import Mark, here, mark_of, served_here
from kling_nb.notebook.ipykernel_quirks import has_viewer
from kling_nb.notebook.output.terminal import Outputs, ShownSweep
from kling_nb.sweeps.axes import LARGEST
from kling_nb.sweeps.storyboard import Storyboard
from kling_nb.sweeps.sweep import Sweep, SweepCell

if TYPE_CHECKING:
    from kling_nb.notebook.widgets import grid as grid_widget
    from kling_nb.notebook.widgets import job as job_widget
else:  # boundary 3 of `_lazy`: ipywidgets and anywidget come with the first view
    grid_widget = lazy("kling_nb.notebook.widgets.grid")
    job_widget = lazy("kling_nb.notebook.widgets.job")

FIRST_SECONDS = 0.5
"""How long the first widget of a kernel waits for fal's answer to the submission. The imports of the widget
take a quarter of a second, and would delay the submission."""


class KernelOutputs(Outputs):
    """Shows jobs in cells.

    With the server extension, which prepares notebooks when they are opened, a job has one output: the
    widget, and the card for readers without widgets. So it has in VS Code, which shows the card of an output
    whose widget has no kernel (tried with VS Code 1.139). Elsewhere a reopened notebook would show an error
    in place of the widget. So a job has two outputs there: the widget, and the card, which the live widget
    hides on the page. Without a viewer (nbclient, papermill) there is only the card.

    When the job ends, the card is replaced by its `display_id`. Its metadata never change; `mark.py` has the
    reason. The first job of a kernel shows its card at once, and its widget after the submission was sent.
    """

    has_widgets = True

    def __init__(self, shell: Any) -> None:
        super().__init__()
        self._shell = shell

    @property
    def notebook(self) -> str | None:
        """Path of the notebook, as the front end gives it."""
        return front_end.notebook_name(self._shell)

    def table(self, text: str, html: str) -> None:
        """Display a table as HTML, and as text for front ends without HTML."""
        self._shell.display_pub.publish({"text/html": html, "text/plain": text})

    def show_job(self, job: Job) -> None:
        """Show widget and card of a job. A reused take has a widget too, which can make the next take."""
        was_done = job.done
        title = f"Job {job.id}: {job.request.endpoint.title}"
        outputs = LiveAndCard(job.id, title, mark_of(job), self._shell)
        live = has_viewer()
        card_first = live and "anywidget" not in sys.modules
        if card_first:
            outputs.reserve_view()
            outputs.show_card(card_bundle(job))
            if not job.done:
                wait([job._answered], FIRST_SECONDS)
        if live:
            outputs.show_view(job_widget.JobWidget(job).view_data())
        was_submitted = bool(job.request_id)
        if outputs.view or not card_first:
            outputs.show_card(card_bundle(job))
        if job.cell is not None:
            job.cell.draw = lambda chosen: outputs.show_card(card_bundle(chosen, job.id))
        if not was_done:  # also if the job has ended meanwhile
            _update_card_later(job, outputs, was_submitted=was_submitted)

    def wait(self, job: Job, timeout: float | None, *, quiet: bool) -> Result:
        """Wait for a job. Its outputs show the progress."""
        return job.wait(timeout)

    def show_sweep(self, sweep: Sweep, *, quiet: bool) -> ShownSweep:
        """Show the live grid, and the card, which is updated at the end."""
        if quiet:
            return ShownSweep(sweep)
        self.explain(sweep[0].plan.settings.backend)
        shown = (KernelSweep if len(sweep) <= LARGEST else TextSweep)(sweep, self._shell)
        shown.show()
        return shown


def _update_card_later(job: Job, outputs: LiveAndCard, *, was_submitted: bool) -> None:
    # With its request id in the saved notebook, a job can be found if the kernel dies. An update draws an
    # output with a live view again. The server extension finds jobs without that id, so its outputs with a
    # view are updated only at the end.
    needs_id = not was_submitted and not (outputs.view and served_here())

    def publish() -> None:
        shown = (job.cell and job.cell.chosen) or job  # a take may be chosen while the job runs
        outputs.show_card(card_bundle(shown, job.id))

    def update(event: Event, state: JobState) -> None:
        if state.state.finished or (isinstance(event, Submitted) and needs_id):
            publish()

    job.subscribe(update)
    if job.done or (job.request_id and needs_id):  # it came that far before the subscription
        publish()


def shows_card_without_kernel(shell: Any) -> bool:
    """Return True if the front end shows the card of an output whose widget has no kernel."""
    return served_here() or front_end.VSCODE_NOTEBOOK in shell.user_ns


class KernelSweep(ShownSweep):
    """The live grid of a sweep and its card, placed by `LiveAndCard`.

    The card is updated when the last cell has ended. A waiting cell calls `finish` for that, so that its
    output is complete when it ends. Otherwise a thread does it.
    """

    def __init__(self, sweep: Sweep, shell: Any) -> None:
        super().__init__(sweep)
        mark = replace(here(), job=sweep.id)
        self._outputs = LiveAndCard(sweep.id, f"Sweep: {sizes(sweep)}", mark, shell)
        self._lock = threading.Lock()
        self._finished = False

    def show(self) -> None:
        """Show grid and card."""
        if self._sweep.done:
            self._finished = True
        elif has_viewer():
            self._outputs.show_view(grid_widget.live_view(self._sweep).view_data())
        self._outputs.show_card(self._card())
        if not self._finished:
            self._sweep.subscribe(self._on_cell)
            if self._sweep.done:
                self.finish()

    def finish(self) -> None:
        """Update the card, if all cells have ended. Any thread but the background thread."""
        with self._lock:
            if self._finished or not self._sweep.done:
                return
            self._finished = True
            self._outputs.show_card(self._card())

    def _on_cell(self, _cell: SweepCell) -> None:
        self._finished = self._finished and self._sweep.done  # a cell may be run again
        if self._sweep.done:  # posters take too long for the background thread
            threading.Thread(target=self.finish, name="kling-grid-card", daemon=True).start()

    def _card(self) -> dict[str, Any]:
        done = self._sweep.done
        return {
            "text/html": grid_card.sweep_html(self._sweep, players=done),
            "text/plain": grid_card.sweep_text(self._sweep),
        }


class TextSweep(ShownSweep):
    """A batch with more rows than a grid can show: one line, which is replaced as it goes on."""

    def __init__(self, sweep: Sweep, shell: Any) -> None:
        super().__init__(sweep)
        self._line = open_line(shell)
        self._next = 0.0

    def show(self) -> None:
        """Show the line."""
        self._show()
        self._sweep.subscribe(lambda _cell: self._show())

    def finish(self) -> None:
        """Show the result."""
        self._show(now=True)

    def _show(self, *, now: bool = False) -> None:
        if now or self._sweep.done or time.monotonic() >= self._next:
            self._next = time.monotonic() + _LINE_SECONDS
            self._line(f"{type(self._sweep).__name__}: {self._sweep.summary()}")


_LINE_SECONDS = 1.0


def show_storyboard(board: Storyboard, shell: Any) -> None:
    """Show the live view of a storyboard and its card in a cell."""
    title = f"Storyboard: {grid_card.length_of(board)}"
    outputs = LiveAndCard(board.id, title, replace(here(), job=board.id), shell)
    if has_viewer():
        outputs.show_view(grid_widget.live_view(board).view_data())
    outputs.show_card(
        {"text/html": grid_card.storyboard_html(board), "text/plain": grid_card.storyboard_text(board)}
    )


def open_line(shell: Any) -> Callable[[str], None]:
    """Return a function that shows a line of text in the cell, and rewrites it when it is called again."""
    display_id = f"kling-line-{os.urandom(4).hex()}"
    shown: list[str] = []

    def show(text: str) -> None:
        if not shown or shown[-1] != text:
            data, transient = {"text/plain": text}, {"display_id": display_id}
            shell.display_pub.publish(data, metadata={}, transient=transient, update=bool(shown))
            shown[:] = [text]

    return show


class LiveAndCard:
    """The outputs of a job, a sweep or a storyboard, by the rules of `KernelOutputs`.

    Args:
        name: Id of the job, sweep or storyboard.
        title: A line of text that stays true, for readers that show neither view nor card.
        mark: Its mark. The metadata are the same in all publications; `mark.py` has the reason.
        shell: The shell that publishes.

    Attributes:
        view: The live view, if it is in the output of the card.
    """

    def __init__(self, name: str, title: str, mark: Mark, shell: Any) -> None:
        self.view: Bundle = {}
        self._title = title
        self._metadata = mark.to_metadata()
        self._shell = shell
        self._id = f"kling-{name}-{os.urandom(4).hex()}"
        self._published: set[str] = set()

    def reserve_view(self) -> None:
        """Show the title in the place of a live view that comes after the card."""
        if not shows_card_without_kernel(self._shell):
            self._publish({"text/plain": self._title}, f"{self._id}-view")

    def show_view(self, view: Bundle) -> None:
        """Show the live view, or add it to the output of the card, which is shown next."""
        if shows_card_without_kernel(self._shell):
            self.view = view
        elif view:
            self._publish({**view, "text/plain": self._title}, f"{self._id}-view")

    def show_card(self, card: Bundle) -> None:
        """Show the card, or update it."""
        self._publish({**self.view, **card}, self._id)

    def _publish(self, data: Bundle, display_id: str) -> None:
        update = display_id in self._published
        self._published.add(display_id)
        transient = {"display_id": display_id}
        self._shell.display_pub.publish(data, metadata=self._metadata, transient=transient, update=update)
