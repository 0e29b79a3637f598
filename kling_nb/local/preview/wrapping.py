"""Lines: where a text is cut into title and body, and where its lines break."""

from __future__ import annotations

import re
from itertools import pairwise

from kling_nb.local.preview.typeface import Font

_SHORT = 58
"""Characters up to which a prompt is all title."""

_LONGEST = 600
"""Characters beyond which no frame has room for them."""

_JOINTS = "with in on at and as while where that filled under over through across from of to"
_PHRASE = re.compile(rf" (?=(?:{'|'.join(_JOINTS.split())})\b)")
_CLAUSE = re.compile(r"[.!?;:,。！？；，]\s?")
_SENTENCE = frozenset(".!?。！？")
_BREAK = re.compile(r"\s|[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]")


def split_title(text: str) -> tuple[str, str]:
    """The opening of a prompt, at most about 60 characters, and the rest.

    Cuts after a sentence or clause where one ends in time, else before a word that begins a phrase.
    """
    text = " ".join(text.split())[:_LONGEST]
    if len(text) <= _SHORT:
        return text, ""
    ends = [end for match in _CLAUSE.finditer(text[:66]) if (end := match.end()) >= 14]
    if ends:
        at = next((end for end in ends if text[end - 1 : end].strip() in _SENTENCE), ends[-1])
        return text[:at].rstrip(" ,;:，；"), text[at:].strip()
    joints = [match.start() for match in _PHRASE.finditer(text[:_SHORT]) if match.start() >= 22]
    at = min(joints, key=lambda at: abs(at - 40)) if joints else text.rfind(" ", 24, 56)
    at = at if at > 0 else 30
    return text[:at].strip(), text[at:].strip()


def wrap(text: str, face: Font, width: float) -> list[str]:
    """Lines no wider than `width` pixels, as far as words allow."""
    lines: list[str] = [""]
    for piece in _pieces(text):
        longer = lines[-1] + piece
        if lines[-1] and face.getlength(longer.rstrip()) > width:
            lines.append(piece.lstrip())
        else:
            lines[-1] = longer
    return [line.strip() for line in lines if line.strip()]


def even_out(text: str, face: Font, width: float, count: int) -> list[str]:
    """`count` lines, as equal in length as they can be."""
    low, high = width * 0.35, width
    while high - low > 4:
        middle = (low + high) / 2
        if len(wrap(text, face, middle)) <= count:
            high = middle
        else:
            low = middle
    return wrap(text, face, high)


def clip(lines: list[str], count: int, face: Font, width: float) -> list[str]:
    """The first `count` lines; a line ends in dots where something was left out."""
    kept = [_shorten(line, face, width) if face.getlength(line) > width else line for line in lines[:count]]
    return kept if len(lines) <= count else [*kept[:-1], _shorten(kept[-1], face, width)]


def _shorten(line: str, face: Font, width: float) -> str:
    while line and face.getlength(line + "…") > width:
        line = line.rpartition(" ")[0] or line[:-1]
    return line.rstrip(" ,.;:…") + "…"


def _pieces(text: str) -> list[str]:
    """Words with their space; scripts that write none may break after every sign."""
    cuts = [0, *(match.end() for match in _BREAK.finditer(text)), len(text)]
    return [text[a:b] for a, b in pairwise(cuts) if b > a]
