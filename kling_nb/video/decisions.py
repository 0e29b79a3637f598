"""Decisions of the user about a take: rating, note, tags and choice. They are in the sidecar, under `user`.

The entries of the object `user`:

    rating          {"value": 1 to 5, or null if it was taken back, "at": ISO 8601 time}
    note            {"value": a text, "at": …}
    tags            {"value": a list of texts, "at": …}
    chosen_for      a list of {"cell": fingerprint of the cell's request, "name": NAME of the cell, "at": …}

Of several takes that were chosen for the same cell and NAME, the newest choice counts.

An entry that cannot be read is ignored with a warning, and never makes a take invalid. Entries that this
version does not know are kept. All other names of a sidecar stay as they were written.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from kling_nb._files import write_file
from kling_nb._lazy import filelock
from kling_nb.errors import MediaError, UsageError

log = logging.getLogger(__name__)

HIGHEST = 5
LOCK = ".kling_nb.lock"
"""File in the folder of a sidecar. Who changes a sidecar holds a lock on it; it is empty."""

_LOCK_SECONDS = 30.0
_LONGEST_NOTE, _LONGEST_TAG, _MOST_TAGS = 10_000, 100, 100

T = TypeVar("T")


class Choice(NamedTuple):
    """A `%%kling NAME` cell for which a take was chosen.

    Attributes:
        cell: Fingerprint of the cell's request.
        name: NAME of the cell.
        at: ISO 8601 time of the choice.
    """

    cell: str
    name: str
    at: str


@dataclass(frozen=True, slots=True)
class Decisions:
    """What the user decided about a take.

    Attributes:
        rating: 1 to 5 stars, or None.
        note: A text, or empty.
        tags: The tags in the order in which they were given.
        choices: The cells for which it was chosen.
    """

    rating: int | None = None
    note: str = ""
    tags: tuple[str, ...] = ()
    choices: tuple[Choice, ...] = ()

    @property
    def chosen(self) -> bool:
        """True if it was chosen for a cell."""
        return bool(self.choices)

    @classmethod
    def of(cls, user: Any, source: str = "") -> Decisions:
        """Return the decisions in `user` of a sidecar. What cannot be read is left out.

        A warning names the sidecar `source`; without it there is none.
        """
        if not isinstance(user, Mapping):
            _warn(source, "user")
            return cls()
        found: dict[str, Any] = {}
        for name, check in _CHECKS.items():
            if name not in user:
                continue
            try:
                found[name] = check(user[name]["value"])
            except (UsageError, TypeError, KeyError, IndexError):
                _warn(source, f"user.{name}")
        listed = user.get("chosen_for") or []
        entries = [_choice(entry) for entry in listed] if isinstance(listed, list) else [None]
        if None in entries:
            _warn(source, "user.chosen_for")
        return cls(choices=tuple(filter(None, entries)), **found)

    def meets(self, rating: int | None, tags: Iterable[str], chosen: bool | None) -> bool:
        """Return True if the take has at least this rating, all these tags, and was chosen or not."""
        if rating is not None and (self.rating or 0) < rating:
            return False
        return set(self.tags).issuperset(tags) and chosen in {None, self.chosen}


def is_decided(user: Any) -> bool:
    """Return True if `user` of a sidecar has a rating, note, tag or choice that was not taken back.

    What cannot be read counts as one, because takes without any may be deleted.
    """
    if not isinstance(user, dict):
        return True
    return any(entry.get("value", True) if isinstance(entry, dict) else entry for entry in user.values())


def read_decisions(sidecar: Path) -> Decisions:
    """Return the decisions in a sidecar, or none if it cannot be read."""
    try:
        return Decisions.of(_read(sidecar).get("user", {}), sidecar.name)
    except (OSError, ValueError, RecursionError, MediaError):
        return Decisions()


def decide(sidecar: Path, **values: Any) -> None:
    """Store decisions in a sidecar. Other entries stay, also those that another process stores meanwhile.

    If all of them are stored already, nothing is written: a notebook that is run again changes no file. The
    values are `rating`, `note` or `tags`; None takes one back.

    Raises:
        UsageError: A value makes no sense.
        MediaError: The sidecar cannot be read or written.
    """
    now = timestamp(time.time())
    entries = {name: {"value": _CHECKS[name](value), "at": now} for name, value in values.items()}
    stored = read_decisions(sidecar)
    if all(getattr(stored, name) == entry["value"] for name, entry in entries.items()) and sidecar.exists():
        return
    _change(sidecar, lambda user: {**user, **entries})


def choose(sidecar: Path, cell: str, name: str, *, chosen: bool = True) -> None:
    """Store that a take was chosen for a cell (see `Choice`), or that it is not any more.

    Raises:
        MediaError: The sidecar cannot be read or written.
    """
    new = [Choice(cell, name, timestamp(time.time()))._asdict()] if chosen else []

    def change(user: dict[str, Any]) -> dict[str, Any]:
        listed = user.get("chosen_for")
        others = listed if isinstance(listed, list) else []
        others = [entry for entry in others if (_choice(entry) or ())[:2] != (cell, name)]
        return {**user, "chosen_for": [*others, *new]}

    _change(sidecar, change)


def timestamp(unix: float) -> str:
    """Return `unix` seconds as a sidecar has them."""
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _choice(entry: Any) -> Choice | None:
    """Return an entry of `chosen_for`, or None if it cannot be read."""
    match entry:
        case {"cell": str(cell), "name": str(name), "at": str(at)}:
            return Choice(cell, name, at)
    return None


def _change(sidecar: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Replace `user` of a sidecar under a lock. `change` gets the present value, and returns the new one.

    The sidecar is replaced in one step, and not if the values are equal.

    Raises:
        MediaError: The sidecar cannot be read or written.
    """
    try:
        with filelock.FileLock(sidecar.with_name(LOCK), timeout=_LOCK_SECONDS, poll_interval=0.005):
            found = _read(sidecar)
            user = found.get("user")
            changed = change(user if isinstance(user, dict) else {})
            if changed != found.get("user", {}):
                write_file(sidecar, json_object({**found, "user": changed}), overwrite=True)
    except FileNotFoundError:
        raise MediaError(
            f"{sidecar.name} is no longer in {sidecar.parent}. Nothing was stored.",
            remedy="Run the cell of the take again, and set the value then.",
        ) from None
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MediaError(
            f"{sidecar.parent} cannot be written to: {reason}. Nothing was stored.",
            remedy="Ratings, notes, tags and choices are stored next to the take. Make the folder writable.",
        ) from error
    except (ValueError, RecursionError) as error:
        raise MediaError(f"{sidecar.name} is not a sidecar: {error}. Nothing was stored.") from error


def merge(one: Any, other: Any) -> dict[str, Any]:
    """Return the decisions of two copies of `user`: of each entry the newer one, of a list all items."""
    merged = dict(one) if isinstance(one, Mapping) else {}
    for name, entry in (other if isinstance(other, Mapping) else {}).items():
        mine = merged.get(name)
        if isinstance(mine, list) and isinstance(entry, list):
            merged[name] = mine + [item for item in entry if item not in mine]
        elif name not in merged or _set_at(entry) > _set_at(mine):
            merged[name] = entry
    return merged


def _set_at(entry: Any) -> float:
    """Return the unix seconds at which an entry was set, or 0 if it does not say so."""
    try:
        return datetime.fromisoformat(entry["at"]).timestamp()
    except (TypeError, KeyError, ValueError):
        return 0.0


def merge_into(sidecar: Path, user: Any) -> None:
    """Merge decisions of another copy of a take into its sidecar, or raise a `MediaError`."""
    _change(sidecar, lambda mine: merge(mine, user))


def json_object(entries: Mapping[str, Any]) -> bytes:
    """Return a JSON object with one name per line, so that a diff is readable.

    Raises:
        ValueError, TypeError, RecursionError: A value that JSON does not have.
    """
    rows = [f"  {_dumps(name)}: {_dumps(value)}" for name, value in entries.items()]
    # A lone surrogate has no UTF-8, but it has a JSON escape.
    return ("{\n" + ",\n".join(rows) + "\n}\n").encode("utf-8", "backslashreplace")


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)  # `json.dumps` would make one for each name


def _dumps(value: Any) -> str:
    return _ENCODER.encode(dict(value) if isinstance(value, Mapping) else value)


def _read(sidecar: Path) -> dict[str, Any]:
    found = json.loads(sidecar.read_bytes().decode("utf-8-sig"))
    if not isinstance(found, dict) or found.get("kling_nb") != 1:
        raise ValueError("it has no version that this kling_nb knows")
    return found


@lru_cache(1000)  # once for each place, because a sidecar is read at each look-up
def _warn(source: str, name: str) -> None:
    if source:
        log.warning("%s: %s cannot be read and is ignored. The take stays usable.", source, name)


# -- Checks of single values. Each raises UsageError.


def check_rating(value: Any) -> int | None:
    """Return a rating, or None.

    Raises:
        UsageError: It is not a whole number from 1 to 5.
    """
    if value is None:
        return None
    whole = hasattr(value, "__index__") and not isinstance(value, bool)  # a number of NumPy counts
    if not whole or not 1 <= int(value) <= HIGHEST:
        raise UsageError(
            f"rating must be a whole number from 1 to {HIGHEST}, not {value!r}.",
            remedy="None removes a rating.",
            parameter="rating",
        )
    return int(value)


def check_tags(value: Any) -> tuple[str, ...]:
    """Return tags, each once. One text is one tag.

    Raises:
        UsageError: They are not short texts.
    """
    tags = (value,) if isinstance(value, str) else () if value is None else value
    if not isinstance(tags, Iterable) or isinstance(tags, (bytes, Mapping)):
        raise UsageError(f"tags must be a list of texts, not {value!r}.", parameter="tags")
    found = dict.fromkeys(_tag(tag) for tag in tags)
    if len(found) > _MOST_TAGS:
        raise UsageError(f"A take can have at most {_MOST_TAGS} tags.", parameter="tags")
    return tuple(found)


def _tag(value: Any) -> str:
    tag = value.strip() if isinstance(value, str) else ""
    if not tag or len(tag) > _LONGEST_TAG or not tag.isprintable():
        raise UsageError(
            f"A tag must be a text of 1 to {_LONGEST_TAG} characters on one line, not {value!r}.",
            parameter="tags",
        )
    return tag


def _note(value: Any) -> str:
    note = "" if value is None else value
    if not isinstance(note, str) or len(note) > _LONGEST_NOTE:
        raise UsageError(
            f"note must be a text of at most {_LONGEST_NOTE:,} characters, or None.", parameter="note"
        )
    return note


_CHECKS: dict[str, Callable[[Any], Any]] = {"rating": check_rating, "note": _note, "tags": check_tags}


# -- The attributes of `Video` and `MediaFile`.


class Decided:
    """A take that the user can rate. `rating`, `note` and `tags` are read from its sidecar each time."""

    sidecar: Path | None

    @property
    def rating(self) -> int | None:
        """1 to 5 stars, or None. Set it to store it in the take's sidecar; None removes it.

        Raises:
            UsageError: Another value, or kling_nb did not make the file.
            MediaError: The sidecar cannot be written.
        """
        return self._decisions.rating

    @rating.setter
    def rating(self, value: int | None) -> None:
        self._decide(rating=value)

    @property
    def note(self) -> str:
        """Your note, or an empty text. Set it as `rating`."""
        return self._decisions.note

    @note.setter
    def note(self, value: str | None) -> None:
        self._decide(note=value)

    @property
    def tags(self) -> tuple[str, ...]:
        """Your tags. Set it as `rating`, to a list; one text is one tag."""
        return self._decisions.tags

    @tags.setter
    def tags(self, value: Iterable[str] | None) -> None:
        self._decide(tags=value)

    @property
    def _decisions(self) -> Decisions:
        return read_decisions(self.sidecar) if self.sidecar is not None else Decisions()

    def _decide(self, **values: Any) -> None:
        for name, value in values.items():
            _CHECKS[name](value)
        if self.sidecar is None:
            raise UsageError(
                f"This file has no sidecar, so its {', '.join(values)} cannot be stored.",
                remedy="Only takes that kling_nb made have one: generate(…), or kling_nb.takes().",
            )
        decide(self.sidecar, **values)


def decidable(cls: type[T]) -> type[T]:
    """Let the properties of `Decided` be set on a frozen dataclass, which refuses every assignment."""
    refuse: Any = cls.__setattr__

    def assign(self: T, name: str, value: Any) -> None:
        (object.__setattr__ if name in _CHECKS else refuse)(self, name, value)

    cast("Any", cls).__setattr__ = assign
    return cls


class HasNoDecisions:
    """Base of a job and its kind: `job.rating = 4` raises, because the rating belongs to the video.

    Python would store it in the object, and it would be lost.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name in {"rating", "note", "tags"}:
            raise UsageError(
                f"A {type(self).__name__} has no {name}: it belongs to a video.",
                remedy=f"Set it there: job.video.{name}, sweep[0].video.{name}.",
            )
        super().__setattr__(name, value)
