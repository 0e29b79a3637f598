"""Update the outputs of a saved notebook: keep widgets whose kernel runs, and show current cards elsewhere.

The functions change the parsed JSON of a notebook in place. A notebook without outputs of kling_nb stays
unchanged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape, unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from kling_nb.job.plan import NO_RECORD
from kling_nb.notebook.card.html import href, note_missing
from kling_nb.notebook.card.job import source_of
from kling_nb.notebook.card.mark import VIEW, Mark, Part, forget_kernel

STATE = "application/vnd.jupyter.widget-state+json"

_OURS = "kling_nb."
_MODEL = re.compile(r"IPY_MODEL_(\w+)")


@dataclass(frozen=True, slots=True)
class OutputContext:
    """What `update_outputs` needs to know.

    Attributes:
        folder: The folder of the notebook.
        alive: Returns True if the widget of a mark still has its kernel.
        draw_card: Returns the current card of a mark for a notebook in a folder, or None if it has no news.
        is_outdated: Returns True if takes of a finished card, or the decisions about them, are others now.
        find_file: Returns the file of one video of several for a notebook in a folder, or None.
        forget_kernels: Remove the kernel from marks, for a file that other people will open.
        remedy: Returns what to do about a file of a mark that is missing.
    """

    folder: Path
    alive: Callable[[Mark], bool]
    draw_card: Callable[[Mark, Path], dict[str, Any] | None]
    find_file: Callable[[Part, Path], Path | None] = lambda _part, _folder: None
    is_outdated: Callable[[Mark, Path], bool] = lambda _mark, _folder: False
    forget_kernels: bool = False
    remedy: Callable[[Mark, Path], str] = lambda _mark, _folder: NO_RECORD


def has_kling_outputs(notebook: dict[str, Any]) -> bool:
    """Return True if `update_outputs` has anything to check. It must be fast: it runs for every notebook."""
    if any(map(Mark.of, _outputs(notebook))):
        return True
    return any(map(_is_ours, _models(notebook).values()))


def update_outputs(notebook: dict[str, Any], context: OutputContext) -> bool:
    """Update kling_nb's outputs, and drop its saved widget models. Return True if anything changed."""
    changed = False
    lost: list[dict[str, Any]] = []
    for cell in notebook.get("cells", ()):
        marked = [(output, mark) for output in cell.get("outputs", ()) if (mark := Mark.of(output))]
        with_card = {mark.job for output, mark in marked if "text/html" in output.get("data", ())}
        for output, mark in marked:
            changed |= _update_output(output, mark, with_card, context, lost)
        redundant = _redundant_outputs(marked)
        if redundant:
            cell["outputs"] = [output for output in cell["outputs"] if id(output) not in redundant]
            changed = True
    for output in lost:
        changed |= _find_next_to_others(output["data"], notebook, context.folder)
    for output in _outputs(notebook):
        mark = Mark.of(output)
        if mark is not None and mark.is_final and not context.alive(mark):
            # After all jobs that ended unseen: they have the first claim to the time that there is.
            changed |= _draw_if_outdated(output, mark, context)
            changed |= _note_missing(output["data"], mark, context)
    return drop_models(notebook) or changed


def _update_output(
    output: dict[str, Any],
    mark: Mark,
    with_card: set[str | None],
    context: OutputContext,
    lost_outputs: list[dict[str, Any]],
) -> bool:
    """Update one output. Return True if it changed. If its file is not found, add it to the last list."""
    data = output.setdefault("data", {})
    has_card_next = "text/html" not in data and mark.job in with_card
    alive = context.alive(mark)
    changed = not alive and data.pop(VIEW, None) is not None
    lost = mark.is_final and not files_exist(data.get("text/html"), context.folder)
    panel = mark.job is None
    if lost and not alive and mark.parts:
        changed |= _relink(data, mark.parts, context)
    elif not has_card_next and ((not mark.is_final and not (panel and alive)) or (lost and not alive)):
        new = context.draw_card(mark, context.folder)
        if new is not None and ("text/html" in data or changed):
            data |= new
            output["metadata"] |= mark.to_metadata()
            changed = True
        elif lost:
            lost_outputs.append(output)
    if context.forget_kernels:
        changed |= forget_kernel(output["metadata"])
    return changed


def _draw_if_outdated(output: dict[str, Any], mark: Mark, context: OutputContext) -> bool:
    """Draw a finished card again if its takes or decisions are others. Return True if it changed."""
    if "text/html" not in output["data"] or not context.is_outdated(mark, context.folder):
        return False
    new = context.draw_card(mark, context.folder)
    drawn = None if new is None else Mark.of({"data": new, "metadata": mark.to_metadata()})
    if new is None or drawn is None or not drawn.is_final:  # a saved card with its poster shows more
        return False
    output["data"] |= new
    output["metadata"] |= mark.to_metadata()
    return True


def _note_missing(data: dict[str, Any], mark: Mark, context: OutputContext) -> bool:
    """Let a card say which of its files are missing. Return True if it changed."""
    html = join_lines(data.get("text/html"))
    missing = {src for src in map(unescape, _sources(html)) if not _exists(src, context.folder)}
    remedy = context.remedy(mark, context.folder) if missing else ""
    noted = note_missing(html, missing.__contains__, remedy)
    if noted == html:
        return False
    data["text/html"] = noted
    return True


def _redundant_outputs(marked: list[tuple[dict[str, Any], Mark]]) -> set[int]:
    """Return the `id` of outputs that lost their view and have a card of the same job next to them."""
    with_card = {mark.job for output, mark in marked if "text/html" in output["data"]}
    return {
        id(output)
        for output, mark in marked
        if mark.job in with_card and not {"text/html", VIEW} & set(output["data"])
    }


# -- widget models in the notebook's metadata----------------------------------------------


def drop_models(notebook: dict[str, Any]) -> bool:
    """Drop kling_nb's widget models and their layouts, except those inside a widget of the user.

    nbconvert shows the card of an output if its notebook does not have the model.
    """
    models = _models(notebook)
    ours = {key for key, model in models.items() if _is_ours(model)}
    if not ours:
        return False
    inside_others = _models_named_by(models, set(models) - ours - _layouts(models))
    dropped = ours - inside_others
    kept = _models_named_by(models, set(models) - dropped - _layouts(models))
    of_dropped = _models_named_by(models, dropped)
    dropped |= {key for key in _layouts(models) if key in of_dropped and key not in kept}
    for key in dropped:
        del models[key]
    if not models:
        widgets = notebook["metadata"]["widgets"]
        del widgets[STATE]
        if not widgets:
            del notebook["metadata"]["widgets"]
    return bool(dropped)


def _models_named_by(models: dict[str, Any], names: set[str]) -> set[str]:
    """Return the models that the state of the models `names` refers to."""
    return set(_MODEL.findall(json.dumps([models[name] for name in names])))


def _layouts(models: dict[str, Any]) -> set[str]:
    return {key for key, model in models.items() if model.get("model_name") == "LayoutModel"}


def _is_ours(model: Any) -> bool:
    state = model.get("state") if isinstance(model, dict) else None
    return isinstance(state, dict) and str(state.get("_anywidget_id", "")).startswith(_OURS)


def _models(notebook: dict[str, Any]) -> dict[str, Any]:
    """Return the saved widget models by id; an empty dict if the metadata is malformed."""
    found: Any = notebook
    for name in ("metadata", "widgets", STATE, "state"):
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _outputs(notebook: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for cell in notebook.get("cells", ()):
        yield from cell.get("outputs", ())


# -- The files that a card plays.
#
# A card with several videos is not drawn again. Its table, errors and images stay, and only the URLs change.


_PLAYS = re.compile(r'<(?:(?:video|audio|img) src="(?!data:)([^"]*)"|a href="([^"]*)" data-kling-part=)')
_PART = re.compile(r'(<video src|<a href)="([^"]*)" data-kling-part="(\d{1,6})"')


def files_exist(html: Any, folder: Path) -> bool:
    """Return True if every file that a card plays exists."""
    return all(_exists(unescape(src), folder) for src in _sources(join_lines(html)))


def _relink(data: dict[str, Any], parts: Sequence[Part], context: OutputContext) -> bool:
    """Set the current URLs of missing files in the players of a card, which have the numbers of their parts.

    Return True if any changed.
    """
    moved: dict[str, str] = {}

    def replace_url(player: re.Match[str]) -> str:
        src = unescape(player[2])
        new = None if _exists(src, context.folder) else _url_of_part(int(player[3]), parts, context)
        if new is None:
            return player[0]
        moved[unquote(src)] = unquote(new)
        return f'{player[1]}="{escape(new)}" data-kling-part="{player[3]}"'

    html = _PART.sub(replace_url, join_lines(data.get("text/html")))
    if not moved:
        return False
    data["text/html"] = html
    if "text/plain" in data:
        longest_first = sorted(moved, key=len, reverse=True)
        old = re.compile("|".join(map(re.escape, longest_first)))
        data["text/plain"] = old.sub(lambda found: moved[found[0]], join_lines(data["text/plain"]))
    return True


def _find_next_to_others(data: dict[str, Any], notebook: dict[str, Any], folder: Path) -> bool:
    """Set the URL of a missing file that is where the notebook's other files are. Return True if found.

    That is how the film of `join` is found, which has no sidecar.
    """
    html, text = join_lines(data.get("text/html")), join_lines(data.get("text/plain"))
    cards = (join_lines(one["data"].get("text/html")) for one in _outputs(notebook) if Mark.of(one))
    paths = {src: folder / unquote(unescape(src)) for card in cards for src in _sources(card)}
    places = dict.fromkeys(path.parent for path in paths.values() if path.is_file())
    found = html
    for src in _sources(html):
        path = next(filter(Path.is_file, (place / paths[src].name for place in places)), None)
        new = source_of(path, folder) if path and not _exists(unescape(src), folder) else None
        if new:
            found = found.replace(f'"{src}"', f'"{escape(href(new))}"')
            text = text.replace(unquote(unescape(src)), new)
    if found == html:
        return False
    data |= {"text/html": found, "text/plain": text}
    return True


def _sources(html: str) -> list[str]:
    """Return the URLs of all files that a card plays or links to."""
    return [src or link for src, link in _PLAYS.findall(html)]


def join_lines(text: Any) -> str:
    """Return a text of an output, which may be a list of lines."""
    return "".join(text) if isinstance(text, list) else text or ""


def _url_of_part(number: int, parts: Sequence[Part], context: OutputContext) -> str | None:
    path = context.find_file(parts[number], context.folder) if number < len(parts) else None
    src = source_of(path, context.folder) if path else None
    return href(src) if src else None


def _exists(src: str, folder: Path) -> bool:
    if re.match(r"\w[\w+.-]*:", src):
        return True  # a URL of another host is not checked
    try:
        return (folder / unquote(src)).is_file()
    except (OSError, ValueError):
        return False
