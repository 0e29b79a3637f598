"""A card in a browser: the colours of the live view on light and dark pages, and a picture in full view."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from clips import colourful, make_clip

from kling_nb.events import State
from kling_nb.notebook.card.html import html
from kling_nb.notebook.card.style import COLOURS, CONTROLS, chip, colour_of, dot
from kling_nb.notebook.card.words import Card
from kling_nb.video import Video

UNKNOWN = re.compile(r"object-position:top|[a-z-]+:[^;\"]*(?:max\(|var\(|color-mix\(|currentColor)[^;\"]*;?")
"""Declarations that JupyterLab's sanitiser drops."""


@pytest.fixture
def card(tmp_path: Path, home: Path) -> Card:
    clip = Video.from_file(make_clip(tmp_path / "heron.mp4", size=(640, 360), paint=colourful, frames=4))
    return Card(
        "3f9c1a2044de", "READY", "Kling", "x/y", "a heron", take=1, backend="fal", video=clip, src="heron.mp4"
    )


def put(page, fragment: str, *, ink: str = "black", paper: str = "white") -> None:
    page.evaluate(
        "([html, ink, paper]) => { document.body.innerHTML = `<div style='width:600px'>${html}</div>`;"
        " Object.assign(document.body.style, { color: ink, background: paper }); }",
        [fragment, ink, paper],
    )


def rgb(colour: str) -> list[int]:
    return list(bytes.fromhex(colour[1:]))


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize(("dark", "ink"), [(False, "rgba(0,0,0,.87)"), (True, "white"), (True, "#ccc")])
def test_a_state_has_the_colour_of_the_live_view(page, state: State, dark: bool, ink: str) -> None:
    put(page, f'<b style="{chip(state)}">x<i style="{dot(state)}"></i></b>', ink=ink)
    found = page.locator("i").evaluate("(node) => getComputedStyle(node).borderTopColor")
    numbers = [float(one) for one in re.findall(r"[\d.]+", found.partition("(")[2])]
    scale = 255 if found.startswith("color(") else 1
    assert [round(one * scale) for one in numbers] == rgb(COLOURS[colour_of(state)][dark])  # no alpha


def test_the_controls_are_below_the_picture(page, card: Card) -> None:
    put(page, html(card))
    image, video = (page.locator(name).bounding_box() for name in ("img", "video"))
    assert image
    assert video
    assert video["y"] == pytest.approx(image["y"], abs=0.5)
    assert video["width"] == pytest.approx(image["width"], abs=0.5)
    assert video["height"] == pytest.approx(image["height"] + CONTROLS, abs=0.5)
    assert image["width"] / image["height"] == pytest.approx(16 / 9, rel=0.01)


def test_without_its_poster_a_video_has_the_same_place(page, card: Card) -> None:
    assert card.video
    put(page, html(replace(card, video=replace(card.video, path=Path("gone.mp4")))))
    assert page.locator("img").count() == 0
    video = page.locator("video").bounding_box()
    assert video
    assert video["height"] == pytest.approx(video["width"] * 9 / 16 + CONTROLS, abs=1)


def test_where_a_sanitiser_drops_new_values_the_player_lies_on_the_picture(page, card: Card) -> None:
    put(page, UNKNOWN.sub("", html(card)))
    image, video = (page.locator(name).bounding_box() for name in ("img", "video"))
    assert image
    assert video
    for side in ("x", "y", "width", "height"):
        assert video[side] == pytest.approx(image[side], abs=0.5)


def test_a_card_fits_a_narrow_page(page, card: Card) -> None:
    put(page, html(card))
    page.evaluate("document.body.firstChild.style.width = '320px'")
    assert page.locator(".kling-card").evaluate("(node) => node.scrollWidth <= node.clientWidth")
