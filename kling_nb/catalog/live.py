"""`EndpointBook`: find an endpoint by name, from the package or by its live schema. `PriceBook`: live prices.

A live schema is fetched at the first use of its id. All kernels share it: it is stored on disk with its date,
one file for each endpoint. After a week it is fetched again at the next use. If that fails, the stored schema
is used, and the endpoint's `notice` states its age. A copy is stored next to the takes that are made with it,
so that a clone of the project can read their requests without a network.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from kling_nb._files import parse_object, write_file
from kling_nb._lazy import jsonschema_rs
from kling_nb.catalog import Endpoint, shipped
from kling_nb.catalog.endpoint import Price, price_of_unit
from kling_nb.catalog.openapi import UnreadableDocument, from_openapi
from kling_nb.errors import KlingError, UnknownEndpoint, UnreachableError, UsageError

FRESH_DAYS = 7
"""A stored schema is used for this many days before it is fetched again."""

_VERSION = 1
_PAUSE_SECONDS = 600.0
"""After a failed fetch the stored schema is used for this long before the next try."""

_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)+", re.ASCII)
_LONGEST = 150  # characters of an id, so that the file name is valid on every file system

Fetch = Callable[[str], Any]
"""Returns the OpenAPI document of an id, or None if fal has none. Raises `UnreachableError`."""


@dataclass(frozen=True, slots=True)
class _Stored:
    """A schema from the disk, with the time and size of its file at that moment."""

    endpoint: Endpoint
    stamp: tuple[int, int]

    @property
    def days(self) -> float:
        """The age of the schema in days."""
        fetched = datetime.fromisoformat(self.endpoint.fetched_at or "")
        return (datetime.now(UTC) - fetched).total_seconds() / 86_400


class EndpointBook:
    """Finds endpoints by name.

    Threads: any. Several processes may share the folders.

    Args:
        folder: Where schemas are stored. It is created with the first one.
        fetch: Fetches a document from fal.
        copies: Folder for copies next to the takes, if there is one.
    """

    def __init__(self, folder: Path, fetch: Fetch, copies: Path | None = None) -> None:
        self._folder = folder
        self._fetch = fetch
        self._copies = copies
        self._folders = [folder, copies] if copies else [folder]
        self._read: dict[Path, _Stored] = {}
        self._failed: dict[str, float] = {}

    def find(self, name: str, *, refresh: bool = False, fetch: bool = True) -> Endpoint:
        """Return the endpoint with this id or short name.

        Args:
            name: Id or short name of an endpoint of the package, or any full id.
            refresh: Fetch the schema now, even if a stored one is new enough.
            fetch: False never asks fal. Endpoints that are neither in the package nor stored
                are unknown then.

        Raises:
            UnknownEndpoint: There is none, or its schema could not be read; the message has the reason.
            UnreachableError: `refresh` is set and fal did not answer. The stored schema stays.
            UsageError: `refresh` is set for an endpoint of the package.
        """
        found = shipped.find(name)
        if found is None:
            endpoint_id = str(name).strip().strip("/")
            if not _ID.fullmatch(endpoint_id) or len(endpoint_id) > _LONGEST:
                raise shipped.unknown_endpoint(name)
            return self._find_live(endpoint_id, refresh=refresh, fetch=fetch)
        if not found.has_schema:
            return self.find_newer(found, refresh=refresh, fetch=fetch)
        if refresh:
            raise UsageError(
                f"The schema of {found.short_name} comes with kling_nb and is not fetched. Nothing was sent.",
                remedy="Update kling_nb for a newer schema: pip install -U kling_nb",
            )
        return found

    def find_newer(self, known: Endpoint, *, refresh: bool = False, fetch: bool = True) -> Endpoint:
        """Return an endpoint of the package with its live schema. It raises as `find`.

        Without `fetch` it is returned as it is, if no schema is stored.
        """
        try:
            live = self._find_live(known.id, refresh=refresh, fetch=fetch)
        except UnknownEndpoint:
            if fetch:
                raise
            return known
        about = {name: getattr(known, name) for name in ("short_name", "title", "category", "generation")}
        notice = " ".join(filter(None, (live.notice, known.notice)))
        return replace(live, **about, tier=known.tier, price=known.price, notice=notice)

    def all(self, word: str | None = None) -> tuple[Endpoint, ...]:
        """Return the endpoints of the package, then the stored ones; `word` as in `shipped.endpoints`."""
        package = [
            entry if entry.has_schema else self.find_newer(entry, fetch=False)
            for entry in shipped.endpoints(word)
        ]
        live = [one for one in self._load_all() if shipped.find(one.id) is None]
        return (*package, *(one for one in live if shipped.has_words(one, word)))

    def _find_live(self, endpoint_id: str, *, refresh: bool, fetch: bool) -> Endpoint:
        stored = self._load(endpoint_id)
        if stored and not refresh and (stored.days < FRESH_DAYS or not fetch or self._is_paused(endpoint_id)):
            return _with_notice(stored)
        if not fetch:
            raise shipped.unknown_endpoint(endpoint_id)
        try:
            document = self._fetch(endpoint_id)
        except UnreachableError as fault:
            if stored is None:
                raise _schema_error(endpoint_id, f"could not be fetched. {fault.message}") from fault
            if refresh:
                fault.remedy = f"The schema of {_day(stored.endpoint)} stays in use. Try again later."
                raise
            self._failed[endpoint_id] = time.monotonic()
            return _with_notice(stored)
        if document is None:
            raise _schema_error(endpoint_id, "does not exist: fal knows no endpoint of that id.")
        return self._store(endpoint_id, document)

    def _store(self, endpoint_id: str, document: Any) -> Endpoint:
        """Read a document that fal has just sent, store it and return its endpoint."""
        fetched_at = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            found = from_openapi(endpoint_id, document, fetched_at=fetched_at)
            for schema in (found.input_schema, found.output_schema):
                if not jsonschema_rs.meta.is_valid(dict(schema)):  # no validator could be made of it
                    raise UnreadableDocument("it is no JSON Schema")
        except (UnreadableDocument, RecursionError) as fault:
            raise _schema_error(endpoint_id, f"cannot be used: {fault}.") from fault
        about = {"kling_nb": _VERSION, "endpoint": endpoint_id, "fetched_at": fetched_at}
        entry = json.dumps({**about, "document": document}, ensure_ascii=True)
        self._failed.pop(endpoint_id, None)
        # Without a stored schema (full disk, read-only home) it is fetched each time.
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            write_file(self._path(endpoint_id), entry.encode(), overwrite=True)
        return found

    def store_copy(self, endpoint: Endpoint) -> None:
        """Copy the live schema of an endpoint next to the takes. Do nothing for endpoints of the package."""
        if endpoint.fetched_at is None or self._copies is None:
            return
        source, target = self._path(endpoint.id), self._copies / self._path(endpoint.id).name
        with suppress(OSError):  # A missing copy must not stop the job.
            data = source.read_bytes()
            if not target.exists() or target.read_bytes() != data:
                target.parent.mkdir(parents=True, exist_ok=True)
                write_file(target, data, overwrite=True)

    # -- the folders ------------------------------------------------------------------

    def _path(self, endpoint_id: str) -> Path:
        return self._folder / f"{quote(endpoint_id, safe='')}.json"

    def _load(self, endpoint_id: str) -> _Stored | None:
        """Return the stored schema, or None if there is none that can be read."""
        name = self._path(endpoint_id).name
        found = (self._read_file(folder / name, endpoint_id) for folder in self._folders)
        return next(filter(None, found), None)

    def _read_file(self, path: Path, endpoint_id: str) -> _Stored | None:
        try:
            about = path.stat()
            stamp = (about.st_mtime_ns, about.st_size)
            known = self._read.get(path)
            if known is None or known.stamp != stamp:
                known = self._read[path] = _Stored(_parse(endpoint_id, path.read_bytes()), stamp)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return known

    def _load_all(self) -> Iterator[Endpoint]:
        for name in sorted({path.name for folder in self._folders for path in _json_files(folder)}):
            stored = self._load(unquote(name.removesuffix(".json")))
            if stored is not None:
                yield _with_notice(stored)

    def _is_paused(self, endpoint_id: str) -> bool:
        return time.monotonic() - self._failed.get(endpoint_id, -math.inf) < _PAUSE_SECONDS


def _json_files(folder: Path) -> list[Path]:
    try:
        return list(folder.glob("*.json"))
    except OSError:
        return []


def _parse(endpoint_id: str, data: bytes) -> Endpoint:
    entry = json.loads(data)
    if (entry["kling_nb"], entry["endpoint"]) != (_VERSION, endpoint_id):
        raise ValueError("another version, or another endpoint")
    if datetime.fromisoformat(entry["fetched_at"]).tzinfo is None:
        raise ValueError("a date without a time zone")
    return from_openapi(endpoint_id, entry["document"], fetched_at=entry["fetched_at"])


def _with_notice(stored: _Stored) -> Endpoint:
    """Return the stored endpoint, with a notice about its age if it is older than `FRESH_DAYS`."""
    endpoint = stored.endpoint
    if stored.days < FRESH_DAYS:
        return endpoint
    age = f"{stored.days:.0f} days old ({_day(endpoint)})"
    return replace(
        endpoint, notice=f"The schema of {endpoint.id} is {age}, because fal did not send a newer one."
    )


def _day(endpoint: Endpoint) -> str:
    return (endpoint.fetched_at or "")[:10]


def _schema_error(endpoint_id: str, why: str) -> UnknownEndpoint:
    known = shipped.find(endpoint_id)
    what = f'The schema of "{endpoint_id}"' if known else f'"{endpoint_id}"'
    return UnknownEndpoint(
        f"{what} does not come with kling_nb, and its live schema {why}",
        remedy="Try again later." if known else shipped.unknown_endpoint(endpoint_id).remedy,
        parameter="endpoint",
    )


# -- Prices that fal's API gives, for endpoints without one on record.


_PRICE_AGE_SECONDS = 86_400.0
"""Age up to which a price is used. fal is asked once a day."""

_PRICE_PAUSE_SECONDS = 60.0

AskPrice = Callable[[str], tuple[float, str, str] | None]
"""Asks fal for the price of an endpoint: price of a unit, unit, currency. None: fal has no price for it."""


class PriceBook:
    """Prices of fal's API. Threads: any. Several processes may share the file.

    Args:
        path: Where prices are stored. It is created with the first one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._asked: dict[str, tuple[float, Price | None]] = {}
        self._failed: dict[str, float] = {}

    def with_price(self, endpoint: Endpoint, ask: AskPrice | None) -> Endpoint:
        """Return the endpoint with fal's price of today, or unchanged if there is none that can be applied.

        fal is asked if no price of today is stored; without `ask`, never.
        """
        known = self._asked.get(endpoint.id) or self._load(endpoint)
        if known is None or not 0 <= time.time() - known[0] < _PRICE_AGE_SECONDS:
            known = self._ask(endpoint, ask) if ask is not None else None
        price = known[1] if known else None
        return endpoint if price is None else replace(endpoint, price=price)

    def _ask(self, endpoint: Endpoint, ask: AskPrice) -> tuple[float, Price | None] | None:
        if time.monotonic() - self._failed.get(endpoint.id, -math.inf) < _PRICE_PAUSE_SECONDS:
            return None
        try:
            answer = ask(endpoint.id)
        except (KlingError, TimeoutError):  # no answer says nothing about the price
            self._failed[endpoint.id] = time.monotonic()
            return None
        now = time.time()
        stored = self._read() | {endpoint.id: {"asked_at": now, "answer": answer}}
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o700, exist_ok=True)  # makes no home for a cache alone
            write_file(self._path, json.dumps(stored).encode(), overwrite=True)
        self._asked[endpoint.id] = (now, _price(endpoint, now, answer))
        return self._asked[endpoint.id]

    def _load(self, endpoint: Endpoint) -> tuple[float, Price | None] | None:
        try:
            entry = self._read()[endpoint.id]
            asked_at, answer = float(entry["asked_at"]), entry["answer"]
            self._asked[endpoint.id] = (asked_at, _price(endpoint, asked_at, answer))
        except (KeyError, TypeError, ValueError, OverflowError, OSError):
            return None
        return self._asked[endpoint.id]

    def _read(self) -> dict[str, Any]:
        with suppress(OSError):
            return parse_object(self._path.read_bytes()) or {}
        return {}


def _price(endpoint: Endpoint, asked_at: float, answer: Any) -> Price | None:
    if answer is None:
        return None
    usd, unit, currency = answer
    day = datetime.fromtimestamp(asked_at, UTC).date().isoformat()
    return price_of_unit(float(usd), str(unit), str(currency), endpoint.output_kind, day)
