"""What the build makes of js/, as the package has it."""

import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import kling_nb

STATIC = Path(kling_nb.__file__).parent / "static"
ROOT = Path(kling_nb.__file__).parents[1]
LARGEST, LARGEST_GRID = 75_000, 104_000  # an opened cell is the view of a job
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
    assert sum((STATIC / name).stat().st_size for name in ("grid.js", "grid.css")) <= LARGEST_GRID


def outer_rules(css):
    """Yield the rules of a minified sheet that are in no other rule."""
    depth = start = 0
    for at, sign in enumerate(css):
        depth += {"{": 1, "}": -1}.get(sign, 0)
        if sign == "}" and not depth:
            yield css[start : at + 1]
            start = at + 1


@pytest.mark.parametrize(("name", "root"), [("job", "job"), ("panel", "panel"), ("grid", "sweep")])
def test_styles_touch_nothing_outside_of_their_widget(name, root):
    css = (STATIC / f"{name}.css").read_text(encoding="utf-8")
    rules = [rule.strip() for rule in outer_rules(css)]
    assert "".join(rules) == css.strip()
    nested, *frames = rules
    assert nested.startswith(f":where(.kling-{root}){{")
    assert all(rule.startswith("@keyframes kling-") for rule in frames)
    others = {"job", "panel", "sweep"} - {root}
    assert not re.search(rf"\.kling-({'|'.join(others)})\b(?!-)", css)


def test_styles_carry_the_prefix():
    text = (STATIC / "job.css").read_text(encoding="utf-8")
    assert ".kling-job" in text
    classes = {part.split("{")[0] for part in text.split(".kling-")[1:]}
    assert classes
    assert ":root" not in text


def test_a_widget_imports_only_its_own_files_controls_and_what_is_shared():
    allowed = {
        "shared": {"shared"},
        "controls": {"controls", "shared"},
        "result": {"result", "controls", "shared"},
        **{name: {name, "result", "controls", "shared"} for name in ("job", "panel", "grid")},
    }
    for folder, others in allowed.items():
        for path in (ROOT / "js" / folder).glob("*.js"):
            text = path.read_text(encoding="utf-8")
            named = re.findall(r'(?:from |import\()"(\.[^"]*)"', text)
            assert {(path.parent / one).resolve().parent.name for one in named} <= others, path


def test_no_files_import_each_other_in_a_circle():
    imports = {}
    for path in (ROOT / "js").glob("*/*.js"):
        named = re.findall(r'from "(\.[^"]*)"', path.read_text(encoding="utf-8"))
        imports[path] = [(path.parent / one).resolve() for one in named]
    assert len(list(TopologicalSorter(imports).static_order())) > 50  # a circle raises CycleError
