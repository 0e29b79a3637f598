"""Limits of files that an endpoint states: what breaks them, and how an image is made to conform."""

import base64
import io
import struct
import wave

import av
import numpy as np
import pytest
from clips import clip_bytes
from PIL import Image

from kling_nb.catalog.openapi import from_openapi
from kling_nb.catalog.shipped import endpoint
from kling_nb.errors import InputError, MediaInputError
from kling_nb.request.limits import FITS, Place, breaches, conform, measure, measure_file, places
from kling_nb.request.local_file import LocalFile, MediaSlot
from kling_nb.request.request import VideoRequest, build_request

LIMITS = {"min_width": 300, "min_height": 300, "min_aspect_ratio": 0.4, "max_aspect_ratio": 2.5}
PLACE = Place(("image_url",), {"x-fal-media": "image", "x-fal": LIMITS}, "")
SLOT = MediaSlot(("image_url",), ("image",))


def encoded(size, form="PNG", color="teal", **options):
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, form, **options)
    return buffer.getvalue()


def turned(size):
    """A JPEG that EXIF turns by a quarter: `size` is that of its stored pixels."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(size, "JPEG", exif=exif)


def build(value, name="o1-image", parameter="start_image_url", fit=None, **others):
    return VideoRequest.build(endpoint(name), {"prompt": "a heron", parameter: value, **others}, fit=fit)


def refused(request, **options):
    with pytest.raises(MediaInputError) as caught:
        request.check(**options)
    assert "Nothing was sent." in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 4
    return caught.value


def fitted(data, how, place=PLACE):
    return conform(place, SLOT, LocalFile.from_bytes(data, SLOT), how)


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ((200, 400), "is 200 pixels wide; at least 300 is allowed"),
        ((400, 299), "is 299 pixels high; at least 300 is allowed"),
        ((1000, 390), "is 2.57 times as wide as high; at most 2.5 is allowed"),
        ((310, 800), "is 0.38 times as wide as high; at least 0.4 is allowed"),
    ],
)
def test_an_image_that_breaks_a_limit_is_refused_with_the_remedy(size, words):
    error = refused(build(encoded(size)))
    assert words in error.message
    assert error.parameter == "start_image_url"
    assert "--fit" in error.remedy
    assert "fit=" in error.remedy


@pytest.mark.parametrize("size", [(300, 300), (1000, 400), (400, 1000)])
def test_an_image_within_the_limits_passes(size):
    build(encoded(size)).check()


def test_a_limit_does_not_hide_what_exists():
    """A request is built, so that its take is found; only a new submission is refused."""
    assert build(encoded((8, 8))).fingerprint


def test_a_size_in_bytes_is_never_shown_as_its_limit(tmp_path):
    path = tmp_path / "long.mp4"
    path.write_bytes(clip_bytes(size=(720, 720), frames=4, fps=1))
    with path.open("r+b") as file:
        file.truncate((200 << 20) + 1)  # a sparse file
    file = LocalFile(path, None, "long.mp4", "video/mp4", (200 << 20) + 1, "0" * 64)
    error = refused(build(file, "o3-pro-edit", "video_url"))
    assert '"long.mp4" has 200.1 MB; at most 200 is allowed' in error.message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"frames": 20, "fps": 10}, "lasts 2 s; at least 3 is allowed"),
        ({"frames": 24, "fps": 2}, "lasts 12 s; at most 10.05 is allowed"),
        ({"frames": 8, "fps": 2}, "has 2 frames per second; at least 24 is allowed"),
        ({"frames": 8, "fps": 2}, "is 64 pixels wide; at least 720 is allowed"),
        ({"frames": 8, "fps": 2, "container": "matroska"}, "has the format mkv; fal accepts mp4 or mov here"),
    ],
)
def test_a_clip_that_breaks_a_limit_is_refused(options, words):
    assert words in refused(build(clip_bytes(**options), "o1-edit", "video_url")).message


@pytest.mark.parametrize(("facing", "passes"), [("image", False), ("video", True)])
def test_a_limit_may_depend_on_another_parameter(facing, passes):
    clip = clip_bytes(frames=24, fps=2)  # 12 s
    others = {"image_url": "https://example.com/a.png", "character_orientation": facing}
    request = build(clip, "v3-pro-motion-control", "video_url", **others)
    if passes:
        request.check()
    else:
        assert "lasts 12 s; at most 10.05 is allowed" in refused(request).message


def test_the_remedy_for_a_clip_is_the_flag_unless_it_is_too_short():
    assert "--fit" in refused(build(clip_bytes(frames=24, fps=2), "o1-edit", "video_url")).remedy
    short = refused(build(clip_bytes(), "o1-edit", "video_url", fit="crop"))
    assert short.remedy.startswith("Give a longer one.")


def test_sound_has_limits_too():
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(16_000))
    request = VideoRequest.build(endpoint("create-voice"), {"voice_url": buffer.getvalue()})
    assert "lasts 1 s; at least 5 is allowed" in refused(request).message
    buffer.seek(0)
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 1, 100, 0, "NONE", ""))
        file.writeframes(bytes(4_000))
    long = refused(VideoRequest.build(endpoint("create-voice"), {"voice_url": buffer.getvalue()}, fit="crop"))
    assert long.remedy.endswith("ffmpeg -i FILE -t 30.05 fitted.mp3")


def test_files_in_elements_and_data_uris_are_measured_and_urls_are_not():
    small = "data:image/png;base64," + base64.b64encode(encoded((8, 8))).decode()
    elements = [{"frontal_image_url": small, "reference_image_urls": ["https://example.com/a.png"]}]
    request = VideoRequest.build(endpoint("o1-reference"), {"prompt": "@Element1", "elements": elements})
    error = refused(request)
    assert error.parameter == "elements.0.frontal_image_url"
    build("https://example.com/tiny.png").check()


def test_the_size_is_that_of_the_image_as_shown():
    found = measure(io.BytesIO(turned((900, 400))), 1).values
    assert (found["width"], found["height"]) == (400, 900)
    clip = measure(io.BytesIO(clip_bytes(size=(64, 48), rotation=90)), 1).values
    assert (clip["width"], clip["height"]) == (48, 64)


def test_a_preview_of_a_clip_may_be_small_in_a_rehearsal_only():
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as out:
        out.metadata["comment"] = "LOCAL PREVIEW of kling_nb, not made by a model"
        stream = out.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(96):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    request = build(buffer.getvalue(), "o1-edit", "video_url")
    request.check(rehearsal=True)
    assert "64 pixels wide" in refused(request).message


# -- making it conform


@pytest.mark.parametrize("how", FITS)
@pytest.mark.parametrize("size", [(100, 80), (1200, 300), (200, 900), (40, 1000), (3, 2)])
def test_every_way_makes_an_image_that_is_within_the_limits(how, size):
    found = fitted(encoded(size), how)
    assert breaches(PLACE, measure_file(found)) == []


def test_each_way_does_what_its_name_says():
    wide = Image.new("RGB", (1200, 300), "teal")
    wide.paste("red", (0, 0, 150, 300))
    buffer = io.BytesIO()
    wide.save(buffer, "PNG")
    shown = {
        how: np.asarray(Image.open(io.BytesIO(fitted(buffer.getvalue(), how).read())).convert("RGB"))
        for how in FITS
    }
    assert {how: pixels.shape[:2] for how, pixels in shown.items()} == {
        "crop": (300, 750),
        "pad": (480, 1200),
        "scale": (480, 1200),
    }
    assert tuple(shown["crop"][150, 5]) == (0, 128, 128)  # the red edge is cut off
    assert tuple(shown["pad"][2, 600]) == (0, 0, 0)
    assert tuple(shown["scale"][2, 5]) == (255, 0, 0)


def test_an_image_that_conforms_is_not_touched_and_stays_the_same_request():
    data = encoded((640, 480))
    assert fitted(data, "crop").read() == data
    assert build(data, fit="pad").fingerprint == build(data).fingerprint


def test_the_request_depends_on_the_recipe_and_not_on_the_encoder():
    data = encoded((1200, 300))
    crop, pad = (build(data, fit=how) for how in ("crop", "pad"))
    assert len({crop.fingerprint, pad.fingerprint, build(data).fingerprint}) == 3
    assert build(data, fit="crop").fingerprint == crop.fingerprint
    crop.check()
    file = crop.files["start_image_url"]
    assert file.sha256 != LocalFile.from_bytes(file.read(), SLOT).sha256


def test_exif_is_respected():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.new("RGB", (200, 120), "blue")
    image.paste("red", (0, 0, 200, 20))  # the upper edge, which is on the right when upright
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif, quality=95)
    upright = Image.open(io.BytesIO(fitted(buffer.getvalue(), "scale").read()))
    assert upright.width < upright.height
    assert upright.getpixel((upright.width - 3, upright.height // 2))[0] > 200


@pytest.mark.parametrize("form", ["GIF", "AVIF"])
def test_formats_that_fal_may_not_take_are_converted(form):
    found = fitted(encoded((640, 480), form), "crop")
    assert found.content_type in {"image/jpeg", "image/png"}
    assert found.name.endswith((".jpg", ".png"))


def test_a_stated_format_is_kept_to():
    request = build(encoded((640, 480), "WEBP"), "v3-turbo-pro-image", "image_url")
    assert "has the format webp; fal accepts jpg or png here" in refused(request).message
    build(encoded((640, 480), "WEBP"), "v3-turbo-pro-image", "image_url", fit="crop").check()


def test_transparency_stays_and_16_bits_keep_their_range():
    buffer = io.BytesIO()
    Image.new("RGBA", (100, 100), (255, 0, 0, 0)).save(buffer, "PNG")
    clear = Image.open(io.BytesIO(fitted(buffer.getvalue(), "pad").read()))
    assert (clear.mode, clear.getpixel((5, 5))[3]) == ("RGBA", 0)
    deep = io.BytesIO()
    Image.fromarray(np.full((100, 100), 32_896, np.uint16)).save(deep, "PNG")
    assert Image.open(io.BytesIO(fitted(deep.getvalue(), "crop").read())).convert("L").getpixel((5, 5)) == 128


def test_a_file_above_its_size_is_compressed():
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 255, (400, 400, 3), np.uint8))
    buffer = io.BytesIO()
    noise.save(buffer, "PNG")
    place = Place(("image_url",), {"x-fal-media": "image", "x-fal": {"max_file_size": 200_000}}, "")
    found = fitted(buffer.getvalue(), "scale", place)
    assert (found.content_type, found.size <= 200_000) == ("image/jpeg", True)


def test_heic_is_converted():
    found = fitted(heic(), "scale")
    image = Image.open(io.BytesIO(found.read()))
    assert (found.content_type, image.size) == ("image/jpeg", (320, 320))
    assert image.getpixel((160, 160))[0] > 150


def test_an_image_that_cannot_be_decoded_is_not_sent_unchanged():
    with pytest.raises(MediaInputError, match="cannot be decoded here, so fit cannot change it") as caught:
        build(heic()[:400], fit="crop")
    assert "pip install pillow-heif" in caught.value.remedy


def test_only_three_ways_exist():
    with pytest.raises(InputError, match='fit is "stretch"') as caught:
        build_request(
            endpoint("v1-pro"), prompt="x", image=None, end_image=None, parameters={}, fit="stretch"
        )
    assert caught.value.parameter == "fit"


# -- making a clip conform


@pytest.mark.parametrize(
    ("options", "how", "changes"),
    [
        ({"frames": 96, "fps": 24, "size": (720, 720)}, "crop", ""),
        ({"frames": 16, "fps": 4, "size": (720, 720)}, "crop", "4 frames per second became 24"),
        (
            {"frames": 24, "fps": 2, "size": (64, 48)},
            "pad",
            "64 × 48 pixels became 960 × 720, 2 frames per second became 24, only its first 10 s of 12",
        ),
        ({"frames": 96, "fps": 24, "size": (64, 8)}, "crop", "64 × 8 pixels became 2160 × 720"),
        ({"frames": 96, "fps": 24, "size": (64, 8)}, "scale", "64 × 8 pixels became 2160 × 720"),
        ({"frames": 96, "fps": 24, "size": (8, 64)}, "pad", "8 × 64 pixels became 720 × 2160"),
        ({"frames": 96, "fps": 24, "size": (720, 720), "container": "matroska"}, "pad", "mkv became mp4"),
    ],
)
def test_a_clip_is_planned_within_the_limits_and_says_what_changes(options, how, changes):
    data = clip_bytes(**options)
    request = build(data, "o1-edit", "video_url", fit=how)
    request.check()
    assert request.notes == ((f"video_url was changed by fit={how}: {changes}.",) if changes else ())
    assert (request.fingerprint == build(data, "o1-edit", "video_url").fingerprint) == (not changes)


def test_a_clip_counts_by_its_source_and_the_recipe_and_is_not_read_before_it_is_converted():
    data = clip_bytes(frames=96, fps=24)
    crop, pad = (build(data, "o1-edit", "video_url", fit=how) for how in ("crop", "pad"))
    assert len({crop.fingerprint, pad.fingerprint, build(data, "o1-edit", "video_url").fingerprint}) == 3
    assert build(data, "o1-edit", "video_url", fit="crop").fingerprint == crop.fingerprint
    file = crop.files["video_url"]
    assert build(file, "o1-edit", "video_url", fit="crop").fingerprint == crop.fingerprint
    assert build(file, "o1-edit", "video_url").fingerprint == crop.fingerprint
    for read in (file.open, file.read):
        with pytest.raises(MediaInputError, match="was not converted yet"):
            read()


# -- what a live schema states


def test_limits_of_a_live_schema_are_kept_from_the_keyword_and_from_the_words():
    words = "A clip. Max file size: 300.0MB, Min width: 700px, Max aspect ratio: 2.50, Min FPS: 23.9"
    stated = {"max_duration": 30.05, "min_width": 720}
    listed = {"type": "array", "items": {"type": "string"}, "x-fal": {"min_height": 300}}
    taken = {
        "video_url": {"type": "string", "description": words, "x-fal": stated},
        "image_urls": {"anyOf": [listed, {"type": "null"}]},
        "seed": {"type": "integer", "x-fal": {"max_width": "wide", "odd": 1, "min_width": float("inf")}},
    }
    body = {"content": {"application/json": {"schema": {"type": "object", "properties": taken}}}}
    document = {"paths": {"/a/b": {"post": {"requestBody": body}}}}
    schema = from_openapi("a/b", document, fetched_at="").input_schema
    video, images = places(schema, {"video_url": "https://e.org/v", "image_urls": ["https://e.org/i"]})
    assert video.limits == {
        "max_file_size": 300 << 20,
        "min_width": 720,
        "max_aspect_ratio": 2.5,
        "min_fps": 23.9,
        "max_duration": 30.05,
    }
    assert images.limits == {"min_height": 300}
    assert "x-fal" not in schema["properties"]["seed"]


def heic():
    """A HEIC file of 320 × 320 red pixels: one HEVC picture in the boxes of ISO 23008-12."""
    with av.open(io.BytesIO(), "w", format="mp4") as out:
        stream = out.add_stream("libx265", rate=1, options={"x265-params": "log-level=none:info=0"})
        stream.width, stream.height, stream.pix_fmt = 320, 320, "yuv420p"
        red = np.zeros((320, 320, 3), np.uint8)
        red[..., 0] = 220
        packets = [*stream.encode(av.VideoFrame.from_ndarray(red, format="rgb24")), *stream.encode(None)]
        config = bytes(stream.codec_context.extradata)
    units = split_units(b"".join(map(bytes, packets)))
    sets = split_units(config)
    picture = b"".join(struct.pack(">I", len(unit)) + unit for unit in units)
    hvcc = bytes([1, 1, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 60, 0xF0, 0, 0xFC, 0xFD, 0xF8, 0xF8, 0, 0, 0x0F])
    hvcc += bytes([len(sets)])
    for unit in sets:
        hvcc += struct.pack(">BHH", unit[0] >> 1 & 0x3F | 0x80, 1, len(unit)) + unit

    def box(kind, content, full=None):
        head = b"" if full is None else struct.pack(">I", full)
        return struct.pack(">I", 8 + len(head) + len(content)) + kind + head + content

    def meta(offset):
        location = struct.pack(">BBHHHHII", 0x44, 0, 1, 1, 0, 1, offset, len(picture))
        ispe = box(b"ispe", struct.pack(">II", 320, 320), 0)
        properties = box(b"ipco", box(b"hvcC", hvcc) + ispe)
        properties += box(b"ipma", struct.pack(">IHBBB", 1, 1, 2, 0x81, 2), 0)
        entry = box(b"infe", struct.pack(">HH", 1, 0) + b"hvc1\0", 2 << 24)
        parts = box(b"hdlr", bytes(4) + b"pict" + bytes(13), 0) + box(b"pitm", struct.pack(">H", 1), 0)
        parts += box(b"iloc", location, 0) + box(b"iinf", struct.pack(">H", 1) + entry, 0)
        return box(b"meta", parts + box(b"iprp", properties), 0)

    start = box(b"ftyp", b"heic" + bytes(4) + b"mif1heic")
    return start + meta(len(start) + len(meta(0)) + 8) + box(b"mdat", picture)


def split_units(stream):
    """The NAL units of an Annex B stream."""
    parts = stream.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")
    return [unit.rstrip(b"\0") for unit in parts if unit.strip(b"\0")]
