"""File names: a person should recognise the clip, and every system should accept the name.

`{slug of the prompt}-{first 8 of the fingerprint}-{take}`. The number at the end also
keeps Windows's reserved words (`con`, `aux`) from ever standing alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

SLUG_LENGTH = 40
_VARIANTS = 9


_DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    f"{port}{number}" for port in ("COM", "LPT") for number in "0123456789¹²³"
}
"""Names that Windows gives to devices, whatever extension follows."""


def slug(text: str) -> str:
    """`text` as a part of a file name: lower case, words joined by `-`, at most 40 characters.

    Accents of Latin letters are dropped; letters of other scripts stay as they are.
    """
    folded = "".join(_folded(letter) for letter in unicodedata.normalize("NFKC", text.lower()))
    words = re.sub("-+", "-", unicodedata.normalize("NFC", folded)).strip("-")
    if len(words) > SLUG_LENGTH:
        cut = words[: SLUG_LENGTH + 1]
        # At a word's end, unless that throws away most of it.
        words = cut[: end if (end := cut.rfind("-")) > SLUG_LENGTH // 2 else SLUG_LENGTH].strip("-")
    return words or "untitled"


def stems(prompt: str, fingerprint: str, take: int, backend: str) -> Iterator[str]:
    """Names without extension for a take, the wanted one first, then others should it be gone."""
    first = f"{slug(prompt)}-{slug(fingerprint[:8])}-{take}"
    yield first
    yield f"{first}-{slug(backend)}"
    for number in range(2, _VARIANTS + 1):
        yield f"{first}-{slug(backend)}-{number}"


def bare(name: str) -> bool:
    """Whether `name` is the name of a file, on every system, and no path to another folder or to a device."""
    return (
        0 < len(name.encode("utf-8", "replace")) <= 255
        and name.rstrip(" .") == name
        and name.partition(".")[0].rstrip().upper() not in _DEVICES
        and not any(letter in '/\\:*?"<>|' or ord(letter) < 32 or ord(letter) == 127 for letter in name)
    )


def _folded(letter: str) -> str:
    """The letter without its accent where it is Latin, itself in other scripts, `-` for all else."""
    base = unicodedata.normalize("NFKD", letter)[0]
    if base.isascii():
        return base if base.isalnum() else "-"
    # Marks belong to the letter before them (Devanagari, Thai, Arabic).
    return letter if letter.isalnum() or unicodedata.category(letter) in {"Mn", "Mc"} else "-"
