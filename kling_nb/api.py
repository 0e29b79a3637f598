"""The plain functions (`generate`, `submit`, …) and the session of this process that they use."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from kling_nb import front_end
from kling_nb import settings as _settings
from kling_nb.catalog import Endpoint
from kling_nb.job.job import Job
from kling_nb.ledger import Entry
from kling_nb.media import Result, Takes
from kling_nb.session import Session
from kling_nb.sweeps.batch import Batch
from kling_nb.sweeps.sweep import Sweep

S = TypeVar("S", bound=Sweep)

LOCAL_NOTICE = (
    "No fal key found, so this is a free preview made on this machine."
    " For real Kling video: export FAL_KEY=… or kling_nb.configure(credentials=…)"
)


def local_notice() -> str:
    """Return the notice that jobs are local previews, with a line about a `.env` file that is not read."""
    return "\n".join(filter(None, [LOCAL_NOTICE, _settings.dotenv_note(default_session().settings())]))


_default: list[Session] = []
_guard = threading.Lock()


def default_session() -> Session:
    """Return the session of this process, made at the first call."""
    with _guard:
        if not _default:
            _default.append(Session())
        return _default[0]


def close_default_session() -> None:
    """Close the session of this process, if there is one. The next call makes another."""
    with _guard:
        session = _default.pop() if _default else None
    if session is not None:
        session.close()


def configure(**settings: Any) -> None:
    """Set settings for the rest of this process; None unsets one.

    Example: `configure(credentials="<id>:<secret>", backend="fal", endpoint="v3-pro")`.

    Raises:
        UsageError: An unknown setting or a value that makes no sense.
    """
    settings = _settings.Unshown(settings)
    _settings.configure(settings)


def generate(prompt: str | None = None, **arguments: Any) -> Result:
    """Make a video, wait for it and return it. See `Session.generate`."""
    return default_session().generate(prompt, **arguments)


def submit(prompt: str | None = None, **arguments: Any) -> Job:
    """Start a job and return it at once. See `Session.submit`."""
    return default_session().submit(prompt, **arguments)


def batch(table: Any, prompt: str | None = None, **arguments: Any) -> Batch:
    """Make a video for each row of a data frame, CSV or JSONL file. See `Session.batch`.

    In a notebook the total price is shown before it starts.
    """
    return _make(default_session().batch, table, prompt, **arguments)


def sweep(prompt: str | list[str] | None = None, **arguments: Any) -> Sweep:
    """Make every combination of the values given as lists. See `Session.sweep`.

    In a notebook the total price is shown before it starts.
    """
    return _make(default_session().sweep, prompt, **arguments)


def _make(make: Callable[..., S], /, *given: Any, start: bool = True, **arguments: Any) -> S:
    study = make(*given, start=False, **arguments)
    if start:
        study._check_frozen()
        if front_end.say is not None:
            front_end.say("\n".join([study.price, *study.notices]))
        study.start()
    return study


def endpoint(name: str | None = None, **arguments: Any) -> Endpoint:
    """Return the endpoint of an id or short name; any id of fal works. See `Session.endpoint`."""
    return default_session().endpoint(name, **arguments)


def endpoints(word: str | None = None) -> tuple[Endpoint, ...]:
    """Return the endpoints on this machine whose names have all these words. See `Session.endpoints`."""
    return default_session().endpoints(word)


def jobs(**arguments: Any) -> list[Entry]:
    """Return submissions in the ledger, newest first. See `Session.jobs`."""
    return default_session().jobs(**arguments)


def get_job(job_id: str, endpoint: str | None = None) -> Job:
    """Return the job of an id or request id. See `Session.get_job`."""
    return default_session().get_job(job_id, endpoint)


def resume(**arguments: Any) -> list[Job]:
    """Resume every unfinished submission of this folder. See `Session.resume`."""
    return default_session().resume(**arguments)


def takes(**conditions: Any) -> Takes:
    """Return the stored takes: `takes(rating=4, tag="hero")`. See `Session.takes`."""
    return default_session().takes(**conditions)


def upload(file: Any, **arguments: Any) -> str:
    """Store a file and return its URL, for use as an input. See `Session.upload`."""
    return default_session().upload(file, **arguments)
