"""The card has the look of the live views: the sheets of both sides are compared."""

import re
from pathlib import Path

import pytest

from kling_nb.events import State
from kling_nb.notebook.card import style

JS = Path(__file__).parents[2] / "js"
SHEETS = {path: (JS / path).read_text(encoding="utf-8") for path in ("shared/style.css", "shared/player.css")}
SHARED = SHEETS["shared/style.css"]
RESULT = (JS / "result" / "style.css").read_text(encoding="utf-8")


def rule(sheet: str, selector: str) -> dict[str, str]:
    """Return the declarations of the rule of a selector alone, without those of rules in it."""
    found = re.search(rf"^{re.escape(selector)} \{{\n((?:  [a-z-]+: [^;]+;\n)+)", sheet, re.MULTILINE)
    assert found, selector
    return dict(re.findall(r"  ([a-z-]+): ([^;]+);", found[1]))


def declarations(text: str) -> dict[str, list[str]]:
    """Return all values of each property of an inline style."""
    found: dict[str, list[str]] = {}
    for one in text.split(";"):
        name, _, value = one.partition(":")
        found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize("name", style.COLOURS)
def test_colours_are_those_of_the_live_views(name: str) -> None:
    light, dark = (value.replace("#ffffff", "#fff") for value in style.COLOURS[name])
    start = SHARED.index(f"--kling-{name}: ")
    assert f"light-dark({light}, {dark})" in " ".join(SHARED[start : SHARED.index(";", start)].split())


def test_states_have_the_colours_of_the_live_views() -> None:
    shown = dict.fromkeys(State, "quiet")
    assert "--kling-state: var(--kling-quiet);" in SHARED
    for states, name in re.findall(
        r'((?:  & \[data-state="[A-Z_]+"\],?\s)+)\{\n\s+--kling-state: var\(--kling-(\w+)\)', SHARED
    ):
        shown |= {State(state): name for state in re.findall('"([A-Z_]+)"', states)}
    assert shown == {state: style.colour_of(state) for state in State}


@pytest.mark.parametrize(
    ("selector", "own"),
    [
        (".kling-badge", style.BADGE),
        (".kling-why", style.message(State.FAILED)),
        (".kling-chip", style.chip(State.READY)),
        (".kling-bar", style.HEAD),
        (".kling-caption", style.CAPTION),
        (".kling-starred,\n.kling-used", style.STARRED),
    ],
)
def test_shapes_are_those_of_the_live_views(selector: str, own: str) -> None:
    theirs = rule(SHARED if selector in {".kling-badge", ".kling-why", ".kling-chip"} else RESULT, selector)
    mine = declarations(own)
    both = [name for name in theirs if name in mine and name != "background"]
    assert both
    for name in both:
        assert mine[name][0] == theirs[name] or name == "border-left"
    if "border-left" in theirs:
        assert mine["border-left"][0].startswith("3px solid ")
        assert theirs["border-left"] == "3px solid var(--kling-state)"


@pytest.mark.parametrize("dark", [False, True])
def test_edges_such_as_empty_stars_are_seen(dark: bool) -> None:
    assert contrast(style.COLOURS["edge"][dark], style.COLOURS["paper"][dark]) >= 3
    page = "#f6f6f4"  # of a contact sheet as PNG
    assert contrast(style.COLOURS["edge"][0], page) >= 3
    assert rule(RESULT, ".kling-star")["color"] == "var(--kling-edge)"
    assert "opacity" not in RESULT[RESULT.index(".kling-star {") : RESULT.index(".kling-rating > ")]


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours as WCAG defines it."""
    darker, lighter = sorted(map(_luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [one / 255 for one in bytes.fromhex(colour[1:])]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_frame_and_stage_are_those_of_the_live_views() -> None:
    mine = declarations(style.FRAME)
    for name in ("margin", "border-radius"):
        assert f"  {name}: {mine[name][0]};" in SHARED
    assert f"font: {mine['font-size'][0]} / {mine['line-height'][0]} " in SHARED
    assert f"--kling-tallest: {style.TALLEST}px;" in RESULT
    assert f"--kling-paper: {style.CONTROLS_GROUND};" in SHEETS["shared/player.css"]
    for variable in re.findall(r"--(?:vscode|colab|jp)-[\w-]+", style.FRAME):
        assert variable in SHARED


def test_each_exact_value_follows_one_that_every_reader_keeps() -> None:
    """JupyterLab's sanitiser keeps names, `#`, `rgb` and `rgba`. It drops all other colours."""
    for text in (style.FRAME, style.RULE, *map(style.chip, State), *map(style.message, State)):
        for name, values in declarations(text).items():
            if name in {"border", "border-top", "border-left", "background"} and "var(" not in values[0]:
                assert re.search(r"rgba?\([\d,.]+\)$", values[0]), name
