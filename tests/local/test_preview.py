"""What comes out: videos of the right shape and length, and every other kind of result."""

import io
import itertools
import wave
from collections.abc import Iterator

import av
import httpx
import jsonschema_rs
import numpy as np
import pytest
from local.running_server import IMAGE, LONG, RunningServer, running
from PIL import Image

from kling_nb.catalog.shipped import endpoint
from kling_nb.local.order import Pace, make_order
from kling_nb.local.preview.clip import SCALE, Clip, frame_size
from kling_nb.local.preview.render import TitleCard, draw_frames, render
from kling_nb.local.preview.scenery import THEMES, Scene, choose_scenery

FRAMES = "fal-ai/kling-video/v3/pro/image-to-video"
USUAL = {"KLING_NB_LOCAL_SCALE": ""}
"""The size that users see; other tests draw small."""


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running("--speed", "inf", env=USUAL) as server:
        yield server


def film(server, reply):
    """The bytes of a video result, and its decoded frames."""
    assert reply.status_code == 200, reply.text
    data = server.http.get(reply.json()["video"]["url"]).content
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 24
        return data, [frame.to_image() for frame in container.decode(stream)]


def satisfies(name, reply):
    jsonschema_rs.validate(dict(endpoint(name).output_schema), reply.json())


def light(image, box=None):
    """Return the mean luma of a part of a frame."""
    return sum(image.convert("L").crop(box).resize((1, 1), Image.Resampling.BOX).tobytes())


@pytest.mark.parametrize(("ratio", "size"), [("16:9", (576, 324)), ("9:16", (324, 576)), ("1:1", (432, 432))])
def test_shape_follows_the_ratio(server, ratio, size):
    values = {"prompt": "a lantern in the snow", "aspect_ratio": ratio, "duration": "3"}
    reply = server.result(LONG, values)
    assert reply.headers["x-fal-billable-units"] == "3"
    data, frames = film(server, reply)
    assert {frame.size for frame in frames} == {size}
    assert len(frames) == 72
    assert data.index(b"moov") < data.index(b"mdat")  # plays while it loads
    assert frames[0].tobytes() != frames[36].tobytes()


def test_same_input_same_bytes_in_any_process(server):
    values = {"prompt": "waves and stars over a neon city, rain", "duration": "3"}
    first = film(server, server.result(LONG, values))[0]
    with running("--speed", "inf", env={**USUAL, "PYTHONHASHSEED": "7"}) as other:
        elsewhere = film(other, other.result(LONG, {**values, "aspect_ratio": "16:9"}))[0]
    changed = film(server, server.result(LONG, {**values, "prompt": values["prompt"] + "."}))[0]
    assert first == elsewhere != changed
    assert 30_000 < len(first) < 300_000


def prompt_for(name, layers):
    """A prompt that picks a theme and one of its compositions."""
    word = next(iter(THEMES[name].words.split()), "cup")
    texts = (f"{word} number {count} at the end of a long and winding road" for count in itertools.count())
    for text in texts:
        found = choose_scenery(text)
        if (found.name, found.layers) == (name, tuple(layers.split())):
            return text
    raise AssertionError


COMPOSITIONS = [(name, layers) for name, theme in THEMES.items() for layers in theme.layers]
SHAPES = itertools.cycle([16 / 9, 9 / 16, 1.0])


def contrast(one, other):
    """The contrast ratio of WCAG 2 for two values of luma of the limited range."""
    light, dark = (((luma - 16) / 219) ** 2.2 + 0.05 for luma in (one, other))
    return light / dark


@pytest.mark.parametrize(
    ("name", "layers", "ratio"), [(*found, shape) for found, shape in zip(COMPOSITIONS, SHAPES, strict=False)]
)
def test_the_title_of_the_first_frame_can_be_read(monkeypatch, name, layers, ratio):
    monkeypatch.setenv(SCALE, "0.4")
    clip = Clip(prompt_for(name, layers), "Kling", frame_size(ratio), 5.0)
    first, scenery = next(draw_frames(clip)), choose_scenery(clip.prompt)
    left, top, right, bottom = TitleCard(clip, scenery.lights[0], scenery.dark).title_box
    title = first[top:bottom, left:right]
    letters, ground = title[title > 210], title[title < 170]
    assert 0.04 < letters.size / title.size < 0.4
    assert contrast(float(np.median(letters)), float(np.median(ground))) > 4.5


@pytest.mark.parametrize(("name", "layers"), COMPOSITIONS)
def test_the_first_frame_is_a_whole_image_and_the_clip_loops(name, layers):
    size = (192, 108)
    scene = Scene(choose_scenery(prompt_for(name, layers)), size, 5.0)
    first, half, last = (scene.frame(at)[: size[1]].astype(float) for at in (0, 0.5, 119 / 120))
    assert abs(first.mean() - half.mean()) < 25  # nothing fades in
    assert first.std() > 8
    moved, seam = np.abs(first - half).mean(), np.abs(first - last).mean()
    assert moved > 1
    assert seam < moved / 3


def test_the_progress_line_and_the_time_code_go_with_the_frames():
    clip = Clip("a red kite", "Kling", (192, 108), 5.0)
    frames = list(draw_frames(clip))
    ends = [int(np.flatnonzero(np.diff(frame[107].astype(int)))[0]) + 1 for frame in frames[3:-1:17]]
    assert ends == [192 * (number + 1) // 120 // 2 * 2 for number in range(3, 119, 17)]
    code = (slice(95, 104), slice(130, 188))
    assert np.abs(frames[60][code].astype(int) - frames[61][code]).max() > 60


def test_prompts_and_parameters_make_other_images():
    seen = [(f"a cup of tea, version {number}", "") for number in range(12)]
    sceneries = [choose_scenery(*one) for one in [*seen, *((seen[0][0], salt) for salt in "abc")]]
    frames = [Scene(scenery, (192, 108), 5.0).frame(0)[:108].astype(float) for scenery in sceneries]
    assert all(np.abs(one - other).mean() > 2 for one, other in itertools.combinations(frames, 2))


def test_image_to_video_keeps_the_image_and_its_shape(server, image_uri):
    values = {"prompt": "slow push in", "image_url": image_uri, "aspect_ratio": "16:9"}
    _, frames = film(server, server.result(IMAGE, values))
    width, height = frames[0].size
    assert abs(width / height - 600 / 800) < 0.01
    assert len(frames) == 120
    assert frames[0].tobytes() != frames[-1].tobytes()
    red, green, _ = frames[0].getpixel((width // 2, height // 4))
    assert green > red + 40  # as in the image, which is green above and red below


def test_image_to_video_ends_on_the_other_image(server, image_uri):
    white = io.BytesIO()
    Image.new("RGB", (600, 800), "white").save(white, "PNG")
    upload = server.http.post("/storage/upload/initiate", json={"file_name": "w.png"}).json()
    with httpx.Client(trust_env=False) as bare:
        bare.put(upload["upload_url"], content=white.getvalue(), headers={"Content-Type": "image/png"})
    images = {"start_image_url": image_uri, "end_image_url": upload["file_url"]}
    values = {"prompt": "day breaks", "duration": "3", **images}
    data, frames = film(server, server.result(FRAMES, values))
    width, height = frames[0].size
    middle = (width // 4, height // 3, width * 2 // 3, height // 2)
    assert light(frames[-1], middle) > 220 > light(frames[0], middle)
    assert data == film(server, server.result(FRAMES, values))[0]


def test_shots_add_up(server):
    shots = [{"prompt": "a door opens", "duration": "1"}, {"prompt": "light falls in", "duration": "2"}]
    _, frames = film(server, server.result(LONG, {"multi_prompt": shots}))
    assert len(frames) == 72


TEXTS = ["霓虹灯下的东京", "🎬✨", "Тихий океан", "été — naïve", "x" * 2500, "\u0000\u200b", "  "]


@pytest.mark.parametrize("prompt", TEXTS)
def test_any_text_can_be_a_prompt(server, prompt):
    reply = server.result(LONG, {"prompt": prompt, "duration": "3"})
    assert len(film(server, reply)[1]) == 72


@pytest.fixture(scope="module")
def speech(server):
    reply = server.result("fal-ai/kling-video/v1/tts", {"text": "Hello there, " * 9})
    satisfies("fal-ai/kling-video/v1/tts", reply)
    audio = reply.json()["audio"]
    assert audio["content_type"] == "audio/wav"
    data = server.http.get(audio["url"]).content
    with wave.open(io.BytesIO(data)) as file:
        seconds = file.getnframes() / file.getframerate()
        assert any(file.readframes(file.getnframes()))
    return audio["url"], seconds


@pytest.fixture(scope="module")
def source(server, image_uri, speech):
    """Return the URL of a short video made of an image and speech."""
    name = "fal-ai/kling-video/ai-avatar/v2/pro"
    reply = server.result(name, {"image_url": image_uri, "audio_url": speech[0]})
    satisfies(name, reply)
    assert abs(reply.json()["duration"] - speech[1]) < 0.05
    return reply.json()["video"]["url"]


def test_speech_gives_an_avatar_its_length(server, source, speech):
    with av.open(io.BytesIO(server.http.get(source).content)) as container:
        assert abs(container.streams.video[0].frames - speech[1] * 24) <= 1


def test_every_kind_of_result_satisfies_its_schema(server, image_uri, speech, source):
    orders = {
        "fal-ai/kling-video/create-voice": {"voice_url": speech[0]},
        "fal-ai/kling-video/lipsync/audio-to-video": {"video_url": source, "audio_url": speech[0]},
        "fal-ai/kling-video/video-to-audio": {"video_url": source},
        "fal-ai/kling-video/o1/video-to-video/edit": {"prompt": "make it snow", "video_url": source},
        "fal-ai/kling/v1-5/kolors-virtual-try-on": {
            "human_image_url": image_uri,
            "garment_image_url": image_uri,
        },
    }
    for name, values in orders.items():
        reply = server.result(name, values)
        assert reply.status_code == 200, (name, reply.text)
        satisfies(name, reply)
        for part in reply.json().values():
            if isinstance(part, dict):
                file = server.http.get(part["url"])
                assert file.headers["content-type"] == part["content_type"]
                assert len(file.content) == part["file_size"]


def test_a_still_has_the_size_that_it_says(server, image_uri):
    values = {"human_image_url": image_uri, "garment_image_url": image_uri}
    image = server.result("fal-ai/kling/v1-5/kolors-virtual-try-on", values).json()["image"]
    opened = Image.open(io.BytesIO(server.http.get(image["url"]).content))
    assert (opened.format, opened.size) == ("PNG", (image["width"], image["height"]))


@pytest.mark.parametrize(
    ("scale", "size"),
    [("0.5", (480, 272)), ("1", (960, 540)), ("", (576, 324)), ("7", (576, 324)), ("x", (576, 324))],
)
def test_previews_can_be_drawn_small(monkeypatch, scale, size):
    monkeypatch.setenv(SCALE, scale)
    assert frame_size(16 / 9) == size


def test_a_clip_has_audio_if_the_endpoint_makes_it():
    for heard in (True, False):
        values = {"prompt": "a harbour", "duration": "3", "aspect_ratio": "16:9", "generate_audio": heard}
        files, seconds = render(make_order(endpoint("v3-pro"), values, []), lambda line: None, Pace())
        with av.open(io.BytesIO(files["video"].data)) as container:
            assert bool(container.streams.audio) == heard
            length = sum(frame.samples for frame in container.decode(audio=0)) if heard else 0
        assert abs(length / 24_000 - seconds) < 0.1 or not heard
