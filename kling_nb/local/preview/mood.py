"""What a prompt feels like: the palette, land and weather of its preview, read from its words."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True)
class Mood:
    """The look of one preview, a row of `moods.json`.

    Attributes:
        name: As the log shows it.
        words: What calls for it, separated by spaces; words in other scripts match within a text.
        sky: Colours of the sky from the top to the horizon, `#rrggbb`.
        glows: Colours of the lights that drift behind everything.
        disc: `sun`, `moon` or an empty string.
        disc_colours: Core and halo.
        land: Which recipe of `land` raises the silhouettes, or an empty string.
        ridges: Colours of the farthest and the nearest silhouette.
        mist: What the feet of the silhouettes fade into.
        weather: Kinds of `weather`, back to front; `curtain` and `rays` are the sky's own.
        accent: Colour of the small things: dot, progress line.
    """

    name: str
    words: str
    sky: tuple[str, ...]
    glows: tuple[str, ...]
    disc: str
    disc_colours: tuple[str, str]
    land: str
    ridges: tuple[str, str]
    mist: str
    weather: tuple[str, ...]
    accent: str


def seed_of(text: str) -> int:
    """A number that follows from the text alone, 64 bit."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")


def moods() -> dict[str, Mood]:
    """All looks by name."""
    return {name: _mood(name, row) for name, row in _table()["moods"].items()}


def read_mood(prompt: str) -> Mood:
    """The mood whose words the prompt holds most; one of a few quiet ones where it holds none."""
    looks = moods()
    words = _words(prompt)
    scores = {name: _score(words, prompt, look.words) for name, look in looks.items()}
    best = max(scores, key=lambda name: scores[name])
    if scores[best] == 0:
        quiet = _table()["quiet"]
        best = quiet[seed_of(prompt) % len(quiet)]
    spoken = spoken_weather(prompt)
    return replace(looks[best], weather=spoken) if spoken else looks[best]


def spoken_weather(prompt: str) -> tuple[str, ...]:
    """The kinds of particles that the prompt names outright, two at most."""
    words = _words(prompt)
    found = [kind for kind, keys in _table()["weather"].items() if _score(words, prompt, keys) > 0]
    return tuple(found[:2])


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(files(__package__).joinpath("moods.json").read_text("utf-8"))
    return table


def _mood(name: str, row: dict[str, Any]) -> Mood:
    values: dict[str, Any] = {
        key: tuple(part) if isinstance(part, list) else part for key, part in row.items()
    }
    return Mood(name, **values)


def _words(prompt: str) -> list[str]:
    """The words, and for those that end in s their likely singular beside them."""
    plain = re.findall(r"[a-z]+", prompt.lower())
    return [form for word in plain for form in ([word, word[:-1]] if word.endswith("s") else [word])]


def _score(words: list[str], prompt: str, keys: str) -> float:
    """Matches, the earlier in the prompt the heavier: what a sentence opens with is its subject."""
    wanted = set(keys.split())
    latin = sum(1.0 - 0.4 * at / len(words) for at, word in enumerate(words) if word in wanted)
    return latin + sum(1.0 for key in wanted if not key.isascii() and key in prompt)
