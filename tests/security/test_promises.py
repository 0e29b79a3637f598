"""`SECURITY.md` names tests that there are, for every promise."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_promise_names_tests_that_exist() -> None:
    lines = (ROOT / "SECURITY.md").read_text(encoding="utf-8").splitlines()
    promises = [line for line in lines if line.startswith("| ") and "promise" not in line.split("|")[1]]
    assert len(promises) >= 12
    for line in promises:
        named = re.findall(r"`(tests/[\w/]+\.py)`", line)
        assert named, line
        assert [name for name in named if not (ROOT / name).is_file()] == []
