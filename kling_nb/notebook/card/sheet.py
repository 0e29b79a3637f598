"""Contact sheets: takes, a sweep, a batch or a storyboard as one HTML file or one PNG.

The HTML needs no other file and loads nothing: its videos are small copies inside of it, without audio.
"""

from __future__ import annotations

import base64
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache, partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kling_nb._lazy import image_draw, pillow
from kling_nb._typesetting import font, shorten, typeset, wrap
from kling_nb.catalog.shipped import short_name
from kling_nb.errors import UsageError
from kling_nb.job.job import Job
from kling_nb.notebook.card.html import upper
from kling_nb.notebook.card.style import COLOURS
from kling_nb.notebook.card.words import cell_state, clean, clip, shot_name, shot_points
from kling_nb.request.request import PROMPTS, prompt_of
from kling_nb.sweeps.axes import label
from kling_nb.sweeps.batch import BatchRow
from kling_nb.sweeps.storyboard import Storyboard
from kling_nb.sweeps.sweep import Sweep, SweepCell
from kling_nb.video import MediaFile, Video
from kling_nb.video.decisions import HIGHEST, Decisions, read_decisions
from kling_nb.video.frames import small_jpeg
from kling_nb.video.join import Wish, join_clips
from kling_nb.video.video import write_new

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

MOST = 1_000
"""Tiles of one sheet."""

_AT_ONCE = 4
_POSTER_WIDTH, _POSTER_BYTES = 640, 60_000
_COPY_WIDTH, _SMALL_FILE = 640, 600_000
"""Pixels of the copies of videos. A file of at most `_SMALL_FILE` bytes is used as it is."""

_MOST_COLUMNS = 12


@dataclass(frozen=True, slots=True)
class _Tile:
    """One video of a sheet.

    Attributes:
        video: What it shows, or None.
        title: Its name, or the prompt.
        prompt: The prompt, if that is not the title.
        facts: Short texts, such as "10 s".
        decisions: Rating, note and tags.
        local: True for a local preview.
        missing: Why there is no video.
    """

    video: Video | None
    title: str
    prompt: str = ""
    facts: tuple[str, ...] = ()
    decisions: Decisions = field(default_factory=Decisions)
    local: bool = False
    missing: str = ""


def sheet(
    items: Any,
    path: str | Path = "sheet.html",
    *,
    columns: int | None = None,
    title: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a contact sheet: for each video an image, its name, rating, note, tags and parameters.

    As HTML it is one file for any browser. A video plays while the pointer is on it; the file holds small
    copies without audio. As PNG it is one image.

    Args:
        items: Takes, videos or jobs; a `Sweep`, `Batch` or `Storyboard`.
        path: The new file, which ends in .html or .png.
        columns: Videos in a row, from 1 to 12. By default as many as fit (HTML), or about the root of their
            number (PNG).
        title: The heading.
        overwrite: Replace an existing file.

    Returns:
        The new file.

    Raises:
        UsageError: There is nothing to show, or an argument makes no sense; or the file exists, and
            `overwrite` is False.
        MediaError: A video is gone or damaged, or the file cannot be written.
    """
    target = Path(path).absolute()
    if target.suffix.lower() not in {".html", ".htm", ".png"}:
        raise UsageError(f"{target.name} must end in .html or .png.", parameter="path")
    whole = isinstance(columns, int) and not isinstance(columns, bool) and 1 <= columns <= _MOST_COLUMNS
    if columns is not None and not whole:
        raise UsageError(
            f"columns must be a whole number from 1 to {_MOST_COLUMNS}, not {columns!r}.", parameter="columns"
        )
    tiles = list(_tiles(items))
    if not tiles:
        raise UsageError("There is nothing to show on the sheet.", remedy="Give at least one take.")
    if len(tiles) > MOST:
        raise UsageError(
            f"A sheet can have at most {MOST:,} videos, not {len(tiles):,}.",
            remedy="Choose some: kling_nb.takes(rating=4).",
        )
    heading = title if title is not None else _title(items)
    write = _write_png if target.suffix.lower() == ".png" else _write_html
    write_new(target, partial(write, tiles, heading, columns), overwrite=overwrite)
    return target


# -- What is shown.


def _title(items: Any) -> str:
    if isinstance(items, Storyboard):
        return "Storyboard"
    source = getattr(items, "source", None) if isinstance(items, Sweep) else None
    return Path(str(source)).stem if source and "." in source else "Contact sheet"


def _tiles(items: Any) -> Iterator[_Tile]:
    if isinstance(items, Sweep):
        axes = {axis.name for axis in items.axes}
        for cell in items.cells:
            yield _of_cell(cell, axes)
        return
    if isinstance(items, Storyboard):
        for number, (shot, trim) in enumerate(zip(items.shots, items.trims, strict=True), 1):
            tile = _of_video(shot, "")
            facts = (shot_points(trim, shot.duration), *tile.facts[1:])
            yield replace(tile, title=shot_name(number, tile.title), facts=facts)
        return
    shots = items
    if isinstance(shots, (Video, MediaFile, Job, str, Path)):
        shots = [shots]
    if not isinstance(shots, Iterable):
        raise UsageError(
            f"A sheet cannot show a {type(shots).__name__}.",
            remedy="Give takes, videos, a Sweep, a Batch or a Storyboard.",
            parameter="items",
        )
    for number, shot in enumerate(shots, 1):
        if isinstance(shot, SweepCell):
            yield _of_cell(shot, set(shot.values))
            continue
        made = shot.result if isinstance(shot, Job) else shot
        made = Video.from_file(made) if isinstance(made, (str, Path)) else made
        if isinstance(made, Video):
            yield _of_video(made, "")
        elif not isinstance(made, MediaFile):  # audio and images have no place on a sheet of videos
            raise UsageError(
                f"Item {number} is of type {type(shot).__name__}, not a video.",
                remedy="Wait for jobs before you make a sheet.",
                parameter="items",
            )


def _of_video(video: Video, name: str, hidden: Iterable[str] = ()) -> _Tile:
    request = video.request or {}
    given = request.get("input", {})
    prompt = prompt_of(given)
    facts = [f"{round(video.duration, 1):g} s", f"{video.width}×{video.height}"]
    facts += [
        f"{key.replace('_', ' ')} {label(value)}"
        for key, value in given.items()
        if key not in {*PROMPTS, "duration", *hidden} and _is_short(value)
    ]
    facts += [short_name(request["endpoint"])] if request.get("endpoint") else []
    facts += [f"take {video.take}"] if (video.take or 1) > 1 else []
    return _Tile(
        video,
        name or prompt or video.path.stem,
        prompt if name else "",
        tuple(facts),
        read_decisions(video.sidecar) if video.sidecar is not None else Decisions(),
        video.backend == "local",
    )


def _of_cell(cell: SweepCell, axes: Iterable[str]) -> _Tile:
    if isinstance(cell, BatchRow):
        name = cell.name
    else:
        name = " · ".join(
            f"{key.replace('_', ' ')} {cell.labels.get(key) or label(cell.values[key])}"
            for key in axes
            if key in cell.values
        )
    if cell.video is not None:
        return _of_video(cell.video, name, () if isinstance(cell, BatchRow) else axes)
    reason = getattr(cell.error, "message", "") or upper(cell_state(cell.state))
    return _Tile(None, name, cell.request.prompt, missing=reason)


def _is_short(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= 40 and "/" not in value
    return isinstance(value, (int, float))


def _middle(video: Video) -> Image:
    """Return the middle frame, because the first one is often a fade-in."""
    return video.frame(video.duration / 2)


# -- HTML.


def _write_html(tiles: Sequence[_Tile], title: str, columns: int | None, target: Path) -> None:
    with (
        target.open("w", encoding="utf-8", newline="\n") as file,
        tempfile.TemporaryDirectory() as folder,
        ThreadPoolExecutor(_AT_ONCE) as pool,
    ):
        file.write(_head(title, len(tiles), columns))
        for figure in pool.map(partial(_figure, Path(folder)), range(len(tiles)), tiles):
            file.write(figure)
        file.write(f"</main>\n<script>{_SCRIPT}</script>\n</html>\n")


def _head(title: str, count: int, columns: int | None) -> str:
    grid = f"repeat({columns},minmax(0,1fr))" if columns else "repeat(auto-fill,minmax(min(100%,300px),1fr))"
    shown = escape(clean(title))
    about = f"{count} video{'s' * (count != 1)} · {time.strftime('%Y-%m-%d')} · point at a video to play it"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "media-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f"<title>{shown}</title>\n<style>{_STYLE}main{{grid-template-columns:{grid}}}</style>\n"
        f"<header><h1>{shown}</h1><p>{about}</p></header>\n<main>\n"
    )


def _figure(folder: Path, number: int, tile: _Tile) -> str:
    name = escape(clean(tile.title))
    if tile.video is None:
        stage = f'<p class="missing">{escape(clean(clip(tile.missing, 300)))}</p>'
    else:
        poster = _data("image/jpeg", small_jpeg(_middle(tile.video), _POSTER_WIDTH, _POSTER_BYTES))
        copy = _data("video/mp4", _copy(tile.video, folder, number))
        stage = (
            f'<video poster="{poster}" src="{copy}" muted loop playsinline preload="none" tabindex="0"'
            f' aria-label="{escape(clip(clean(tile.title), 200))}"></video>'
        )
    mark = '<span class="local">LOCAL PREVIEW</span>' if tile.local else ""
    return (
        f'<figure><div class="stage">{stage}{mark}</div><figcaption><h2 title="{name}">{name}</h2>'
        f"{_stars(tile.decisions.rating)}{_line('prompt', tile.prompt)}{_line('note', tile.decisions.note)}"
        f"{_words(tile)}</figcaption></figure>\n"
    )


def _stars(rating: int | None) -> str:
    if rating is None:
        return ""
    return (
        f'<p class="stars" role="img" aria-label="{rating} of {HIGHEST} stars">{"★" * rating}'
        f"<span>{'☆' * (HIGHEST - rating)}</span></p>"
    )


def _line(kind: str, text: str) -> str:
    return f'<p class="{kind}">{escape(clean(clip(text, 1_000)))}</p>' if text else ""


def _words(tile: _Tile) -> str:
    tags = "".join(f"<li class=tag>{escape(clean(tag))}</li>" for tag in tile.decisions.tags)
    chosen = "<li class=tag>chosen</li>" if tile.decisions.chosen else ""
    facts = "".join(f"<li>{escape(clean(fact))}</li>" for fact in tile.facts)
    return f"<ul>{chosen}{tags}{facts}</ul>" if chosen or tags or facts else ""


def _data(mime: str, content: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def _copy(video: Video, folder: Path, number: int) -> bytes:
    """Return a small MP4 of a video without audio; a file that is small already as it is."""
    if video.path.suffix.lower() == ".mp4" and video.path.stat().st_size <= _SMALL_FILE:
        return video.path.read_bytes()
    scale = min(1.0, _COPY_WIDTH / max(video.width, video.height))
    width, height = (max(16, round(side * scale / 2) * 2) for side in (video.width, video.height))
    target = folder / f"{number}.mp4"
    join_clips([video.path], target, Wish(size=(width, height), audio="mute"))
    content = target.read_bytes()
    target.unlink()
    return content


_SHARED = {"quiet": "quiet", "line": "line", "edge": "edge", "star": "warn", "focus": "brand"}
"""Colours that are those of cards, by their name here."""


def _colours(*, dark: bool) -> str:
    return "".join(f"--{own}:{COLOURS[name][dark]};" for own, name in _SHARED.items())


_STYLE = f"""
:root{{color-scheme:light dark;--page:#f6f6f4;--tile:#fff;--text:#1b1c1e;--tag:#e8eefb;--tagtext:#1f4a9c;
{_colours(dark=False)}}}
@media (prefers-color-scheme:dark){{:root{{--page:#141517;--tile:#1d1f22;--text:#ececec;
--tag:#23324f;--tagtext:#b4ccff;{_colours(dark=True)}}}}}
"""
_STYLE += """*{box-sizing:border-box;margin:0}
body{background:var(--page);color:var(--text);font:14px/1.45 system-ui,-apple-system,"Segoe UI",sans-serif;
padding:32px clamp(16px,4vw,56px) 56px}
header{display:flex;flex-wrap:wrap;align-items:baseline;gap:4px 16px;padding-bottom:20px}
h1{font-size:22px;font-weight:650;letter-spacing:-.01em;overflow-wrap:anywhere}
header p{color:var(--quiet)}
main{display:grid;gap:24px;align-items:start}
figure{background:var(--tile);border:1px solid var(--line);border-radius:10px;overflow:hidden;
break-inside:avoid;min-width:0}
.stage{position:relative;aspect-ratio:16/9;background:#0c0d0e;display:grid}
.stage video{width:100%;height:100%;min-height:0;object-fit:contain;display:block;cursor:pointer}
.stage video:focus-visible{outline:3px solid var(--focus);outline-offset:-3px}
.missing{color:#b9bcc1;place-self:center;padding:16px;text-align:center;overflow-wrap:anywhere}
.local{position:absolute;right:8px;top:8px;background:rgba(0,0,0,.72);color:#ffd479;font-size:10px;
font-weight:600;letter-spacing:.06em;padding:2px 7px;border-radius:4px;pointer-events:none}
figcaption{padding:12px 14px 14px;display:grid;gap:6px}
h2{font-size:14px;font-weight:600;overflow-wrap:anywhere;display:-webkit-box;-webkit-line-clamp:3;
-webkit-box-orient:vertical;overflow:hidden}
.prompt{color:var(--quiet);overflow-wrap:anywhere;display:-webkit-box;-webkit-line-clamp:3;
-webkit-box-orient:vertical;overflow:hidden}
.note{border-left:3px solid var(--line);padding-left:10px;white-space:pre-line;overflow-wrap:anywhere}
.stars{color:var(--star);font-size:15px;letter-spacing:2px;line-height:1}
.stars span{color:var(--edge)}
ul{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:3px 12px;color:var(--quiet);font-size:12px;
align-items:baseline}
.tag{background:var(--tag);color:var(--tagtext);padding:1px 8px;border-radius:9px}
@media print{body{padding:0;background:#fff}main{gap:12px}.prompt,h2{-webkit-line-clamp:unset}}
"""

_SCRIPT = """
for (const video of document.querySelectorAll("video")) {
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const play = () => video.play().catch(() => {});
  const stop = () => { video.pause(); };
  const toggle = () => (video.paused ? play() : stop());
  video.addEventListener("pointerenter", (event) => {
    if (event.pointerType === "mouse" && !calm.matches) play();
  });
  video.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") stop(); });
  video.addEventListener("click", toggle);
  video.addEventListener("keydown", (event) => {
    if (event.key === " " || event.key === "Enter") { event.preventDefault(); toggle(); }
  });
}
"""


# -- PNG.

_TILE, _GAP, _EDGE = 400, 24, 32
_IMAGE = _TILE * 9 // 16
_CAPTION = 116
_STAR = 18
"""Pixels of a tile's width, between tiles, around them; heights of the image and the text below it."""

_PAGE, _STAGE, _INK, _QUIET, _GOLD, _FAINT = (
    *("#f6f6f4", "#0c0d0e", "#1b1c1e"),
    *(COLOURS["quiet"][0], COLOURS["warn"][0], COLOURS["edge"][0]),
)
_MOST_PIXELS = 160_000_000


def _write_png(tiles: Sequence[_Tile], title: str, columns: int | None, target: Path) -> None:
    across = columns or min(_MOST_COLUMNS, max(1, round((len(tiles) * 1.2) ** 0.5)))
    across = min(across, len(tiles))
    down = -(-len(tiles) // across)
    width = 2 * _EDGE + across * _TILE + (across - 1) * _GAP
    top = _EDGE + 56
    height = top + down * (_IMAGE + _CAPTION) + (down - 1) * _GAP + _EDGE
    if width * height > _MOST_PIXELS:
        raise UsageError(
            f"{len(tiles)} videos are too many for a PNG in {across} columns.",
            remedy="Write HTML, give more columns, or show fewer.",
        )
    page = pillow.new("RGB", (width, height), _PAGE)
    pen = image_draw.Draw(page)
    room = width - 2 * _EDGE
    _text(pen, (_EDGE, _EDGE - 4), f"{title} · {len(tiles)}", size=26, fill=_INK, width=room, lines=1)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for number, image in enumerate(pool.map(_image, tiles)):
            left = _EDGE + number % across * (_TILE + _GAP)
            upper = top + number // across * (_IMAGE + _CAPTION + _GAP)
            page.paste(image, (left, upper))
            _draw_caption(page, pen, tiles[number], left, upper + _IMAGE + 10)
    page.save(target, "PNG")


def _image(tile: _Tile) -> Image:
    """Return the middle frame of a tile on a dark stage."""
    stage = pillow.new("RGB", (_TILE, _IMAGE), _STAGE)
    pen = image_draw.Draw(stage)
    if tile.video is None:
        _text(pen, (16, _IMAGE // 2 - 24), tile.missing, size=15, fill="#b9bcc1", width=_TILE - 32, lines=3)
        return stage
    frame = _middle(tile.video)
    frame.thumbnail((_TILE, _IMAGE), pillow.Resampling.LANCZOS)
    stage.paste(frame, ((_TILE - frame.width) // 2, (_IMAGE - frame.height) // 2))
    if tile.local:
        pen.rectangle((_TILE - 112, 8, _TILE - 8, 26), fill="#000000")
        pen.text((_TILE - 105, 11), "LOCAL PREVIEW", fill="#ffd479", font=font(None, 12))
    return stage


def _draw_caption(page: Image, pen: ImageDraw, tile: _Tile, left: int, upper: int) -> None:
    lower = _text(pen, (left, upper), tile.title, size=17, fill=_INK, width=_TILE, lines=2)
    if tile.decisions.rating is not None:
        star = _star()
        for number in range(HIGHEST):
            fill = _GOLD if number < tile.decisions.rating else _FAINT
            page.paste(fill, (left + number * (_STAR + 3), lower + 1), star)
        lower += _STAR + 4
    facts = " · ".join([*(f"#{tag}" for tag in tile.decisions.tags), *tile.facts])
    for text, fill in ((facts, _QUIET), (tile.decisions.note, _INK)):
        lower = _text(pen, (left, lower + 2), text, size=14, fill=fill, width=_TILE, lines=1)


@cache
def _star() -> Image:
    """Return the mask of a star, drawn large so that its edges are smooth."""
    big = pillow.new("L", (8 * _STAR, 8 * _STAR), 0)
    radii = (4 * _STAR, 1.7 * _STAR)
    points = [
        complex(4 * _STAR, 4 * _STAR) - radii[corner % 2] * 1j * 1j ** (corner * 0.4) for corner in range(10)
    ]
    image_draw.Draw(big).polygon([(point.real, point.imag) for point in points], fill=255)
    return big.resize((_STAR, _STAR), pillow.Resampling.LANCZOS)


def _text(
    pen: ImageDraw, place: tuple[int, int], text: str, *, size: int, fill: str, width: int, lines: int
) -> int:
    """Draw at most `lines` lines of a text, and return the height below them."""
    drawn, face = typeset(clean(text).replace("×", "x"))  # Pillow's own font has no such sign
    letters = font(face, size)
    for line in shorten(wrap(drawn, letters, width), lines, letters, width) if drawn else []:
        pen.text(place, line, fill=fill, font=letters)
        place = place[0], place[1] + round(size * 1.3)
    return place[1]
