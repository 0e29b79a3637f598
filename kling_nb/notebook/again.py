"""A request once more, with changes: what "Generate take" of the job widget does, and what it will cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from kling_nb.errors import InputError, ResultGone, UsageError
from kling_nb.events import State
from kling_nb.request import VideoRequest

if TYPE_CHECKING:
    from kling_nb._job import Job
    from kling_nb._plan import Plan


class Maker(Protocol):
    """What is needed of the `Session` that made a job."""

    def plan(self, prompt: str | None = None, **arguments: Any) -> Plan: ...  # noqa: D102 -- as `Session`
    def submit(self, prompt: str | None = None, **arguments: Any) -> Job: ...  # noqa: D102
    def get_job(self, job_id: str) -> Job: ...  # noqa: D102
    def takes_of(self, request: VideoRequest, backend: str) -> list[Job]: ...  # noqa: D102


class Made(Protocol):
    """What is needed of a job."""

    @property
    def request(self) -> VideoRequest: ...  # noqa: D102 -- this and the rest: as `kling_nb.Job`
    @property
    def state(self) -> Any: ...  # noqa: D102
    @property
    def maker(self) -> Any: ...  # noqa: D102


def quote(job: Made, changes: Mapping[str, Any]) -> dict[str, Any]:
    """What `submit` with these changes would do and cost, in words.

    Args:
        job: Whose request it starts from.
        changes: Values by parameter; None takes one away.

    Returns:
        `words`; `backend`, which is to be handed to `submit`, so that what is done is what was said; and
        `free`: whether it costs nothing.

    Raises:
        InputError: A value is not allowed.
    """
    values, new = _values(job, changes)
    plan = _maker(job).plan(**values, new=new)
    backend = plan.settings.backend
    if plan.found is not None:
        words = "no charge: this take exists"
    elif plan.unfinished is not None and plan.unfinished.gone:
        words = "no charge: its result is gone at fal"
    elif not plan.submits:
        words = "no new charge: its job is under way"
    elif backend == "local":
        words = "free preview"
    else:
        words = "price unknown" if plan.estimate is None else f"about ${plan.estimate:.2f}"
        return {"words": words, "backend": backend, "free": False}
    return {"words": words, "backend": backend, "free": True}


def submit(job: Made, changes: Mapping[str, Any], *, backend: str | None = None) -> Job:
    """Start it. Where nothing is changed and there is a result, or is no more, it is another take.

    Raises:
        KlingError: As `Session.submit`.
    """
    values, new = _values(job, changes)
    return _maker(job).submit(**values, new=new, backend=backend)


def _values(job: Made, changes: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Arguments of `Session.submit`, and whether it must be a new take."""
    request = job.request
    files: Any = request.files  # where they are: a path may have been given from another folder
    values = {name: value for name, value in {**request.body(files), **changes}.items() if value is not None}
    for name, value in values.items():
        if isinstance(value, Mapping) and set(value) == {"sha256", "name"}:
            raise InputError(
                f"{name} was the file {value['name']}, which is not kept.",
                parameter=name,
                remedy="Choose it again.",
            )
    same = VideoRequest.build(request.endpoint, values).fingerprint == request.fingerprint
    ended = job.state.state is State.READY or isinstance(job.state.error, ResultGone)
    return {"endpoint": request.endpoint.id, **values}, same and ended


def _maker(job: Made) -> Maker:
    if job.maker is None:
        raise UsageError("This job belongs to no session, so it cannot make another take.")
    maker: Maker = job.maker
    return maker
