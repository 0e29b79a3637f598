"""Text in images: a font that can draw it, and its lines. Local previews and contact sheets share it."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

from kling_nb._lazy import image_font

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

_SYSTEM_FACES = (
    "Arial.ttf", "LiberationSans-Regular.ttf", "DejaVuSans.ttf", "NotoSansCJK-Regular.ttc", "PingFang.ttc",
    "msyh.ttc", "YuGothM.ttc", "malgun.ttf",
)  # fmt: skip
"""Fonts that are tried in this order for letters that Pillow's own font lacks. Pillow finds them by name."""

# Characters that Unicode does not decompose into a letter and its accent.
_PLAIN = str.maketrans("—–−×«»ßæÆœŒøØłŁđĐ", '---x""saAoOoOlLdD')

_BREAK = re.compile(r"\s|[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]")
"""A line may break after a space, and after every character of scripts without spaces."""


@cache
def font(face: str | None, size: int) -> FreeTypeFont:
    """Return a font at a size in pixels, or Pillow's own (Aileron, for ASCII) if it does not exist."""
    try:
        found = image_font.truetype(face, size) if face else image_font.load_default(size)
    except OSError:
        found = image_font.load_default(size)
    assert isinstance(found, image_font.FreeTypeFont)  # Pillow's wheels contain FreeType.
    return found


@cache
def _can_draw(face: str | None, letter: str) -> bool:
    glyph, missing = (font(face, 24).getmask(sign) for sign in (letter, "\uffff"))
    return glyph.size != missing.size or bytes(glyph) != bytes(missing)


def typeset(text: str) -> tuple[str, str | None]:
    """Return the part of a text that can be drawn, and the name of its font (None: Pillow's own).

    Accents are removed if only the plain letters can be drawn. A text becomes empty if most of its letters
    cannot be drawn.
    """
    text = " ".join(text[:600].split())  # No frame has room for more.
    parts = unicodedata.normalize("NFKD", text.translate(_PLAIN))
    plain = "".join(sign for sign in parts if not unicodedata.combining(sign))
    choices = [(text, None), *((text, face) for face in _SYSTEM_FACES), (plain, None)]
    text, face = max(choices, key=lambda choice: _share(*choice))
    if _share(text, face) < 0.5:
        return "", None
    return " ".join("".join(c if c == " " or _can_draw(face, c) else "" for c in text).split()), face


def _share(text: str, face: str | None) -> float:
    letters = [sign for sign in text if sign.isalnum()]
    return sum(_can_draw(face, letter) for letter in letters) / max(len(letters), 1)


def wrap(text: str, face: FreeTypeFont, width: float) -> list[str]:
    """Return lines of at most `width` pixels. A single long word may be wider."""
    lines = [""]
    cuts = [0, *(match.end() for match in _BREAK.finditer(text)), len(text)]
    for piece in (text[a:b] for a, b in pairwise(cuts)):
        if lines[-1] and face.getlength((lines[-1] + piece).rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return [line.strip() for line in lines if line.strip()]


def shorten(lines: list[str], count: int, face: FreeTypeFont, width: float) -> list[str]:
    """Return the first `count` lines. A line that is cut ends in dots."""
    kept = []
    for number, line in enumerate(lines[:count]):
        short = line
        if face.getlength(line) > width or (number == count - 1 and len(lines) > count):
            while short and face.getlength(short + "…") > width:
                short = short.rpartition(" ")[0] or short[:-1]
            short = short.rstrip(" ,.;:…") + "…"
        kept.append(short)
    return kept
