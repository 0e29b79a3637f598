"""Which endpoint a name means: one that comes with the package, or any other of fal's by its live schema.

A live schema is fetched when its id is first named, and kept on disk with its date, one file for
each endpoint, for all kernels. After a week it is fetched anew at the next use; where that fails,
the stored one serves and the endpoint's `notice` says how old it is. A copy goes beside the takes that
are made with it: a clone without network knows by it what their requests mean.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from kling_nb.catalog import Endpoint, shipped
from kling_nb.catalog.openapi import NotADescription, from_openapi
from kling_nb.errors import UnknownEndpoint, UnreachableError, UsageError
from kling_nb.video.placing import write_whole

FRESH_DAYS = 7
"""Days for which a stored schema is used without asking fal."""

_VERSION = 1
_PAUSE_SECONDS = 600.0
"""After a schema could not be fetched anew, how long the stored one is used without another try."""

_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)+", re.ASCII)
_LONGEST = 150  # so that the file's name fits everywhere

Fetch = Callable[[str], Any]
"""Gives the document of an id, or None where fal has none; raises `UnreachableError`."""


@dataclass(frozen=True, slots=True)
class _Stored:
    """A schema from the disk, with the file's time and size when it was read."""

    endpoint: Endpoint
    stamp: tuple[int, int]

    @property
    def days(self) -> float:
        """Its age."""
        fetched = datetime.fromisoformat(self.endpoint.fetched_at or "")
        return (datetime.now(UTC) - fetched).total_seconds() / 86_400


class EndpointBook:
    """Finds endpoints by name.

    Threads: any; several processes may share the folder.

    Args:
        folder: Of the stored schemas. It is made when the first one is stored.
        fetch: How to ask fal.
        beside: Of the copies that come with takes.
    """

    def __init__(self, folder: Path, fetch: Fetch, beside: Path | None = None) -> None:
        self._folder = folder
        self._fetch = fetch
        self._beside = beside
        self._read: dict[Path, _Stored] = {}
        self._failed: dict[str, float] = {}

    def find(self, name: str, *, refresh: bool = False, fetch: bool = True) -> Endpoint:
        """The endpoint of an id or short name.

        Args:
            name: Id or short name of one that comes with the package, or any full id.
            refresh: Fetch its schema now, whatever is stored.
            fetch: False does without fal: what is neither shipped nor stored is unknown then.

        Raises:
            UnknownEndpoint: There is none, or its schema could not be had; the message says why.
            UnreachableError: `refresh`, and fal did not answer. What is stored stays.
            UsageError: `refresh` of an endpoint that comes with the package.
        """
        known = shipped.known(name)
        if known is None:
            endpoint_id = str(name).strip().strip("/")
            if not _ID.fullmatch(endpoint_id) or len(endpoint_id) > _LONGEST:
                raise shipped.unknown(name)
            return self._live(endpoint_id, refresh=refresh, fetch=fetch)
        if refresh:
            raise UsageError(
                f"The schema of {known.short_name} comes with kling_nb and is not fetched.",
                remedy="A newer kling_nb has its newer schema: pip install -U kling_nb",
            )
        return known

    def all(self, word: str | None = None) -> tuple[Endpoint, ...]:
        """Those that come with the package, then those stored here, as `catalog.endpoints` filters them."""
        live = (entry for entry in self._everything_stored() if shipped.has_words(entry, word))
        return (*shipped.endpoints(word), *live)

    def _live(self, endpoint_id: str, *, refresh: bool, fetch: bool) -> Endpoint:
        stored = self._stored(endpoint_id)
        if stored and not refresh and (stored.days < FRESH_DAYS or not fetch or self._paused(endpoint_id)):
            return stored.endpoint if stored.days < FRESH_DAYS else _aged(stored)
        if not fetch:
            raise shipped.unknown(endpoint_id)
        try:
            document = self._fetch(endpoint_id)
        except UnreachableError as fault:
            if stored is None:
                raise _not_had(endpoint_id, f"could not be fetched. {fault.message}") from fault
            if refresh:
                fault.remedy = f"The schema of {_day(stored.endpoint)} stays in use. Try again later."
                raise
            self._failed[endpoint_id] = time.monotonic()
            return _aged(stored)
        if document is None:
            raise _not_had(endpoint_id, "is not to be had: fal knows no endpoint of that id.")
        return self._taken(endpoint_id, document)

    def _taken(self, endpoint_id: str, document: Any) -> Endpoint:
        """The endpoint of a document that has just come, which is stored."""
        fetched_at = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            found = from_openapi(endpoint_id, document, fetched_at=fetched_at)
            _check(found)
        except (NotADescription, RecursionError) as fault:
            raise _not_had(endpoint_id, f"cannot be used: {fault}.") from fault
        entry = {
            "kling_nb": _VERSION,
            "endpoint": endpoint_id,
            "fetched_at": fetched_at,
            "document": document,
        }
        self._failed.pop(endpoint_id, None)
        with suppress(OSError):  # a full disk, a read-only home: it is fetched again next time
            self._folder.mkdir(parents=True, exist_ok=True)
            text = json.dumps(entry, ensure_ascii=True)
            write_whole(self._path(endpoint_id), lambda path: _write(path, text), overwrite=True)
        return found

    def keep_beside(self, endpoint: Endpoint) -> None:
        """Put the schema of an endpoint that does not come with the package beside the takes."""
        if endpoint.fetched_at is None or self._beside is None:
            return
        source, target = self._path(endpoint.id), self._beside / self._path(endpoint.id).name
        with suppress(OSError):  # a take is worth more than its schema
            text = source.read_text(encoding="ascii")
            if not target.exists() or target.read_text(encoding="ascii") != text:
                target.parent.mkdir(parents=True, exist_ok=True)
                write_whole(target, lambda path: _write(path, text), overwrite=True)

    # -- the folders ------------------------------------------------------------------

    def _path(self, endpoint_id: str) -> Path:
        return self._folder / f"{quote(endpoint_id, safe='')}.json"

    def _stored(self, endpoint_id: str) -> _Stored | None:
        """What the disk has; None for nothing, or nothing that can be read."""
        path = self._path(endpoint_id)
        return self._from(path, endpoint_id) or (
            self._from(self._beside / path.name, endpoint_id) if self._beside else None
        )

    def _from(self, path: Path, endpoint_id: str) -> _Stored | None:
        try:
            about = path.stat()
            stamp = (about.st_mtime_ns, about.st_size)
            known = self._read.get(path)
            if known is None or known.stamp != stamp:
                known = self._read[path] = _Stored(_parse(endpoint_id, path.read_bytes()), stamp)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return known

    def _everything_stored(self) -> Iterator[Endpoint]:
        folders = [self._folder, *([self._beside] if self._beside else [])]
        for name in sorted({path.name for folder in folders for path in _listed(folder)}):
            stored = self._stored(unquote(name.removesuffix(".json")))
            if stored is not None:
                yield stored.endpoint if stored.days < FRESH_DAYS else _aged(stored)

    def _paused(self, endpoint_id: str) -> bool:
        failed = self._failed.get(endpoint_id)
        return failed is not None and time.monotonic() - failed < _PAUSE_SECONDS


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.glob("*.json"))
    except OSError:
        return []


def _parse(endpoint_id: str, data: bytes) -> Endpoint:
    entry = json.loads(data)
    if (entry["kling_nb"], entry["endpoint"]) != (_VERSION, endpoint_id):
        raise ValueError("it is of another version, or of another endpoint")
    if datetime.fromisoformat(entry["fetched_at"]).tzinfo is None:
        raise ValueError("its date has no zone")
    return from_openapi(endpoint_id, entry["document"], fetched_at=entry["fetched_at"])


def _check(found: Endpoint) -> None:
    """See that a validator can be made of it, before anybody relies on it."""
    import jsonschema_rs  # noqa: PLC0415 - 40 ms, only where a schema has been fetched

    for schema in (found.input_schema, found.output_schema):
        if not jsonschema_rs.meta.is_valid(dict(schema)):
            raise NotADescription("it is no JSON Schema")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="ascii")


def _aged(stored: _Stored) -> Endpoint:
    one = stored.endpoint
    text = f"The schema of {one.id} is {stored.days:.0f} days old, of {_day(one)}; no newer one could be had."
    return replace(one, notice=text)


def _day(one: Endpoint) -> str:
    return (one.fetched_at or "")[:10]


def _not_had(endpoint_id: str, why: str) -> UnknownEndpoint:
    return UnknownEndpoint(
        f'"{endpoint_id}" does not come with kling_nb, and its live schema {why}',
        remedy=shipped.unknown(endpoint_id).remedy,
        parameter="endpoint",
    )
