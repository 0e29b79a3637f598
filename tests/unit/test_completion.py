"""Tab completion: what may follow on a `%%kling` or `%kling` line."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kling_nb import settings as _settings
from kling_nb.api import configure
from kling_nb.catalog.shipped import endpoints
from kling_nb.notebook.completion import cell_candidates, line_candidates
from kling_nb.notebook.extension import Completer
from kling_nb.notebook.flags import FIXED_FLAGS
from kling_nb.notebook.line import SUBCOMMANDS


@pytest.fixture(autouse=True)
def default_settings(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("KLING_NB_BACKEND", "local")
    yield
    configure(**dict.fromkeys(_settings.NAMES))


def test_flags_of_the_endpoint_in_use() -> None:
    found = list(cell_candidates([]))
    assert {"--duration", "--aspect-ratio", *FIXED_FLAGS} <= set(found)
    assert "--prompt" not in found
    configure(endpoint="tts")
    assert "--voice-id" in cell_candidates([])
    assert "--duration" not in cell_candidates([])


def test_flags_of_the_endpoint_on_the_line() -> None:
    assert "--voice-id" in cell_candidates(["--endpoint", "tts"])


def test_a_flag_given_is_not_offered_again_but_set_is() -> None:
    found = list(cell_candidates(["--duration", "5", "--set", "x=1"]))
    assert "--duration" not in found
    assert "--set" in found


def test_values() -> None:
    assert list(cell_candidates(["--duration"])) == ["5", "10"]
    assert list(cell_candidates(["--aspect-ratio"])) == ["16:9", "9:16", "1:1"]
    assert list(cell_candidates(["--aspect_ratio"])) == ["16:9", "9:16", "1:1"]
    assert set(cell_candidates(["--endpoint"])) == {one.short_name for one in endpoints()}


def test_subcommands() -> None:
    assert tuple(line_candidates([])) == SUBCOMMANDS
    assert "v3-pro" in line_candidates(["use"])
    assert list(line_candidates(["show"])) == []  # an empty ledger
    assert list(line_candidates(["status"])) == []
    assert "--reconcile" in line_candidates(["spend"])


def event(text: str) -> Any:
    """What IPython gives a completer; it takes ":" and "-" for ends of words."""
    symbol = text
    for end in " :-=":
        symbol = symbol.rpartition(end)[2]
    return SimpleNamespace(text_until_cursor=text, symbol=symbol)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%%kling --dur", ["duration"]),
        ("%%kling --duration ", ["5", "10"]),
        ("%%kling --aspect-ratio 16", ["16:9"]),
        ("%%kling --aspect-ratio 16:", ["9"]),
        ("%%kling cat --endpoint v1-prro --", []),
        ("%kling key ", [".env"]),
    ],
)
def test_what_is_put_in_at_the_cursor(text: str, expected: list[str]) -> None:
    completer = Completer(None)
    complete = completer._cell if text.startswith("%%") else completer._line
    assert [word.lstrip("-") for word in complete(None, event(text))] == expected


SHELL = """
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

config = Config()
config.HistoryManager.enabled = False
shell = InteractiveShell.instance(config=config)
shell.run_line_magic("load_ext", "kling_nb")
for line in {lines!r}:
    print(sorted(shell.complete("", line, len(line))[1])[:3])
shell.run_line_magic("unload_ext", "kling_nb")
print(shell.complete("", "%%kling --dur", 13)[1])
"""


@pytest.mark.program
def test_in_a_shell() -> None:
    lines = [
        "%%kling --dur",
        "%%kling --duration ",
        "%%kling --aspect-ratio 9:",
        "%kling sh",
        "%kling use v3-pro-i",
    ]
    done = subprocess.run(
        [sys.executable, "-c", SHELL.format(lines=lines)], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "['--duration']",
        "['10', '5']",
        "['16']",
        "['show']",
        "['v3-pro-image']",
        "[]",
    ]
