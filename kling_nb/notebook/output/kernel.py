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
from kling_nb.notebook.card.job import Bundle, card_bundle, text_bundle, view_of
from kling_nb.notebook.card.mark import VIEW, here, mark_of, served_here
from kling_nb.notebook.ipykernel_quirks import has_viewer
from kling_nb.notebook.output.terminal import Outputs, ShownSweep, TerminalSweep
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
        metadata = mark_of(job).to_metadata()
        card_id = f"kling-{job.id}-{os.urandom(4).hex()}"
        view_id = f"{card_id}-view"
        live = has_viewer()
        two_outputs = live and not shows_card_without_kernel(self._shell)
        card_first = live and "anywidget" not in sys.modules
        if card_first:
            if two_outputs:
                self._publish(text_bundle(job), metadata, view_id)
            self._publish(card_bundle(job), metadata, card_id)
            if not job.done:
                wait([job._answered], FIRST_SECONDS)
        view = job_widget.widget_bundle(job) if live else {}
        was_submitted = bool(job.request_id)
        if view and two_outputs:
            self._publish(view, metadata, view_id, update=card_first)
            view = {}
        if view or not card_first:
            self._publish({**view, **card_bundle(job)}, metadata, card_id, update=card_first)
        if job.cell is not None:

            def draw(chosen: Job) -> None:
                self._publish({**view, **card_bundle(chosen, job.id)}, metadata, card_id, update=True)

            job.cell.draw = draw
        if not was_done:  # also if the job has ended meanwhile
            self._update_card_later(job, view, metadata, card_id, was_submitted=was_submitted)

    def _update_card_later(
        self, job: Job, view: Bundle, metadata: Bundle, display_id: str, *, was_submitted: bool
    ) -> None:
        # With its request id in the saved notebook, a job can be found if the kernel dies. An update draws an
        # output with a live view again. The server extension finds jobs without that id, so its outputs with
        # a view are updated only at the end.
        needs_id = not was_submitted and not (view and served_here())

        cell = job.cell

        def publish() -> None:
            shown = (cell and cell.chosen) or job  # a take may be chosen while the job runs
            self._publish({**view, **card_bundle(shown, job.id)}, metadata, display_id, update=True)

        def update(event: Event, state: JobState) -> None:
            if state.state.finished or (isinstance(event, Submitted) and needs_id):
                publish()

        job.subscribe(update)
        if job.done or (job.request_id and needs_id):  # it came that far before the subscription
            publish()

    def wait(self, job: Job, timeout: float | None, *, quiet: bool) -> Result:
        """Wait for a job. Its outputs show the progress."""
        return job.wait(timeout)

    def show_sweep(self, sweep: Sweep, *, quiet: bool) -> ShownSweep:
        """Show the live grid, and the card, which is updated at the end."""
        if quiet:
            return TerminalSweep(sweep, None, quiet=True)
        self.explain(sweep[0].plan.settings.backend)
        shown = KernelSweep(sweep, self._shell) if len(sweep) <= LARGEST else TextSweep(sweep, self._publish)
        shown.show()
        return shown

    def _publish(self, data: Bundle, metadata: Bundle, display_id: str, *, update: bool = False) -> None:
        self._shell.display_pub.publish(
            data, metadata=metadata, transient={"display_id": display_id}, update=update
        )


def shows_card_without_kernel(shell: Any) -> bool:
    """Return True if the front end shows the card of an output whose widget has no kernel."""
    return served_here() or front_end.VSCODE_NOTEBOOK in shell.user_ns


class KernelSweep:
    """The live grid of a sweep and its card, placed by `LiveAndCard`.

    The card is updated when the last cell has ended. A waiting cell calls `finish` for that, so that its
    output is complete when it ends. Otherwise a thread does it.
    """

    def __init__(self, sweep: Sweep, shell: Any) -> None:
        self._sweep = sweep
        self._outputs = LiveAndCard(sweep.id, f"Sweep: {sizes(sweep)}", shell)
        self._lock = threading.Lock()
        self._finished = False

    def show(self) -> None:
        """Show grid and card."""
        if self._sweep.done:
            self._finished = True
        else:
            self._outputs.show_live(grid_widget.SweepSource(self._sweep))
        self._outputs.show_card(self._card())
        if not self._finished:
            self._sweep.subscribe(self._on_cell)
            if self._sweep.done:
                self.finish()

    def wait(self, timeout: float | None) -> None:
        """Block until every cell has ended. The outputs show the progress."""
        self._sweep.wait(timeout, check=False)

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


class TextSweep:
    """A batch with more rows than a grid can show: one line, which is replaced as it goes on."""

    def __init__(self, sweep: Sweep, publish: Callable[..., None]) -> None:
        self._sweep = sweep
        self._publish = publish
        self._next = 0.0

    def show(self) -> None:
        """Show the line."""
        self._show(update=False)
        self._sweep.subscribe(lambda _cell: self._show(update=True))

    def wait(self, timeout: float | None) -> None:
        """Block until every row has ended."""
        self._sweep.wait(timeout, check=False)

    def finish(self) -> None:
        """Show the result."""
        self._show(update=True, now=True)

    def _show(self, *, update: bool, now: bool = False) -> None:
        if now or self._sweep.done or time.monotonic() >= self._next:
            self._next = time.monotonic() + _LINE_SECONDS
            text = {"text/plain": f"{type(self._sweep).__name__}: {self._sweep.summary()}"}
            self._publish(text, {}, self._sweep.id, update=update)


_LINE_SECONDS = 1.0


def show_storyboard(board: Storyboard, shell: Any) -> None:
    """Show the live view of a storyboard and its card in a cell."""
    source = grid_widget.StoryboardSource(board)
    outputs = LiveAndCard(board.id, f"Storyboard: {source.summary}", shell)
    outputs.show_live(source)
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
    """The outputs of a sweep or a storyboard, by the rules of `KernelOutputs`.

    Args:
        name: Id of the sweep or storyboard.
        title: A line of text that stays true, for readers that show neither view nor card.
        shell: The shell that publishes.
    """

    def __init__(self, name: str, title: str, shell: Any) -> None:
        # The metadata are the same in all publications; `mark.py` has the reason.
        self._metadata = replace(here(), job=name).to_metadata()
        self._title = title
        self._shell = shell
        self._display_id = f"kling-{name}-{os.urandom(4).hex()}"
        self._view: Bundle = {}
        self._shown = False

    def show_live(self, source: Any) -> None:
        """Show the live view, if there is a viewer. Call it once, before `show_card`."""
        if not has_viewer():
            return
        bundle = view_of(grid_widget.GridWidget(source)._repr_mimebundle_())
        view = {VIEW: bundle[VIEW]} if VIEW in bundle else {}
        if shows_card_without_kernel(self._shell):
            self._view = view  # `show_card` publishes it in the same output
        elif view:
            self._publish({**view, "text/plain": self._title})

    def show_card(self, card: Bundle) -> None:
        """Show the card, or update it."""
        update, self._shown = self._shown, True
        self._publish({**self._view, **card}, display_id=self._display_id, update=update)

    def _publish(self, data: Bundle, *, display_id: str | None = None, update: bool = False) -> None:
        self._shell.display_pub.publish(
            data,
            metadata=self._metadata,
            transient={"display_id": display_id} if display_id else {},
            update=update,
        )
