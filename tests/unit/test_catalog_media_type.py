"""Formats of real files, written by the usual libraries."""

import io

import av
import numpy as np
import pytest
from PIL import Image

from kling_nb.request.file_types import HEAD, detect, file_type


def image_bytes(form):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "teal").save(buffer, form)
    return buffer.getvalue()


def video(container, codec, pixels="yuv420p"):
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = pixels
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def sound(container, codec, layout="s16"):
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=48_000, layout="mono")
        samples = np.zeros((1, 48_000), np.float32 if layout == "fltp" else np.int16)
        frame = av.AudioFrame.from_ndarray(samples, format=layout, layout="mono")
        frame.sample_rate = 48_000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("form", "mime"),
    [
        ("PNG", "image/png"),
        ("JPEG", "image/jpeg"),
        ("WEBP", "image/webp"),
        ("GIF", "image/gif"),
        ("AVIF", "image/avif"),
    ],
)
def test_images(form, mime):
    found = detect(image_bytes(form)[:HEAD])
    assert (found.kind, found.mime) == ("image", mime)


@pytest.mark.parametrize(
    ("container", "codec", "mime"),
    [
        ("mp4", "mpeg4", "video/mp4"),
        ("mov", "mpeg4", "video/quicktime"),
        ("webm", "libvpx", "video/webm"),
        ("matroska", "mpeg4", "video/x-matroska"),
    ],
)
def test_videos(container, codec, mime):
    found = detect(video(container, codec)[:HEAD])
    assert (found.kind, found.mime) == ("video", mime)


@pytest.mark.parametrize(
    ("container", "codec", "layout", "mime"),
    [
        ("mp3", "libmp3lame", "fltp", "audio/mpeg"),
        ("wav", "pcm_s16le", "s16", "audio/wav"),
        ("ogg", "libopus", "s16", "audio/ogg"),
        ("ipod", "aac", "fltp", "audio/mp4"),
        ("flac", "flac", "s16", "audio/flac"),
        ("adts", "aac", "fltp", "audio/aac"),
    ],
)
def test_sounds(container, codec, layout, mime):
    found = detect(sound(container, codec, layout)[:HEAD])
    assert (found.kind, found.mime) == ("audio", mime)


def test_mp3_without_a_tag():
    tagged = sound("mp3", "libmp3lame", "fltp")
    size = int.from_bytes(bytes(tagged[6:10]), "big") + 10  # small enough for plain bytes
    assert tagged[:3] == b"ID3"
    assert detect(tagged[size : size + HEAD]).mime == "audio/mpeg"


@pytest.mark.parametrize(
    ("head", "mime"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "image/heic"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "image/heic"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "image/avif"),
        (b"\0\0\0\x18ftypisom\0\0\x02\0isommp41", "video/mp4"),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "video/quicktime"),
    ],
)
def test_iso_media_by_brand(head, mime):
    assert detect(head).mime == mime


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"%PDF-1.7 ...", "a PDF document"),
        (b"PK\x03\x04....", "a ZIP archive"),
        (b"BM......", "a BMP image"),
        (b"II*\0....", "a TIFF image"),
        (b"  <!DOCTYPE html><title>Not found</title>", "a web page (HTML)"),
        (b"<?xml version='1.0'?><svg/>", "an SVG drawing"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer, not the file itself"),
        (b"ein Reiher", "plain text"),
        (("x" + "é" * HEAD).encode()[:HEAD], "plain text"),
        ("text in UTF-16".encode("utf-16"), "data of no known media format"),
        (b"\xff\xd8", "data of no known media format"),
        (b"\x80", "data of no known media format"),
        (b"\0\1\2\3", "data of no known media format"),
        (b"RIFF\0\0\0\0AVI LIST", "an AVI video"),
    ],
)
def test_what_is_no_media_type_has_a_noun_where_it_is_recognised(head, words):
    assert detect(head) is None
    assert file_type(head).noun == words
