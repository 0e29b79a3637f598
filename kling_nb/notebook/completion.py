"""What Tab offers after `%%kling` and `%kling`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

from kling_nb._default import default_session
from kling_nb.catalog import endpoints
from kling_nb.errors import KlingError
from kling_nb.fal.options import PRIORITIES
from kling_nb.notebook.flags import flag_of, flags_of
from kling_nb.notebook.line import SUBCOMMANDS

Candidates = Callable[[list[str]], Iterable[str]]
"""What may follow some words."""


def fitting(event: Any, candidates: Candidates) -> list[str]:
    """Candidates that continue the word at the cursor, cut as IPython cuts words (":" ends one)."""
    before = event.text_until_cursor
    words = before.split()[1:]
    word = "" if before[-1:].isspace() or not words else words.pop()
    try:
        found = [text for text in candidates(words) if text.startswith(word)]
    except KlingError:  # a half-typed endpoint, a setting that is wrong: not the moment to say so
        return []
    return [text[len(word) - len(event.symbol) :] for text in found]


def cell_candidates(words: list[str]) -> Iterable[str]:
    """What may follow `words` on a `%%kling` line: a flag's values, else flags not given yet."""
    chosen = default_session().endpoint(_named(words), fetch=False)  # Tab must not wait for the network
    last = words[-1] if words else ""
    if last == "--endpoint":
        return [one.short_name for one in endpoints()]
    if last == "--priority":
        return list(PRIORITIES)
    for control in chosen.parameters:
        if last in {flag_of(control.name), f"--{control.name}"} and control.options:
            return [str(option) for option in control.options]
    return [flag for flag in flags_of(chosen) if flag in {"--set", "--tag", "--grid"} or flag not in words]


def line_candidates(words: list[str]) -> Iterable[str]:
    """What may follow `words` on a `%kling` line."""
    if not words:
        return SUBCOMMANDS
    if words == ["use"]:
        return [one.short_name for one in endpoints()]
    if words in (["show"], ["cancel"]):
        return [entry.id for entry in default_session().jobs(limit=30)]
    return []


def _named(words: list[str]) -> str | None:
    for before, word in pairwise(words):
        if before == "--endpoint":
            return word
    return None
