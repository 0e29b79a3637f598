"""Tab completion: what may follow on a `%%kling` or `%kling` line."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from IPython.utils.strdispatch import StrDispatch

from kling_nb import settings as _settings
from kling_nb.api import configure
from kling_nb.catalog.shipped import endpoints
from kling_nb.notebook.flags import FIXED_FLAGS
from kling_nb.notebook.ipykernel_quirks import add_old_completer, remove_completer
from kling_nb.notebook.line import COMMANDS, cell_candidates, line_candidates, matches

Found = list[tuple[str, str]]


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
    assert list(line_candidates([])) == list(COMMANDS)
    assert "v3-pro" in line_candidates(["use"])
    assert list(line_candidates(["show"])) == []  # an empty ledger
    assert list(line_candidates(["status"])) == []
    assert "--reconcile" in line_candidates(["spend"])


@pytest.mark.parametrize(
    ("before", "word", "found"),
    [
        ("%%kling --dur", "--dur", [("--duration", "option")]),
        ("%%kling --duration ", "", [("5", "value"), ("10", "value")]),
        ("%%kling --aspect-ratio 16", "16", [("16:9", "value")]),
        ("%%kling --aspect-ratio 16:", "16:", [("16:9", "value")]),
        ("%%kling cat --endpoint v1-prro --", "--", []),
        ("%kling sh", "sh", [("show", "command")]),
        ("%kling key ", "", [(".env", "value")]),
        ("%kling use v3-pro-i", "v3-pro-i", [("v3-pro-image", "value")]),
    ],
)
def test_what_may_stand_at_the_cursor_has_a_type(before: str, word: str, found: Found) -> None:
    assert matches(before) == (word, found)


def test_lines_of_others_are_left_alone() -> None:
    assert [matches(line) for line in ("%%time kling ", "kling ", "%%kling", "%klingon x", "")] == [None] * 5


class OldCompleter:
    """A shell of IPython 7 with its completer. ":" and "-" end its words."""

    strdispatchers = {"complete_command": StrDispatch()}  # noqa: RUF012 -- IPython's name

    def __init__(self) -> None:
        self.Completer = SimpleNamespace(custom_matchers=[])

    def set_hook(self, name: str, hook: Any, *, str_key: str) -> None:
        self.strdispatchers[name].add_s(str_key, hook, 0)

    def complete(self, before: str) -> list[str]:
        event = SimpleNamespace(text_until_cursor=before, symbol=re.split("[ :=-]", before)[-1])
        hooks = self.strdispatchers["complete_command"].s_matches(before.partition(" ")[0])
        return [text for hook in hooks for text in hook(self, event)]


def test_in_ipython_7() -> None:
    shell = OldCompleter()
    add_old_completer(shell, matches)
    assert shell.complete("%%kling --dur") == ["duration"]
    assert shell.complete("%%kling --aspect-ratio 9:") == ["16"]
    assert shell.complete("%kling use v3-pro-i") == ["image"]
    remove_completer(shell)
    assert shell.complete("%%kling --dur") == []


SHELL = """
from IPython.core.completer import provisionalcompleter
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
shell.run_line_magic("load_ext", "kling_nb")
with provisionalcompleter():
    print([(one.text, one.type) for one in shell.Completer.completions("%%kling --dur", 13)])
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
        "['9:16']",
        "['show']",
        "['v3-pro-image']",
        "[]",
        "[('--duration', 'option')]",
    ]
