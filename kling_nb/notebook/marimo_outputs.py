"""How jobs and videos show themselves in marimo, which loads no extension and serves no folder."""

from __future__ import annotations

import re
from html import escape, unescape
from pathlib import Path
from typing import Any

from kling_nb import _front_end
from kling_nb._job import Job, Presenter
from kling_nb.notebook.job_card import card_of, card_of_file
from kling_nb.video import MediaFile, Video

_PLAYER = re.compile(r'(<(?:video|audio) )src="[^"]*"')


def register() -> None:
    """Show things this way from now on, where this process runs a marimo notebook."""
    import marimo  # noqa: PLC0415 -- it is there already, or nobody calls this

    if _front_end.job_presenter is None and marimo.running_in_notebook():
        _front_end.job_presenter = MarimoPresenter
        _front_end.video_presenter = video_bundle


class MarimoPresenter(Presenter):
    """Widgets for running jobs, cards for ended ones."""

    def widget(self, job: Job) -> Any:
        """A live view of the job. Make it on the thread of its cell."""
        from kling_nb.notebook.job_widget import JobWidget  # noqa: PLC0415 -- 100 ms of imports

        return JobWidget(job)

    def display(self, job: Job) -> Any:
        """What marimo is to show of it."""
        import marimo  # noqa: PLC0415 -- as above

        if not job.done:
            return marimo.ui.anywidget(self.widget(job))
        from kling_nb.notebook import card  # noqa: PLC0415 -- not before something is shown

        return marimo.Html(_served(card.html(card_of(job)), job.file))


def video_bundle(result: Video | MediaFile) -> dict[str, Any]:
    """The card of a video, sound or picture that ends a cell."""
    from kling_nb.notebook import card  # noqa: PLC0415 -- not before something is shown

    return {"text/html": _served(card.html(card_of_file(result)), result.path), "text/plain": repr(result)}


def _served(html: str, path: Path | None) -> str:
    """A card whose player has an address that marimo serves; a page it exports holds the file itself."""
    import marimo  # noqa: PLC0415 -- as above

    if path is None or not _PLAYER.search(html):
        return html
    found = re.search(r"""src=(["'])(.*?)\1""", marimo.video(path).text)
    src = unescape(found[2]) if found else ""
    return _PLAYER.sub(lambda player: f'{player[1]}src="{escape(src)}"', html)
