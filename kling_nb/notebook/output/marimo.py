"""Jobs and videos in marimo, which loads no IPython extension and serves no folder."""

from __future__ import annotations

import re
from html import escape, unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kling_nb import front_end
from kling_nb._lazy import lazy
from kling_nb.job.job import Job, Presenter
from kling_nb.notebook.card import html as card
from kling_nb.notebook.card.job import card_of, card_of_file
from kling_nb.video import MediaFile, Video

if TYPE_CHECKING:
    import marimo

    from kling_nb.notebook.widgets import grid as grid_widget
    from kling_nb.notebook.widgets import job as job_widget
else:
    marimo = lazy("marimo")  # no dependency: this module is used only in a marimo notebook
    grid_widget = lazy("kling_nb.notebook.widgets.grid")
    job_widget = lazy("kling_nb.notebook.widgets.job")  # boundary 3 of `_lazy`


_PLAYER = re.compile(r'(<(?:video|audio) )src="[^"]*"')


def register() -> None:
    """Register the presenters, if this process runs a marimo notebook."""
    if front_end.job_presenter is None and marimo.running_in_notebook():
        front_end.job_presenter = MarimoPresenter
        front_end.video_presenter = video_bundle
        front_end.grid_widget = lambda shown: grid_widget.live_view(shown)  # noqa: PLW0108 -- loads at first use


class MarimoPresenter(Presenter):
    """Shows running jobs as widgets, finished ones as cards."""

    def widget(self, job: Job) -> Any:
        """Return a live view of the job. Call it on the thread of its cell."""
        return job_widget.JobWidget(job)

    def display(self, job: Job) -> Any:
        """Return what marimo displays for the job."""
        if not job.done:
            return marimo.ui.anywidget(self.widget(job))
        return marimo.Html(_with_marimo_url(card.html(card_of(job)), job.file))


def video_bundle(result: Video | MediaFile) -> dict[str, Any]:
    """Return the card of a video, audio file or image."""
    return {
        "text/html": _with_marimo_url(card.html(card_of_file(result)), result.path),
        "text/plain": repr(result),
    }


def _with_marimo_url(html: str, path: Path | None) -> str:
    """Return a card whose player has a URL that marimo serves. An exported page contains the file itself."""
    if path is None or not _PLAYER.search(html):
        return html
    source = re.search(r"""src=(["'])(.*?)\1""", marimo.video(path).text)
    src = unescape(source[2]) if source else ""
    return _PLAYER.sub(lambda player: f'{player[1]}src="{escape(src)}"', html)
