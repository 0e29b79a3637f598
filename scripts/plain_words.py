"""Keep the words of this project plain: fail if a word to avoid becomes more frequent.

`WORDS` has each such word, what to write instead, and a ceiling: how often it may still occur. A ceiling only
falls. `--lower` sets each to the count of today, `--where WORD` lists the places.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACES = (
    "*.md",
    "Makefile",
    "pyproject.toml",
    "docs/*.md",
    "notebooks/*.ipynb",
    "kling_nb/**/*.py",
    "js/**/*.js",
    "js/**/*.css",
    "scripts/*",
    "benchmarks/*",
)


@dataclass(frozen=True, slots=True)
class Word:
    """A word to avoid.

    Attributes:
        name: How it is listed.
        instead: What to write instead.
        ceiling: How often it may occur.
        pattern: Its forms, as a regular expression; by default the name.
    """

    name: str
    instead: str
    ceiling: int
    pattern: str = ""


WORDS = (
    Word("said", "show, log, report, return, raise", ceiling=10),
    Word("told", "show, log, report, return, raise", ceiling=20),
    Word("begun", "started", ceiling=24),
    Word("anew", "again, new", ceiling=3),
    Word("nobody", "no one, none of; better: name the actor", ceiling=2),
    Word("whoever", "name the actor", ceiling=0),
    Word("beside", "next to", ceiling=10),
    Word("settle", "finished, closed, resolved, waited for", ceiling=25, pattern="settl(?:e|es|ed|ing)"),
    Word("take up", "resume", ceiling=4, pattern="(?:take|takes|taken|taking|took) up"),
    Word("rejoin", "resume", ceiling=0, pattern="rejoin(?:s|ed|ing)?"),
    Word("pursue", "run", ceiling=0, pattern="pursu(?:e|es|ed|ing|it|its)"),
    Word("mend", "rebuild, repair", ceiling=1, pattern="mend(?:s|ed|ing)?"),
    Word("engine", "local preview server; background thread", ceiling=5, pattern="engines?"),
    Word("picture", "image", ceiling=80, pattern="pictures?"),
    Word("sound", "audio", ceiling=13, pattern="sounds?"),
    Word("address", "URL", ceiling=25, pattern="address(?:es)?"),
    Word("filed", "stored", ceiling=15, pattern="fil(?:ed|ing)"),
    Word("see that", "check, validate", ceiling=0, pattern='(?<=""")see that'),
)

EXCEPTIONS = (
    r"(?:IP|IPv[46]|loopback|email|network|public|private) address(?:es)?",  # those are no URLs
    r"sound[_ -]effects?(?:_prompt)?|keep[_-]original[_-]sound",  # fal's parameters and what they are about
    r"(?:make|scripts/)\s?pictures|pictures\.py|</?picture\b",  # a target, a script, HTML
    r"asyncio\.\w+address|sock_?addr\w*|server_address|getnameinfo",  # names of the standard library
)
"""Uses that are right: they are left out before words are counted."""

_ALLOWED = re.compile("|".join(EXCEPTIONS), re.IGNORECASE)
_FORMS = "|".join(f"((?i:{word.pattern or word.name}))" for word in WORDS)
# Parts of names count, too, such as `_told` or `said_by`.
_ANY = re.compile(f"(?<![A-Za-z])(?:{_FORMS})(?![a-z])")


def words_in(text: str) -> Iterator[tuple[str, int]]:
    """Yield each word to avoid, with its offset."""
    text = _ALLOWED.sub(lambda match: " " * len(match[0]), text)
    for match in _ANY.finditer(text):
        yield WORDS[(match.lastindex or 1) - 1].name, match.start()


def texts() -> Iterator[tuple[Path, str]]:
    """Yield each file that is read, with its text; of a notebook what its cells hold."""
    for place in PLACES:
        for path in sorted(ROOT.glob(place)):
            if path.is_file() and path != Path(__file__).resolve():
                text = path.read_text(encoding="utf-8")
                yield path, _cells(text) if path.suffix == ".ipynb" else text


def _cells(notebook: str) -> str:
    return "\n".join("".join(cell["source"]) for cell in json.loads(notebook)["cells"])


def count() -> Counter[str]:
    """Return how often each word occurs."""
    return Counter(name for _, text in texts() for name, _ in words_in(text))


def show_places(wanted: str) -> None:
    """Print each line in which a word stands."""
    for path, text in texts():
        for name, offset in words_in(text):
            if name == wanted:
                start = text.rfind("\n", 0, offset) + 1
                line = text[start:].partition("\n")[0].strip()
                print(f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, offset) + 1}: {line[:120]}")


def lower(counts: Counter[str]) -> None:
    """Write the counts of today into `WORDS`, where they are lower."""
    source = Path(__file__).read_text(encoding="utf-8")
    for word in WORDS:
        ceiling = min(word.ceiling, counts[word.name])
        source = re.sub(
            rf'(Word\("{word.name}", .*?ceiling=)\d+', rf"\g<1>{ceiling}", source, count=1, flags=re.DOTALL
        )
    Path(__file__).write_text(source, encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Count the words, and return 1 if one is over its ceiling."""
    if arguments[:1] == ["--where"]:
        show_places(" ".join(arguments[1:]))
        return 0
    counts = count()
    if arguments == ["--lower"]:
        lower(counts)
        return 0
    over = [word for word in WORDS if counts[word.name] > word.ceiling]
    for word in WORDS:
        print(f"  {word.name:8} {counts[word.name]:4} of {word.ceiling:4}   say: {word.instead}")
    for word in over:
        print(
            f"{word.name!r} became more frequent. Write instead: {word.instead}."
            f" The places: scripts/plain_words.py --where {word.name}"
        )
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
