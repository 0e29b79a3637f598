"""Files that an input names: found by the schema, fetched from this machine only."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from tornado.httpclient import AsyncHTTPClient

from kling_nb.local.file_store import FileStore
from kling_nb.local.refusal import Path, Refused, detail

LARGEST = 200 << 20
"""Bytes of one input file."""

_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Named:
    """A file that an input names: where, as which kind (`image`, `video`, `audio`), and its address."""

    path: tuple[str | int, ...]
    kind: str
    url: str


@dataclass(frozen=True, slots=True)
class InputFile:
    """The same with its bytes."""

    path: tuple[str | int, ...]
    kind: str
    data: bytes

    @property
    def parameter(self) -> str:
        """Name of the top-level parameter that it belongs to."""
        return str(self.path[0])


def named_files(schema: Mapping[str, Any], value: Any, path: tuple[str | int, ...] = ()) -> Iterator[Named]:
    """Every file that `value` names, in the schema's order, at any depth."""
    kind = schema.get("x-fal-media")
    if isinstance(kind, str) and isinstance(value, str):
        yield Named(path, kind, value)
    elif isinstance(value, Mapping):
        for name, part in schema.get("properties", {}).items():
            if name in value:
                yield from named_files(part, value[name], (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from named_files(schema.get("items", {}), item, (*path, index))


async def fetch(named: Named, store: FileStore, base: str) -> InputFile:
    """The bytes of one file: a data URI, an upload of this server, or anything on loopback.

    Raises:
        Refused: It cannot be had; the entry has fal's type `file_download_error`.
    """
    return InputFile(named.path, named.kind, await _bytes(named, store, base))


async def _bytes(named: Named, store: FileStore, base: str) -> bytes:
    url = named.url
    if url[:5].lower() == "data:":
        return _inline(named)
    own = store.find_url(url, base)
    if own is not None:
        return await asyncio.to_thread(own.path.read_bytes)
    if not is_loopback(url):
        raise _refuse(named, "the local engine fetches files of this machine only; upload the file instead")
    client = AsyncHTTPClient(force_instance=True, max_body_size=LARGEST)
    try:
        reply = await client.fetch(url, follow_redirects=False, request_timeout=_SECONDS)
    except Exception as fault:
        raise _refuse(named, str(fault)[:200]) from fault
    finally:
        client.close()
    return reply.body


def is_loopback(url: str) -> bool:
    """Whether a URL is http(s) to this machine, judged by its text alone: no name is looked up."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        return parts.scheme in {"http", "https"} and (
            host == "localhost" or ipaddress.ip_address(host).is_loopback
        )
    except ValueError:
        return False


def _inline(named: Named) -> bytes:
    head, comma, body = named.url.partition(",")
    try:
        raw = unquote_to_bytes(body)
        data = base64.b64decode(raw, validate=True) if head.lower().endswith(";base64") else raw
    except ValueError as fault:
        raise _refuse(named, "the data URI is not valid base64") from fault
    if not comma or not data:
        raise _refuse(named, "the data URI is empty")
    return data


def _refuse(named: Named, why: str) -> Refused:
    message = f"Failed to download the file: {why}"
    return Refused([detail(named.path, message, "file_download_error", named.url)])


def unreadable(path: Path, kind: str, why: str) -> Refused:
    """The refusal of a file that was had but cannot be decoded."""
    if kind == "image":
        return Refused([detail(path, f"Failed to load the image: {why}", "image_load_error", None)])
    formats = {"video": ["mp4", "mov", "webm"], "audio": ["mp3", "wav", "m4a", "ogg"]}[kind]
    message = f"Unsupported {kind} format: {why}"
    return Refused([detail(path, message, f"unsupported_{kind}_format", None, supported_formats=formats)])
