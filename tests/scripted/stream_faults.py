"""Faults inside an event stream: each takes the events (one frame each) and gives others.

They sit behind the job, so a job goes on as it would have.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any

from .message import Frames


def event(value: Mapping[str, Any]) -> bytes:
    """One server-sent event as fal writes it: a data line and an empty one."""
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def parse(frame: bytes) -> dict[str, Any] | None:
    """The object in an event; None for a comment."""
    if not frame.startswith(b"data: "):
        return None
    value: dict[str, Any] = json.loads(frame.removeprefix(b"data: "))
    return value


async def repeat(frames: Frames) -> Frames:
    """Each event twice."""
    async with aclosing(frames):
        async for frame in frames:
            yield frame
            yield frame


async def replay(frames: Frames) -> Frames:
    """Each event repeats all lines so far, the oldest first."""
    lines: list[Any] = []
    async with aclosing(frames):
        async for frame in frames:
            value = parse(frame)
            if value is None:
                yield frame
            else:
                lines += value.get("logs") or []
                yield event(value | {"logs": list(lines)})


async def reorder(frames: Frames) -> Frames:
    """Log lines in pairs, the later one first; the last event brings what is still owed."""
    owed: list[Any] = []
    async with aclosing(frames):
        async for frame in frames:
            value = parse(frame)
            if value is None:
                yield frame
                continue
            lines = value.get("logs") or []
            if value["status"] == "COMPLETED" or (owed and lines):
                lines, owed = [*lines, *owed], []
            elif lines:
                lines, owed = [], lines
            yield event(value | {"logs": lines})


async def garbage(frames: Frames) -> Frames:
    """Before each event: broken JSON, a list, an unknown state, an unknown event name, an empty data line."""
    junk = (
        b"data: {broken\n\n",
        b"data: []\n\n",
        b'data: {"status":"DREAMING"}\n\n',
        b"event: tick\nid: 9\ndata: 1\n\n",
    )
    async with aclosing(frames):
        async for frame in frames:
            for piece in (*junk, b"data:\n\n", b"\n\n"):
                yield piece
            yield frame


async def end(frames: Frames, *, frame: int = 1) -> Frames:
    """A clean end of the stream after so many events, whatever the job's state."""
    async with aclosing(frames):
        if frame <= 0:
            return
        left = frame
        async for piece in frames:
            yield piece
            left -= 1
            if not left:
                return


async def linger(frames: Frames) -> Frames:
    """The stream stays open after COMPLETED."""
    async with aclosing(frames):
        async for frame in frames:
            yield frame
    await asyncio.Event().wait()


async def endless(frames: Frames) -> Frames:
    """The end never comes: comments keep the stream alive in place of COMPLETED."""
    async with aclosing(frames):
        async for frame in frames:
            value = parse(frame)
            if value is None or value["status"] != "COMPLETED":
                yield frame
    while True:
        yield b": ping\n\n"
        await asyncio.sleep(0.02)


async def megabyte(frames: Frames) -> Frames:
    """Each event has a log line of 1 MB before its own."""
    line = {"message": "W" * 1_000_000, "timestamp": "2024-12-20T15:00:00"}
    async with aclosing(frames):
        async for frame in frames:
            value = parse(frame)
            yield frame if value is None else event(value | {"logs": [line, *(value.get("logs") or [])]})


async def bad_utf8(frames: Frames) -> Frames:
    """A comment and an event that are not UTF-8 before each event."""
    async with aclosing(frames):
        async for frame in frames:
            yield b": \xff\xfe\xc3\n\n"
            yield b'data: {"status": "IN_PROGRESS", "logs": [{"message": "\xff\xed\xa0\x80"}]}\n\n'
            yield frame


async def shred(frames: Frames, *, size: int = 3) -> Frames:
    """The same bytes in tiny chunks, so that lines and characters are torn apart."""
    async with aclosing(frames):
        async for frame in frames:
            for start in range(0, len(frame), size):
                yield frame[start : start + size]


async def crlf(frames: Frames) -> Frames:
    """Lines end in CR LF, which the standard for event streams allows as well."""
    async with aclosing(frames):
        async for frame in frames:
            yield frame.replace(b"\n", b"\r\n")


TRANSFORMS: Mapping[str, Callable[..., Frames]] = {
    "repeat": repeat,
    "replay": replay,
    "reorder": reorder,
    "garbage": garbage,
    "end": end,
    "linger": linger,
    "endless": endless,
    "megabyte": megabyte,
    "bad_utf8": bad_utf8,
    "shred": shred,
    "crlf": crlf,
}
