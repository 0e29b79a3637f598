"""The takes in the strip of a job widget, and new takes made from them.

What cannot be carried out raises a `KlingError`; the view gets it as the answer to its command.
"""

from __future__ import annotations

import io
import json
import mimetypes
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from kling_nb._files import write_file
from kling_nb._lazy import pillow
from kling_nb.api import default_session
from kling_nb.catalog import Endpoint, shipped
from kling_nb.catalog.shipped import endpoint
from kling_nb.errors import (
    InputError,
    KlingError,
    MediaError,
    MissingKey,
    ResultGone,
    UsageError,
)
from kling_nb.events import Ending, State, ending_of
from kling_nb.job.job import Job
from kling_nb.job.plan import WORDS, Outcome, Plan
from kling_nb.notebook.card.job import source_of
from kling_nb.notebook.card.mark import served_url
from kling_nb.notebook.card.words import STATES, clip, cost, error_text
from kling_nb.notebook.flags import as_cell
from kling_nb.notebook.widgets.base import whole_number
from kling_nb.request.request import (
    VideoRequest,
    image_endpoint,
    is_recorded_file,
    shape_of,
    start_parameter,
)
from kling_nb.session import Session
from kling_nb.settings import current_endpoint
from kling_nb.video import Video
from kling_nb.video.decisions import Decided
from kling_nb.video.frames import poster_frame

TEXT_LIMIT = 4_000
"""Characters of a text in a message. Prompts of all endpoints are shorter."""


@dataclass(eq=False)
class StripTake:
    """One take in the strip.

    Attributes:
        key: Its id in messages. A resumed job gets a new key.
        job: The job that makes it or made it.
        lines_sent: Number of log lines that were sent to views.
        changed: True if the views have not seen the latest state.
        fault: The exception of an observer of the widget, as text.
        leave: Ends the subscription to the job while it runs.
    """

    key: int
    job: Job
    lines_sent: int = 0
    changed: bool = False
    fault: str = ""
    leave: Callable[[], None] | None = None

    def describe(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that do not change while the job runs. `given`: its input for a page."""
        job, request = self.job, self.job.request
        return {
            "key": self.key,
            "job_id": job.id,
            "endpoint": request.endpoint.id,
            "title": request.endpoint.title,
            "prompt": clip(request.prompt, TEXT_LIMIT),
            "backend": job.backend,
            "created_at": job.created_at,
            "expected": job.expected_seconds,
            "reused": job.reused,
            "outcome": _outcome_text(job),
            "notices": "\n".join(job.notices),
            "shape": shape_of(request),
            "input": {name: _short(value) for name, value in given.items()},
        }

    def fields(self) -> dict[str, Any]:
        """Return the fields that change, without the log lines."""
        job, now, video = self.job, self.job.state, self.job.video
        cell, no_cell = _cell_text(job)
        return {
            **saved_fields(job),
            **progress_fields(job),
            "message": self.fault or _why_no_video(job),
            "resumed": now.resumed,
            "steps": [step for step in steps_of(ending_of(now)) if step == "edit" or job.maker is not None],
            "fps": video.fps if video else None,
            "frame_count": video.frame_count if video else None,
            "number": video.take if video else None,
            "path": str(video.path if video else job.file or ""),
            "file_type": (mimetypes.guess_type(job.file.name)[0] or "") if job.file else "",
            "url": served_url(video.path) if video else None,
            "cost": cost(job),
            "cell": cell,
            "no_cell": no_cell,
            "rating": job.result.rating if isinstance(job.result, Decided) else None,
            "note": job.result.note if isinstance(job.result, Decided) else "",
        }


def saved_fields(job: Job) -> dict[str, Any]:
    """Return the fields that change and may be saved with the notebook."""
    video = job.video
    return {
        "state": job.state.state.value,
        "request_id": job.state.request_id,
        "finished_at": job.finished_at,
        "message": _why_no_video(job),
        "width": video.width if video else None,
        "height": video.height if video else None,
        "duration": video.duration if video else None,
    }


STEPS = {
    Ending.UNSENT: ("start",),
    Ending.OPEN: ("resume", "edit"),
    Ending.REFUSED: ("edit",),
    Ending.FAILED: ("retry", "edit"),
}
"""What to do next without a result: the buttons in their order, by their words. All live views have these, of
a job as of a cell of a sweep. "start" and "retry" may send a request, and show its price."""


def steps_of(ending: Ending | None) -> tuple[str, ...]:
    """Return the buttons for what to do next; none if there is a result, or one is to come."""
    return () if ending is None else STEPS[ending]


_PERCENT = re.compile(r"(\d{1,3}(?:\.\d+)?) ?%")
_LINES_READ = 5
"""Log lines in which a percentage is looked for, from the newest on."""


def progress_fields(job: Job) -> dict[str, Any]:
    """Return how far a job is, as all live views show it."""
    received, total = job.state.bytes_transferred
    return {
        "queue_position": job.state.queue_position,
        "held": job.state.held,
        "received": received,
        "total": total,
        "progress": progress_of(job),
    }


def progress_of(job: Job) -> float | None:
    """Return how far a running job is by the last percentage in its log, from 0 to 1, or None."""
    if job.state.state is not State.IN_PROGRESS:
        return None
    for line in reversed(job.lines[-_LINES_READ:]):
        found = _PERCENT.findall(line.message)
        if found:
            return min(1.0, float(found[-1]) / 100)
    return None


def _outcome_text(job: Job) -> str:
    """Return what the claim decided, if it was no new submission. `cost` says that a take was reused."""
    if job.outcome in {None, Outcome.SUBMIT, Outcome.REUSE, Outcome.COPY, Outcome.LIBRARY}:
        return ""
    return WORDS[job.outcome].brief


def _why_no_video(job: Job) -> str:
    """Return why a finished job has no video; empty for other jobs."""
    if job.error is not None:
        return error_text(job.error)
    state = job.state.state
    if state is State.READY and job.video is None:
        return "The result is not a video. Read it from the job's `output`."
    return STATES[state][1] if state.finished and state is not State.READY else ""


def _cell_text(job: Job) -> tuple[str, str]:
    """Return the text of the cell that makes the take, and why there is none; one of them is empty."""
    try:
        return cell_of(job), ""
    except InputError as fault:  # also a parameter that the endpoint no longer has
        return "", str(fault)


def cell_of(job: Job) -> str:
    """Return the text of the cell that makes the take.

    Raises:
        UsageError: A cell cannot express it.
    """
    number = job.video.take if job.video else None
    usual = None
    with suppress(KlingError):  # a wrong name in %config
        usual = current_endpoint()
    return as_cell(job.request.endpoint, job.request.input, take=number, name=job.variable, usual=usual)


def _short(value: Any) -> Any:
    """Return an input's value for a page. Long texts, such as images in data URIs, are cut."""
    if isinstance(value, str):
        return clip(value, TEXT_LIMIT)
    if is_recorded_file(value):
        return str(value["name"])
    text = json.dumps(value, ensure_ascii=False, default=str)
    return value if len(text) <= TEXT_LIMIT else clip(text, TEXT_LIMIT)


# -- A new job from an earlier request.


def quote(job: Job, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `submit` with these changes would do and cost."""
    values, new = _arguments(job, changes)
    return quote_of(_maker(job).plan(**values, new=new))


def quote_of(plan: Plan) -> dict[str, Any]:
    """Return what a plan would do and cost, as plain data. Each view with a form shows it."""
    return {
        "backend": plan.settings.backend,
        "estimate": plan.estimate,
        "price": plan.price,
        "outcome": plan.outcome.value,
        "words": plan.words,
        "notices": " ".join(plan.notices),
        "take": plan.found.sidecar.take if plan.found else None,
        "refusal": error_text(plan.refusal) if plan.refusal else None,
        "problem": None,
    }


def submit(
    job: Job,
    changes: Mapping[str, Any],
    *,
    backend: str | None = None,
    endpoint: str | None = None,
    another: bool = False,
    quoted: Any = None,
) -> Job:
    """Submit the request of a job with changes. An unchanged request makes another take.

    Args:
        job: The job whose request is changed.
        changes: Values by parameter; None removes the parameter.
        backend: Where the job goes; by default that of the settings.
        endpoint: Id of the endpoint of one of `finals`. Then an existing take is shown, and not made again.
        another: True makes another take, whatever exists or runs.
        quoted: The outcome that the user saw; None if there was none.
    """
    values, new = _arguments(job, changes, endpoint)
    if quoted is not None:
        check_quote(_maker(job).plan(**values, new=new or another, backend=backend), quoted)
    made = _maker(job).submit(**values, new=new or another, backend=backend, made_from=job.made_from)
    made.variable = made.variable or job.variable
    return made


def check_quote(plan: Plan, quoted: Any) -> None:
    """Raise `UsageError` if the plan buys a take where the user saw another outcome, `quoted`."""
    if plan.submits and quoted != plan.outcome.value:
        raise UsageError(
            f"A new take would be made now: {plan.price}. Before, there was one. Nothing was sent.",
            remedy="Look at the price and press Generate again.",
        )


def finals(job: Job) -> list[dict[str, Any]]:
    """Return what can be made of a job's request as it is, each at its price. Nothing is sent.

    A local preview can be made with Kling; what a standard or turbo endpoint made, on its sister; what failed
    or was cancelled, once more. There are none without a key, if the sister does not take the same input, or
    if the input was refused.

    Returns:
        For each: its `label`; `words` with its price; `endpoint` (None for the job's own), `backend` and
        `outcome` for `submit`; `refusal`: why a run would fail at once, or an empty text.
    """
    given, state, backend = job.request.endpoint, job.state.state, "fal"
    endpoint: Endpoint | None = None
    if "retry" in steps_of(ending_of(job.state)):
        label, backend = "Retry", job.backend
    elif state is State.READY and job.backend == "local":
        label, endpoint = "Make it with Kling", given
    elif state is State.READY and (endpoint := _sister(given)) is not None:
        label = f"Same on {'pro' if '/pro/' in f'{endpoint.id}/' else endpoint.short_name}"
    else:
        return []
    try:
        values, new = _arguments(job, {}, endpoint.id if endpoint else None)
        plan = _maker(job).plan(**values, new=new, backend=backend)
    except KlingError:
        return []
    if isinstance(plan.refusal, MissingKey):
        return []
    return [
        {
            "label": label,
            "words": button_price(plan),
            "endpoint": endpoint.id if endpoint else None,
            "backend": backend,
            "outcome": plan.outcome.value,
            "refusal": error_text(plan.refusal) if plan.refusal else "",
        }
    ]


def button_price(plan: Plan) -> str:
    """Return what a press of a button that carries out a plan costs, for its face."""
    if not plan.submits:
        return WORDS[plan.outcome].brief
    return "free" if plan.settings.backend == "local" else plan.price


def _sister(draft: Endpoint) -> Endpoint | None:
    """Return the endpoint of full quality for a standard or turbo endpoint of the package, or None."""
    parts = draft.id.split("/")
    better = ["pro" if part == "standard" else part for part in parts]
    for wanted in (
        [part for part in better if part != "turbo"],
        better,
        [part for part in parts if part != "standard"],  # `o1` has no `pro`
    ):
        if wanted != parts and (found := shipped.find("/".join(wanted))) is not None:
            return found
    return None


def _arguments(
    job: Job, changes: Mapping[str, Any], endpoint: str | None = None
) -> tuple[dict[str, Any], bool]:
    """Return the arguments of `Session.submit`, and True if it must make a new take."""
    request = job.request
    files: Any = request.files  # absolute paths, because the working folder may have changed
    values = {name: value for name, value in {**request.body(files), **changes}.items() if value is not None}
    for name, value in values.items():
        if is_recorded_file(value):
            raise InputError(
                f"{name} was the file {value['name']}, which this kernel does not have.",
                parameter=name,
                remedy="Choose the file again.",
            )
    known = endpoint in {None, request.endpoint.id}
    target = request.endpoint if known else shipped.endpoint(str(endpoint))
    built = VideoRequest.build(target, values)
    same = request.fingerprint in {built.fingerprint, *built.earlier}
    # A running job is shown, not bought again; what failed or is unclear is looked up.
    ended = job.state.state is State.READY or isinstance(job.state.error, ResultGone)
    return {"endpoint": target.id, **values}, same and ended and endpoint is None


def _maker(job: Job) -> Session:
    if job.maker is None:
        raise UsageError("This job has no session, so it cannot make another take. Nothing was sent.")
    maker: Session = job.maker
    return maker


# -- The next shot, which begins with a frame of a take.


def frame(video: Video, number: Any) -> tuple[str, bytes]:
    """Return a frame of a video as PNG, and a name for its file.

    Frames are counted from 0. None is the frame that the poster shows.
    """
    if number is None:
        image, name = pillow.fromarray(poster_frame(video.path, video.duration)), "poster"
    else:
        at = whole_number("frame", number, 0, video.frame_count - 1)
        image, name = video.frame(min((at + 0.5) / video.fps, video.duration)), f"frame-{at + 1}"
    png = io.BytesIO()
    image.save(png, "PNG", compress_level=1)
    return f"{video.path.stem}-{name}.png", png.getvalue()


def next_request(job: Job) -> tuple[Endpoint, str, dict[str, Any]]:
    """Return the endpoint for a shot that follows a take, its start image parameter, and kept values."""
    chosen = image_endpoint(job.request.endpoint, endpoint)
    if chosen.category != "image-to-video":
        chosen = image_endpoint(default_session().endpoint(None), endpoint)
    start = start_parameter(chosen)
    settings = {
        one.name for one in chosen.parameters if one.kind in {"stepped", "slider", "choice", "switch"}
    }
    return chosen, start, {name: value for name, value in job.request.input.items() if name in settings}


def next_cell(job: Job, name: str, png: bytes) -> str:
    """Store a frame in a file next to the take, and return a cell without a prompt that begins with it."""
    chosen, start, values = next_request(job)
    assert job.file is not None
    path = job.file.with_name(name)
    try:
        write_file(path, png, overwrite=True)
    except OSError as error:
        raise MediaError(f"{path} cannot be written: {error.strerror or error}.") from error
    variable = f"{job.variable.rstrip('0123456789_')}_{_count_of(job.variable) + 1}" if job.variable else None
    usual = current_endpoint()
    return as_cell(chosen, {start: source_of(path) or str(path), **values}, name=variable, usual=usual)


def _count_of(variable: str) -> int:
    """Return the number at the end of a name such as `kite_2`; 1 without one."""
    digits = re.search(r"\d{1,6}$", variable)
    return int(digits[0]) if digits else 1
