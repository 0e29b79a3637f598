"""Whether the files that a card plays are where it says; and of many videos, their files found again.

A card of many is not drawn anew: its table, its errors and its pictures stay, only addresses change.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from html import escape, unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from kling_nb.notebook.mark import Part

_PLAYS = re.compile(r'<(?:video|audio) src="([^"]*)"')
_PART = re.compile(r'<video src="([^"]*)" data-kling-part="(\d{1,6})"')


def plays(html: Any, folder: Path) -> bool:
    """Whether every file that a card plays is there; a card without one lacks nothing."""
    return all(_there(unescape(src), folder) for src in _PLAYS.findall(joined(html)))


def relink(
    data: dict[str, Any], parts: Sequence[Part], folder: Path, find: Callable[[Part, Path], Path | None]
) -> bool:
    """Give the players of a card the addresses that their files have now; whether any changed.

    Args:
        data: The output's, changed in place.
        parts: Of its mark; each player names its own.
        folder: The notebook's.
        find: Gives the file of a part.
    """
    moved: dict[str, str] = {}

    def now(player: re.Match[str]) -> str:
        src = unescape(player[1])
        new = None if _there(src, folder) else _address(int(player[2]), parts, folder, find)
        if new is None:
            return player[0]
        moved[unquote(src)] = unquote(new)
        return f'<video src="{escape(new)}" data-kling-part="{player[2]}"'

    html = _PART.sub(now, joined(data.get("text/html")))
    if not moved:
        return False
    data["text/html"] = html
    if "text/plain" in data:
        longest_first = sorted(moved, key=len, reverse=True)
        old = re.compile("|".join(map(re.escape, longest_first)))
        data["text/plain"] = old.sub(lambda found: moved[found[0]], joined(data["text/plain"]))
    return True


def joined(text: Any) -> str:
    """A text of an output, which may be a list of lines."""
    return "".join(text) if isinstance(text, list) else text or ""


def _address(
    at: int, parts: Sequence[Part], folder: Path, find: Callable[[Part, Path], Path | None]
) -> str | None:
    from kling_nb.notebook.card_source import address  # noqa: PLC0415 -- not before a file is missing
    from kling_nb.notebook.job_card import source_of  # noqa: PLC0415 -- as above

    path = find(parts[at], folder) if at < len(parts) else None
    src = source_of(path, folder) if path else None
    return address(src) if src else None


def _there(src: str, folder: Path) -> bool:
    if re.match(r"\w[\w+.-]*:", src):
        return True
    try:
        return (folder / unquote(src)).is_file()
    except (OSError, ValueError):
        return False
