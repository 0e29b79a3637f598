"""The static form of a sweep: a table that plays without a kernel, and its text for terminals.

What survives JupyterLab's sanitiser is what the card of a job is made of too: see `card`.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from io import BytesIO
from pathlib import Path

from kling_nb._sweep import Sweep, SweepCell
from kling_nb.errors import KlingError
from kling_nb.events import State
from kling_nb.notebook import card_words as words
from kling_nb.notebook.card_player import clear
from kling_nb.notebook.card_source import address
from kling_nb.notebook.grid_layout import Layout, layout_of, sizes
from kling_nb.notebook.job_card import source_of
from kling_nb.notebook.mark import Mark, Part
from kling_nb.video import Video

_RIM = "1px solid rgba(128,128,128,0.35)"
_QUIET = "opacity:0.7"
_WRAP = "white-space:normal;overflow-wrap:break-word"
_WIDEST, _POSTER, _BYTES = 300, 240, 6_000
"""Pixels of a picture in the table, of its poster, and bytes of that."""
_CHIP = (
    "font-size:11px;padding:0 8px;border-radius:10px;"
    "border:1px solid rgba(220,150,20,0.8);background:rgba(220,150,20,0.18)"
)
_CAPTION = 200
"""Characters of a caption in a mark: a prompt may be one."""
_STATES = {"WAITING": "waiting", "SKIPPED": "not begun"}


def html(study: Sweep, *, pictures: bool = True) -> str:
    """The sweep as one HTML fragment, about 8 kB for each video.

    Args:
        study: What to show.
        pictures: False leaves players and posters out, as long as more is to come.
    """
    layout = layout_of(study)
    cells = [_cell(study, cell, layout, pictures=pictures) for cell in study]
    body = _flow(cells) if layout.places is None else _table(layout, cells)
    return framed(_mark(study, layout, done=pictures), _head(study, layout), body)


def _mark(study: Sweep, layout: Layout, *, done: bool) -> Mark:
    """Return what the card is made of: the kernel may not live to draw the last one, and files move."""
    if done:
        return Mark(study.id, state=State.READY.value, parts=tuple(map(_finished_part, study)))
    parts = tuple(map(_missing_part, study, layout.captions))
    return Mark(study.id, state=State.IN_PROGRESS.value, parts=parts)


def _missing_part(cell: SweepCell, caption: str) -> Part:
    """Return the part of a card that is still to be drawn."""
    take = None if cell.plan.new else cell.plan.take or 1
    return Part(cell.request.fingerprint, take, words.clip(caption, _CAPTION))


def _finished_part(cell: SweepCell) -> Part:
    """Return the part of a card that says all else itself."""
    take = getattr(cell.result, "take", None)
    return Part(cell.request.fingerprint, take, "", cell.job.request_id if cell.job else None)


def framed(mark: Mark, head: str, body: str) -> str:
    """Return the card around a body; its first tag says what changes of its mark."""
    style = f"margin:4px 0;padding:10px 14px;border:{_RIM};border-radius:6px;font-size:13px;line-height:1.5"
    return (
        f'<div class="kling-card mathjax_ignore tex2jax_ignore" data-kling-card="{_text(mark.job or "")}"'
        f'{mark.to_attributes()} style="{style}">'
        f'{head}<div style="overflow-x:auto">{body}</div></div>'
    )


def heading_row(title: str, said: str, *, local: bool) -> str:
    """Its first line: what it is, and a mark where it is a preview."""
    parts = [f"<strong>{_text(title)}</strong>", f'<span style="{_QUIET}">{_text(said)}</span>']
    if local:
        parts.append(f'<span style="{_CHIP}">LOCAL PREVIEW · made on this machine, free</span>')
    style = "display:flex;flex-wrap:wrap;gap:4px 10px;align-items:center;margin-bottom:6px"
    return f'<div style="{style}">{" ".join(parts)}</div>'


def html_of_takes(mark: Mark, shots: Sequence[tuple[str, Video | None]], folder: Path) -> str:
    """A sweep as far as it came, drawn without its kernel.

    Args:
        mark: What the card was to be made of.
        shots: A caption and a video for each cell, None where there is none.
        folder: That of the notebook.
    """
    ready = [video for _, video in shots if video is not None]
    missing = f'<span style="{_QUIET}">no video here</span>'
    cells = [
        (player(video, caption, folder, part=part) if video else "")
        + f'<div style="margin-top:2px"><strong style="font-weight:600">{_text(caption)}</strong>'
        + f"{'' if video else f' · {missing}'}</div>"
        for part, (caption, video) in enumerate(shots)
    ]
    said = f"{len(ready)} of {len(shots)} ready"
    if len(ready) < len(shots):
        said += ". Run the cell again to go on: what is made is reused, what runs is taken up."
    local = any(video.backend == "local" for video in ready)
    mark = replace(mark, state=State.READY.value) if len(ready) == len(shots) else mark
    return framed(mark, heading_row("Sweep", said, local=local), _flow(cells))


def text(study: Sweep) -> str:
    """A line for each cell, under one for the whole."""
    layout = layout_of(study)
    lines = [heading(study)]
    for cell, caption in zip(study, layout.captions, strict=True):
        said = [f"{cell.index + 1:3}", f"{state_words(cell):11}", words.clip(_line(caption), 60)]
        if cell.error is not None:
            said.append(words.clip(_line(str(cell.error)), 160))
        elif cell.job is not None and cell.job.file is not None:
            said.append(words.clean(source_of(cell.job.file) or str(cell.job.file)))
        lines.append("  " + "  ".join(said))
    return "\n".join(lines)


def heading(study: Sweep) -> str:
    """What it is, in a line."""
    marks = [f"Sweep: {words.clean(sizes(study))}", study.summary()]
    marks += ["LOCAL PREVIEW, made on this machine, free"] if is_local(study) else []
    return " · ".join(marks)


def state_words(cell: SweepCell) -> str:
    """A cell's state in a word or two."""
    if cell.job is not None and cell.job.reused:
        return "reused"
    return _STATES.get(cell.state) or words.STATES[State(cell.state)][0]


def is_local(study: Sweep) -> bool:
    """Whether any of it is a preview of the local engine."""
    return any(cell.plan.settings.backend == "local" for cell in study)


def _line(said: str) -> str:
    return " ".join(words.clean(said).split())


# -- HTML ------------------------------------------------------------------------------


def _head(study: Sweep, layout: Layout) -> str:
    title = next(iter(study)).request.endpoint.title
    shared = (
        ""
        if any(axis.name in {"prompt", "endpoint"} or not axis.argument for axis in study.axes)
        else _prompt(study)
    )
    below = f'<div style="{_QUIET};font-size:12px;margin-bottom:8px">{escape(title)}{shared}</div>'
    return heading_row(sizes(study), study.summary(), local=is_local(study)) + below


def _prompt(study: Sweep) -> str:
    said = escape(words.clip(words.clean(study[0].request.prompt), 400))
    return f' · <span dir="auto">{said}</span>' if said else ""


def _table(layout: Layout, cells: list[str]) -> str:
    head = f"text-align:left;vertical-align:bottom;padding:2px 8px 4px 0;font-weight:600;{_WRAP}"
    side = f"{head};vertical-align:top;width:140px;min-width:88px"
    cell = f"text-align:left;vertical-align:top;padding:0 8px 10px 0;{_WRAP}"
    axes = f"{escape(layout.row_axis)} ↓ &nbsp; {escape(layout.column_axis)} →"
    corner = f'<span style="font-weight:400;{_QUIET}">{axes}</span>'
    columns = "".join(f'<th scope="col" style="{head}">{_text(label)}</th>' for label in layout.columns)
    rows = []
    assert layout.places is not None
    at = {place: number for number, place in enumerate(layout.places)}
    for row, label in enumerate(layout.rows):
        inner = "".join(
            f'<td style="{cell}">{cells[at[row, column]] if (row, column) in at else ""}</td>'
            for column in range(len(layout.columns))
        )
        rows.append(
            f'<tr style="background:none"><th scope="row" style="{side}">{_text(label)}</th>{inner}</tr>'
        )
    table = "border-collapse:collapse;border:0;margin:0;font-size:13px;table-layout:auto"
    return (
        f'<table style="{table}"><thead><tr style="background:none">'
        f'<th style="{side}">{corner}</th>{columns}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _flow(cells: list[str]) -> str:
    inner = "".join(f'<div style="width:{_WIDEST}px;max-width:100%">{cell}</div>' for cell in cells)
    return f'<div style="display:flex;flex-wrap:wrap;gap:10px">{inner}</div>'


def _cell(study: Sweep, cell: SweepCell, layout: Layout, *, pictures: bool) -> str:
    caption = layout.captions[cell.index]
    shown = player(cell.video, caption, part=cell.index) if pictures and cell.video is not None else ""
    said = []
    if layout.places is None:
        said.append(f'<strong style="font-weight:600">{_text(caption)}</strong>')
    if not shown:
        said.append(f'<span style="{_QUIET}">{escape(state_words(cell))}</span>')
    elif cell.job is not None and cell.job.reused:
        said.append(f'<span style="{_QUIET};font-size:11px">reused: no charge</span>')
    if cell.error is not None:
        style = f"border-left:3px solid rgba(220,70,70,0.9);padding-left:8px;{_WRAP};max-width:260px"
        said.append(f'<div style="{style}">{_text(str(cell.error), 400)}</div>')
    return shown + (f'<div style="margin-top:2px">{" · ".join(said)}</div>' if said else "")


def text_of_takes(shots: Sequence[tuple[str, Video | None]], folder: Path) -> str:
    """The same as text."""
    lines = [f"Sweep · {sum(video is not None for _, video in shots)} of {len(shots)} ready"]
    for number, (caption, video) in enumerate(shots, 1):
        where = words.clean(source_of(video.path, folder) or str(video.path)) if video else "no video here"
        lines.append(f"  {number:3}  {words.clip(_line(caption), 60)}  {where}")
    return "\n".join(lines)


def player(video: Video, caption: str, folder: Path | None = None, *, part: int) -> str:
    """The video over its small poster, as in the card of a job.

    Args:
        video: What plays.
        caption: What it is.
        folder: The notebook's; the working folder where left out.
        part: Its number in the mark of the output, by which `relinking` finds its file again.
    """
    alt = _text(caption, 200)
    size = f'width="{video.width}" height="{video.height}"'
    fit = "grid-area:1/1/2/2;width:100%;height:auto;margin:0"
    src, poster = source_of(video.path, folder), small_poster(video)
    picture = f'<img src="{poster}" {size} alt="{alt}" style="{fit}">' if poster else ""
    player = (
        f'<video src="{escape(address(src))}" data-kling-part="{part}" {size} controls loop muted '
        f'playsinline preload="metadata" poster="{clear(video)}" aria-label="{alt}" style="{fit}"></video>'
        if src
        else ""
    )
    width = round(min(_WIDEST, 220 * video.width / video.height))
    return f'<div style="display:grid;width:{width}px;max-width:100%;min-width:110px">{picture}{player}</div>'


def small_poster(video: Video) -> str:
    """Its poster as a data URI of at most 8 kB; empty where the file is gone."""
    from PIL import Image  # noqa: PLC0415 -- heavy

    from kling_nb.video.poster import small_jpeg  # noqa: PLC0415 -- as above

    try:
        jpeg = small_jpeg(Image.open(BytesIO(video.poster)), _POSTER, _BYTES)
    except (KlingError, OSError):
        return ""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")


def _text(said: str, length: int = 300) -> str:
    return escape(words.clip(words.clean(said), length))
