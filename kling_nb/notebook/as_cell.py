"""A request as the `%%kling` cell that makes it again: the inverse of `flags.parse_line`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from kling_nb.catalog import Control, Endpoint
from kling_nb.errors import UsageError
from kling_nb.notebook.filling import FILLED_IN, escaped
from kling_nb.notebook.flags import BODY_PARAMETERS, FIXED_FLAGS, flag_of


def as_cell(endpoint: Endpoint, given: Mapping[str, Any], *, take: int | None = None) -> str:
    """The cell that asks for exactly this.

    Args:
        endpoint: Where the request goes.
        given: Its input, as `VideoRequest.input` has it.
        take: Number of the take; 1 and None need no flag.

    Returns:
        The cell's text: the line of flags, then the prompt.

    Raises:
        UsageError: The input holds what no cell can say: bytes, or a prompt that begins or ends with spaces.
    """
    words = ["%%kling", "--endpoint", endpoint.short_name]
    prompt = ""
    for name, value in given.items():
        _check(name, value)
        if name in BODY_PARAMETERS:
            prompt = _body(value)
        else:
            words += _flag(endpoint.parameter(name), value)
    if take is not None and take > 1:
        words += ["--take", str(take)]
    return f"{' '.join(words)}\n{prompt}"


def _flag(control: Control, value: Any) -> list[str]:
    flag = flag_of(control.name)
    if flag in FIXED_FLAGS or isinstance(value, (list, dict)):
        return _set(control.name, value)
    if isinstance(value, bool):
        return (
            [flag if value else f"--no-{flag[2:]}"] if control.kind == "switch" else _set(control.name, value)
        )
    word = value if isinstance(value, str) else json.dumps(value)
    # `--set` is not filled in, and JSON keeps line ends within the line.
    if word.startswith("-") or FILLED_IN & set(word) or len(word.splitlines()) > 1 or not word.isprintable():
        return _set(control.name, value)
    return [flag, shlex.quote(word)]


def _set(name: str, value: Any) -> list[str]:
    return ["--set", shlex.quote(f"{name}={json.dumps(value)}")]


def _body(prompt: str) -> str:
    """The prompt, written so that filling in variables gives it back."""
    if prompt != prompt.strip() or "\r" in prompt:
        raise UsageError(
            "The prompt begins or ends with a space, or has a line end that a cell would change.",
            remedy="Use generate() for it.",
        )
    return escaped(prompt)


def _check(name: str, value: Any) -> None:
    """Refuse what stands for bytes that are not kept."""
    if isinstance(value, str) and value.startswith("sha256:"):
        raise UsageError(f"{name} was given as bytes, which a cell cannot hold.", remedy="Give it as a file.")
    if isinstance(value, Mapping):
        if set(value) == {"sha256", "name"}:
            raise UsageError(
                f"{name} was the file {value['name']}, and its place is not known.", remedy="Choose it again."
            )
        for part in value.values():
            _check(name, part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            _check(name, part)
