"""Shows jobs and videos that end a cell, once the extension is loaded."""

from __future__ import annotations

from typing import Any

from kling_nb._job import Job, Presenter
from kling_nb.notebook.bundles import job_bundle, widget_bundle
from kling_nb.notebook.job_card import card_of_file
from kling_nb.notebook.mark import Mark
from kling_nb.video import MediaFile, Video


class NotebookPresenter(Presenter):
    """Widgets for running jobs, cards for ended ones."""

    def widget(self, job: Job) -> Any:
        """A live view of the job."""
        from kling_nb.notebook.job_widget import JobWidget  # noqa: PLC0415 -- 100 ms of imports

        return JobWidget(job)

    def bundle(self, job: Job) -> tuple[dict[str, Any], dict[str, Any]]:
        """The card of an ended job; the widget of a running one, with the card as its static form."""
        return job_bundle(job, None if job.done else widget_bundle(job))


def video_bundle(result: Video | MediaFile) -> tuple[dict[str, Any], dict[str, Any]]:
    """The card of a video, sound or picture that ends a cell; a mark, so that its take is found again."""
    from kling_nb.notebook import card  # noqa: PLC0415 -- not before something is shown

    shown = card_of_file(result)
    mark = Mark(shown.job_id, state=shown.state, request=result.request_id)
    return {"text/html": card.html(shown), "text/plain": repr(result)}, mark.to_metadata()
