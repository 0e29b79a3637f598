"""The static cards of a sweep and a storyboard, which play without a kernel, and their text for terminals.

`html.py` says what JupyterLab's sanitiser keeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

from kling_nb.catalog.problem import counted
from kling_nb.errors import KlingError
from kling_nb.events import State
from kling_nb.job.plan import GET_BACK, WORDS
from kling_nb.notebook.card import words
from kling_nb.notebook.card.html import href, screen_of, state_chip, upper
from kling_nb.notebook.card.job import source_of
from kling_nb.notebook.card.mark import Mark, Part
from kling_nb.notebook.card.posters import poster_uri, postpone_posters
from kling_nb.notebook.card.style import BADGE, FADE, FRAME, HEAD, NAMES, RULE, SMALL, TINT, message, paint
from kling_nb.request.request import prompt_of
from kling_nb.sweeps.axes import Axis
from kling_nb.sweeps.storyboard import Storyboard
from kling_nb.sweeps.sweep import Sweep, SweepCell
from kling_nb.video import Video

_WRAP = "white-space:normal;overflow-wrap:break-word"
_WIDEST, _NARROWEST, _POSTER, _BYTES = 300, 118, 240, 6_000
"""Pixels of a video and of a column, pixels of the poster of a video, and bytes of the poster."""
_LINK = 60
"""Characters of a link to a video that is left out."""
_CAPTION = 200
"""Characters of a caption in a mark. A caption may be a prompt."""
_PLAN_SECONDS = 0.8
"""For the posters of takes that a plan finds: a cell waits for its card."""
_ALL, _FIRST = 36, 12
"""A card with more than `_ALL` videos shows players of the first ones only, or it would have megabytes."""


def sweep_html(sweep: Sweep, *, players: bool = True) -> str:
    """Return the sweep as one HTML fragment, about 8 kB for each video, and never more than 300 kB.

    Args:
        sweep: What to show.
        players: False leaves out players and posters, for a card that will be drawn again at the end.
    """
    layout, shown = layout_of(sweep), _count_of_players(len(sweep))
    with nullcontext() if sweep.started else postpone_posters(_PLAN_SECONDS):
        cells = [
            _cell(cell, layout, players=players, planned=not sweep.started and cell.index < shown)
            if cell.index < shown or cell.video is None or not players
            else _link(
                cell.video, layout.captions[cell.index] if layout.places is None else "video", cell.index
            )
            for cell in sweep
        ]
    body = _flow(cells, shown) if layout.places is None else _table(layout, cells)
    head = _head(sweep) + _note(shown, len(sweep) if players else 0)
    return frame_card(_mark(sweep, layout, done=players), head, body)


def _count_of_players(count: int) -> int:
    """Return how many of the videos of a card have players. The others are links."""
    return count if count <= _ALL else _FIRST


def _note(shown: int, count: int) -> str:
    """Return a line that says what is left out."""
    if shown >= count:
        return ""
    text = f"The first {shown} of {count} play here, to keep the notebook small. The others are links."
    return f'<div style="{SMALL};padding:0 12px 6px">{text}</div>'


def _link(video: Video, caption: str, part: int, folder: Path | None = None) -> str:
    """Return a link to a video that the card does not show. Arguments as for `player`."""
    src = source_of(video.path, folder)
    text = _text(caption, _LINK) or "video"
    return f'<a href="{escape(href(src))}" data-kling-part="{part}">{text}</a>' if src else text


def _mark(sweep: Sweep, layout: Layout, *, done: bool) -> Mark:
    """Return the mark. A reader uses it if the kernel ends before the last card, or if files are moved."""
    if done:
        return Mark(sweep.id, state=State.READY.value, parts=tuple(map(_finished_part, sweep)))
    parts = tuple(map(_missing_part, sweep, layout.captions))
    return Mark(sweep.id, state=State.IN_PROGRESS.value, parts=parts)


def _missing_part(cell: SweepCell, caption: str) -> Part:
    """Return the part of a cell whose video the card does not show yet."""
    take = None if cell.plan.new else cell.plan.take or 1
    return Part(cell.request.fingerprint, take, words.clip(caption, _CAPTION))


def _finished_part(cell: SweepCell) -> Part:
    """Return the part of a cell in a finished card. The card itself shows the caption."""
    take = getattr(cell.result, "take", None)
    return Part(cell.request.fingerprint, take, "", cell.job.request_id if cell.job else None)


def frame_card(mark: Mark, head: str, body: str) -> str:
    """Return the card around a body. Its first tag holds the changing part of the mark."""
    return (
        f'<div class="kling-card mathjax_ignore tex2jax_ignore" data-kling-card="{_text(mark.job or "")}"'
        f'{mark.to_attributes()} style="{FRAME}">'
        f'{head}<div style="{RULE};display:flex;overflow-x:auto;padding:12px 0 12px 12px">{body}'
        f'<div style="{FADE}"></div></div></div>'
    )


def heading_row(chip: str, title: str, summary: str, *, local: bool) -> str:
    """Return the first line of a card: state, title, LOCAL PREVIEW mark, summary; as in the live views."""
    parts = [f"<strong>{_text(title)}</strong>"]
    if local:
        parts.append(f'<span style="{BADGE}">LOCAL PREVIEW</span>')
    parts.append(f'<span style="{SMALL}">{_text(summary)}</span>')
    return f'<div style="{HEAD}">{chip} <div style="{NAMES}">{" ".join(parts)}</div></div>'


_FOREMOST = ("IN_PROGRESS", "DOWNLOADING", "IN_QUEUE", "SUBMITTING")


def whole_chip(cells: Iterable[tuple[str, bool]], *, started: bool = True) -> str:
    """Return the chip of a whole by the states of its cells, as `stateOf` of `js/grid/view.js`.

    While cells run it is the foremost state; of a whole that has ended, the state that all cells have.

    Args:
        cells: State of each cell, and True if fal does not accept its job yet.
        started: False for a plan.
    """
    found: dict[str, bool] = {}
    for name, held in cells:
        found[name] = found.get(name, True) and held
    running = next((one for one in _FOREMOST if one in found), None)
    if running is None and "WAITING" in found:  # between two cells the next one is about to start
        return state_chip(None, words.HELD[0] if started else words.NOT_STARTED)
    if running is None and len(found) > 1:
        return state_chip(State.UNCERTAIN, "incomplete")
    name = running or next(iter(found), "WAITING")
    word = words.cell_state(name, held=found.get(name, False))
    return state_chip(State(name) if name in State.__members__ else None, word)


def _is_held(cell: SweepCell) -> bool:
    return cell.job is not None and cell.job.state.held


def html_of_takes(
    mark: Mark,
    shots: Sequence[tuple[str, Video | None]],
    folder: Path,
    states: Sequence[State | None] = (),
) -> str:
    """Return the card of a sweep from the takes that exist, without its kernel.

    Args:
        mark: The mark of the output.
        shots: Caption and video of each cell, None if there is no video.
        folder: The notebook's folder.
        states: State of each cell's job in the ledger, None where it is not known.
    """
    ready = [video for _, video in shots if video is not None]
    known = dict(enumerate(states))
    lost = sum(video is None and known.get(at) is State.READY for at, (_, video) in enumerate(shots))
    shown = _count_of_players(len(shots))
    cells = [
        _link(video, caption or f"video {part + 1}", part, folder)
        if video and part >= shown
        else (player(video, caption, folder, part=part) if video else _VACANT)
        + f'<div style="{_BELOW}"><strong style="font-weight:600">{_text(caption)}</strong>'
        + f"{_state_of_take(video, known.get(part))}</div>"
        for part, (caption, video) in enumerate(shots)
    ]
    summary = f"{len(ready)} of {len(shots)} ready"
    if lost:
        summary += f", {lost} file{'s' * (lost != 1)} missing. {GET_BACK}"
    elif len(ready) < len(shots):
        summary += ". Run the cell again to continue: videos that exist are reused, running jobs are resumed."
    local = any(video.backend == "local" for video in ready)
    mark = replace(mark, state=State.READY.value) if len(ready) == len(shots) else mark
    whole = State.READY if len(ready) == len(shots) else State.UNCERTAIN
    chip = state_chip(whole, words.cell_state("READY") if whole is State.READY else "incomplete")
    head = heading_row(chip, "Sweep", summary, local=local) + _note(shown, len(shots))
    return frame_card(mark, head, _flow(cells, shown))


def _state_of_take(video: Video | None, state: State | None) -> str:
    """Return the state of a cell by its take, or by its job in the ledger."""
    if video is not None:
        return _state_line(State.READY, words.cell_state("READY"), words.stars(video.rating))
    if state is State.READY:
        return _state_line(State.UNCERTAIN, words.FILE_MISSING)
    return _state_line(state, words.STATES[state][0]) if state else _state_line(None, "no video here")


def sweep_text(sweep: Sweep) -> str:
    """Return a line for the sweep, and one for each cell."""
    layout = layout_of(sweep)
    lines = [heading(sweep)]
    for cell, caption in zip(sweep, layout.captions, strict=True):
        parts = [f"{cell.index + 1:3}", f"{state_words(cell):18}", words.clip(_line(caption), 60)]
        if cell.error is not None:
            parts.append(words.clip(_line(str(cell.error)), 160))
        elif cell.job is not None and cell.job.file is not None:
            parts.append(words.clean(source_of(cell.job.file) or str(cell.job.file)))
        lines.append("  " + "  ".join(parts))
    return "\n".join(lines)


def heading(sweep: Sweep) -> str:
    """Return a line about the whole sweep."""
    marks = [f"Sweep: {words.clean(sizes(sweep))}", progress(sweep)]
    marks += ["LOCAL PREVIEW, made on this machine, free"] if is_local(sweep) else []
    return " · ".join(marks)


def progress(sweep: Sweep) -> str:
    """Return how far a sweep is, what it cost so far and what is to come, as the live view."""
    return " · ".join(filter(None, (sweep.summary(), sweep._money_words)))


def state_words(cell: SweepCell) -> str:
    """Return a cell's state in a word or two, or what a reused take cost."""
    if cell.job and cell.job.reused:
        return WORDS[cell.outcome].brief
    return words.cell_state(cell.state, held=_is_held(cell))


def is_local(sweep: Sweep) -> bool:
    """Return True if any cell is a local preview."""
    return any(cell.plan.settings.backend == "local" for cell in sweep)


def _line(value: str) -> str:
    return " ".join(words.clean(value).split())


def _head(sweep: Sweep) -> str:
    title = next(iter(sweep)).request.endpoint.title
    shared = (
        ""
        if any(axis.name in {"prompt", "endpoint"} or not axis.argument for axis in sweep.axes)
        else _prompt(sweep)
    )
    below = f'<div style="{SMALL};padding:0 12px 6px">{_text(sizes(sweep))}{shared}</div>'
    chip = whole_chip([(cell.state, _is_held(cell)) for cell in sweep], started=sweep.started)
    summary = progress(sweep) if sweep.started else sweep.price
    return heading_row(chip, title, summary, local=is_local(sweep)) + below


def _prompt(sweep: Sweep) -> str:
    prompt = escape(words.clip(words.clean(sweep[0].request.prompt), 400))
    return f' · <span dir="auto">{prompt}</span>' if prompt else ""


def _table(layout: Layout, cells: list[str]) -> str:
    """Return the cells in columns as wide as there is room for, and under the label of their row."""
    count = len(layout.columns)
    head = f"text-align:left;vertical-align:bottom;padding:0 8px 4px 0;{_WRAP}"
    cell = f"text-align:left;vertical-align:top;padding:0 8px 10px 0;{_WRAP}"
    columns = "".join(
        f'<th scope="col" style="{head};font-weight:600">{_text(label)}</th>' for label in layout.columns
    )
    assert layout.places is not None
    at = {place: number for number, place in enumerate(layout.places)}
    rows = []
    for row, label in enumerate(layout.rows):
        inner = "".join(
            f'<td style="{cell}">{cells[at[row, column]] if (row, column) in at else ""}</td>'
            for column in range(count)
        )
        rows.append(
            f'<tbody><tr style="background:none">'
            f'<th scope="rowgroup" colspan="{count}" style="{head};font-weight:600">'
            f'{_text(label)}</th></tr><tr style="background:none">{inner}</tr></tbody>'
        )
    widths = f"width:100%;min-width:{count * _NARROWEST}px;max-width:{count * (_WIDEST + 8)}px"
    table = f"border-collapse:collapse;border:0;margin:0;font-size:13px;table-layout:fixed;{widths}"
    return (
        f'<table style="{table}"><thead style="border:0"><tr style="background:none">{columns}</tr></thead>'
        f"{''.join(rows)}</table>"
    )


def _flow(cells: list[str], shown: int) -> str:
    """Return the cells in rows that wrap. Those after the first ones, which are small, are lines below."""
    inner = "".join(f'<div style="min-width:0">{cell}</div>' for cell in cells[:shown])
    lines = "".join(f"<div>{cell}</div>" for cell in cells[shown:])
    grid = "display:grid;grid-template-columns:repeat(auto-fill,minmax(200px,1fr));gap:12px"
    return f'<div style="flex:auto;min-width:0"><div style="{grid}">{inner}</div>{lines}</div>'


def _cell(cell: SweepCell, layout: Layout, *, players: bool, planned: bool) -> str:
    caption = layout.captions[cell.index]
    made = _made(cell) if planned else None
    video = made or (cell.video if players else None)
    media = player(video, caption, part=cell.index) if video is not None else ""
    parts = []
    if layout.places is None:
        parts.append(f'<strong style="font-weight:600">{_text(caption)}</strong>')
    if cell.error is not None:
        parts.append(
            f'<div style="{message(_state_of(cell))};font-size:12px">{_text(str(cell.error), 400)}</div>'
        )
    facts = [words.NOT_SUBMITTED] if cell.job is None and cell.error is not None else []
    if cell.job is not None and (cell.state != "READY" or cell.job.reused):
        facts = [words.cost(cell.job)]
    if made is not None:
        facts = [WORDS[cell.plan.outcome].brief]
    rated = made or cell.video
    facts += [words.stars(rated.rating)] if rated is not None else []
    line = " · ".join(filter(None, facts))
    state, word = _state_of(cell), words.cell_state(cell.state, held=_is_held(cell))
    if made is not None:
        state, word = State.READY, words.cell_state("READY")
    parts.append(_state_line(state, word, line))
    below = "".join(f'<div style="{_BELOW}">{part}</div>' for part in parts)
    vacant = _PLANNED if cell.state in {"WAITING", "SKIPPED"} else _VACANT
    return (media or vacant) + below


def _made(cell: SweepCell) -> Video | None:
    """Return the video of a cell of a plan if its take exists, which the live view shows, too."""
    if cell.plan.found is None or cell.error is not None:
        return None
    with suppress(KlingError, OSError):  # a start says what is wrong with the file
        if isinstance(found := cell.plan.found.result(), Video):
            return found
    return None


_BELOW = "margin-top:3px"
_PLACE = f"border-radius:4px;height:96px;min-width:110px;max-width:{_WIDEST}px"
_VACANT = f'<div style="{TINT};{_PLACE}"></div>'
"""In the place of a video that is not there."""
_PLANNED = f'<div style="{paint("border:1px dashed", "edge")};box-sizing:border-box;{_PLACE}"></div>'
"""In the place of a video that has not started, as in the live view."""


def _state_of(cell: SweepCell) -> State | None:
    return State(cell.state) if cell.state in State.__members__ else None


def _state_line(state: State | None, word: str, facts: str = "") -> str:
    """Return the state of a cell as the live grid shows it: a chip, and what else there is to say."""
    more = f' <span style="{SMALL}">{escape(upper(facts))}</span>' if facts else ""
    return f'<div style="display:flex;flex-wrap:wrap;gap:2px 8px">{state_chip(state, word)}{more}</div>'


def text_of_takes(shots: Sequence[tuple[str, Video | None]], folder: Path) -> str:
    """Return a sweep from the takes that exist as text, like `html_of_takes`."""
    lines = [f"Sweep · {sum(video is not None for _, video in shots)} of {len(shots)} ready"]
    for number, (caption, video) in enumerate(shots, 1):
        where = words.clean(source_of(video.path, folder) or str(video.path)) if video else "no video here"
        lines.append(f"  {number:3}  {words.clip(_line(caption), 60)}  {where}")
    return "\n".join(lines)


def player(video: Video, caption: str, folder: Path | None = None, *, part: int) -> str:
    """Return the video over its small poster, as in the card of a job.

    Args:
        video: What plays.
        caption: What it shows.
        folder: The notebook's folder; by default the working folder.
        part: Its number in the mark of the output. With it a reader finds a file that was moved.
    """
    src = source_of(video.path, folder)
    source = f'src="{escape(href(src))}" data-kling-part="{part}"' if src else ""
    screen = screen_of(video, poster_uri(video, _POSTER, _BYTES), source, _text(caption, 200))
    width = round(min(_WIDEST, 220 * video.width / video.height))
    style = f"width:{width}px;max-width:100%;min-width:96px;border-radius:4px;overflow:hidden"
    return f'<div style="{style}">{screen}</div>'


def _text(value: str, length: int = 300) -> str:
    return escape(words.clip(words.clean(value), length))


# -- The place of each cell of a sweep: in rows and columns, or in one row.


HEADING = 40
"""Largest number of characters of a label over a column."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The places of a sweep's cells.

    Attributes:
        rows: Heading of each row; empty if the cells are not in a table.
        columns: Heading of each column; empty if the cells are not in a table.
        row_axis: What the rows are.
        column_axis: What the columns are.
        places: Row and column of each cell, or None if the cells are not in a table.
        captions: The caption of each cell.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    row_axis: str
    column_axis: str
    places: tuple[tuple[int, int], ...] | None
    captions: tuple[str, ...]


def layout_of(sweep: Sweep) -> Layout:
    """Return the layout of a sweep.

    Two or more axes make a table. The columns are the last axis with short labels, the rows all others.
    """
    varying = [at for at, axis in enumerate(sweep.axes) if len(axis.values) > 1]
    captions = tuple(_caption(sweep, cell, varying) for cell in sweep)
    if len(varying) < 2:
        return Layout((), (), "", _names(sweep.axes, varying), None, captions)
    across = next((at for at in reversed(varying) if _short(sweep.axes[at])), varying[-1])
    down = [at for at in varying if at != across]
    rows: dict[tuple[int, ...], str] = {}
    for cell in sweep:
        key = tuple(cell.place[at] for at in down)
        rows.setdefault(key, " · ".join(_value(sweep, at, cell.place[at]) for at in down))
    order = {key: number for number, key in enumerate(rows)}
    places = tuple((order[tuple(cell.place[at] for at in down)], cell.place[across]) for cell in sweep)
    return Layout(
        tuple(rows.values()),
        tuple(_value(sweep, across, place) for place in range(len(sweep.axes[across].labels))),
        _names(sweep.axes, down),
        _names(sweep.axes, [across]),
        places,
        captions,
    )


def _short(axis: Axis) -> bool:
    return all(len(label) <= HEADING for label in axis.labels)


def _names(axes: Sequence[Axis], chosen: Sequence[int]) -> str:
    return " · ".join(heading_of(axes[at].name) for at in chosen)


def _caption(sweep: Sweep, cell: SweepCell, varying: Sequence[int]) -> str:
    labels = [_value(sweep, at, cell.place[at]) for at in varying]
    return " · ".join(labels) or cell.request.prompt


def _value(sweep: Sweep, at: int, place: int) -> str:
    """Return a value of an axis in words; a number with its parameter and unit, such as "Duration 5 s"."""
    axis = sweep.axes[at]
    label = axis.labels[place]
    control = next((one for one in sweep[0].request.endpoint.parameters if one.name == axis.name), None)
    if control is None or control.kind not in ("stepped", "slider", "switch"):
        return label
    return f"{control.label} {label} {control.unit}".rstrip()


def heading_of(name: str) -> str:
    """Return the heading of a parameter: `aspect ratio` for `aspect_ratio`."""
    return name.replace("_", " ")


def sizes(sweep: Sweep) -> str:
    """Return the size of a sweep as text: `2 prompts × 3 aspect ratios`."""
    return " × ".join(_count(len(axis.values), heading_of(axis.name)) for axis in sweep.axes) or "1 cell"


def _count(count: int, name: str) -> str:
    if name[-1:].isdigit():
        return f"{count} of {name}"
    return f"{count} {name}" if count == 1 or name.endswith("s") else f"{count} {name}s"


# -- A storyboard: its shots in a row.


def storyboard_html(board: Storyboard) -> str:
    """Return the storyboard as one HTML fragment, about 8 kB for each shot."""
    shots = []
    for number, (shot, trim) in enumerate(zip(board, board.trims, strict=True), 1):
        name = words.shot_name(number, words.clip(shot_prompt(shot), 200))
        length = words.shot_points(trim, shot.duration)
        shots.append(
            f"{player(shot, name, part=number - 1)}"
            f'<div dir="auto" style="{_BELOW};{_WRAP};font-weight:600">{_text(name)}</div>'
            f'<div style="{SMALL}">{" · ".join(filter(None, (length, words.stars(shot.rating))))}</div>'
        )
    local = any(shot.backend == "local" for shot in board)
    parts = tuple(Part("", shot.take, "", shot.request_id) for shot in board)
    mark = Mark(board.id, state=State.READY.value, parts=parts)
    chip = state_chip(State.READY, words.cell_state("READY"))
    head = heading_row(chip, "Storyboard", length_of(board), local=local)
    return frame_card(mark, head, _flow(shots, len(shots)))


def storyboard_text(board: Storyboard) -> str:
    """Return a line for the storyboard, and one for each shot."""
    lines = [f"Storyboard: {length_of(board)}"]
    for number, (shot, trim) in enumerate(zip(board, board.trims, strict=True), 1):
        name = words.shot_name(number, words.clip(_line(shot_prompt(shot)), 60))
        where = words.clean(source_of(shot.path) or str(shot.path))
        lines.append(f"  {name}  {words.shot_points(trim, shot.duration)}  {where}")
    return "\n".join(lines)


def length_of(board: Storyboard) -> str:
    """Return the number of shots and the total duration as text."""
    return f"{counted(len(board), 'shot')}, {board.duration:.4g} s"


def shot_prompt(shot: Video) -> str:
    """Return the prompt of a shot, or its file's name."""
    return prompt_of((shot.request or {}).get("input") or {}, shot.path.name)
