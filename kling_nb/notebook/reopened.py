"""A notebook as it should be opened: live widgets where their kernel runs, cards that play everywhere else.

Works on the parsed JSON of a notebook, in place. A notebook without outputs of ours stays as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kling_nb.notebook.mark import Mark, Part, forget_kernel
from kling_nb.notebook.relinking import plays, relink

VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"

_OURS = "kling_nb."
_MODEL = re.compile(r"IPY_MODEL_(\w+)")


@dataclass(frozen=True, slots=True)
class Settling:
    """How outputs are settled.

    Attributes:
        folder: That of the notebook.
        alive: Whether what was shown with a mark still has its widget.
        renew: Draws a card again, where more is known than the mark says; else None.
        find: Where the file of one of many videos is now, for a notebook in that folder; else None.
        forget_kernels: Take the kernel out of marks, for a file that goes to others.
    """

    folder: Path
    alive: Callable[[Mark], bool]
    renew: Callable[[Mark, Path], dict[str, Any] | None]
    find: Callable[[Part, Path], Path | None] = lambda _part, _folder: None
    forget_kernels: bool = False


def has_ours(notebook: dict[str, Any]) -> bool:
    """Whether there is anything for `settle` to look at. Quick, for it is asked of every notebook."""
    if any(map(Mark.of, _outputs(notebook))):
        return True
    return any(map(_is_ours, _models(notebook).values()))


def settle(notebook: dict[str, Any], settling: Settling) -> bool:
    """Settle all outputs of ours, and drop our models; whether anything changed."""
    changed = False
    for cell in notebook.get("cells", ()):
        marked = [(output, mark) for output in cell.get("outputs", ()) if (mark := Mark.of(output))]
        with_card = {mark.job for output, mark in marked if "text/html" in output.get("data", ())}
        for output, mark in marked:
            changed |= _settle_output(output, mark, with_card, settling)
        bare = _bare_twins(marked)
        if bare:
            cell["outputs"] = [output for output in cell["outputs"] if id(output) not in bare]
            changed = True
    return _prune(notebook) or changed


def _settle_output(
    output: dict[str, Any], mark: Mark, with_card: set[str | None], settling: Settling
) -> bool:
    """Bring one output up to date; return whether it changed."""
    data = output.setdefault("data", {})
    twin = "text/html" not in data and mark.job in with_card  # a view whose card stands next to it
    alive = settling.alive(mark)
    changed = not alive and data.pop(VIEW, None) is not None
    lost = mark.settled and not plays(data.get("text/html"), settling.folder)
    panel = mark.job is None
    if lost and not alive and mark.parts:
        changed |= relink(data, mark.parts, settling.folder, settling.find)
    elif not twin and ((not mark.settled and not (panel and alive)) or (lost and not alive)):
        new = settling.renew(mark, settling.folder)
        if new is not None and ("text/html" in data or changed):
            data |= new
            output["metadata"] |= mark.to_metadata()
            changed = True
    if settling.forget_kernels:
        changed |= forget_kernel(output["metadata"])
    return changed


def _bare_twins(marked: list[tuple[dict[str, Any], Mark]]) -> set[int]:
    """Outputs that lost their view and say nothing that the card of the same job beside them does not."""
    with_card = {mark.job for output, mark in marked if "text/html" in output["data"]}
    return {
        id(output)
        for output, mark in marked
        if mark.job in with_card and not {"text/html", VIEW} & set(output["data"])
    }


# -- models in the notebook's metadata ---------------------------------------------------


def _prune(notebook: dict[str, Any]) -> bool:
    """Drop our widget models and their layouts, save those that a widget of the user's own holds."""
    models = _models(notebook)
    ours = {key for key, model in models.items() if _is_ours(model)}
    if not ours:
        return False
    held = _named_by(models, set(models) - ours - _layouts(models))
    gone = ours - held
    kept = _named_by(models, set(models) - gone - _layouts(models))
    gone |= {key for key in _layouts(models) if key in _named_by(models, gone) and key not in kept}
    for key in gone:
        del models[key]
    if not models:
        widgets = notebook["metadata"]["widgets"]
        del widgets[STATE]
        if not widgets:
            del notebook["metadata"]["widgets"]
    return bool(gone)


def _named_by(models: dict[str, Any], names: set[str]) -> set[str]:
    """The models that those of these names hold."""
    return set(_MODEL.findall(json.dumps([models[name] for name in names])))


def _layouts(models: dict[str, Any]) -> set[str]:
    return {key for key, model in models.items() if model.get("model_name") == "LayoutModel"}


def _is_ours(model: Any) -> bool:
    state = model.get("state") if isinstance(model, dict) else None
    return isinstance(state, dict) and str(state.get("_anywidget_id", "")).startswith(_OURS)


def _models(notebook: dict[str, Any]) -> dict[str, Any]:
    """Saved widget models by id; those that are no objects are none."""
    found: Any = notebook
    for name in ("metadata", "widgets", STATE, "state"):
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _outputs(notebook: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for cell in notebook.get("cells", ()):
        yield from cell.get("outputs", ())
