"""Shows jobs and videos that end a cell, once the extension is loaded."""

from __future__ import annotations

from typing import Any

from kling_nb._job import Job, Presenter
from kling_nb.notebook.bundles import job_bundle, watched, widget_bundle
from kling_nb.notebook.job_card import card_of_file
from kling_nb.notebook.mark import Mark
from kling_nb.video import MediaFile, Video


class NotebookPresenter(Presenter):
    """A widget for each job, with its card for whatever shows no widgets; cards for files."""

    def widget(self, job: Job) -> Any:
        """A live view of the job."""
        from kling_nb.notebook.job_widget import JobWidget  # noqa: PLC0415 -- 100 ms of imports

        return JobWidget(job)

    def bundle(self, job: Job) -> tuple[dict[str, Any], dict[str, Any]]:
        """The widget, with the card as its static form; the card alone where nobody watches."""
        return job_bundle(job, widget_bundle(job) if watched() else None)


def video_bundle(result: Video | MediaFile) -> tuple[dict[str, Any], dict[str, Any]]:
    """The card of a video, sound or picture that ends a cell; a mark, so that its take is found again."""
    from kling_nb.notebook import card  # noqa: PLC0415 -- not before something is shown

    shown = card_of_file(result)
    bundle = {"text/html": card.html(shown), "text/plain": repr(result)}
    return bundle, Mark(shown.job_id).to_metadata()
