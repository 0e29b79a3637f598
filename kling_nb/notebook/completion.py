"""Candidates for tab completion after `%%kling` and `%kling`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kling_nb.api import default_session
from kling_nb.catalog.shipped import endpoints
from kling_nb.errors import KlingError
from kling_nb.notebook.flags import FIXED_FLAGS, endpoint_in, flag_of, flags_of
from kling_nb.notebook.line import SUBCOMMANDS
from kling_nb.settings import DOTENV

Candidates = Callable[[list[str]], Iterable[str]]
"""Gives the words that may follow some words."""


def matches(before: str) -> tuple[str, list[tuple[str, str]]] | None:
    """Return what may stand at the cursor, or None if the line is not one of ours.

    Args:
        before: The line up to the cursor.

    Returns:
        The word at the cursor so far; and each candidate with its type, which JupyterLab shows.
    """
    magic, *words = before.split() or [""]
    if magic not in ("%%kling", "%kling") or not before[len(magic) :]:
        return None
    word = "" if before[-1:].isspace() or not words else words.pop()
    candidates: Candidates = cell_candidates if magic == "%%kling" else line_candidates
    try:
        texts = [text for text in candidates(words) if text.startswith(word)]
    except KlingError:  # an incomplete endpoint or a wrong setting: Tab must not show errors
        texts = []
    first = "command" if magic == "%kling" and not words else "value"
    return word, [(text, "option" if text.startswith("-") else first) for text in texts]


def cell_candidates(words: list[str]) -> Iterable[str]:
    """Return what may follow `words` on a `%%kling` line: the values of a flag, or flags not used yet."""
    chosen = default_session().endpoint(endpoint_in(words), fetch=False)  # Tab must not wait for the network
    last = words[-1] if words else ""
    if last == "--endpoint":
        return [one.short_name for one in endpoints()]
    if last in FIXED_FLAGS and (choices := FIXED_FLAGS[last].value.get("choices")):
        return list(choices)
    for control in chosen.parameters:
        if last in {flag_of(control.name), f"--{control.name}"} and control.options:
            return [str(option) for option in control.options]
    repeatable = {flag.name for flag in FIXED_FLAGS.values() if flag.repeatable}
    return [flag for flag in flags_of(chosen) if flag in repeatable or flag not in words]


def line_candidates(words: list[str]) -> Iterable[str]:
    """Return what may follow `words` on a `%kling` line."""
    if not words:
        return SUBCOMMANDS
    if words == ["key"]:
        return [DOTENV]
    if words == ["use"]:
        return [one.short_name for one in endpoints()]
    if words == ["spend"]:
        return ["day", "endpoint", "notebook", "--reconcile"]
    if words in (["show"], ["cancel"]):
        return [entry.id for entry in default_session().jobs(limit=30)]
    return []
