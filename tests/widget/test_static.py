"""What the build makes of js/, as the package has it."""

import re
from pathlib import Path

import pytest

import kling_nb

STATIC = Path(kling_nb.__file__).parent / "static"
ROOT = Path(kling_nb.__file__).parents[1]
LARGEST = 48_000
"""Bytes of script and style of the job widget: they are stored with each widget model."""


@pytest.mark.parametrize("name", ["job.js", "job.css", "grid.js", "grid.css"])
def test_front_end_is_built(name):
    assert (STATIC / name).stat().st_size > 0


def test_front_end_is_small():
    assert sum((STATIC / name).stat().st_size for name in ("job.js", "job.css")) <= LARGEST


def test_front_end_names_no_other_host_and_no_path_of_the_machine():
    for name in ("job.js", "job.css", "grid.js", "grid.css"):
        text = (STATIC / name).read_text(encoding="utf-8")
        assert "://" not in text.replace("http://www.w3.org/2000/svg", "")  # a name, not an address
        assert str(ROOT) not in text
        assert "sourceMappingURL" not in text


def test_the_grid_is_small():
    assert sum((STATIC / name).stat().st_size for name in ("grid.js", "grid.css")) <= LARGEST


def outer_rules(css):
    """The rules of a minified sheet that are in no other one."""
    depth = start = 0
    for at, sign in enumerate(css):
        depth += {"{": 1, "}": -1}.get(sign, 0)
        if sign == "}" and not depth:
            yield css[start : at + 1]
            start = at + 1


@pytest.mark.parametrize(("name", "root"), [("job", "job"), ("panel", "panel"), ("grid", "sweep")])
def test_styles_touch_nothing_outside_of_their_widget(name, root):
    own = re.compile(rf":where\(\.kling-{root}\)\{{|\.kling-{root}[ {{:]|@keyframes ")
    rules = list(outer_rules((STATIC / f"{name}.css").read_text(encoding="utf-8")))
    assert len(rules) >= 3
    for rule in rules:
        assert own.match(rule), rule[:80]
        assert "," not in rule.split("{")[0]
    others = {"job", "panel", "sweep"} - {root}
    assert not re.search(rf"\.kling-({'|'.join(others)})\b(?!-)", "".join(rules))


def test_styles_carry_the_prefix():
    text = (STATIC / "job.css").read_text(encoding="utf-8")
    assert ".kling-job" in text
    classes = {part.split("{")[0] for part in text.split(".kling-")[1:]}
    assert classes
    assert ":root" not in text
