"""Results that are not videos, and other files of a result."""

import json
from pathlib import Path

import pytest
from clips import clip_bytes, in_chunks

from kling_nb.errors import MediaError, UsageError
from kling_nb.media import MediaFolder, Take, TakeDraft
from kling_nb.notebook.card import html as card
from kling_nb.notebook.card.job import card_of_file
from kling_nb.video import MediaFile, Video

SOUND = b"ID3" + bytes(300)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(60)


def draft(kind: str, **changes: object) -> TakeDraft:
    about = {
        "fingerprint": "f" * 64,
        "take": None,
        "endpoint": "fal-ai/kling-video/v1/tts",
        "input": {"text": "Good <b>evening"},
        "prompt": "Good evening",
        "backend": "fal",
        "request_id": "r-1",
        "url": "https://example.com/file",
        "kind": kind,
    }
    return TakeDraft(**{**about, **changes})  # type: ignore[arg-type]


async def store(folder: Path, data: bytes, kind: str, **changes: object) -> Take:
    return await MediaFolder(folder).store(in_chunks(data), draft(kind, **changes))


@pytest.mark.parametrize(
    ("data", "kind", "found", "content_type"),
    [
        (SOUND, "audio", "audio", "audio/mpeg"),
        (PNG, "image", "image", "image/png"),
        (SOUND, "data", "audio", "audio/mpeg"),  # The endpoint does not name the kind.
        (PNG, "data", "image", "image/png"),
        (b"PK\x03\x04\x00" + bytes(30), "data", "data", "application/octet-stream"),
        (b'{"mesh": 1}', "data", "data", "application/json"),
    ],
)
async def test_a_file_of_its_kind(
    tmp_path: Path, data: bytes, kind: str, found: str, content_type: str
) -> None:
    take = await store(tmp_path, data, kind)
    result = take.result()
    assert isinstance(result, MediaFile)
    assert (result.kind, result.content_type, result.read()) == (found, content_type, data)
    assert (result.take, result.backend, result.request_id) == (1, "fal", "r-1")
    assert result.url == "https://example.com/file"
    assert result.request == {"endpoint": "fal-ai/kling-video/v1/tts", "input": {"text": "Good <b>evening"}}


async def test_a_video_of_an_endpoint_without_a_file_kind(tmp_path: Path) -> None:
    result = (await store(tmp_path, clip_bytes(), "data")).result()
    assert isinstance(result, Video)
    assert (result.width, result.take) == (64, 1)


async def test_data_without_a_file_is_a_dict(tmp_path: Path) -> None:
    take = await store(tmp_path, json.dumps({"voice_id": "ü"}).encode(), "data", url="")
    assert take.result() == {"voice_id": "ü"}


async def test_save_open_and_show(tmp_path: Path) -> None:
    sound = (await store(tmp_path / "media", SOUND, "audio", backend="local")).result()
    assert isinstance(sound, MediaFile)
    copy = sound.save(tmp_path / "copy.mp3")
    assert copy.read_bytes() == SOUND
    with pytest.raises(UsageError, match=r"copy\.mp3"):
        sound.save(copy)
    assert sound.save(copy, overwrite=True) == copy
    assert Path(sound) == sound.path
    assert repr(sound) == f"<MediaFile {sound.path.name!r} audio, audio/mpeg, take 1, local preview>"
    assert sound._repr_mimebundle_() == {"text/plain": repr(sound)}
    html = card.html(card_of_file(sound))
    assert "<audio src=" in html
    assert "Good &lt;b&gt;evening" in html
    sound.path.unlink()
    with pytest.raises(MediaError, match="Run its cell again"):
        sound.read()
    with pytest.raises(MediaError, match="no longer"):
        sound.save(tmp_path / "other.mp3")


async def test_other_files_are_next_to_the_take(tmp_path: Path) -> None:
    folder = MediaFolder(tmp_path)
    take = await store(tmp_path, clip_bytes(), "video")
    path = await folder.store_other(take, "audio", in_chunks(SOUND))
    assert path.name == f"{take.path.stem}.audio.mp3"
    assert take.others() == {"audio": path}
    assert await folder.store_other(take, "audio", in_chunks(SOUND)) == path
    assert take.other("audio") == path
    assert take.other("aud") is None
    other = await folder.store_other(take, "../images 2", in_chunks(PNG))
    assert other.parent == tmp_path
    assert folder.takes("f" * 64) == (take,)
    with pytest.raises(MediaError, match="cut short"):
        await folder.store_other(take, "mask", in_chunks(PNG), expected_size=99)
    assert sorted(take.others()) == ["audio", "images-2"]
