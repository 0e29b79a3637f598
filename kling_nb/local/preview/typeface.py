"""The letters: Pillow's own face, and one of the system's where that has no glyphs."""

from __future__ import annotations

import unicodedata
from functools import cache

from PIL import ImageFont

Font = ImageFont.FreeTypeFont

_SYSTEM_FACES = (
    "Arial.ttf",
    "LiberationSans-Regular.ttf",
    "DejaVuSans.ttf",
    "NotoSansCJK-Regular.ttc",
    "PingFang.ttc",
    "msyh.ttc",
    "YuGothM.ttc",
    "malgun.ttf",
)
"""Tried by name, in this order; Pillow looks in the system's font folders."""

_PLAIN = str.maketrans(
    dict(zip("—–−×«»ßæÆøØłŁœŒđĐ", '---x""sæÆoOlLœŒdD', strict=True))
    | {"æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "¿": "", "¡": "", "\u00a0": " "}
)
"""Signs that normalisation does not take apart, and what stands for them."""


@cache
def own_font(size: int) -> Font:
    """Pillow's scalable face (Aileron): ASCII and typographic quotes."""
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # true wherever Pillow has FreeType, as its wheels do
    return font


@cache
def _system_font(name: str, size: int) -> Font | None:
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None


@cache
def _draws(name: str | None, letter: str) -> bool:
    font = own_font(24) if name is None else _system_font(name, 24)
    if font is None:
        return False
    glyph, missing = font.getmask(letter), font.getmask("\uffff")
    return glyph.size != missing.size or bytes(glyph) != bytes(missing)


def typeset(text: str) -> tuple[str, str | None]:
    """Text that can be drawn, and the name of the face that draws it (None: Pillow's own).

    Signs without a glyph are left out. Where the own face lacks letters, a system face that
    has more of them is taken; accents fall away where none has. A text of which most letters
    cannot be drawn becomes an empty one.
    """
    text = " ".join(text.split())
    plain = _without_accents(text.translate(_PLAIN))
    letters = [letter for letter in text if letter.isalnum()]
    if all(_draws(None, letter) for letter in letters):
        return _only(plain, None), None
    best = max(_SYSTEM_FACES, key=lambda name: _drawn(name, letters))
    if all(_draws(None, letter) for letter in plain if letter.isalnum()) and _drawn(best, letters) < len(
        letters
    ):
        return _only(plain, None), None
    face = best if _drawn(best, letters) > _drawn(None, letters) else None
    return (_only(text, face), face) if 2 * _drawn(face, letters) > len(letters) else ("", None)


def font(face: str | None, size: int) -> Font:
    """The face of `typeset` at a size in pixels."""
    return (_system_font(face, size) if face else None) or own_font(size)


def _drawn(face: str | None, letters: list[str]) -> int:
    return sum(_draws(face, letter) for letter in letters)


def _only(text: str, face: str | None) -> str:
    return " ".join("".join(c if c.isspace() or _draws(face, c) else "" for c in text).split())


def _without_accents(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
