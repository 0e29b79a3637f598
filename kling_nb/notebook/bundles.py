"""The MIME bundles of what is shown: a live view, a card, or both in one output."""

from __future__ import annotations

import os
from typing import Any

from kling_nb._job import Job
from kling_nb.notebook.job_card import card_of
from kling_nb.notebook.mark import here, mark_of
from kling_nb.notebook.outputs import card_text
from kling_nb.notebook.reopened import VIEW

Bundle = dict[str, Any]


def watched() -> bool:
    """Whether somebody may be looking: who runs a notebook unattended takes no questions either.

    A widget would leave its model and source in such a notebook (nbclient, papermill). Voilà is
    the exception: it runs notebooks that way to show them.
    """
    from IPython.core.getipython import get_ipython  # noqa: PLC0415 -- not before something is shown

    asks = bool(getattr(getattr(get_ipython(), "kernel", None), "_allow_stdin", True))
    return asks or any(name.startswith("VOILA_") for name in os.environ)


def widget_bundle(job: Job) -> Bundle:
    """A job's live view."""
    from kling_nb.notebook.job_widget import JobWidget  # noqa: PLC0415 -- 100 ms of imports, at the first job

    drawn = view_of(JobWidget(job)._repr_mimebundle_())
    return {VIEW: drawn[VIEW], **text_bundle(job)} if VIEW in drawn else {}


def text_bundle(job: Job) -> Bundle:
    """What stands for a live view."""
    return {"text/plain": f"Job {job.id}: {job.request.endpoint.title}"}


def card_bundle(job: Job) -> Bundle:
    """A job's card."""
    from kling_nb.notebook import card  # noqa: PLC0415 -- not before something is shown

    return {"text/html": card.html(card_of(job)), "text/plain": card_text(job)}


def job_bundle(job: Job, view: Any) -> tuple[Bundle, Bundle]:
    """A view of a job with its card, for an output that is drawn once; and the output's metadata."""
    return view_of(view) | card_bundle(job), mark_of(job).to_metadata()


def panel_bundle(view: Any) -> tuple[Bundle, Bundle]:
    """A panel with what stands for it where there is no kernel; and the output's metadata."""
    from kling_nb._default import default_session  # noqa: PLC0415 -- not before something is shown
    from kling_nb.notebook.panel_card import panel_card  # noqa: PLC0415 -- as above

    return view_of(view) | panel_card(default_session().settings().media), here().to_metadata()


def view_of(bundle: Any) -> Bundle:
    """What a widget's own `_repr_mimebundle_` gives, without its metadata; nothing outside of a kernel."""
    return dict((bundle[0] if isinstance(bundle, tuple) else bundle) or {})
