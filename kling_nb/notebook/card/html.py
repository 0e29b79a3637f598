"""The static card: one HTML fragment with inline styles, for notebooks without a kernel and for GitHub.

- JupyterLab's sanitiser (for notebooks that are not trusted) keeps `<video src>`, `<details>`, `<pre>`,
  classes and most CSS properties. It drops `<style>`, `data-` attributes and `<source src>`. It cleans the
  page, not the file, so `mark.py` can read those attributes.
- Colours come from the page, and from `style.py`.
- MathJax must not read the dollar signs of a prompt.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Callable
from dataclasses import replace
from html import escape, unescape
from itertools import islice
from urllib.parse import quote, unquote

from kling_nb.events import State
from kling_nb.job.plan import GET_BACK, PREVIEW_AGAIN
from kling_nb.notebook.card import words
from kling_nb.notebook.card.mark import Mark
from kling_nb.notebook.card.posters import count_postponed, poster_uri
from kling_nb.notebook.card.style import (
    AUDIO,
    BADGE,
    BAR,
    CAPTION,
    CODE,
    CONTROLS,
    CONTROLS_GROUND,
    CONTROLS_NOTE,
    CONTROLS_ROOM,
    FADE,
    FRAME,
    HEAD,
    NAMES,
    QUIET,
    RULE,
    SMALL,
    STAGE,
    STAR,
    STAR_EMPTY,
    STARRED,
    TALLEST,
    TERM,
    TERMS,
    THUMB_OTHER,
    THUMB_SHOWN,
    TINT,
    USED,
    USED_WORDS,
    WRAP,
    chip,
    dot,
    message,
)
from kling_nb.notebook.card.words import Card, CardTake
from kling_nb.video import Video
from kling_nb.video.decisions import HIGHEST

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
# The poster is one `<img>`. The player lies over it in the same grid and has a transparent poster, so the
# notebook has the image once. It shows until the video plays, if the file is missing, and where a reader
# removes `<video>`, as GitHub does.


def player(card: Card) -> str:
    """Return the player of the result; empty if there is nothing to play."""
    source = f'src="{escape(href(card.src))}"' if card.src else ""
    if card.video is not None:
        return _video(card, card.video, source)
    if not source or words.state_of(card) is not State.READY:
        return ""
    if card.kind == "audio":
        audio = f'<audio {source} controls preload="metadata" style="{AUDIO}"></audio>'
        return f'<div style="{STAGE}">{audio}</div>'
    if card.kind == "image":
        fit = f"max-width:100%;max-height:{TALLEST}px;height:auto;display:block;margin:0 auto"
        return f'<div style="{STAGE}"><img {source} alt="{_alt(card)}" style="{fit}"></div>'
    return ""


def _video(card: Card, video: Video, source: str) -> str:
    style = f"max-width:{round(TALLEST * video.width / video.height)}px;margin:0 auto"
    if len(card.takes) > 1:
        free = max(0, MOST_TAKES - len(card.takes))
        poster = poster_uri(video, _POSTER_WIDTH, _POSTER_BYTES + free * _THUMB_ROOM)
    else:
        poster = poster_uri(video)
    screen = screen_of(video, poster, source, _alt(card))
    return f'<div style="{STAGE}"><div style="{style}">{screen}</div></div>'


def screen_of(video: Video, poster: str, source: str, alt: str) -> str:
    """Return a video over its poster: the image, and below it the browser's controls.

    No page may style the controls, and a card has no script that could replace them. They are drawn at the
    lower edge of the element. The element shows its image in its middle, so it is longer than the image by
    their height above and below, and what is above is cut off.

    Args:
        video: The video.
        poster: Its poster as a data URI, or an empty text.
        source: The attribute `src` of the player, or an empty text: then only the poster is shown.
        alt: What the video shows, escaped.
    """
    size = f'width="{video.width}" height="{video.height}"'
    fit = "grid-area:2/1/3/2;display:block;width:100%;height:auto;margin:0"
    image = (
        f'<img src="{poster}" {size} alt="{alt}" style="{fit}">'
        if poster
        else _place(video.width / video.height, row=2)
    )
    if not source:
        return f'<div style="display:grid">{image}</div>'
    below = f"grid-area:3/1/4/2;background:{CONTROLS_GROUND}"
    fit = "grid-area:1/1/4/2;width:100%;height:100%;margin:0"
    player = (
        f'{image}<div style="{below}"></div>'
        f'<video {source} {size} controls loop muted playsinline preload="metadata" '
        f'poster="{transparent_gif(video)}" aria-label="{alt}" style="{fit}"></video>'
    )
    return f'<div style="overflow:hidden"><div style="display:grid;{CONTROLS_ROOM}">{player}</div></div>'


def _place(shape: float, row: int = 1) -> str:
    """Return an empty element in a row of a grid, as large as an image of this width by height."""
    return f'<div style="grid-area:{row}/1/{row + 1}/2;padding-bottom:{100 / shape:.5g}%"></div>'


def _alt(card: Card) -> str:
    return escape(words.clip(words.clean(" ".join(card.prompt.split()) or card.title), 200))


def transparent_gif(video: Video) -> str:
    """Return a transparent GIF as large as the video, as a data URI. It gives the player its shape."""
    canvas = struct.pack("<HH", min(video.width, 65_535), min(video.height, 65_535))
    pixel = b"\x80\0\0\0\0\0\0\0\0!\xf9\4\1\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
    return "data:image/gif;base64," + base64.b64encode(b"GIF89a" + canvas + pixel).decode("ascii")


_POSTER_WIDTH, _POSTER_BYTES, _THUMB_ROOM = 480, 7_500, 1_300
"""Of the poster of a card with several takes: pixels, bytes, and bytes more for each thumbnail less."""


LARGEST = 30_000
"""Bytes that a finished result adds to a saved notebook."""
_ROUND_ABOUT = 3_000
"""Bytes of these for what is not text of the card: its frame, the plain text and the mark."""
_LENGTHS = (None, 1_000, 250)
"""Characters to which long texts are cut, tried in this order."""


def html(card: Card) -> str:
    """Return the card as one HTML fragment, about 25 kB with its poster.

    Its parts have the order of the live view. With its plain text, the card adds at most `LARGEST` bytes to
    a saved notebook. The log gets the rest of them. If long texts leave nothing, they are cut; `%kling show`
    and the sidecar have all of it.
    """
    before = count_postponed()
    media = player(card)
    for length, images in (*((length, True) for length in _LENGTHS), (_LENGTHS[-1], False)):
        shorter = _cut(card, length)
        parts = "".join(part(shorter) for part in (_heading, _status))
        facts = _strip(shorter, images=images) + "".join(part(shorter) for part in (_file, _request))
        ids = _ids(shorter)
        room = LARGEST - _ROUND_ABOUT - words.saved_size(parts + media + facts + ids)
        if room > 0:
            break
    # A card without its file, or its poster, is never final: it is drawn again at each opening.
    state = None if words.is_file_missing(card) or count_postponed() > before else card.state
    changing = Mark(state=state, request=card.request_id, takes=words.decided(card.takes)).to_attributes()
    drawn = (
        f'<div class="kling-card mathjax_ignore tex2jax_ignore" data-kling-card="{_text(card.job_id)}"'
        f'{changing} style="{FRAME}">{parts}{media}{facts}{_details(card, ids, room)}</div>'
    )
    gone = card.video is not None and not card.video.path.exists()
    return note_missing(drawn, lambda src: gone, GET_BACK if card.backend == "fal" else PREVIEW_AGAIN)


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


# -- A file that is missing.

_NOTE_LENGTH = 400
"""Characters of the user's note."""
_GONE = "kling-gone"
_NOTE = re.compile(f'<div class="{_GONE}"[^>]*>[^<]*</div>')
_PLAYER = re.compile(r'<(?:(video|audio)|img) src="(?!data:)([^"]*)"[^>]*>(?:</\1>)?')


_PART_LINK = re.compile(r'<a href="([^"]*)" data-kling-part="\d+">[^<]*</a>')
_COUNT = r">(\d+)( of \d+ ready| shots?, [\d.]+ s)"
"""What the head of a card says of its cells. Posters do not have its first sign; each of their many digits
would be tried, for seconds."""
_TALLY = re.compile(f"{_COUNT}(?=</span>)")
_TALLIED = re.compile(rf'{_COUNT}<span class="{_GONE}" data-kling-was="(\d+)">[^<]*</span>')
_LINK_NOTE = re.compile(f'<span class="{_GONE}">[^<]*</span>')


def note_missing(html: str, is_missing: Callable[[str], bool], remedy: str) -> str:
    """Return a card with a note in the place of each player whose file is missing, and no other notes.

    Of several videos, the head says how many are missing, and what to do.

    Args:
        html: The card, of any state.
        is_missing: Returns True if the file of a URL is not there.
        remedy: What to do.
    """
    ready = state_chip(State.READY, words.STATES[State.READY][0])
    missing = state_chip(State.UNCERTAIN, words.FILE_MISSING)
    plain = _LINK_NOTE.sub("", _TALLIED.sub(r">\3\2", _NOTE.sub("", html)))
    if plain != html:
        plain = plain.replace(f" data-{_GONE} ", " controls ").replace(missing, ready)
    players = [*_PLAYER.finditer(plain)]
    between = zip(
        [0, *(player.end() for player in players)],
        [*(player.start() for player in players), len(plain)],
        strict=True,
    )
    texts = [plain[start:end] for start, end in between]
    has_parts = " data-kling-part=" in plain  # their chips are below them
    lost = [is_missing(unescape(player[2])) for player in players]
    links = [*filter(is_missing, map(unescape, _PART_LINK.findall(plain)))]
    gone = sum(lost) + len(links)
    tally = _TALLY.search(texts[0]) if has_parts and gone else None
    for number, (player, is_lost) in enumerate(zip(players, lost, strict=True)):
        if is_lost:
            chip_at = number + has_parts
            texts[chip_at] = texts[chip_at].replace(ready, missing, 1)
            texts[number] += _without_controls(player, "" if tally else remedy)
        else:
            texts[number] += player[0]
    if tally:
        left = max(0, int(tally[1]) - gone) if "ready" in tally[2] else tally[1]
        lack = f", {gone} file{'s' * (gone != 1)} missing. {remedy}"
        note = f'>{left}{tally[2]}<span class="{_GONE}" data-kling-was="{tally[1]}">{_text(lack, 600)}</span>'
        texts[0] = texts[0].replace(tally[0], note, 1).replace(ready, missing, 1)
    noted = "".join(texts)
    return _PART_LINK.sub(lambda link: _note_link(link[0], unescape(link[1]) in links), noted)


def _note_link(link: str, is_lost: bool) -> str:
    """Return a link to a video that is left out, with a note if its file is missing."""
    return f'{link}<span class="{_GONE}"> · {words.FILE_MISSING}</span>' if is_lost else link


def _without_controls(player: re.Match[str], remedy: str) -> str:
    """Return a player without controls, which takes no focus, and a note in their place."""
    folder, _, name = unquote(unescape(player[2])).rpartition("/")
    note = f"{name} is no longer in {folder or 'the folder of the notebook'}. {remedy}"
    box = f"grid-area:3/1/4/2;position:relative;z-index:1;{CONTROLS_NOTE}"
    still = player[0].replace(" controls ", f" data-{_GONE} ", 1)
    return f'{still}<div class="{_GONE}" style="{box}">{_text(note.strip(), 600)}</div>'


# -- The parts, from top to bottom.


_SUM = " = "
"""Between units and price, and what they make."""


def _heading(card: Card) -> str:
    names = [f"<strong>{_text(card.title, 200)}</strong>"]
    if card.backend == "local":
        names.append(f'<span style="{BADGE}">LOCAL PREVIEW</span>')
    # What it cost, without the sum, which Details have, as in the live view.
    charge = " · ".join(escape(fact.rpartition(_SUM)[2]) for fact in words.charge(card))
    names.append(f'<span style="{SMALL}">{charge}</span>' if charge else "")
    return (
        f'<div style="{HEAD}">{state_chip(_shown_state(card), words.state_word(card))} '
        f'<div style="{NAMES}">{" ".join(filter(None, names))}</div></div>'
    )


def state_chip(state: State | None, word: str) -> str:
    """Return a state as the live view shows it: a dot and a word."""
    return f'<span style="{chip(state)}"><span style="{dot(state)}"></span>{escape(upper(word))}</span>'


def _shown_state(card: Card) -> State | None:
    """Return the state whose colour a card has."""
    return State.UNCERTAIN if words.is_file_missing(card) else words.state_of(card)


def upper(text: str) -> str:
    """Return a text with an upper-case first letter, as `upper` of `words.js`."""
    return text[:1].upper() + text[1:]


def _status(card: Card) -> str:
    """Return the stage of a job without a result, as high as with it: how far it is, or why there is none."""
    lines = words.state_lines(card)
    if not lines:
        return ""
    state, shape = _shown_state(card), card.shape or 16 / 9
    middle = "grid-area:1/1/2/2;align-self:center;justify-self:center;padding:12px;overflow-wrap:break-word"
    if state is None or state.finished:
        text = f'<div style="{message(state)}">{_message(chr(10).join(lines))}</div>'
    else:
        rest = "".join(f'<div style="{SMALL}">{_message(line)}</div>' for line in lines[1:])
        text = f'<div style="text-align:center"><strong>{_message(lines[0])}</strong>{rest}</div>'
    place = f"grid-area:1/1/2/2;justify-self:center;width:100%;max-width:{round(TALLEST * shape)}px"
    below = f'<div style="height:{CONTROLS}px"></div>'
    return (
        f'<div style="{STAGE};display:grid"><div style="{place}">{_place(shape)}{below}</div>'
        f'<div style="{middle}">{text}</div></div>'
    )


MOST_TAKES = 5
"""Thumbnails in the strip: the take that is shown, the chosen one, and the newest ones."""
_THUMB = 104, 58
"""Pixels of a thumbnail."""
_THUMB_POSTER = 120, 800
"""Pixels and bytes of its image."""


def _strip(card: Card, *, images: bool) -> str:
    """Return the takes of the cell as the live view shows them, each a link to its file."""
    takes = card.takes
    if len(takes) < 2:
        return ""
    by_weight = sorted(range(len(takes)), key=lambda at: (takes[at].shown, takes[at].chosen, at))
    shown = sorted(by_weight[-MOST_TAKES:])
    thumbs = "".join(_thumb(takes[at], at + 1, images=images) for at in shown)
    rest = len(takes) - len(shown)
    more = f'<span style="flex:none;align-self:center;{SMALL}">and {rest} more</span>' if rest else ""
    row = "display:flex;overflow-x:auto;gap:6px;padding:6px 0 2px 12px"
    return f'<div style="{row}">{thumbs}{more}<div style="{FADE}"></div></div>'


def _thumb(take: CardTake, number: int, *, images: bool) -> str:
    parts, at = "", "grid-area:1/1/2/2;align-self:{};justify-self:{}"
    image = poster_uri(take.video, *_THUMB_POSTER) if take.video is not None and images else ""
    if image and take.video is not None:
        scale = min(_THUMB[0] / take.video.width, _THUMB[1] / take.video.height)
        width, height = (max(1, round(side * scale)) for side in (take.video.width, take.video.height))
        style = f"{at.format('center', 'center')};width:{width}px;height:{height}px;max-width:none;margin:0"
        parts += f'<img src="{image}" width="{width}" height="{height}" alt="" style="{style}">'
    state = "" if take.state is State.READY else words.cell_state(take.state.value, held=take.held)
    if state:
        parts += f'<span style="{at.format("center", "center")}">{state_chip(take.state, state)}</span>'
    if take.chosen:
        name = f'<span style="{USED_WORDS}">✓ Used</span>'
        parts += f'<span style="{at.format("start", "start")};margin:2px;{USED}">{name}</span>'
    if take.rating:
        place = at.format("start", "end")
        parts += f'<span style="{place};margin:2px;{STARRED}">{words.stars(take.rating)}</span>'
    inner = (
        f'<span style="display:grid;height:{_THUMB[1]}px;{STAGE}">{parts}</span>'
        f'<span dir="auto" style="{CAPTION};{QUIET}">{_text(take.caption)}</span>'
    )
    spoken = [
        f"Take {number}",
        take.caption if take.caption != str(number) else "",
        "used" if take.chosen else "",
        state,
        f"{take.rating} stars" if take.rating else "",
        "shown here" if take.shown else "",
    ]
    style = THUMB_SHOWN if take.shown else THUMB_OTHER
    about = f'aria-label="{_text(", ".join(filter(None, spoken)))}" style="{style}"'
    if take.src is None:
        return f"<div {about}>{inner}</div>"
    return f'<a href="{escape(href(take.src))}" {about}>{inner}</a>'


def _file(card: Card) -> str:
    """Return the line below the takes: what was decided, links to the files, and what the video is."""
    links = [(file_name(card.src), card.src)] if card.src and file_name(card.src) else []
    links += card.others.items()
    decided = card.shown
    shown = []
    if decided is not None and decided.chosen and card.variable:
        name = f'<span style="{USED_WORDS}">✓ Used as <bdi>{_text(card.variable, 100)}</bdi></span>'
        shown.append(f'<span style="{USED};font-size:12px;line-height:20px">{name}</span>')
    shown += [
        f'<a href="{escape(href(src))}" style="font-size:12px"><bdi>{_text(name, 200)}</bdi></a>'
        for name, src in links
    ]
    if decided is not None and decided.rating:
        full, empty = "★" * decided.rating, "☆" * (HIGHEST - decided.rating)
        shown.append(
            f'<span aria-label="{decided.rating} of {HIGHEST} stars" style="font-size:16px;line-height:20px">'
            f'<span style="{STAR}">{full}</span><span style="{STAR_EMPTY}">{empty}</span></span>'
        )
    if decided is not None and decided.note:
        note = _text(decided.note, _NOTE_LENGTH)
        shown.append(f'<span dir="auto" style="font-size:12px;{WRAP}">{note}</span>')
    facts = [words.measures(card)] if card.video is not None else []
    facts += [f"take {card.take}"] if (card.take or 1) > 1 and len(card.takes) < 2 else []
    if facts:
        shown.append(f'<span style="{SMALL};margin-left:auto">{escape(" · ".join(facts))}</span>')
    return f'<div style="{BAR}">{" ".join(shown)}</div>' if shown else ""


def _request(card: Card) -> str:
    """Return what was asked for, and a result that is no file."""
    parts = []
    if card.prompt and card.prompt != card.title:
        parts.append(f'<div dir="auto" style="{WRAP}">{_text(card.prompt)}</div>')
    if pairs := words.parameters(card):
        shown = " · ".join(
            f'<span style="{QUIET}">{escape(name)}</span> <bdi>{escape(value)}</bdi>' for name, value in pairs
        )
        parts.append(f'<div style="font-size:12px;overflow-wrap:break-word">{shown}</div>')
    if card.data:
        parts.append(f'<pre style="{_CODE};margin:4px 0">{_text(card.data)}</pre>')
    return f'<div style="{RULE};padding:6px 12px">{"".join(parts)}</div>' if parts else ""


def _ids(card: Card) -> str:
    rows = [("Cost", card.cost if _SUM in card.cost else ""), ("Endpoint", card.endpoint)]
    rows += [("Request", card.request_id or "")]
    rows += [] if card.job_id.startswith("take-") else [("Job", card.job_id)]
    shown = "".join(
        f'<dt style="{TERM};{QUIET}">{name}</dt>'
        f'<dd style="{TERM};overflow-wrap:break-word">{_message(words.clip(words.clean(value), 200))}</dd>'
        for name, value in rows
        if value
    )
    return f'<dl style="{TERMS}">{shown}</dl>'


_CODE = f"{CODE};font-size:12px;line-height:1.5;padding:6px 12px;max-height:168px;overflow:auto;{TINT};{WRAP}"
"""Of log and data."""


def _details(card: Card, ids: str, room: int) -> str:
    """Return what folds away: the ids and the log."""
    log = words.log(card, room)
    count = f" · Log · {len(card.lines)} line{'s' * (len(card.lines) != 1)}" if log else ""
    summary = f'<summary style="cursor:pointer;padding:5px 12px;{SMALL}">Details{count}</summary>'
    lines = f'<pre style="{_CODE};margin:0">{_line(log)}</pre>' if log else ""
    return f'<details style="{RULE}">{summary}{ids}{lines}</details>'


def _text(value: str, length: int = 4_000) -> str:
    """Escape text from outside for the HTML of a card, attributes included."""
    return _line(words.clip(words.clean(value), length))


_CODE_WORDS = re.compile(words.CODE_WORDS)
_MOST_CODE_WORDS = 20


def _message(text: str) -> str:
    """Return a message as HTML in which a flag, a command or an id does not break, unless it has no room."""
    shown, at = "", 0
    for code in islice(_CODE_WORDS.finditer(text), _MOST_CODE_WORDS):
        whole = f'<span style="display:inline-block;max-width:100%">{_line(code[0])}</span>'
        shown, at = f"{shown}{_line(text[at : code.start()])}{whole}", code.end()
    return shown + _line(text[at:])


def _line(value: str) -> str:
    """Return text as HTML without a line break: in Markdown, a blank line would end the card."""
    return escape(value).replace("\n", "&#10;")
