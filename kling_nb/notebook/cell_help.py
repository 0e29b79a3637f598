"""What `%%kling?` shows: the flags of an endpoint, from its schema."""

from __future__ import annotations

from kling_nb.catalog import Endpoint
from kling_nb.catalog.control import Control
from kling_nb.notebook.flags import BODY_PARAMETERS, FIXED_FLAGS, flag_of
from kling_nb.notebook.listing import price

_HEAD = """%%kling [NAME] [flags]
prompt, on as many lines as it needs; {name} and $name are filled in

Makes a video with Kling and shows it. NAME receives the Video: a MediaFile of an
endpoint for sound or pictures, a dict of one for data; with --no-wait, the Job.
An earlier take of the same request is shown instead, at no cost, unless --new or --take asks for another.
"""


def cell_help(chosen: Endpoint) -> str:
    """What `%%kling?` shows for an endpoint."""
    own = [
        (flag_of(control.name), _describe(control))
        for control in chosen.parameters
        if not (control.name in BODY_PARAMETERS and control.required)
    ]
    return "\n".join(
        [
            _HEAD,
            f"Flags of {chosen.short_name}, {chosen.title} ({chosen.id}; price {price(chosen)}):",
            *_rows(own),
            "",
            "Flags of every endpoint:",
            *_rows(list(FIXED_FLAGS.items())),
            "",
            "Another endpoint: %kling endpoints WORD, %kling use NAME, or --endpoint NAME.",
        ]
    )


def _rows(pairs: list[tuple[str, str]]) -> list[str]:
    width = max((len(flag) for flag, _ in pairs), default=0)
    return [f"  {flag.ljust(width)}  {text}" for flag, text in pairs]


def _describe(control: Control) -> str:
    parts = [control.description.rstrip(".")]
    if control.options is not None:
        parts.append(f"one of {', '.join(map(str, control.options))}")
    if control.minimum is not None or control.maximum is not None:
        parts.append(f"{control.minimum:g} to {control.maximum:g}")
    if control.kind == "json":
        parts.append(f"JSON, by --set {control.name}=…")
    if control.default is not None:
        parts.append(f"default {control.default}")
    elif control.required:
        parts.append("required")
    return "; ".join(parts)
