"""A card in a browser: the colours of the live view on light and dark pages, and a picture in full view."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from clips import colourful, make_clip

from kling_nb import Storyboard
from kling_nb.events import State
from kling_nb.job.plan import NO_RECORD
from kling_nb.notebook.card.grid import Layout, _table, frame_card, html_of_takes, storyboard_html
from kling_nb.notebook.card.html import html, note_missing
from kling_nb.notebook.card.mark import Mark
from kling_nb.notebook.card.style import COLOURS, CONTROLS, CONTROLS_FORCED, chip, colour_of, dot
from kling_nb.notebook.card.words import Card
from kling_nb.video import Video

DROPPED = re.compile(r"position:sticky|[a-z-]+:.*(?:if\(|var\(|color-mix\(|currentColor)")
"""Declarations that JupyterLab's sanitiser drops."""


def as_untrusted(fragment: str) -> str:
    """Return a card with the styles that it has in a notebook that is not trusted."""

    def kept(style: re.Match[str]) -> str:
        declarations = re.split(r";(?![^(]*\))", style[1])
        return f'style="{";".join(one for one in declarations if not DROPPED.match(one))}"'

    return re.sub(r'style="([^"]*)"', kept, fragment)


@pytest.fixture
def card(tmp_path: Path, home: Path) -> Card:
    clip = Video.from_file(make_clip(tmp_path / "heron.mp4", size=(640, 360), paint=colourful, frames=4))
    return Card(
        "3f9c1a2044de", "READY", "Kling", "x/y", "a heron", take=1, backend="fal", video=clip, src="heron.mp4"
    )


def put(page, fragment: str, *, ink: str = "black", paper: str = "white", width: int = 600) -> None:
    page.evaluate(
        "([html, ink, paper, width]) => {"
        " document.body.innerHTML = `<div style='width:${width}px'>${html}</div>`;"
        " Object.assign(document.body.style, { color: ink, background: paper }); }",
        [fragment, ink, paper, width],
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


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize(("colours", "controls"), [("none", CONTROLS), ("active", CONTROLS_FORCED)])
def test_the_controls_are_below_the_picture(
    page, card: Card, trusted: bool, colours: str, controls: int
) -> None:
    page.emulate_media(forced_colors=colours)
    put(page, html(card) if trusted else as_untrusted(html(card)))
    controls = controls if trusted else CONTROLS
    image, video = (page.locator(name).bounding_box() for name in ("img", "video"))
    assert image
    assert video
    # The browser shows the image in the middle of the element, and the controls at its lower edge.
    assert video["y"] == pytest.approx(image["y"] - controls, abs=0.5)
    assert video["height"] == pytest.approx(image["height"] + 2 * controls, abs=0.5)
    assert video["width"] == pytest.approx(image["width"], abs=0.5)
    assert image["width"] / image["height"] == pytest.approx(16 / 9, rel=0.01)
    place = page.locator("video").evaluate(
        "(node) => node.getBoundingClientRect().top - "
        "node.parentElement.parentElement.getBoundingClientRect().top"
    )
    assert place == pytest.approx(-controls, abs=0.5)  # what is above the image is cut off
    header = page.locator("strong").bounding_box()
    at = {"x": header["x"] + 5, "y": header["y"] + 5}
    assert page.evaluate("({ x, y }) => document.elementFromPoint(x, y).tagName", at) == "STRONG"


def test_without_its_poster_a_video_has_the_same_place(page, card: Card) -> None:
    assert card.video
    put(page, html(replace(card, video=replace(card.video, path=Path("gone.mp4")))))
    assert page.locator("img").count() == 0
    video = page.locator("video").bounding_box()
    assert video
    assert video["height"] >= video["width"] * 9 / 16 + 2 * CONTROLS - 1


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("width", [320, 700])
def test_a_note_of_a_missing_file_covers_the_controls(page, card: Card, width: int, trusted: bool) -> None:
    noted = note_missing(html(card), lambda src: True, NO_RECORD)
    put(page, noted if trusted else as_untrusted(noted), width=width)
    image, note = (page.locator(name).bounding_box() for name in ("img", ".kling-gone"))
    assert image
    assert note
    assert note["y"] == pytest.approx(image["y"] + image["height"], abs=0.5)
    assert note["height"] >= CONTROLS - 0.5
    fits = "(node) => node.scrollHeight <= node.clientHeight + 1"
    assert page.locator(".kling-gone").evaluate(fits)
    assert page.locator(".kling-gone").evaluate(
        "(node) => { const { x, bottom } = node.getBoundingClientRect();"
        " return document.elementFromPoint(x + 20, bottom - 4) === node; }"
    )


@pytest.mark.parametrize("width", [320, 700])
def test_a_flag_in_a_message_is_on_one_line(page, card: Card, width: int) -> None:
    lines = "To generate another take, at a new charge: --new (API: new=True), or see %kling show. "
    for start in range(0, 40, 5):
        error = "x" * start + " " + lines * 2
        put(page, html(replace(card, state="FAILED", video=None, src=None, error=error)), width=width)
        heights = page.evaluate(
            "() => [...document.querySelectorAll('span')].filter((node) => !node.children.length &&"
            " /^(--new|%kling show)$/.test(node.textContent)).map((node) => node.offsetHeight)"
        )
        assert len(heights) == 4
        assert max(heights) < 30  # one line


def test_a_card_fits_a_narrow_page(page, card: Card) -> None:
    put(page, html(card), width=320)
    assert page.locator(".kling-card").evaluate("(node) => node.scrollWidth <= node.clientWidth")


FITS = """(card) => [...card.querySelectorAll("*")].every((node) => node.scrollWidth <= node.clientWidth + 1
  || getComputedStyle(node).overflowX === "visible")"""


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("width", [320, 700, 1200])
def test_shots_of_a_storyboard_and_cells_of_a_sweep_fit(
    page, card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int, trusted: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    board = storyboard_html(Storyboard([card.video] * 5))
    takes = html_of_takes(
        Mark("sweep", state="READY"), [("calm", card.video), ("stormy", None)] * 3, tmp_path
    )
    for fragment in (board, takes):
        put(page, fragment if trusted else as_untrusted(fragment), width=width)
        assert page.locator(".kling-card").evaluate(FITS)


def test_columns_of_a_sweep_are_as_wide_as_there_is_room_for(page) -> None:
    layout = Layout(("a" * 80, "b"), ("16:9", "9:16", "1:1"), "", "", None, ())
    places = tuple((row, column) for row in range(2) for column in range(3))
    body = _table(replace(layout, places=places), ["<div>cell</div>"] * 6)
    for width, room in ((320, False), (700, True), (1200, True)):
        put(page, frame_card(Mark("sweep"), "", body), width=width)
        scroller = page.locator(".kling-card > div")
        hidden = scroller.evaluate("(node) => node.scrollWidth - node.clientWidth")
        assert (hidden <= 0) == room
        if not room:  # what fades is at the edge
            fade, edge = (
                scroller.locator("> div").bounding_box(),
                page.locator(".kling-card").bounding_box(),
            )
            assert fade["x"] + fade["width"] == pytest.approx(edge["x"] + edge["width"] - 1, abs=1)
        cells = {round(cell.bounding_box()["width"]) for cell in page.locator("td").all()}
        assert max(cells) - min(cells) <= 1
        assert min(cells) >= 104
