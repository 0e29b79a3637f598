"""The mark that outputs of ours carry, so that a reader of the notebook can bring them up to date.

What never changes stands in the output's metadata:
{"kling_nb": {"version": 1, "job": …, "kernel": …, "process": …, "fingerprint": …}}
What changes stands in the first tag of the output's card: `data-kling-state`, `data-kling-request`, and of
many videos `data-kling-parts`, which is [[fingerprint, take, caption, request], …] as JSON. The reason is
VS Code: when an update of a display changes its metadata, it replaces all outputs of the cell by a list of
its own, which may be older.

Notebooks saved by earlier versions have all of it in the metadata. They are read, too; where a card says
something else, the card is right.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from html import escape, unescape
from typing import TYPE_CHECKING, Any, NamedTuple

from traitlets.config import MultipleInstanceError

from kling_nb.events import State
from kling_nb.notebook.card_words import clean
from kling_nb.notebook.served import served_here

if TYPE_CHECKING:  # a server reads marks and has no jobs
    from kling_nb._job import Job

KEY, VERSION = "kling_nb", 1

_CARD = re.compile(r'<div class="kling-card[^"]*"((?: data-kling-[a-z]+="[^"]*")*)')
_ATTRIBUTE = re.compile(r' data-kling-(state|request|parts)="([^"]*)"')


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
        """Return its form in a mark."""
        return list(self if self.request else self[:3])


@dataclass(frozen=True, slots=True)
class Mark:
    """What an output says about itself.

    Attributes:
        job: Our id of the job; None for a panel.
        kernel: The kernel that showed it, as Jupyter Server calls it; None outside of one.
        process: That kernel's process, where it runs on the server's machine: a restarted kernel keeps
            its id and has none of its widgets.
        state: A `State` when the card was drawn. This, `request` and `parts` are in the card.
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

    def to_metadata(self) -> dict[str, Any]:
        """Return the output's metadata, which are the same in every publication of a display."""
        always = {"version": VERSION, "job": self.job, "kernel": self.kernel}
        more = {"process": self.process, "fingerprint": self.fingerprint}
        return {KEY: always | {name: value for name, value in more.items() if value is not None}}

    def to_attributes(self) -> str:
        """Return the attributes of the card's first tag that say what changes, each after a space."""
        parts = json.dumps([part.to_json() for part in self.parts]) if self.parts else None
        said = {"state": self.state, "request": self.request, "parts": parts}
        return "".join(
            f' data-kling-{name}="{escape(" ".join(clean(value).splitlines()))}"'
            for name, value in said.items()
            if value is not None
        )

    @classmethod
    def of(cls, output: Any) -> Mark | None:
        """Return the mark of an output, which anyone may have written; None where there is none."""
        metadata = output.get("metadata")
        said = metadata.get(KEY) if isinstance(metadata, Mapping) else None
        if not isinstance(said, Mapping) or said.get("version") != VERSION:
            return None
        said = {**said, **_read_card(output.get("data"))}
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


def _read_card(data: Any) -> dict[str, Any]:
    """Return what the first tag of a card says. A card may be a list of lines; the tag is in the first."""
    html = data.get("text/html") if isinstance(data, Mapping) else None
    first = html[0] if isinstance(html, list) and html else html
    tag = _CARD.match(first) if isinstance(first, str) else None
    said: dict[str, Any] = (
        {name: unescape(value) for name, value in _ATTRIBUTE.findall(tag[1])} if tag else {}
    )
    if "parts" in said:
        with suppress(ValueError, RecursionError):
            said["parts"] = json.loads(said["parts"])
    return said


def forget_kernel(metadata: dict[str, Any]) -> bool:
    """Take the kernel out of the mark in an output's metadata; return whether there was one."""
    mark = metadata[KEY]
    if mark.get("kernel") is None and "process" not in mark:
        return False
    metadata[KEY] = {name: value for name, value in mark.items() if name != "process"} | {"kernel": None}
    return True


def mark_of(job: Job) -> Mark:
    """Return what never changes of a job's output, shown by this kernel."""
    return replace(here(), job=job.id, fingerprint=job.request.fingerprint)


def here() -> Mark:
    """Return the mark of anything shown by this kernel."""
    return Mark(kernel=kernel_id(), process=os.getpid() if served_here() else None)


def kernel_id() -> str | None:
    """The kernel's id as Jupyter Server knows it, from its connection file; None elsewhere."""
    try:
        from ipykernel.connect import get_connection_file  # noqa: PLC0415 -- only in a kernel

        found = re.search(r"kernel-([0-9a-f-]{36})\.json$", str(get_connection_file()))
    except (ImportError, RuntimeError, MultipleInstanceError):  # the last in a terminal's IPython
        return None
    return found[1] if found else None
