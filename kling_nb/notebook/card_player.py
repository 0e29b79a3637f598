"""The part of a card that plays: a video over its poster, a sound, a picture.

The poster is one `<img>`, and the player lies over it in the same grid cell, with a
transparent poster of its own. So the picture is in the notebook once; it shows until the
player plays, and when its file is missing; and it is what stays where a reader takes
`<video>` out, as GitHub does.
"""

from __future__ import annotations

import base64
import struct
from html import escape
from typing import TYPE_CHECKING

from kling_nb.errors import KlingError
from kling_nb.events import State
from kling_nb.notebook import card_words as words
from kling_nb.notebook.card_source import address
from kling_nb.video import Video

if TYPE_CHECKING:
    from kling_nb.notebook.card import Card

WIDEST = 640
"""Pixels of a card."""

_TALLEST = 460
"""Pixels. A portrait video is shown no taller than this."""


def player(card: Card) -> str:
    """The player over its poster, or what the endpoint gives instead of a video."""
    source = f'src="{escape(address(card.src))}"' if card.src else ""
    if card.video is not None:
        return _video(card, card.video, source)
    if not source or words.state_of(card) is not State.READY:
        return ""
    if card.kind == "audio":
        return f'<audio {source} controls preload="metadata" style="width:100%;display:block"></audio>'
    if card.kind == "image":
        fit = "max-width:100%;height:auto;display:block;margin:0 auto"
        return f'<img {source} alt="{_alt(card)}" style="{fit}">'
    return ""


def _video(card: Card, video: Video, source: str) -> str:
    size = f'width="{video.width}" height="{video.height}"'
    fit = "grid-area:1/1/2/2;width:100%;height:auto;margin:0"
    poster = _poster(video)
    picture = f'<img src="{poster}" {size} alt="{_alt(card)}" style="{fit}">' if poster else ""
    player = (
        f'<video {source} {size} controls loop muted playsinline preload="metadata" poster="{clear(video)}" '
        f'aria-label="{_alt(card)}" style="{fit}"></video>'
        if source
        else ""
    )
    widest = min(WIDEST, round(_TALLEST * video.width / video.height))
    return f'<div style="display:grid;max-width:{widest}px;margin:0 auto">{picture}{player}</div>'


def _alt(card: Card) -> str:
    return escape(words.clip(words.clean(" ".join(card.prompt.split()) or card.title), 200))


def clear(video: Video) -> str:
    """A transparent GIF of one pixel on a canvas as large as the video, which gives the player its shape."""
    canvas = struct.pack("<HH", min(video.width, 65_535), min(video.height, 65_535))
    pixel = b"\x80\0\0\0\0\0\0\0\0!\xf9\4\1\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
    return "data:image/gif;base64," + base64.b64encode(b"GIF89a" + canvas + pixel).decode("ascii")


def _poster(video: Video) -> str:
    """The poster as a data URI; empty where the file is gone, which must not break the card."""
    try:
        return "data:image/jpeg;base64," + base64.b64encode(video.poster).decode("ascii")
    except KlingError:
        return ""
