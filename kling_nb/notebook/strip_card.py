"""The static form of a storyboard: its shots in a row, each with its number."""

from __future__ import annotations

from html import escape

from kling_nb._storyboard import Storyboard
from kling_nb.events import State
from kling_nb.notebook import card_words as words
from kling_nb.notebook.grid_card import framed, heading_row, player
from kling_nb.notebook.grid_strip import said
from kling_nb.notebook.job_card import source_of
from kling_nb.notebook.mark import Mark, Part

_QUIET = "opacity:0.7;font-size:12px"


def html(board: Storyboard) -> str:
    """The storyboard as one HTML fragment, about 8 kB for each shot."""
    shots = []
    start = 0.0
    for number, shot in enumerate(board, 1):
        prompt = escape(words.clip(words.clean(said(shot)), 200))
        label = f'<span style="{_QUIET}">{start:.4g}–{start + shot.duration:.4g} s</span>'
        name = f'<div style="margin-top:2px"><strong>{number}</strong> {label}</div>'
        picture = player(shot, f"Shot {number}: {said(shot)}", part=number - 1)
        shots.append(
            f'<div style="flex:none;width:220px;max-width:100%">{picture}'
            f'{name}<div dir="auto" style="white-space:normal;overflow-wrap:break-word">{prompt}</div></div>'
        )
        start += shot.duration
    arrow = '<div style="flex:none;align-self:flex-start;padding-top:48px;opacity:0.7">→</div>'
    row = f'<div style="display:flex;gap:8px;padding-bottom:6px">{arrow.join(shots)}</div>'
    local = any(shot.backend == "local" for shot in board)
    parts = tuple(Part("", shot.take, "", shot.request_id) for shot in board)
    mark = Mark(board.id, state=State.READY.value, parts=parts)
    return framed(mark, heading_row("Storyboard", f"{len(board)} shots, {start:.4g} s", local=local), row)


def text(board: Storyboard) -> str:
    """A line for each shot."""
    lines = [f"Storyboard: {len(board)} shots, {board.duration:.4g} s"]
    for number, shot in enumerate(board, 1):
        prompt = words.clip(" ".join(words.clean(said(shot)).split()), 60)
        where = words.clean(source_of(shot.path) or str(shot.path))
        lines.append(f"  {number:3}  {shot.duration:.4g} s  {prompt}  {where}")
    return "\n".join(lines)
