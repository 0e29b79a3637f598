"""What comes out: videos of the right shape and length, and every other kind of result."""

import io
import wave

import av
import httpx
import jsonschema_rs
import pytest
from local.running_engine import IMAGE, LONG, running
from PIL import Image

from kling_nb.catalog import endpoint

FRAMES = "fal-ai/kling-video/v3/pro/image-to-video"


def film(engine, reply):
    """The bytes of a video result, and its decoded frames."""
    assert reply.status_code == 200, reply.text
    data = engine.http.get(reply.json()["video"]["url"]).content
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 24
        return data, [frame.to_image() for frame in container.decode(stream)]


def satisfies(name, reply):
    jsonschema_rs.validate(dict(endpoint(name).output_schema), reply.json())


def light(image, box=None):
    """Mean luma of a part of a picture."""
    return sum(image.convert("L").crop(box).resize((1, 1), Image.Resampling.BOX).tobytes())


@pytest.mark.parametrize(("ratio", "size"), [("16:9", (576, 324)), ("9:16", (324, 576)), ("1:1", (432, 432))])
def test_shape_follows_the_ratio(engine, ratio, size):
    values = {"prompt": "a lantern in the snow", "aspect_ratio": ratio, "duration": "3"}
    reply = engine.result(LONG, values)
    assert reply.headers["x-fal-billable-units"] == "3"
    data, frames = film(engine, reply)
    assert {frame.size for frame in frames} == {size}
    assert len(frames) == 72
    assert data.index(b"moov") < data.index(b"mdat")  # plays while it loads
    assert frames[0].tobytes() != frames[36].tobytes()


def test_same_input_same_bytes_in_any_process(engine):
    values = {"prompt": "waves and stars over a neon city, rain", "duration": "3"}
    first = film(engine, engine.result(LONG, values))[0]
    with running("--speed", "inf", env={"PYTHONHASHSEED": "7"}) as other:
        elsewhere = film(other, other.result(LONG, {**values, "aspect_ratio": "16:9"}))[0]
    changed = film(engine, engine.result(LONG, {**values, "prompt": values["prompt"] + "."}))[0]
    assert first == elsewhere != changed
    assert 30_000 < len(first) < 400_000


def test_image_to_video_keeps_the_picture_and_its_shape(engine, picture_uri):
    values = {"prompt": "slow push in", "image_url": picture_uri, "aspect_ratio": "16:9"}
    _, frames = film(engine, engine.result(IMAGE, values))
    width, height = frames[0].size
    assert abs(width / height - 600 / 800) < 0.01
    assert len(frames) == 120
    assert frames[0].tobytes() != frames[-1].tobytes()
    red, green, _ = frames[0].getpixel((width // 2, height // 4))
    assert green > red + 40  # as in the picture, which is green above and red below


def test_image_to_video_ends_on_the_other_picture(engine, picture_uri):
    white = io.BytesIO()
    Image.new("RGB", (600, 800), "white").save(white, "PNG")
    upload = engine.http.post("/storage/upload/initiate", json={"file_name": "w.png"}).json()
    with httpx.Client(trust_env=False) as bare:
        bare.put(upload["upload_url"], content=white.getvalue(), headers={"Content-Type": "image/png"})
    pictures = {"start_image_url": picture_uri, "end_image_url": upload["file_url"]}
    values = {"prompt": "day breaks", "duration": "3", **pictures}
    data, frames = film(engine, engine.result(FRAMES, values))
    width, height = frames[0].size
    middle = (width // 4, height // 3, width * 2 // 3, height // 2)
    assert light(frames[-1], middle) > 220 > light(frames[0], middle)
    assert data == film(engine, engine.result(FRAMES, values))[0]


def test_shots_add_up(engine):
    shots = [{"prompt": "a door opens", "duration": "1"}, {"prompt": "light falls in", "duration": "2"}]
    _, frames = film(engine, engine.result(LONG, {"multi_prompt": shots}))
    assert len(frames) == 72


TEXTS = ["霓虹灯下的东京", "🎬✨", "Тихий океан", "été — naïve", "x" * 2500, "\u0000\u200b", "  "]


@pytest.mark.parametrize("prompt", TEXTS)
def test_any_text_can_be_a_prompt(engine, prompt):
    reply = engine.result(LONG, {"prompt": prompt, "duration": "3"})
    assert len(film(engine, reply)[1]) == 72


@pytest.fixture(scope="module")
def speech(engine):
    reply = engine.result("fal-ai/kling-video/v1/tts", {"text": "Hello there"})
    satisfies("fal-ai/kling-video/v1/tts", reply)
    audio = reply.json()["audio"]
    assert audio["content_type"] == "audio/wav"
    data = engine.http.get(audio["url"]).content
    with wave.open(io.BytesIO(data)) as file:
        seconds = file.getnframes() / file.getframerate()
        assert any(file.readframes(file.getnframes()))
    return audio["url"], seconds


@pytest.fixture(scope="module")
def source(engine, picture_uri, speech):
    """A short video made of a picture and speech."""
    name = "fal-ai/kling-video/ai-avatar/v2/pro"
    reply = engine.result(name, {"image_url": picture_uri, "audio_url": speech[0]})
    satisfies(name, reply)
    assert abs(reply.json()["duration"] - speech[1]) < 0.05
    return reply.json()["video"]["url"]


def test_speech_gives_an_avatar_its_length(engine, source, speech):
    with av.open(io.BytesIO(engine.http.get(source).content)) as container:
        assert abs(container.streams.video[0].frames - speech[1] * 24) <= 1


def test_every_kind_of_result_satisfies_its_schema(engine, picture_uri, speech, source):
    orders = {
        "fal-ai/kling-video/create-voice": {"voice_url": speech[0]},
        "fal-ai/kling-video/lipsync/audio-to-video": {"video_url": source, "audio_url": speech[0]},
        "fal-ai/kling-video/video-to-audio": {"video_url": source},
        "fal-ai/kling-video/o1/video-to-video/edit": {"prompt": "make it snow", "video_url": source},
        "fal-ai/kling/v1-5/kolors-virtual-try-on": {
            "human_image_url": picture_uri,
            "garment_image_url": picture_uri,
        },
    }
    for name, values in orders.items():
        reply = engine.result(name, values)
        assert reply.status_code == 200, (name, reply.text)
        satisfies(name, reply)
        for part in reply.json().values():
            if isinstance(part, dict):
                file = engine.http.get(part["url"])
                assert file.headers["content-type"] == part["content_type"]
                assert len(file.content) == part["file_size"]


def test_a_still_has_the_size_that_it_says(engine, picture_uri):
    values = {"human_image_url": picture_uri, "garment_image_url": picture_uri}
    image = engine.result("fal-ai/kling/v1-5/kolors-virtual-try-on", values).json()["image"]
    opened = Image.open(io.BytesIO(engine.http.get(image["url"]).content))
    assert (opened.format, opened.size) == ("PNG", (image["width"], image["height"]))


@pytest.mark.parametrize(
    ("scale", "size"),
    [("0.5", (480, 272)), ("1", (960, 540)), ("", (576, 324)), ("7", (576, 324)), ("x", (576, 324))],
)
def test_previews_can_be_drawn_small(monkeypatch, scale, size):
    from kling_nb.local.preview.picture import SCALE, frame_size

    monkeypatch.setenv(SCALE, scale)
    assert frame_size(16 / 9) == size
