"""The static card: it says what it should, nothing from outside gets out of its text, and it is small."""

import base64
import json
import re
import subprocess
import time
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import nbformat
import numpy as np
import pytest
from clips import colourful, make_clip
from hypothesis import given, settings
from hypothesis import strategies as st
from nbconvert import HTMLExporter
from PIL import Image
from widget.memory_job import MemoryJob

from hatch_build import node_of_wheel, node_on_path
from kling_nb import settings as own_settings
from kling_nb.catalog.shipped import endpoint
from kling_nb.events import State
from kling_nb.job.plan import GET_BACK, NO_RECORD
from kling_nb.notebook.card import html as card_module
from kling_nb.notebook.card.grid import heading_row
from kling_nb.notebook.card.html import LARGEST, Card, file_name, href, html, note_missing, state_chip, text
from kling_nb.notebook.card.job import card_of_file
from kling_nb.notebook.card.words import STATES, CardTake, captions, clean, decided, duration, other_words
from kling_nb.notebook.widgets.takes import _why_no_video
from kling_nb.video import Video

CARD = Card(
    job_id="3f9c1a2044de",
    state="READY",
    title="Kling 1.0 Pro",
    endpoint="fal-ai/kling-video/v1/pro/text-to-video",
    prompt="A heron lands on a frozen lake",
    parameters={"duration": "5", "aspect_ratio": "16:9", "cfg_scale": 0.5},
    request_id="764cabcf-b745-4b3e-ae38-1200304cf45b",
    backend="fal",
    take=2,
    cost="5 billable units",
    elapsed=72.4,
    lines=(("2023-11-14T22:13:25.123456", "Denoising 1/4"), (None, "Uploading")),
)
HOSTILE = (
    "</span></div><script>alert(1)</script><img src=x onerror='alert(2)'>\" onload=\"alert(3) &amp; $x^2$"
)

# What JupyterLab's sanitiser lets through; the last ones it drops, and the card does without them there.
TAGS = {"div", "img", "video", "audio", "strong", "span", "bdi", "a", "details", "summary", "pre"}
TAGS |= {"dl", "dt", "dd"}
ATTRIBUTES = {
    "class",
    "style",
    "dir",
    "src",
    "width",
    "height",
    "alt",
    "controls",
    "loop",
    "muted",
    "preload",
}
ATTRIBUTES |= {
    "poster",
    "href",
    "open",
    "data-kling-card",
    "data-kling-state",
    "data-kling-request",
    "aria-label",
    "playsinline",
}


class Page(HTMLParser):
    """Reads a fragment as a browser would: its elements, their attributes, its text."""

    def __init__(self, fragment: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, Any]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(fragment)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag == "img" or self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> dict[str, Any]:
        (found,) = [attributes for name, attributes in self.elements if name == tag]
        return found


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Video:
    path = tmp_path_factory.mktemp("clips") / "heron #1 at 100%.mp4"
    return Video.from_file(make_clip(path, size=(1280, 720), paint=colourful, frames=4))


@pytest.fixture
def ready(video: Video) -> Card:
    return replace(CARD, video=video, src=f"kling_media/{video.path.name}")


# -- what it shows --------------------------------------------------------------------


def test_a_finished_card_shows_everything_about_the_take(ready: Card) -> None:
    page = Page(html(ready))
    for shown in (
        "Kling 1.0 Pro",
        "A heron lands on a frozen lake",
        "Duration 5 s · Aspect ratio 16:9 · cfg_scale 0.5",
        "took 1:12 · 5 billable units",
        "1280 × 720 · 0.4 s · take 2",
        "heron #1 at 100%.mp4",
        "Endpointfal-ai/kling-video/v1/pro/text-to-video",
        "Request764cabcf-b745-4b3e-ae38-1200304cf45b",
        "Job3f9c1a2044de",
        "Details · Log · 2 lines",
        "22:13:25  Denoising 1/4\nUploading",
    ):
        assert shown in page.text
    assert "LOCAL PREVIEW" not in page.text
    assert page.elements[0][1]["data-kling-card"] == "3f9c1a2044de"
    assert "kling-card" in page.elements[0][1]["class"].split()
    assert page.open == []


def test_the_player_is_a_video_with_its_own_source(ready: Card) -> None:
    player = Page(html(ready)).of("video")
    assert player["src"] == "kling_media/heron%20%231%20at%20100%25.mp4"
    assert {"controls", "loop", "muted"} <= set(player)
    assert (player["preload"], player["width"], player["height"]) == ("metadata", "1280", "720")


def test_the_poster_is_there_once_and_stays_where_video_is_taken_out(ready: Card) -> None:
    fragment = html(ready)
    page = Page(fragment)
    picture = page.of("img")
    assert Image.open(BytesIO(_bytes(picture["src"]))).format == "JPEG"
    # The player's own poster lets it through, and gives the player the video's shape.
    clear = Image.open(BytesIO(_bytes(page.of("video")["poster"])))
    assert clear.size == (1280, 720)
    assert clear.convert("RGBA").getpixel((0, 0)) == (0, 0, 0, 0)
    stripped = re.sub("<video.*?</video>", "", fragment)
    assert Page(stripped).of("img") == picture
    assert fragment.count("image/jpeg") == 1


def saved(card: Card) -> int:
    """Bytes of the output in a saved notebook."""
    data = {"text/html": html(card), "text/plain": text(card)}
    return len(json.dumps(data, ensure_ascii=False, indent=1).encode())


def strip_of(video: Video, count: int, *, shown: int = 0, **of_shown: Any) -> tuple[CardTake, ...]:
    """Takes of a cell, of which one is shown."""
    takes = [
        CardTake(f"{at + 1} · {10 + at} s", State.READY, f"{at}.mp4", f"kling_media/{at} #.mp4", video)
        for at in range(count)
    ]
    takes[shown] = replace(takes[shown], shown=True, **of_shown)
    return tuple(takes)


def test_the_takes_of_a_cell_are_in_its_card_with_what_was_decided(ready: Card) -> None:
    takes = strip_of(ready.video, 3, shown=1, chosen=True, rating=4, note="warm <light>")
    takes = (*takes[:2], replace(takes[2], rating=2), CardTake("4 · 9:16", State.FAILED))
    fragment = html(replace(ready, takes=takes, variable="kite"))
    page = Page(fragment)
    order = ("1 · 10 s", "✓ Used", "2 · 11 s", "★ 2", "3 · 12 s", "Failed", "4 · 9:16")
    order += ("✓ Used as kite", "heron #1", "★★★★☆", "warm <light>", "1280 × 720", "A heron lands")
    assert [page.text.index(one) for one in order] == sorted(page.text.index(one) for one in order)
    spoken = [
        about["aria-label"] for _, about in page.elements if about.get("aria-label", "").startswith("Take")
    ]
    assert spoken == [
        "Take 1, 1 · 10 s",
        "Take 2, 2 · 11 s, used, 4 stars, shown here",
        "Take 3, 3 · 12 s, 2 stars",
        "Take 4, 4 · 9:16, failed",
    ]
    links = [about["href"] for tag, about in page.elements if tag == "a"]
    assert links[:3] == [f"kling_media/{at}%20%23.mp4" for at in range(3)]
    thumbs = [about for tag, about in page.elements if tag == "img"][1:]
    assert [(one["width"], one["height"]) for one in thumbs] == [("103", "58")] * 3
    assert "take 2 · used as kite · ★ 4 · took 1:12" in text(replace(ready, takes=takes, variable="kite"))
    assert page.open == []


def test_a_take_alone_has_no_strip_and_shows_its_decisions(ready: Card) -> None:
    (alone,) = strip_of(ready.video, 1)
    assert html(replace(ready, takes=(alone,))) == html(ready)
    rated = html(replace(ready, takes=(replace(alone, rating=3, note="n" * 10_000),)))
    assert "3 of 5 stars" in rated
    assert "Take 1" not in rated
    assert saved(replace(ready, takes=(replace(alone, note="n" * 10_000),))) < saved(ready) + 1_000


def test_of_many_takes_the_shown_the_used_and_the_newest_are_in_the_card(ready: Card) -> None:
    takes = list(strip_of(ready.video, 40, shown=3))
    takes[7] = replace(takes[7], chosen=True)
    page = Page(html(replace(ready, takes=takes)))
    numbers = re.findall(r"(\d+) · \d+ s", page.text.partition("heron #1")[0])
    assert numbers == ["4", "8", "38", "39", "40"]
    assert "and 35 more" in page.text


def test_a_strip_adds_no_more_than_was_promised(ready: Card, tmp_path: Path) -> None:
    noise = Video.from_file(make_clip(tmp_path / "noise.mp4", size=(640, 360), paint=noisy, frames=4))
    many = tuple((None, f"{number} " + "<水>" * 300) for number in range(500))
    for video in (ready.video, noise):
        for prompt in ("a boat", "水" * 2_500):
            takes = strip_of(video, 9, note="水" * 10_000, rating=5)
            card = replace(ready, video=video, prompt=prompt, lines=many, takes=takes)
            assert saved(card) <= LARGEST
            assert html(card).count("data:image/jpeg") == 6


def noisy(number: int, width: int, height: int) -> Any:
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)


def test_what_is_decided_changes_the_mark_of_a_card(ready: Card) -> None:
    takes = strip_of(ready.video, 2)
    alone = takes[:1]
    others = (
        takes,
        takes[::-1],
        (replace(alone[0], rating=3),),
        (replace(alone[0], rating=4),),
        (replace(alone[0], note="n"),),
        (replace(alone[0], chosen=True),),
        (takes[0], replace(takes[1], rating=1)),
    )
    assert decided(alone) is None
    assert decided((replace(alone[0], name="", rating=3),)) is None  # data, which has no sidecar
    marks = [decided(one) for one in others]
    assert len({*marks}) == len(others)
    assert None not in marks
    assert f'data-kling-takes="{marks[0]}"' in html(replace(ready, takes=takes))


def test_a_caption_says_what_tells_a_take_from_the_first_one() -> None:
    controls = endpoint("v2.5-turbo-pro").parameters
    first = {"prompt": "a fox", "duration": "5"}
    made = [
        ("x/pro/video", first, "fal"),
        ("x/pro/video", {**first, "aspect_ratio": "16:9"}, "fal"),  # the default
        ("x/pro/video", {**first, "duration": "10", "aspect_ratio": "9:16"}, "fal"),
        ("x/standard/video", {**first, "prompt": "a\n dog"}, "local"),
        ("x/pro/video", {**first, "negative_prompt": ""}, "fal"),
    ]
    assert captions(controls, made) == [
        "1",
        "2",
        "3 · 10 s · 9:16",
        "4 · standard · a dog · preview",
        "5",
    ]


FOX = "A red fox crosses a snowy clearing at dawn"
TEXTS = [
    (FOX, "A red fox crosses a snowy clearing at night"),
    (FOX, f"{FOX} and looks into the lens"),
    (f"{FOX} and looks up", FOX),
    (FOX, "A red fox crosses a frozen lake at dawn"),
    ("A boat at dawn, from above", "A boat at night, from above"),
    (FOX, "A grey wolf crosses a snowy clearing at dawn"),
    ("", "blur, noise"),
    ("blur", ""),
    ("a fox and a fox", "a fox and a fox\n and a fox"),
    (FOX, FOX),
]


def test_captions_have_the_words_of_the_live_view() -> None:
    node = node_on_path() or node_of_wheel()
    assert node is not None, "there is no Node"
    module = Path(__file__).parents[2] / "js" / "result" / "other_words.js"
    script = (
        f"const {{ otherWords }} = await import({json.dumps(module.as_uri())});"
        f"console.log(JSON.stringify({json.dumps(TEXTS)}.map((texts) => otherWords(...texts))))"
    )
    command = [node.program, "--input-type=module", "--eval", script]
    done = subprocess.run(command, capture_output=True, check=True, encoding="utf-8")
    assert json.loads(done.stdout) == [other_words(*texts) for texts in TEXTS]


PROMPTS = {"short": "a boat", "long": "y" * 2_500, "wide": "水" * 2_500, "marks": "<&\n" * 800}


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_a_result_adds_no_more_than_was_promised(ready: Card, prompt: str) -> None:
    ready = replace(ready, prompt=prompt, parameters={"negative_prompt": prompt, "duration": "5"})
    few = tuple(("2023-11-14T22:13:25", f"step {number} of 60 on a runner") for number in range(60))
    many = tuple((None, f"{number} " + "<水>" * 300) for number in range(500))
    for lines in ((), few, many):
        assert saved(replace(ready, lines=lines)) <= LARGEST
    assert "earlier lines: %kling show 3f9c1a2044de" in html(replace(ready, lines=many))


def test_the_poster_may_be_as_large_as_it_can_get(ready: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_module, "player", lambda card: "x" * (16_000 * 4 // 3))
    assert saved(replace(ready, prompt="水" * 2_500, lines=((None, "水" * 300),) * 300)) <= LARGEST


def test_a_preview_says_so(ready: Card) -> None:
    local = replace(ready, backend="local", cost="free preview")
    assert "LOCAL PREVIEW took 1:12 · free preview" in Page(html(local)).text
    assert "LOCAL PREVIEW, made on this machine, free" in text(local)


def test_a_reused_take_says_that_it_cost_nothing(ready: Card) -> None:
    reused = replace(ready, cost="already made, free (2026-11-03)", elapsed=None)
    assert "already made, free (2026-11-03)" in Page(html(reused)).text
    assert "already made, free" in text(reused)


@pytest.mark.parametrize(
    ("state", "word", "shown"),
    [
        ("SUBMITTING", "submitting", "Sending the request."),
        ("IN_QUEUE", "in queue", "Waiting in the queue."),
        ("IN_PROGRESS", "generating", "%kling resume gets it back."),
        ("DOWNLOADING", "downloading", "is being downloaded"),
        ("CANCELLED", "cancelled", "Cancelled. There is no result."),
        ("UNCERTAIN", "uncertain", "dashboard/requests"),
        ("FAILED", "failed", "The job failed. No reason was given."),
        ("SOMETHING_NEW", "something_new", ""),
    ],
)
def test_a_job_without_a_result_says_where_it_stands(state: str, word: str, shown: str) -> None:
    card = replace(CARD, state=state, take=None, cost="", elapsed=None)
    page = Page(html(card))
    assert word in page.text.lower()
    assert shown in page.text
    assert not {"video", "img"} & {tag for tag, _ in page.elements}
    assert word in text(card)
    assert shown in text(card)


def test_a_job_that_fal_does_not_accept_yet_waits(ready: Card) -> None:
    takes = (*strip_of(ready.video, 1), CardTake("2 · 10 s", State.SUBMITTING, shown=True, held=True))
    card = replace(CARD, state="SUBMITTING", take=None, cost="", elapsed=None, held=True, takes=takes)
    page = Page(html(card))
    assert page.text.count("Waiting") == 3  # in the head, on the stage, on the thumbnail
    assert "Waiting: the account runs its maximum of requests." in page.text
    assert "ubmitting" not in page.text + text(card)
    assert "waiting" in text(card)
    assert "Failed" in Page(html(replace(card, state="FAILED"))).text


def test_the_head_has_what_it_cost_and_details_have_the_sum(ready: Card) -> None:
    page = Page(html(replace(ready, cost="5 billable units × $0.098 = $0.49"))).text
    head, _, details = page.partition("A heron lands")
    assert "took 1:12 · $0.49" in head
    assert "billable" not in head
    assert "Cost5 billable units × $0.098 = $0.49" in details


def test_a_card_has_the_order_of_the_live_view(ready: Card) -> None:
    page = Page(html(ready)).text
    order = ("Ready", "Kling 1.0 Pro", "took 1:12", "1280 × 720", "A heron", "Duration 5 s", "Details")
    assert [page.index(one) for one in order] == sorted(page.index(one) for one in order)
    tags = [tag for tag, _ in Page(html(ready)).elements]
    assert tags.index("strong") < tags.index("video") < tags.index("details")


def test_a_running_card_keeps_the_place_of_its_video() -> None:
    running = replace(CARD, state="IN_PROGRESS", shape=9 / 16)
    for shown in ("max-width:236px", "padding-bottom:177.78%"):
        assert shown in html(running)
        assert shown in html(replace(running, state="CANCELLED"))


@pytest.mark.parametrize("state", [State.CANCELLED, State.UNCERTAIN, State.FAILED])
def test_the_widget_says_the_same_of_what_has_ended(state: State) -> None:
    job = MemoryJob()
    job.state = replace(job.state, state=state)
    assert _why_no_video(job) == STATES[state][1]


def test_a_failure_shows_what_happened_and_what_to_do_on_the_stage() -> None:
    error = "prompt: flagged by a content checker.\nChange the prompt or picture."
    page = Page(html(replace(CARD, state="FAILED", error=error)))
    assert page.text.index(error) < page.text.index("A heron")
    assert "open" not in page.of("details")  # as in the live view


def test_posters_are_stored_in_the_home_that_is_set_now(
    ready: Card, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_settings, "_configured", own_settings.Unshown())
    (tmp_path / "other").mkdir()
    for folder in (home, tmp_path / "other"):
        own_settings.configure({"home": folder})
        html(ready)
        assert len(list((folder / "index" / "posters").iterdir())) == 1


def test_a_file_that_is_gone_leaves_a_card_without_poster_that_says_so(ready: Card, tmp_path: Path) -> None:
    assert ready.video
    gone = Video(tmp_path / "gone.mp4", 64, 48, 10, 2, 20)
    page = Page(html(replace(ready, video=gone, src="kling_media/gone.mp4")))
    assert "img" not in [tag for tag, _ in page.elements]
    assert page.of("video")["src"]
    assert "controls" not in page.of("video")
    assert f"gone.mp4 is no longer in kling_media. {GET_BACK}" in page.text
    assert "File missing" in page.text
    assert "Ready" not in page.text


def test_a_note_of_a_missing_file_leaves_with_it(ready: Card) -> None:
    ready = replace(ready, src="a & b.mp4")
    noted = note_missing(html(ready), {"a%20%26%20b.mp4"}.__contains__, NO_RECORD)
    page = Page(noted)
    assert f"a & b.mp4 is no longer in the folder of the notebook. {NO_RECORD}" in page.text
    assert "File missing" in page.text
    assert page.of("img")  # the poster
    assert note_missing(noted, lambda src: True, GET_BACK).count(GET_BACK) == 1
    assert note_missing(noted, lambda src: False, "") == html(ready)


def test_a_note_takes_no_time_in_the_digits_of_a_poster() -> None:
    head = heading_row(state_chip(State.READY, "ready"), "Kling", "1 of 1 ready", local=False)
    poster = (
        f'<img src="data:image/jpeg;base64,{"1" * 200_000}"><video src="a.mp4" data-kling-part="0" controls >'
    )
    start = time.process_time()
    noted = note_missing(head + poster, lambda src: True, GET_BACK)
    assert note_missing(noted, lambda src: False, "") == head + poster
    assert time.process_time() - start < 2  # by the square of their number it would be minutes


def test_a_job_without_its_file_is_not_ready(ready: Card) -> None:
    lost = replace(ready, video=None, src=None, error=f"The file is no longer there.\n{GET_BACK}")
    page = Page(html(lost))
    assert "File missing" in page.text
    assert "Ready" not in page.text
    assert GET_BACK in page.text
    assert "data-kling-state" not in page.elements[0][1]  # it is drawn again at each opening
    assert "file missing" in text(lost)
    assert GET_BACK in text(lost)


def test_code_words_of_a_message_do_not_break(ready: Card) -> None:
    error = (
        "fal has it no more (request 764cabcf-b745-4b3e-ae38-1200304cf45b).\n--new, or %kling resume: <b-c>."
    )
    fragment = html(replace(ready, video=None, src=None, state="FAILED", error=error))
    assert error in Page(fragment).text
    whole = re.findall(r'<span style="display:inline-block;max-width:100%">([^<]*)</span>', fragment)
    assert whole[:4] == [
        "764cabcf-b745-4b3e-ae38-1200304cf45b).",
        "--new,",
        "%kling resume",
        "&lt;b-c&gt;.",
    ]


def test_a_video_that_no_page_can_reach_shows_its_poster(ready: Card) -> None:
    page = Page(html(replace(ready, src=None)))
    assert page.of("img")
    assert "video" not in [tag for tag, _ in page.elements]


@pytest.mark.parametrize(("kind", "tag"), [("audio", "audio"), ("image", "img"), ("data", "a")])
def test_other_kinds_have_their_own_form(kind: str, tag: str) -> None:
    page = Page(html(replace(CARD, kind=kind, src="kling_media/result one")))
    address = page.of(tag)
    assert (address.get("src") or address["href"]) == "kling_media/result%20one"
    assert page.of("a")["href"] == "kling_media/result%20one"


def test_values_are_shown_as_a_person_reads_them() -> None:
    parameters = {
        "image_url": "data:image/png;base64," + "A" * 4000,
        "tail_image_url": {"sha256": "0" * 64, "name": "tail.png"},
        "generate_audio": True,
        "elements": [{"a": 1}],
        "prompt": CARD.prompt,
        "path": Path("a.png"),
    }
    shown = Page(html(replace(CARD, parameters=parameters))).text
    assert "image_url image/png, 3,016 bytes · tail_image_url tail.png · generate_audio on" in shown
    assert 'elements [{"a": 1}] · path a.png' in shown
    assert shown.count(CARD.prompt) == 1


def test_a_finished_video_is_shown_with_the_defaults_of_its_endpoint(video: Video) -> None:
    asked = {"prompt": "a heron", "duration": "10"}
    made = Video.from_file(
        video.path, request={"endpoint": "fal-ai/kling-video/v1/pro/text-to-video", "input": asked}
    )
    assert card_of_file(made).parameters == {"duration": "10", "aspect_ratio": "16:9"}
    assert card_of_file(video).parameters == {}  # a film, a file: made by no endpoint


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-1, "0:00"),
        (4.24, "0:04"),
        (59.6, "0:59"),
        (72, "1:12"),
        (3725, "1:02:05"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


# -- addresses --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("src", "expected"),
    [
        ("a b#1?100%.mp4", "a%20b%231%3F100%25.mp4"),
        ("../kling_media/é.mp4", "../kling_media/%C3%A9.mp4"),
        ("javascript:alert(1)", "javascript%3Aalert%281%29"),
        ("data:text/html,x", "data%3Atext/html%2Cx"),
        ("https://v3.fal.media/a%20b.mp4?x=1&y=2#t=1", "https://v3.fal.media/a%20b.mp4?x=1&y=2#t=1"),
        ('https://h/"><script>', "https://h/%22%3E%3Cscript%3E"),
        ("\udce9.mp4", "%E9.mp4"),
        ("\ud83d.mp4", "%3F.mp4"),
    ],
)
def test_urls(src: str, expected: str) -> None:
    assert href(src) == expected


def test_file_names_of_urls() -> None:
    assert file_name("kling_media/a?b#c.mp4") == "a?b#c.mp4"
    assert file_name("https://h/p/clip.mp4?x=/y#/z") == "clip.mp4"


# -- hostile text -------------------------------------------------------------------------


def hostile_card(shown: str, **values: Any) -> Card:
    return Card(
        job_id=shown,
        state=values.pop("state", "FAILED"),
        title=shown,
        endpoint=shown,
        prompt=shown,
        parameters={shown: shown, "nested": [shown]},
        request_id=shown,
        backend="fal",
        cost=shown,
        error=shown,
        lines=((shown, shown),),
        src=shown,
        **values,
    )


def check_harmless(card: Card) -> Page:
    fragment = html(card)
    fragment.encode("utf-8")
    page = Page(fragment)
    assert page.open == []
    for tag, attributes in page.elements:
        assert tag in TAGS
        assert set(attributes) <= ATTRIBUTES
        for name in ("src", "href", "poster"):
            value = attributes.get(name, "")
            colon = value.partition("/")[0].partition("?")[0]
            assert ":" not in colon or value.startswith(("data:image/", "http://", "https://"))
    return page


@pytest.mark.parametrize("state", ["READY", "FAILED", "IN_PROGRESS", HOSTILE])
def test_text_from_outside_stays_text(video: Video, state: str) -> None:
    page = check_harmless(hostile_card(HOSTILE, state=state, video=video, kind=HOSTILE))
    assert page.text.count("<script>alert(1)</script>") >= 5
    assert page.of("video")["aria-label"] == HOSTILE
    assert unquote(page.of("video")["src"]) == HOSTILE


outside = st.text(max_size=60) | st.text(alphabet="<>&\"'/= ax\n\0\x1b\u202e\ud83d#;", max_size=40)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(shown=outside, state=st.sampled_from(["READY", "FAILED", "UNCERTAIN"]))
def test_any_text_stays_text(shown: str, state: str) -> None:
    card = hostile_card(shown, state=state)
    page = check_harmless(card)
    if shown.strip():
        assert clean(shown)[:50].replace("\r", "") in page.text
    lines = text(card).splitlines()
    assert 1 <= len(lines) <= 6
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text(card))


def test_mathjax_leaves_a_prompts_dollars_alone() -> None:
    classes = Page(html(CARD)).elements[0][1]["class"].split()
    assert {"mathjax_ignore", "tex2jax_ignore"} <= set(classes)


# -- text form and other readers -----------------------------------------------------------


def test_the_text_form(ready: Card) -> None:
    assert text(ready).splitlines() == [
        "Kling 1.0 Pro · ready · take 2 · took 1:12 · 5 billable units",
        "  A heron lands on a frozen lake",
        "  Duration 5 s · Aspect ratio 16:9 · cfg_scale 0.5",
        "  kling_media/heron #1 at 100%.mp4  1280 × 720 · 0.4 s",
        "  request 764cabcf-b745-4b3e-ae38-1200304cf45b",
    ]


def test_the_text_form_of_a_failure_is_three_to_six_lines() -> None:
    error = "one\ntwo\nthree\nfour"
    lines = text(replace(CARD, state="FAILED", error=error, request_id=None)).splitlines()
    assert lines[2:] == ["  one", "  two", "  three four", "  job 3f9c1a2044de"]


def test_nbconvert_keeps_the_card_as_it_is(ready: Card) -> None:
    output = nbformat.v4.new_output("display_data", {"text/html": html(ready), "text/plain": text(ready)})
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("%%kling", outputs=[output])])
    page, _ = HTMLExporter().from_notebook_node(notebook)
    start = page.index('<div class="kling-card')
    found = Page(page[start : page.index("</details></div>", start) + len("</details></div>")])
    wanted = Page(html(ready))
    assert found.text == wanted.text
    assert [tag for tag, _ in found.elements] == [tag for tag, _ in wanted.elements]
    for tag in ("img", "video", "a"):
        assert {name: value or "" for name, value in found.of(tag).items()} == {
            name: value or "" for name, value in wanted.of(tag).items()
        }


def _bytes(uri: str) -> bytes:
    return base64.b64decode(uri.partition(",")[2])
