"""The mark that outputs of ours carry in their metadata, so that whoever reads the notebook can settle them.

{"kling_nb": {"version": 1, "job": …, "kernel": …, "process": …, "state": …, "fingerprint": …, "request": …}}
and of many videos, "parts": [[fingerprint, take, caption, request], …]
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from traitlets.config import MultipleInstanceError

from kling_nb.events import State
from kling_nb.notebook.served import served_here

if TYPE_CHECKING:  # a server reads marks and has no jobs
    from kling_nb._job import Job

KEY, VERSION = "kling_nb", 1


class Part(NamedTuple):
    """One cell of a sweep, or one shot of a storyboard.

    Attributes:
        fingerprint: Of its request; empty where that is not known, as of a shot.
        take: The take that is shown, or wanted; None where only the run can tell.
        caption: What tells it from the others, in words. Empty once the card says it.
        request: fal's id, once known.
    """

    fingerprint: str
    take: int | None
    caption: str
    request: str | None = None

    @classmethod
    def of(cls, said: Any) -> Part | None:
        """The part that a mark holds; None where it is none."""
        match said:
            case [str(fingerprint), int() | None as take, str(caption)]:
                return cls(fingerprint, take, caption)
            case [str(fingerprint), int() | None as take, str(caption), str(request)]:
                return cls(fingerprint, take, caption, request)
        return None

    def to_json(self) -> list[Any]:
        """As it is in a mark."""
        return list(self if self.request else self[:3])


@dataclass(frozen=True, slots=True)
class Mark:
    """What an output says about itself.

    Attributes:
        job: Our id of the job; None for a panel.
        kernel: The kernel that showed it, as Jupyter Server calls it; None outside of one.
        process: That kernel's process, where it runs on the server's machine: a restarted kernel keeps
            its id and has none of its widgets.
        state: A `State` when the card was drawn.
        fingerprint: Of the request: sidecars have it too.
        request: fal's id, once known.
        parts: Of many videos: what its card is made of, in order.
    """

    job: str | None = None
    kernel: str | None = None
    process: int | None = None
    state: str | None = None
    fingerprint: str | None = None
    request: str | None = None
    parts: tuple[Part, ...] = ()

    @property
    def settled(self) -> bool:
        """Whether the card says how the job ended."""
        return self.state in {State.READY.value, State.FAILED.value, State.CANCELLED.value}

    def asleep(self) -> Mark:
        """The same without its kernel: of an output that has nothing live any more."""
        return replace(self, kernel=None, process=None)

    def to_metadata(self) -> dict[str, Any]:
        """As an output's metadata."""
        always = {"version": VERSION, "job": self.job, "kernel": self.kernel}
        more = {name: getattr(self, name) for name in ("process", "state", "fingerprint", "request")}
        parts = {"parts": [part.to_json() for part in self.parts]} if self.parts else {}
        return {KEY: always | {name: value for name, value in more.items() if value is not None} | parts}

    @classmethod
    def of(cls, metadata: Any) -> Mark | None:
        """The mark in an output's metadata, which anyone may have written; None where there is none."""
        said = metadata.get(KEY) if isinstance(metadata, Mapping) else None
        if not isinstance(said, Mapping) or said.get("version") != VERSION:
            return None
        texts = {
            name: said[name]
            for name in ("job", "kernel", "state", "fingerprint", "request")
            if isinstance(said.get(name), str)
        }
        process, parts = said.get("process"), said.get("parts")
        return cls(
            **texts,
            process=process if type(process) is int else None,
            parts=tuple(filter(None, map(Part.of, parts))) if isinstance(parts, list) else (),
        )


def mark_of(job: Job) -> Mark:
    """The mark of a job's output, shown now by this kernel."""
    return replace(
        here(),
        job=job.id,
        state=job.state.state.value,
        fingerprint=job.request.fingerprint,
        request=job.request_id,
    )


def here() -> Mark:
    """The mark of anything shown by this kernel."""
    return Mark(kernel=kernel_id(), process=os.getpid() if served_here() else None)


def kernel_id() -> str | None:
    """The kernel's id as Jupyter Server knows it, from its connection file; None elsewhere."""
    try:
        from ipykernel.connect import get_connection_file  # noqa: PLC0415 -- only in a kernel

        found = re.search(r"kernel-([0-9a-f-]{36})\.json$", str(get_connection_file()))
    except (ImportError, RuntimeError, MultipleInstanceError):  # the last in a terminal's IPython
        return None
    return found[1] if found else None
