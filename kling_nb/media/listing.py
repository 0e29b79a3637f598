"""`Takes`: stored takes as a list, and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from kling_nb.errors import UsageError
from kling_nb.media.take import read_sidecar
from kling_nb.video import MediaFile, Video
from kling_nb.video.decisions import Decisions


class Takes(list[Video | MediaFile]):
    """Stored takes, the newest first. Made by `kling_nb.takes()`; it is a list."""

    @property
    def records(self) -> list[dict[str, Any]]:
        """A dict for each take, all with the same keys, with the ratings of now."""
        return [record(take) for take in self]

    def to_pandas(self) -> Any:
        """Return the records as a `pandas.DataFrame`.

        Raises:
            UsageError: pandas is not installed. `records` works without it.
        """
        return data_frame(self.records, "takes")

    def __repr__(self) -> str:
        count = f"{len(self)} take{'s' * (len(self) != 1)}"
        return f"<{count}: {', '.join(repr(take) for take in self[:20])}{', …' * (len(self) > 20)}>"


def record(take: Video | MediaFile) -> dict[str, Any]:
    """Return a take as a row of a table."""
    found = read_sidecar(take.sidecar) if take.sidecar is not None else None
    decisions = Decisions.of(found.user, take.path.name) if found else Decisions()
    request = take.request or {}
    given = request.get("input", {})
    return {
        "path": str(take.path),
        "prompt": given.get("prompt") or given.get("text") or "",
        "rating": decisions.rating,
        "note": decisions.note,
        "tags": list(decisions.tags),
        "chosen": decisions.chosen,
        "endpoint": request.get("endpoint"),
        "backend": take.backend,
        "take": take.take,
        "width": getattr(take, "width", None),
        "height": getattr(take, "height", None),
        "seconds": getattr(take, "duration", None),
        "finished_at": found.finished_at if found else None,
        "estimate_usd": found.estimate_usd if found else None,
        "request_id": take.request_id,
        "input": dict(given),
    }


def data_frame(records: Sequence[dict[str, Any]], name: str) -> Any:
    """Return records as a `pandas.DataFrame`.

    Args:
        records: A dict for each row.
        name: Of the variable in the remedy.

    Raises:
        UsageError: pandas is not installed.
    """
    try:
        pandas: Any = import_module("pandas")  # kling_nb does not depend on it
    except ImportError:
        raise UsageError(
            "pandas is not installed.",
            remedy=f"pip install pandas, or use {name}.records: a list of dicts.",
        ) from None
    return pandas.DataFrame(records)
