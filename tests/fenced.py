"""The fenced blocks of the documents, for the tests that run them."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_FENCE = re.compile(r"^```(?P<info>[^`\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        page: Its page, from the project's folder.
        line: Number of its first line.
        language: First word of the fence; empty for a cell.
        kept: Why it is not run, as the fence says it; empty where it runs.
        text: What is in it.
    """

    page: str
    line: int
    language: str
    kept: str
    text: str

    @property
    def head(self) -> str:
        """Its first line."""
        return self.text.partition("\n")[0]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = [_block(page, text, match) for match in _FENCE.finditer(text)]
    fences = len(re.findall(r"^\s*(?:```|~~~)", text, re.MULTILINE))
    assert fences == 2 * len(found), (
        f"{page.name} has a fence that is indented, open, or not of three backticks"
    )
    return found


def _block(page: Path, text: str, match: re.Match[str]) -> Block:
    language, _, more = match["info"].partition(" ")
    kept = "no code" if language == "text" else more.strip().removeprefix("not run: ")
    line = text.count("\n", 0, match.start()) + 2
    return Block(str(page.relative_to(ROOT)), line, language, kept, match["text"])
