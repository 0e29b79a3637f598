"""The static card: one HTML fragment with inline styles, for notebooks without a kernel and for GitHub.

- JupyterLab's sanitiser (for notebooks that are not trusted) keeps `<video src>`, `<details>`, `<pre>`,
  classes and most CSS properties. It drops `<style>`, `data-` attributes and `<source src>`. It cleans the
  page, not the file, so `mark.py` can read those attributes.
- Colours come from the page, with shades of grey that are visible on light and dark.
- MathJax must not read the dollar signs of a prompt.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import replace
from html import escape
from urllib.parse import quote

from kling_nb._files import write_file
from kling_nb.errors import KlingError, MediaError
from kling_nb.events import State
from kling_nb.notebook.card import words
from kling_nb.notebook.card.mark import Mark
from kling_nb.notebook.card.words import Card
from kling_nb.settings import current_home
from kling_nb.video import Video

_OF_URLS = "/:?#[]@!$&'()*+,;=%-._~"


def is_url(src: str) -> bool:
    """Return True if `src` is an http(s) URL. Everything else is a path."""
    return src.lower().startswith(("http://", "https://"))


def href(src: str) -> str:
    """Return `src` as a reference in a page. The caller escapes it for HTML.

    A URL stays as it is. A path is percent-encoded, because `#`, `?`, `%` and `:` can be parts of file names.
    So no scheme but http and https is possible.
    """
    try:
        raw = src.encode("utf-8", "surrogateescape")  # as Python names files that are not UTF-8
    except UnicodeEncodeError:
        raw = src.encode("utf-8", "replace")
    return quote(raw, safe=_OF_URLS if is_url(src) else "/")


def file_name(src: str) -> str:
    """Return the last part of `src`."""
    path = src.partition("?")[0].partition("#")[0] if is_url(src) else src
    return path.rstrip("/").rsplit("/", 1)[-1]


# -- The part of a card that plays: a video over its poster, an audio file, or an image.
#
# The poster is one `<img>`. The player lies over it in the same grid cell and has a transparent poster, so
# the notebook has the image once. It shows until the video plays, if the file is missing, and where a reader
# removes `<video>`, as GitHub does.


WIDEST = 760
"""Pixels of a card."""

_STAGE = "background:rgba(128,128,128,0.14)"
"""What is next to a video that is narrower than the card."""

_TALLEST = 420
"""Largest height of the stage, in pixels: that of the live view."""


def player(card: Card) -> str:
    """Return the player of the result; empty if there is nothing to play."""
    source = f'src="{escape(href(card.src))}"' if card.src else ""
    if card.video is not None:
        return _video(card, card.video, source)
    state = words.state_of(card)
    if state is not None and not state.finished:
        return _place(card)
    if not source or words.state_of(card) is not State.READY:
        return ""
    if card.kind == "audio":
        return f'<audio {source} controls preload="metadata" style="width:100%;display:block"></audio>'
    if card.kind == "image":
        fit = "max-width:100%;height:auto;display:block;margin:0 auto"
        return f'<img {source} alt="{_alt(card)}" style="{fit}">'
    return ""


def _place(card: Card) -> str:
    """Return the place of a video that is still to come, as large as the video will be."""
    shape = card.shape or 16 / 9
    style = f"aspect-ratio:{shape:.4g};max-width:{round(_TALLEST * shape)}px;margin:0 auto"
    return f'<div style="{_STAGE}"><div style="{style}"></div></div>'


def _video(card: Card, video: Video, source: str) -> str:
    size = f'width="{video.width}" height="{video.height}"'
    fit = "grid-area:1/1/2/2;width:100%;height:auto;margin:0"
    poster = _poster(video)
    image = f'<img src="{poster}" {size} alt="{_alt(card)}" style="{fit}">' if poster else ""
    player = (
        f'<video {source} {size} controls loop muted playsinline preload="metadata" '
        f'poster="{transparent_gif(video)}" aria-label="{_alt(card)}" style="{fit}"></video>'
        if source
        else ""
    )
    widest = min(WIDEST, round(_TALLEST * video.width / video.height))
    grid = f"display:grid;max-width:{widest}px;margin:0 auto"
    return f'<div style="{_STAGE}"><div style="{grid}">{image}{player}</div></div>'


def _alt(card: Card) -> str:
    return escape(words.clip(words.clean(" ".join(card.prompt.split()) or card.title), 200))


def transparent_gif(video: Video) -> str:
    """Return a transparent GIF as large as the video, as a data URI. It gives the player its shape."""
    canvas = struct.pack("<HH", min(video.width, 65_535), min(video.height, 65_535))
    pixel = b"\x80\0\0\0\0\0\0\0\0!\xf9\4\1\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
    return "data:image/gif;base64," + base64.b64encode(b"GIF89a" + canvas + pixel).decode("ascii")


def _poster(video: Video) -> str:
    """Return the poster as a data URI, or an empty text if the file is gone: the card must not break."""
    try:
        return "data:image/jpeg;base64," + base64.b64encode(poster_of(video)).decode("ascii")
    except KlingError:
        return ""


_missing: ContextVar[list[Video] | None] = ContextVar("missing", default=None)


@contextmanager
def stored_posters_only(on: bool) -> Iterator[list[Video]]:
    """If `on`, draw cards in the block without posters that are not stored. Give a list of their videos."""
    found: list[Video] = []
    token = _missing.set(found if on else None)
    try:
        yield found
    finally:
        _missing.reset(token)


POSTERS = 4_096
"""Number of stored posters, 16 kB each at most. A new one may replace an older one."""


def poster_of(video: Video) -> bytes:
    """Return the poster of a video. It is stored, because to decode it takes 20 to 50 ms.

    Raises:
        MediaError: The file is gone or damaged, or in `stored_posters_only` there is none yet.
    """
    try:
        status = video.path.stat()
    except OSError:
        return video.poster  # Its error says what is wrong.
    stamp = f"{video.path}\0{status.st_mtime_ns}\0{status.st_size}"
    wanted = hashlib.sha256(stamp.encode("utf-8", "surrogatepass")).digest()
    place = current_home() / "index" / "posters" / f"{int(wanted.hex()[:6], 16) % POSTERS}"
    with suppress(OSError):
        known, data = (content := place.read_bytes())[:64], content[64:]
        if known == wanted + hashlib.sha256(data).digest():
            return data
    if (missing := _missing.get()) is not None:
        missing.append(video)
        raise MediaError(f"{video.path.name} has no stored poster.")
    content = wanted + hashlib.sha256(video.poster).digest() + video.poster
    with suppress(OSError):
        for folder in (place.parents[1], place.parent):  # A home is not made for posters alone.
            folder.mkdir(mode=0o700, exist_ok=True)
        # A function as content is not synced. A file that is cut short is not used.
        write_file(place, lambda temporary: temporary.write_bytes(content), overwrite=True)
    return video.poster


LARGEST = 30_000
"""Bytes that a finished result adds to a saved notebook."""
_ROUND_ABOUT = 3_000
"""Bytes of these for what is not text of the card: its frame, the plain text and the mark."""
_LENGTHS = (None, 1_000, 250)
"""Characters to which long texts are cut, tried in this order."""

_RIM = "1px solid rgba(128,128,128,0.35)"
_CARD = (
    f"max-width:{WIDEST}px;margin:4px 0;border:{_RIM};border-radius:6px;overflow:hidden;"
    "font-size:13px;line-height:1.5"
)
_QUIET = "opacity:0.7"
_WRAP = "white-space:pre-wrap;overflow-wrap:break-word"
BADGE = "font-size:10px;padding:0 6px;border:1px dashed;border-radius:3px"
"""How LOCAL PREVIEW looks, as in the live view."""
_TINTS = {
    "amber": "220,150,20",
    "blue": "70,130,230",
    "grey": "128,128,128",
    "red": "220,70,70",
    "green": "60,160,90",
}
_STATE_TINTS = {
    State.SUBMITTING: "grey",
    State.IN_QUEUE: "amber",
    State.READY: "green",
    State.FAILED: "red",
    State.UNCERTAIN: "amber",
    State.CANCELLED: "grey",
}


def html(card: Card) -> str:
    """Return the card as one HTML fragment, about 25 kB with its poster.

    With its plain text, the card adds at most `LARGEST` bytes to a saved notebook. The log gets the rest of
    them. If long texts leave nothing, they are cut; `%kling show` and the sidecar have all of it.
    """
    media = player(card)
    for length in _LENGTHS:
        shorter = _cut(card, length)
        head = _heading(shorter)
        facts = "".join(part(shorter) for part in (_state, _origin, _prompt, _parameters, _data))
        ids = _ids(shorter)
        room = LARGEST - _ROUND_ABOUT - words.saved_size(media + head + facts + ids)
        if room > 0:
            break
    changing = Mark(state=card.state, request=card.request_id).to_attributes()
    return (
        f'<div class="kling-card mathjax_ignore tex2jax_ignore" data-kling-card="{_text(card.job_id)}"'
        f'{changing} style="{_CARD}">{head}{media}'
        f'<div style="padding:8px 12px">{facts}{_details(card, ids, room)}</div></div>'
    )


def _cut(card: Card, length: int | None) -> Card:
    """Return the card with no text longer than `length`."""
    if length is None:
        return card
    data = words.clip(card.data, length) if card.data else card.data
    return replace(card, prompt=words.clip(card.prompt, length), data=data)


def text(card: Card) -> str:
    """Return the card in three to six lines, for terminals and for pages that show no HTML."""
    marks = [" ".join(words.clean(card.title).split()), words.state_word(card), *words.origin(card)]
    if card.backend == "local":
        marks.append("LOCAL PREVIEW, made on this machine, free")
    prompt = "" if card.prompt == card.title else " ".join(words.clean(card.prompt).split())
    lines = [" · ".join(marks), "  " + words.clip(prompt, 200)]
    messages = words.state_lines(card)
    if messages:
        # There is room for three lines, so the third takes the rest.
        lines += [f"  {line}" for line in (*messages[:2], " ".join(messages[2:])) if line]
    else:
        lines.append("  " + words.clip(" · ".join(" ".join(pair) for pair in words.parameters(card)), 400))
        lines.append("  " + words.clip(" ".join(words.clean(card.data or "").split()), 400))
    where = [words.clean(card.src or (str(card.video.path) if card.video else "")), words.measures(card)]
    lines.append("  " + "  ".join(part for part in where if part))
    known = f"request {card.request_id}" if card.request_id else f"job {card.job_id}"
    lines.append("  " + words.clean(known))
    return "\n".join(words.clip(line.replace("\n", " "), 500) for line in lines if line.strip())


# -- The parts, from top to bottom.


def _heading(card: Card) -> str:
    state = words.state_of(card)
    word = words.state_word(card)
    parts = [
        _chip(word[:1].upper() + word[1:], _STATE_TINTS.get(state, "blue") if state else "grey"),
        f"<strong>{_text(card.title, 200)}</strong>",
    ]
    if card.backend == "local":
        parts.append(f'<span style="{BADGE}">LOCAL PREVIEW</span>')
    charge = " · ".join(escape(fact) for fact in words.charge(card))
    parts.append(f'<span style="font-size:12px;{_QUIET}">{charge}</span>' if charge else "")
    style = "display:flex;flex-wrap:wrap;gap:4px 8px;align-items:center;padding:6px 12px"
    return f'<div style="{style}">{" ".join(filter(None, parts))}</div>'


def _prompt(card: Card) -> str:
    if not card.prompt or card.prompt == card.title:
        return ""
    style = f"margin:6px 0;{_WRAP}"
    return f'<div dir="auto" style="{style}">{_text(card.prompt)}</div>'


def _parameters(card: Card) -> str:
    pairs = [
        f'<span style="{_QUIET}">{escape(name)}</span> <bdi>{escape(value)}</bdi>'
        for name, value in words.parameters(card)
    ]
    return _row(pairs)


def _data(card: Card) -> str:
    if not card.data:
        return ""
    style = f"margin:8px 0;font-size:13px;max-height:240px;overflow:auto;{_WRAP}"
    return f'<pre style="{style}">{_text(card.data)}</pre>'


def _state(card: Card) -> str:
    lines = words.state_lines(card)
    if not lines:
        return ""
    state = words.state_of(card)
    tint = _TINTS[_STATE_TINTS.get(state, "blue") if state else "grey"]
    style = f"margin:8px 0;padding:4px 10px;border-left:3px solid rgba({tint},0.9);{_WRAP}"
    return f'<div style="{style}">{_line(chr(10).join(lines))}</div>'


def _origin(card: Card) -> str:
    facts = [escape(words.measures(card))] if card.video is not None else []
    facts += [f"take {card.take}"] if card.take else []
    if card.src and file_name(card.src):
        link = escape(href(card.src))
        facts.append(f'<a href="{link}"><bdi>{_text(file_name(card.src), 200)}</bdi></a>')
    for name, src in card.others.items():
        facts.append(f'<a href="{escape(href(src))}"><bdi>{_text(name, 60)}</bdi></a>')
    return _row(facts, f"font-size:12px;{_QUIET};")


def _ids(card: Card) -> str:
    ids = [_code(card.endpoint)] + ([f"request {_code(card.request_id)}"] if card.request_id else [])
    return _row(ids, f"font-size:11px;{_QUIET};")


def _details(card: Card, ids: str, room: int) -> str:
    """Return what folds away: the ids and the log."""
    log = words.log(card, room)
    shown = " open" if words.state_of(card) is State.FAILED else ""
    count = f" · Log · {len(card.lines)} line{'s' * (len(card.lines) != 1)}" if log else ""
    style = f"margin:4px 0 0;max-height:240px;overflow:auto;font-size:12px;{_WRAP}"
    summary = f'<summary style="cursor:pointer;font-size:12px;{_QUIET}">Details{count}</summary>'
    lines = f'<pre style="{style}">{_line(log)}</pre>' if log else ""
    return f'<details{shown} style="margin-top:6px">{summary}{ids}{lines}</details>'


def _row(parts: list[str], style: str = "") -> str:
    if not parts:
        return ""
    return f'<div style="margin-top:2px;{style}overflow-wrap:break-word">{" · ".join(parts)}</div>'


def _chip(label: str, tint: str) -> str:
    """Return a state as the live view shows it: a dot and a word."""
    colour = _TINTS[tint]
    dot = f"display:inline-block;width:8px;height:8px;border-radius:50%;background:rgb({colour})"
    style = f"font-size:12px;font-weight:600;padding:1px 9px;border-radius:9px;background:rgba({colour},0.14)"
    return f'<span style="{style}"><span style="{dot}"></span> {escape(label)}</span>'


def _text(value: str, length: int = 4_000) -> str:
    """Escape text from outside for the HTML of a card, attributes included."""
    return _line(words.clip(words.clean(value), length))


def _line(value: str) -> str:
    """Return text as HTML without a line break: in Markdown, a blank line would end the card."""
    return escape(value).replace("\n", "&#10;")


def _code(value: str) -> str:
    # Themes draw a box around <code>, and a request id would not fit its line.
    return f'<span style="font-family:monospace">{_text(value, 200)}</span>'
