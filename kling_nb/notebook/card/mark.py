"""The mark in each output of kling_nb. A program that reads the notebook uses it to update the output.

The output's metadata hold what never changes:
{"kling_nb": {"version": 1, "job": …, "kernel": …, "process": …, "fingerprint": …, "name": …,
"cell": …}}
The first tag of the card holds what changes: `data-kling-state`, `data-kling-request`; `data-kling-takes`,
which is another text once the takes of the cell, or the decisions about them, are others; and for several
videos `data-kling-parts`, which is [[fingerprint, take, caption, request], …] as JSON. The reason is VS Code:
if an update of a display changes its metadata, VS Code replaces all outputs of the cell by its own list,
which may be older.

Notebooks saved by earlier versions have everything in the metadata. Those are read too. If the card differs,
the card is right.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from html import escape, unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from traitlets.config import MultipleInstanceError

from kling_nb.events import State
from kling_nb.notebook.card.words import clean

if TYPE_CHECKING:
    from kling_nb.job.job import Job


KEY, VERSION = "kling_nb", 1
VIEW = "application/vnd.jupyter.widget-view+json"
"""MIME type of a widget's view in an output."""

_CARD = re.compile(r'<div class="kling-card[^"]*"((?: data-kling-[a-z]+="[^"]*")*)')
_ATTRIBUTE = re.compile(r' data-kling-(state|request|takes|parts)="([^"]*)"')


class Part(NamedTuple):
    """One cell of a sweep, or one shot of a storyboard.

    Attributes:
        fingerprint: Fingerprint of its request; empty if not known, as for a shot.
        take: Number of the take that is shown or wanted; None if only the run decides it.
        caption: How it differs from the others, in words. Empty once the card shows it.
        request: fal's request id, once known.
    """

    fingerprint: str
    take: int | None
    caption: str
    request: str | None = None

    @classmethod
    def of(cls, value: Any) -> Part | None:
        """Return the part that a JSON value describes, or None if it describes none."""
        match value:
            case [str(fingerprint), int() | None as take, str(caption)]:
                return cls(fingerprint, take, caption)
            case [str(fingerprint), int() | None as take, str(caption), str(request)]:
                return cls(fingerprint, take, caption, request)
        return None

    def to_json(self) -> list[Any]:
        """Return the part as a list, the form it has in a mark."""
        return list(self if self.request else self[:3])


@dataclass(frozen=True, slots=True)
class Mark:
    """The job and the kernel of an output. `state`, `request`, `takes` and `parts` are in the card.

    Attributes:
        job: kling_nb's id of the job; None for a panel.
        kernel: Jupyter Server's id of the kernel that showed it; None outside of a kernel.
        process: Process id of that kernel, if it runs on the server's machine. A restarted kernel keeps its
            kernel id, but has none of its widgets.
        state: Name of the `State` when the card was drawn.
        fingerprint: Fingerprint of the request, as in sidecars.
        request: fal's request id, once known.
        parts: The videos of a sweep or storyboard, in order.
        name: NAME of the `%%kling NAME` cell for which a take can be chosen; None for all other outputs.
        cell: Fingerprint of the request of the `%%kling` cell, named or not, or None.
        takes: What `words.decided` returned when the card was drawn.
    """

    job: str | None = None
    kernel: str | None = None
    process: int | None = None
    state: str | None = None
    fingerprint: str | None = None
    request: str | None = None
    parts: tuple[Part, ...] = ()
    name: str | None = None
    cell: str | None = None
    takes: str | None = None

    @property
    def is_final(self) -> bool:
        """True if the card shows how the job ended."""
        return self.state in {State.READY.value, State.FAILED.value, State.CANCELLED.value}

    def to_metadata(self) -> dict[str, Any]:
        """Return the output's metadata. They are the same in every publication of a display."""
        always = {"version": VERSION, "job": self.job, "kernel": self.kernel}
        more = {
            "process": self.process,
            "fingerprint": self.fingerprint,
            "name": self.name,
            "cell": self.cell,
        }
        return {KEY: always | {name: value for name, value in more.items() if value is not None}}

    def to_attributes(self) -> str:
        """Return the attributes of the card's first tag, each after a space."""
        parts = json.dumps([part.to_json() for part in self.parts]) if self.parts else None
        values = {"state": self.state, "request": self.request, "takes": self.takes, "parts": parts}
        return "".join(
            f' data-kling-{name}="{escape(" ".join(clean(value).splitlines()))}"'
            for name, value in values.items()
            if value is not None
        )

    @classmethod
    def of(cls, output: Any) -> Mark | None:
        """Return the mark of an output, or None. Values of a wrong type are dropped."""
        metadata = output.get("metadata")
        values = metadata.get(KEY) if isinstance(metadata, Mapping) else None
        if not isinstance(values, Mapping) or values.get("version") != VERSION:
            return None
        values = {**values, **_read_card(output.get("data"))}
        texts = {
            name: values[name]
            for name in ("job", "kernel", "state", "fingerprint", "request", "name", "cell", "takes")
            if isinstance(values.get(name), str)
        }
        process, parts = values.get("process"), values.get("parts")
        return cls(
            **texts,
            process=_whole_number(process),
            parts=tuple(filter(None, map(Part.of, parts))) if isinstance(parts, list) else (),
        )


def _whole_number(value: Any) -> int | None:
    """Return a whole number, or None. In the documents of jupyter-collaboration, numbers are floats."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if type(value) is int else None


def _read_card(data: Any) -> dict[str, Any]:
    """Return the attributes of a card's first tag. A card may be a list of lines."""
    html = data.get("text/html") if isinstance(data, Mapping) else None
    first = html[0] if isinstance(html, list) and html else html
    tag = _CARD.match(first) if isinstance(first, str) else None
    values: dict[str, Any] = (
        {name: unescape(value) for name, value in _ATTRIBUTE.findall(tag[1])} if tag else {}
    )
    if "parts" in values:
        with suppress(ValueError, RecursionError):
            values["parts"] = json.loads(values["parts"])
    return values


def forget_kernel(metadata: dict[str, Any]) -> bool:
    """Remove the kernel from the mark in an output's metadata. Return True if there was one."""
    mark = metadata[KEY]
    if mark.get("kernel") is None and "process" not in mark:
        return False
    metadata[KEY] = {name: value for name, value in mark.items() if name != "process"} | {"kernel": None}
    return True


def mark_of(job: Job) -> Mark:
    """Return the mark of a job's output, as this kernel shows it."""
    mark = replace(here(), job=job.id, fingerprint=job.request.fingerprint, cell=job.made_from)
    return replace(mark, name=job.cell.name, cell=job.cell.fingerprint) if job.cell else mark


def here() -> Mark:
    """Return the mark of anything shown by this kernel."""
    return Mark(kernel=kernel_id(), process=os.getpid() if served_here() else None)


def kernel_id() -> str | None:
    """Return the kernel's id in Jupyter Server, from its connection file, or None outside of a kernel."""
    try:
        from ipykernel.connect import get_connection_file  # noqa: PLC0415 -- only in a kernel

        found = re.search(r"kernel-([0-9a-f-]{36})\.json$", str(get_connection_file()))
    except (ImportError, RuntimeError, MultipleInstanceError):  # the last in a terminal's IPython
        return None
    return found[1] if found else None


# -- URLs of files that the notebook server itself serves, without a kernel.


ROOT, BASE = "KLING_NB_SERVER_ROOT", "KLING_NB_SERVER_BASE"
"""Set for kernels on the server's own machine: the folder it serves, and its base URL such as `/`."""


def served_here() -> bool:
    """Return True if a server on this machine, with the server extension of kling_nb, started this kernel."""
    return bool(os.environ.get(ROOT))


def served_url(path: Path, environ: Mapping[str, str] | None = None) -> str | None:
    """Return the `files/` URL of a file, relative to the server's host, or None if it is not served."""
    env = os.environ if environ is None else environ
    root = env.get(ROOT)
    if not root:
        return None
    served, places = Path(root).resolve(), (path.absolute(), path.resolve())  # the first if it is a link
    place = next((one for one in places if one.is_relative_to(served)), None)
    if place is None:
        return None
    inside = place.relative_to(served)
    if any(part.startswith(".") for part in inside.parts):  # servers do not serve hidden files
        return None
    base = "/" + env.get(BASE, "/").strip("/")
    return f"{base.rstrip('/')}/files/{quote(inside.as_posix())}"
