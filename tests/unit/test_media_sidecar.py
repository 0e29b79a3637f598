"""Sidecars, file names and file types."""

import json
import unicodedata
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kling_nb.errors import MediaError
from kling_nb.media import Sidecar
from kling_nb.media.folder import check_type
from kling_nb.media.take import SLUG_LENGTH, is_file_name, read_sidecar, slug, stems
from kling_nb.request.file_types import NOUNS, file_type
from kling_nb.video.decisions import timestamp

SIDECAR = Sidecar(
    fingerprint="ab" * 32,
    take=2,
    endpoint="fal-ai/kling-video/v1/pro/text-to-video",
    input={"prompt": "a heron", "image_url": {"sha256": "0" * 64, "name": "heron.png"}},
    backend="fal",
    request_id="764cabcf-b745-4b3e-ae38-1200304cf45b",
    file="a-heron-abababab-2.mp4",
    kind="video",
    content_type="video/mp4",
    sha256="cd" * 32,
    size=1000,
    url="https://v3.fal.media/files/a/b.mp4",
    width=1280,
    height=720,
    fps=30.0,
    duration=5.0,
    frame_count=150,
    created_at=timestamp(1_700_000_000.5),
    finished_at=timestamp(1_700_000_060),
    billable_units="5",
    lines=(("2023-11-14T22:13:25Z", "Generating…"), (None, "done")),
)


def changed(**values: Any) -> bytes:
    return json.dumps({**json.loads(SIDECAR.to_json()), **values}).encode()


def test_a_sidecar_reads_back_as_it_was_written() -> None:
    assert Sidecar.from_json(SIDECAR.to_json()) == SIDECAR


@pytest.mark.parametrize(
    ("value", "read"), [(0.49, 0.49), (0, 0.0), (None, None), ("much", None), (-1, None), (True, None)]
)
def test_a_price_that_makes_no_sense_is_no_reason_to_lose_a_take(value: Any, read: float | None) -> None:
    assert Sidecar.from_json(changed(estimate_usd=value)) == replace(SIDECAR, estimate_usd=read)


def test_a_sidecar_without_a_price_can_be_read() -> None:
    older = json.loads(SIDECAR.to_json())
    del older["estimate_usd"]
    assert Sidecar.from_json(json.dumps(older).encode()) == SIDECAR


def test_the_file_has_its_version_first_and_every_name() -> None:
    written = json.loads(SIDECAR.to_json())
    assert list(written)[:2] == ["kling_nb", "fingerprint"]
    assert written["kling_nb"] == 1
    names = [field.name for field in fields(Sidecar) if field.name not in {"made_from", "user"}]
    assert list(written)[1:] == names
    assert written["created_at"] == "2023-11-14T22:13:20.500Z"
    assert SIDECAR.to_json().count(b"\n") == len(written) + 2


@pytest.mark.parametrize(("value", "read"), [("ab" * 32, "ab" * 32), (None, None), (7, None)])
def test_a_cell_that_makes_no_sense_is_no_reason_to_lose_a_take(value: Any, read: str | None) -> None:
    found = Sidecar.from_json(changed(made_from=value))
    assert found == replace(SIDECAR, made_from=read)
    assert ("made_from" in json.loads(found.to_json())) == (read is not None)


def test_names_of_a_later_minor_change_are_ignored() -> None:
    assert Sidecar.from_json(changed(mood="blue")) == SIDECAR


def test_what_is_not_utf8_survives() -> None:
    odd = Sidecar.from_json(changed(input={"prompt": "\ud83d alone"}))
    assert Sidecar.from_json(odd.to_json()).input == {"prompt": "\ud83d alone"}


def test_an_input_that_json_does_not_have_is_a_typed_error() -> None:
    with pytest.raises(MediaError, match="as JSON"):
        replace(SIDECAR, input={"x": float("nan")}).to_json()


@pytest.mark.parametrize(
    "values",
    [
        {"kling_nb": 2},
        {"kling_nb": True},
        {"kling_nb": "1"},
        {"take": 0},
        {"take": True},
        {"take": 1.0},
        {"take": 10**30},
        {"file": "../../etc/passwd"},
        {"file": "sub/a.mp4"},
        {"file": "sub\\a.mp4"},
        {"file": "C:a.mp4"},
        {"file": ".."},
        {"file": ". "},
        {"file": "a\0.mp4"},
        {"file": "a" * 256},
        {"file": ""},
        {"file": None},
        {"backend": "elsewhere"},
        {"backend": ["fal"]},
        {"kind": "program"},
        {"sha256": "cd" * 31},
        {"sha256": ["c"]},
        {"size": -1},
        {"size": "1000"},
        {"input": []},
        {"fps": -1},
        {"fps": 10**400},
        {"duration": True},
        {"created_at": "yesterday"},
        {"created_at": "2023-11-14T22:13:20"},
        {"created_at": 5},
        {"lines": {}},
        {"lines": ["text"]},
        {"lines": [[1, "message"]]},
        {"lines": [["time", "message", "more"]]},
        {"request_id": 5},
        {"fingerprint": ""},
    ],
)
def test_a_wrong_type_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(MediaError, match="sidecar"):
        Sidecar.from_json(changed(**values))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe\x00",
        b"null",
        b"[]",
        b'"kling_nb"',
        b"{",
        b'{"kling_nb": 1}',
        b'{"kling_nb": NaN}',
        b"[" * 100_000,
        b'{"kling_nb": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_sidecar_is_refused(data: bytes) -> None:
    with pytest.raises(MediaError):
        Sidecar.from_json(data)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@settings(derandomize=True, max_examples=400, deadline=None)
@given(name=st.sampled_from([field.name for field in fields(Sidecar)]), value=anything)
def test_any_value_anywhere_is_read_or_refused(name: str, value: Any) -> None:
    try:
        found = Sidecar.from_json(changed(**{name: value}))
    except MediaError:
        return
    assert is_file_name(found.file)
    assert Sidecar.from_json(found.to_json()) == found


@settings(derandomize=True, max_examples=300, deadline=None)
@given(data=st.binary(max_size=200) | anything.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with pytest.raises(MediaError):
        Sidecar.from_json(data)


def test_reading_from_disk_never_raises(tmp_path: Path) -> None:
    assert read_sidecar(tmp_path / "none.json") is None
    assert read_sidecar(tmp_path) is None
    (tmp_path / "a.json").write_bytes(SIDECAR.to_json())
    assert read_sidecar(tmp_path / "a.json") == SIDECAR
    (tmp_path / "b.json").write_text('{"cells": []}')
    assert read_sidecar(tmp_path / "b.json") is None


# -- names ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("A heron lands on a frozen lake", "a-heron-lands-on-a-frozen-lake"),
        ("Café, naïve Ærø & Łódź!", "cafe-naive-ærø-łodz"),
        ("雪の中の赤い狐", "雪の中の赤い狐"),
        ("हिमालय में सूर्योदय", "हिमालय-में-सूर्योदय"),
        ("ばら", "ばら"),
        ("../../etc/passwd", "etc-passwd"),
        ("CON", "con"),
        ("🦊🦊🦊", "untitled"),
        ("", "untitled"),
        ("...", "untitled"),
        (
            "a very long prompt that goes on for more than forty letters",
            "a-very-long-prompt-that-goes-on-for-more",
        ),
        ("x" * 100, "x" * 40),
    ],
)
def test_slugs(prompt: str, expected: str) -> None:
    assert slug(prompt) == expected


RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}


@settings(derandomize=True, max_examples=1000, deadline=None)
@given(prompt=st.text(max_size=120), fingerprint=st.text(min_size=1, max_size=64), take=st.integers(1, 9999))
def test_any_prompt_gives_a_name_that_every_system_accepts(prompt: str, fingerprint: str, take: int) -> None:
    for stem in stems(prompt, fingerprint, take, "fal"):
        name = f"{stem}.mp4"
        assert is_file_name(name)
        assert stem.split(".")[0] not in RESERVED
        assert not name.startswith((".", "-", " "))
        assert not stem.endswith((".", " "))
        assert unicodedata.is_normalized("NFC", name)
        assert name.isprintable()
        assert len(name.encode()) <= 255
    assert 0 < len(slug(prompt)) <= SLUG_LENGTH


def test_stems_begin_with_the_promised_name_and_differ() -> None:
    found = list(stems("A heron", "0123456789ab", 3, "fal"))
    assert found[0] == "a-heron-01234567-3"
    assert len(set(found)) == len(found) == 10


@settings(derandomize=True, max_examples=500, deadline=None)
@given(name=st.text(max_size=30))
def test_a_file_name_never_leads_out_of_its_folder(name: str) -> None:
    if is_file_name(name):
        folder = Path("/media/here")
        assert (folder / name).parent == folder
        assert ".." not in (folder / name).parts


DEVICES = ["con", "NUL.mp4", "com1.tar.gz", "LPT¹.mp4", "aux .mp4"]
PATHS = ["", ".", "..", "a/b", "a\\b", "C:x"]
ODD = ["a.mp4.", "a.mp4 ", "a\nb", "a\x7fb", "a?.mp4", "x" * 256, "ü" * 128]


@pytest.mark.parametrize("name", [*DEVICES, *PATHS, *ODD])
def test_names_that_some_system_does_not_accept_are_refused(name: str) -> None:
    assert not is_file_name(name)


@pytest.mark.parametrize(
    "name", ["a.mp4", ".hidden", "ünïcode 猫.mp4", "console.mp4", "com10.mp4", "ü" * 127]
)
def test_names_that_all_systems_accept(name: str) -> None:
    assert is_file_name(name)


# -- types by content -------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "kind", "expected"),
    [
        (b"\0\0\0\x20ftypisom", "video", ("video/mp4", ".mp4")),
        (b"\0\0\0\x14ftypqt  ", "video", ("video/quicktime", ".mov")),
        (b"\x1a\x45\xdf\xa3\x01\0\0\0\0\0\0\x1fB\x86\x81\x01B\x82\x84webm", "video", ("video/webm", ".webm")),
        (b"GIF89a", "video", ("image/gif", ".gif")),
        (b"\0\0\0\x20ftypisom", "audio", ("audio/mp4", ".m4a")),
        (b"ID3\x04", "audio", ("audio/mpeg", ".mp3")),
        (b"RIFF\0\0\0\0WAVE", "audio", ("audio/wav", ".wav")),
        (b"\xff\xd8\xff\xe0", "image", ("image/jpeg", ".jpg")),
        (b"RIFF\0\0\0\0WEBP", "image", ("image/webp", ".webp")),
        (b' {"a": 1}', "data", ("application/json", ".data.json")),
        ("grüße".encode(), "data", ("text/plain", ".txt")),
        (b"\0\1\2", "data", ("application/octet-stream", ".bin")),
        (b"\0\0\0\x20ftypisom", "data", ("video/mp4", ".mp4")),
    ],
)
def test_types_by_content(head: bytes, kind: str, expected: tuple[str, str]) -> None:
    found = check_type(head, kind, "clip.mp4")
    assert (found.mime, found.suffix) == expected


@pytest.mark.parametrize(
    ("head", "kind", "found"),
    [
        (b"\n<!DOCTYPE html><html>", "video", "a web page"),
        (b'{"detail": "gone"}', "video", "application/json"),
        (b"\xff\xd8\xff\xe0", "video", "image/jpeg"),
        (b"\0" * 20, "audio", "of no known type"),
        (b"\0\0\0\x20ftypisom", "image", "video/mp4"),
    ],
)
def test_another_kind_is_refused_by_what_it_is(head: bytes, kind: str, found: str) -> None:
    with pytest.raises(MediaError) as caught:
        check_type(head, kind, "clip.mp4")
    assert caught.value.message.startswith(f"clip.mp4 should be {NOUNS[kind]}, but it is {found}")
    assert caught.value.message.endswith("It was not stored.")


@settings(derandomize=True, max_examples=300, deadline=None)
@given(head=st.binary(max_size=64))
def test_any_bytes_have_a_type(head: bytes) -> None:
    assert file_type(head).suffix.startswith(".")
