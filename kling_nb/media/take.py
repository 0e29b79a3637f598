"""Takes: the stored result of a request, its sidecar, and their names.

The sidecar is a JSON file next to the stored file. It is version 1, UTF-8, one object. `MediaFolder.store`
writes it, and any program may read it.

    kling_nb        1, the version of this format
    fingerprint     of the request; takes of the same request have the same one
    take            number among them, from 1
    endpoint        fal's id of the model
    input           what was sent; a local file is {"sha256": …, "name": …}
    backend         "fal", or "local" for a local preview
    request_id      fal's id of the request, or null
    file            name of the stored file when it was stored, without a folder
    kind            "video", "audio", "image" or "data"
    content_type    MIME type, found in the file's content
    sha256, size    of the stored file; size in bytes
    url             where it was downloaded from, or null; such URLs expire
    width, height   pixels as shown; these and the next three are null except for video
    fps, duration   frames per second; seconds
    frame_count     frames
    created_at      time of the submission, ISO 8601, UTC
    finished_at     time when it was stored, ISO 8601, UTC
    billable_units  as fal sent them, or null
    lines           the last 200 log lines, each [timestamp or null, message]
    estimate_usd    expected cost in US dollars; null, or missing, if not known
    made_from       fingerprint of the request of the `%%kling` cell from which it was made, also with other
                    parameters; missing if it was not made from a cell, or by an earlier version
    user            rating, note, tags and choice of the user (`video/decisions.py`); missing if there are
                    none. It is all that may change after the sidecar was written

Readers ignore names that they do not know, and refuse a version above their own.
"""

from __future__ import annotations

import json
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from kling_nb._files import names_in
from kling_nb.errors import MediaError, UsageError
from kling_nb.request.request import prompt_of
from kling_nb.video import MediaFile, Video
from kling_nb.video.decisions import Decisions, is_decided, json_object

VERSION = 1
MAX_LINES = 200
LARGEST = 32 * 2**20
"""Bytes. An input can contain an image as a data URI, but a larger file is not a sidecar."""

Line = tuple[str | None, str]


@dataclass(frozen=True, slots=True)
class Sidecar:
    """The content of a sidecar. The docstring of this file explains each name."""

    fingerprint: str
    take: int
    endpoint: str
    input: Mapping[str, Any]
    backend: str
    request_id: str | None
    file: str
    kind: str
    content_type: str
    sha256: str
    size: int
    url: str | None
    width: int | None
    height: int | None
    fps: float | None
    duration: float | None
    frame_count: int | None
    created_at: str
    finished_at: str
    billable_units: str | None
    lines: tuple[Line, ...]
    estimate_usd: float | None = None
    made_from: str | None = None
    user: Any = field(default_factory=dict)

    def to_json(self) -> bytes:
        """Return the content of the file: one name per line, so that a diff is readable.

        Raises:
            MediaError: `input` has a value that JSON does not have.
        """
        entries = {"kling_nb": VERSION, **{one.name: getattr(self, one.name) for one in fields(self)}}
        for name in ("made_from", "user"):
            if not entries[name]:
                del entries[name]
        try:
            return json_object(entries)
        except (TypeError, ValueError, RecursionError) as error:
            raise MediaError(f"The input cannot be written as JSON: {error}.") from error

    @classmethod
    def from_json(cls, data: bytes) -> Sidecar:
        """Return the sidecar in `data`, which a user may have written or edited.

        Raises:
            MediaError: It is not a sidecar, or of a later version.
        """
        try:
            found = json.loads(data.decode("utf-8-sig"), parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise MediaError(f"A sidecar is not JSON: {error}.") from error
        if not isinstance(found, dict):
            raise MediaError("A sidecar is not a JSON object.")
        if found.get("kling_nb") is True or found.get("kling_nb") != VERSION:
            raise MediaError(f"A sidecar is not of version {VERSION}.")
        values = {name: _checked(found, name) for name in _CHECKS}
        # A take counts without these, and whatever they are.
        usd: Any = found.get("estimate_usd")
        made_from, user = found.get("made_from"), found.get("user")
        is_amount = type(usd) in {int, float} and 0 <= usd < 1e9
        return cls(
            **{
                **values,
                **{name: values[name] and float(values[name]) for name in ("fps", "duration")},
                "lines": tuple((moment, text) for moment, text in values["lines"][-MAX_LINES:]),
                "estimate_usd": float(usd) if is_amount else None,
                "made_from": made_from if isinstance(made_from, str) else None,
                "user": user or {},
            }
        )


def read_sidecar(path: Path) -> Sidecar | None:
    """Return the sidecar at `path`, or None if there is none that can be read."""
    try:
        if path.stat().st_size > LARGEST:
            return None
        data = path.read_bytes()
        return Sidecar.from_json(data) if b'"kling_nb"' in data else None
    except (OSError, MediaError):
        return None


def is_rated(path: Path) -> bool:
    """Return `is_decided` of the sidecar at `path`; True if it cannot be read."""
    try:
        return is_decided(json.loads(path.read_bytes().decode("utf-8-sig")).get("user", {}))
    except (OSError, ValueError, RecursionError, AttributeError):
        return True


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


# -- Checks of single values, and what each value has to be.


def _is_time(value: Any) -> bool:
    with suppress(ValueError):
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    return False


def _is_line(value: Any) -> bool:
    match value:
        case [str() | None, str()]:
            return True
    return False


_TEXT = (lambda value: isinstance(value, str) and value != "", "a text")
_WHOLE = (lambda value: type(value) is int and 1 <= value < 2**63, "a whole number from 1")
_NUMBER = (lambda value: type(value) in {int, float} and 0 < value < 1e12, "a number above 0")
_TIME = (_is_time, "an ISO 8601 time with its zone")

_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "fingerprint": _TEXT,
    "take": _WHOLE,
    "endpoint": _TEXT,
    "input": (lambda value: isinstance(value, dict), "an object"),
    "backend": (lambda value: value in ("fal", "local"), "one of fal, local"),
    "request_id": _TEXT,
    "file": (lambda value: isinstance(value, str) and is_file_name(value), "the name of a file"),
    "kind": (lambda value: value in ("video", "audio", "image", "data"), "one of video, audio, image, data"),
    "content_type": _TEXT,
    "sha256": (
        lambda value: isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None,
        "64 hexadecimal digits",
    ),
    "size": _WHOLE,
    "url": _TEXT,
    "width": _WHOLE,
    "height": _WHOLE,
    "fps": _NUMBER,
    "duration": _NUMBER,
    "frame_count": _WHOLE,
    "created_at": _TIME,
    "finished_at": _TIME,
    "billable_units": _TEXT,
    "lines": (
        lambda value: isinstance(value, list) and all(map(_is_line, value[-MAX_LINES:])),
        "a list of [timestamp, message]",
    ),
}
_OPTIONAL = {"request_id", "url", "width", "height", "fps", "duration", "frame_count", "billable_units"}


def _checked(found: dict[str, Any], name: str) -> Any:
    """Return a value of a sidecar, or raise `MediaError`."""
    value, (is_right, words) = found.get(name), _CHECKS[name]
    if (value is None and name in _OPTIONAL) or is_right(value):
        return value
    raise MediaError(f"A sidecar's {name} is not {words}.")


# -- File names: `{slug of the prompt}-{first 8 characters of the fingerprint}-{take}`.
#
# A person can recognise the clip, and every system accepts the name: with the number at the end it is never
# just one of Windows's reserved words (`con`, `aux`).


SLUG_LENGTH = 40
_VARIANTS = 9

_DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    f"{port}{number}" for port in ("COM", "LPT") for number in "0123456789¹²³"
}
"""Names of devices on Windows, with any extension."""


def slug(text: str) -> str:
    """Return `text` as a part of a file name: lower case, words joined by `-`, at most 40 characters.

    Latin letters lose their accents. Letters of other scripts stay as they are.
    """
    folded = "".join(_fold(letter) for letter in unicodedata.normalize("NFKC", text.lower()))
    words = re.sub("-+", "-", unicodedata.normalize("NFC", folded)).strip("-")
    if len(words) > SLUG_LENGTH:
        cut = words[: SLUG_LENGTH + 1]
        # Cut it at the end of a word, unless that would drop most of it.
        words = cut[: end if (end := cut.rfind("-")) > SLUG_LENGTH // 2 else SLUG_LENGTH].strip("-")
    return words or "untitled"


def stems(prompt: str, fingerprint: str, take: int, backend: str) -> Iterator[str]:
    """Yield take names: file names of a take without extension, the preferred one first."""
    first = f"{slug(prompt)}-{slug(fingerprint[:8])}-{take}"
    yield first
    yield f"{first}-{slug(backend)}"
    for number in range(2, _VARIANTS + 1):
        yield f"{first}-{slug(backend)}-{number}"


def is_file_name(name: str) -> bool:
    """Return True if `name` is a file name on every system, and no path to another folder or a device."""
    return (
        0 < len(name.encode("utf-8", "replace")) <= 255
        and name.rstrip(" .") == name
        and name.partition(".")[0].rstrip().upper() not in _DEVICES
        and not any(letter in '/\\:*?"<>|' or ord(letter) < 32 or ord(letter) == 127 for letter in name)
    )


def _fold(letter: str) -> str:
    """Return a Latin letter without its accent, a letter of another script as it is, else `-`."""
    base = unicodedata.normalize("NFKD", letter)[0]
    if base.isascii():
        return base if base.isalnum() else "-"
    # Combining marks belong to the letter before them (Devanagari, Thai, Arabic).
    return letter if letter.isalnum() or unicodedata.category(letter) in {"Mn", "Mc"} else "-"


# -- The take.


Result = Video | MediaFile | dict[str, Any]
"""The result of a request: a video, another file, or the data that the model returned."""


@dataclass(frozen=True, slots=True)
class TakeDraft:
    """The known facts about a result, before its bytes have arrived.

    Attributes:
        fingerprint: Fingerprint of the request.
        take: Its number; None, or a number that is used, gives the next free one.
        endpoint: fal's id of the model.
        input: What was sent, as JSON; a local file is `{"sha256": …, "name": …}`.
        prompt: The prompt, for the file name.
        backend: "fal" or "local".
        request_id: fal's id. To store the same one again returns the first take.
        url: Where the bytes come from; empty if the result itself contains them.
        kind: "video", "audio", "image" or "data": what the bytes have to be.
        file_name: Name that the server gives, for messages only.
        created_at: Unix seconds of the submission.
        units: `x-fal-billable-units`, as sent.
        lines: The log: (timestamp or None, message).
        estimate_usd: Expected cost in US dollars, or None.
        made_from: Fingerprint of the request of its cell, or None.
        measures: Those of a local preview, by the program that drew it.
    """

    fingerprint: str
    take: int | None
    endpoint: str
    input: Mapping[str, Any]
    prompt: str
    backend: str
    request_id: str
    url: str
    kind: str
    file_name: str | None = None
    created_at: float = 0.0
    units: str | None = None
    lines: tuple[Line, ...] = ()
    estimate_usd: float | None = None
    made_from: str | None = None
    measures: Measures | None = None


@dataclass(frozen=True, slots=True)
class Measures:
    """Measures of the video whose bytes have this SHA-256, as a sidecar has them."""

    sha256: str
    width: int
    height: int
    fps: float
    duration: float
    frame_count: int


@dataclass(frozen=True, slots=True)
class Take:
    """One stored result.

    Attributes:
        path: The file, by its present name.
        sidecar: The content of its sidecar.
        sidecar_path: The sidecar.
    """

    path: Path
    sidecar: Sidecar
    sidecar_path: Path

    def other(self, name: str) -> Path | None:
        """Return another file of the same result, such as the `audio` of a video, or None."""
        return self.others().get(slug(name))

    def path_of_other(self, name: str, extension: str) -> Path:
        """Return the place of another file of the same result: `…-1.audio.wav` next to `…-1.mp4`."""
        return self.path.with_name(f"{self.path.name.partition('.')[0]}.{slug(name)}{extension}")

    def others(self) -> dict[str, Path]:
        """Return the other files of the result, by name."""
        start = f"{self.path.name.partition('.')[0]}."
        found = {}
        with suppress(OSError):
            names = names_in(self.path.parent)
            for file in names[bisect_left(names, start) : bisect_left(names, f"{start}\U0010ffff")]:
                _, name, *rest = file.split(".")
                if rest and file != self.path.name and name != "data":
                    found[name] = self.path.with_name(file)
        return found

    def result(self) -> Result:
        """Return the result as a user gets it.

        If the endpoint's schema does not name the kind of the file, the content decides.

        Raises:
            MediaError: It is a video that does not decode, or the file is gone.
        """
        known = self.sidecar
        main_type = known.content_type.partition("/")[0]
        if "video" in {known.kind, main_type}:
            return self.video()
        if known.kind == "data" and known.content_type == "application/json" and known.url is None:
            return self._data()
        return self._file()

    def file(self) -> Video | MediaFile:
        """Return the stored file as a `Video`, or as a `MediaFile` if it is none."""
        known = self.sidecar
        if "video" in {known.kind, known.content_type.partition("/")[0]}:
            with suppress(MediaError):
                return self.video()
        return self._file()

    def _file(self) -> MediaFile:
        known = self.sidecar
        kind = known.kind if known.kind != "data" else known.content_type.partition("/")[0]
        return MediaFile(
            path=self.path,
            kind="audio" if kind == "audio" else "image" if kind == "image" else "data",
            content_type=known.content_type,
            **self._origin(),
        )

    def _data(self) -> dict[str, Any]:
        """Return the output of a model that returns no file."""
        try:
            found = json.loads(self.path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise MediaError(f"{self.path.name} cannot be read: {error}.") from error
        return found if isinstance(found, dict) else {"data": found}

    def _origin(self) -> dict[str, Any]:
        known = self.sidecar
        return {
            "url": known.url,
            "request": {"endpoint": known.endpoint, "input": known.input},
            "request_id": known.request_id,
            "backend": known.backend,
            "take": known.take,
            "sidecar": self.sidecar_path,
        }

    def video(self) -> Video:
        """Return a take that is a video as a `Video`.

        Raises:
            MediaError: The sidecar has no measures, and the file does not decode.
        """
        known = self.sidecar
        origin = self._origin()
        measures = (known.width, known.height, known.fps, known.duration, known.frame_count)
        if not all(measures):
            return Video.from_file(self.path, **origin)
        width, height, fps, duration, frame_count = measures
        return Video(
            path=self.path,
            width=width or 0,
            height=height or 0,
            fps=fps or 0,
            duration=duration or 0,
            frame_count=frame_count or 0,
            **origin,
        )


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
        "prompt": prompt_of(given),
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
