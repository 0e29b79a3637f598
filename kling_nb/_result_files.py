"""The files that a result holds, and their bytes: at a URL, or inside the result itself."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote_to_bytes

from kling_nb import errors
from kling_nb.fal.download import Beginning, Download
from kling_nb.fal.queue import QueueClient

MOST = 16
"""Files of one result that are kept."""

_WANTED = ("video", "videos", "audio", "image", "images")

File = Mapping[str, Any]
"""fal's File object: url, content_type, file_name, file_size, file_data. Only url or file_data is sure."""


def files_of(data: Any, pointer: str) -> dict[str, File]:
    """The files by name, the one that the take is made of first; a list's are `images-1`, `images-2`, ….

    Args:
        data: The result.
        pointer: Name of the property that the endpoint's schema says is the file; empty where it says
            none, or is not known any more.
    """
    found: dict[str, File] = {}
    named = data if isinstance(data, Mapping) else {}
    first = [pointer] if pointer else [word for word in _WANTED if _named(named, word)][:1]
    for name in dict.fromkeys([*first, *named]):
        found |= _named(named, name)
    if pointer and not _named(named, pointer):
        return {}  # what was promised is not there, and nothing else stands in for it
    return dict(list(found.items())[:MOST])


def main_file(data: Any, pointer: str) -> File | None:
    """The file that the take is made of, or None where the result is data only."""
    return next(iter(files_of(data, pointer).values()), None)


@asynccontextmanager
async def opened(
    client: QueueClient, file: File, beginning: Beginning | None = None
) -> AsyncIterator[Download]:
    """The bytes of a file, or those after its beginning.

    Raises:
        MediaError: They do not decode, or the host refuses.
        UnreachableError: No answer, or cut.
    """
    url = str(file.get("url") or "")
    inline = file.get("file_data") or (url if url.startswith("data:") else None)
    if inline:
        kind, raw = _decode(str(inline))
        yield Download("", text_of(file, "content_type") or kind, len(raw), _one_chunk(raw))
        return
    async with client.download(url, beginning) as download:
        yield download


def as_download(data: Any) -> Download:
    """The result itself as a file, for endpoints that give data only."""
    raw = json.dumps(data, ensure_ascii=False, indent=1).encode()
    return Download("", "application/json", len(raw), _one_chunk(raw))


def text_of(file: File, name: str) -> str | None:
    """A text of the File object; None for anything else."""
    value = file.get(name)
    return value if isinstance(value, str) and value else None


def _named(data: Mapping[str, Any], name: str) -> dict[str, File]:
    value = data.get(name)
    if isinstance(value, list):
        return {f"{name}-{number}": file for number, file in enumerate(value, 1) if _is_file(file)}
    return {name: value} if isinstance(value, Mapping) and _is_file(value) else {}


def _is_file(value: Any) -> bool:
    return isinstance(value, Mapping) and any(
        isinstance(value.get(name), str) and value[name] for name in ("url", "file_data")
    )


async def _one_chunk(raw: bytes) -> AsyncIterator[bytes]:
    yield raw


def _decode(inline: str) -> tuple[str | None, bytes]:
    """MIME type, where it is told, and bytes of a data URI or of plain base64."""
    head, comma, payload = inline.partition(",") if inline.startswith("data:") else ("", "", inline)
    kind = head.removeprefix("data:").partition(";")[0] or None
    if comma and not head.endswith(";base64"):
        return kind, unquote_to_bytes(payload)
    try:
        return kind, base64.b64decode(unquote_to_bytes(payload), validate=True)
    except (binascii.Error, ValueError) as fault:
        raise errors.MediaError("The result carries bytes that do not decode as base64.") from fault
