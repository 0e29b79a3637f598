"""`%%kling` as the shell sees it: a function whose help is made from the endpoint in use."""

from __future__ import annotations

from kling_nb._default import default_session
from kling_nb.catalog import Endpoint, endpoint
from kling_nb.catalog.control import Control
from kling_nb.notebook.flags import BODY_PARAMETERS, FIXED_FLAGS, flag_of
from kling_nb.notebook.listing import price
from kling_nb.notebook.magic import KlingMagics

_HEAD = """%%kling [NAME] [flags]
prompt, on as many lines as it needs; {name} and $name are filled in

Makes a video with Kling and shows it. NAME receives the Video (with --no-wait, the Job).
An earlier take of the same request is shown instead, at no cost, unless --new or --take asks for another.
"""


class CellMagic:
    """Callable as `run_cell_magic` calls it. Its docstring, which `%%kling?` shows, is made when read."""

    _ipython_magic_no_var_expand = True  # the braces of --set are JSON's; we fill in variables ourselves

    def __init__(self, magics: KlingMagics) -> None:
        self._magics = magics

    def __call__(self, line: str, cell: str) -> None:
        """Run the cell."""
        self._magics.cell(line, cell)

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        return cell_help(endpoint(default_session().settings().endpoint))


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
