"""What becomes of a result: files of all kinds, bytes inside the answer, downloads that fail."""

import base64
import json
import wave
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from scripted import Done, Script, ScriptedFal, sample_mp4

from kling_nb import errors
from kling_nb.events import State
from kling_nb.ledger import Ledger
from kling_nb.session import Session


def sound() -> bytes:
    buffer = BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(1600))
    return buffer.getvalue()


def test_an_endpoint_that_gives_audio(session: Session, fal: ScriptedFal, ledger: Ledger) -> None:
    url = fal.cdn.put("speech.wav", sound(), "audio/wav")
    fal.script = Script([Done(output={"audio": {"url": url}})])
    job = session.submit("good evening", endpoint="tts")
    job.wait()
    assert job.video is None
    assert job.output == {"audio": {"url": url}}
    assert job.file is not None
    assert (job.file.suffix, job.file.read_bytes()) == (".wav", sound())
    assert fal.accepted[0].input == {"text": "good evening"}
    assert ledger.entries()[0].media_path == str(job.file)
    again = session.submit("good evening", endpoint="tts")
    assert again.reused
    assert again.file == job.file


def test_an_endpoint_that_gives_an_image(session: Session, fal: ScriptedFal, picture: Path) -> None:
    url = fal.cdn.put("on.jpg", picture.read_bytes(), "application/octet-stream")
    fal.script = Script([Done(output={"image": {"url": url, "content_type": None, "width": 320}})])
    job = session.submit(endpoint="try-on", human_image_url=picture, garment_image_url=picture)
    job.wait()
    assert job.video is None
    assert job.file is not None
    assert (job.file.suffix, job.file.read_bytes()) == (".jpg", picture.read_bytes())
    assert fal.accepted[0].app == "fal-ai/kling"


def test_an_endpoint_that_gives_data(session: Session, fal: ScriptedFal) -> None:
    fal.script = Script([Done(output={"voice_id": "v-123"})])
    job = session.submit(endpoint="create-voice", voice_url="https://example.com/voice.mp3")
    job.wait()
    assert job.video is None
    assert job.output == {"voice_id": "v-123"}
    assert job.file is not None
    assert json.loads(job.file.read_text()) == {"voice_id": "v-123"}
    assert fal.count("download") == 0
    again = session.submit(endpoint="create-voice", voice_url="https://example.com/voice.mp3")
    assert again.reused


CLIP = base64.b64encode(sample_mp4()).decode()


@pytest.mark.parametrize(
    "file",
    [
        {"file_data": CLIP},
        {"file_data": CLIP, "url": None, "content_type": 7, "file_name": ["x"]},
        {"file_data": f"data:video/mp4;base64,{CLIP}"},
        {"url": f"data:video/mp4;base64,{CLIP}", "content_type": "video/mp4"},
    ],
    ids=["file_data", "odd types", "file_data as URI", "URI"],
)
def test_bytes_inside_the_result(session: Session, fal: ScriptedFal, file: dict[str, Any]) -> None:
    fal.script = Script([Done(output={"video": file})])
    video = session.generate("a cat")
    assert video is not None
    assert video.path.read_bytes() == sample_mp4()
    assert fal.count("download") == 0
    assert video.url is None


def test_a_result_with_nothing_but_a_url(session: Session, fal: ScriptedFal) -> None:
    fal.script = Script([Done(bare=True)])
    assert session.generate("a cat") is not None


def test_a_result_with_a_list_of_files(session: Session, fal: ScriptedFal) -> None:
    urls = [fal.cdn.put(name, sample_mp4(), "video/mp4") for name in ("a.mp4", "b.mp4")]
    fal.script = Script([Done(output={"video": [{"url": url} for url in urls]})])
    job = session.submit("a cat")
    job.wait()
    assert job.video is not None
    assert job.video.url == urls[0]


@pytest.mark.parametrize(
    "output",
    [
        {},
        {"video": None},
        {"video": []},
        {"video": {}},
        {"video": {"url": None, "file_data": None}},
        {"video": {"file_data": "not base64!"}},
        {"video": {"url": "http://example.com/plain.mp4"}},
        {"video": {"url": "file:///etc/passwd"}},
        {"video": {"url": "https://[half"}},
        {"video": {"url": "https://exa mple.com/"}},
        {"video": {"url": 7}},
        {"images": [{"url": "https://example.com/a.png"}]},
    ],
    ids=str,
)
def test_a_result_without_a_usable_file(
    session: Session, fal: ScriptedFal, ledger: Ledger, output: dict[str, Any]
) -> None:
    """It was paid for, so its row is not closed, and what it says is not lost."""
    fal.script = Script([Done(output=output)])
    job = session.submit("a cat")
    with pytest.raises(errors.MediaError) as caught:
        job.wait()
    assert len(str(caught.value).splitlines()) <= 4
    assert job.output == output
    assert not ledger.entries()[0].state.finished
    with pytest.raises(errors.MediaError):
        session.generate("a cat")
    assert len(fal.accepted) == 1


# tests/faults/table.py has more of these, and of those of an upload.
DOWNLOAD_FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("reset", {"at": "mid_body"}),
    ("status", {"status": 200, "body": b"<html>not here</html>"}),
    ("wrong_length", {"by": 10}),
]


@pytest.mark.parametrize(("kind", "options"), DOWNLOAD_FAULTS, ids=lambda value: str(value)[:40])
def test_a_download_that_fails_at_first(
    session: Session, fal: ScriptedFal, kind: str, options: dict[str, Any], tmp_path: Path
) -> None:
    fal.fault("download", kind, times=3, **options)
    video = session.generate("a cat")
    assert video is not None
    assert video.path.read_bytes() == sample_mp4()
    # A length that is wrong by some bytes lets the rest be asked for in vain, once more than the rest.
    assert fal.count("download") == (5 if kind == "wrong_length" else 4)
    assert fal.count("result") == 1
    assert len(list((tmp_path / "media").iterdir())) == 2


@pytest.mark.parametrize(("kind", "options"), DOWNLOAD_FAULTS, ids=lambda value: str(value)[:40])
def test_a_download_that_keeps_failing_can_be_repeated_later(
    session: Session, fal: ScriptedFal, ledger: Ledger, kind: str, options: dict[str, Any], tmp_path: Path
) -> None:
    fal.fault("download", kind, times=None, **options)
    job = session.submit("a cat")
    with pytest.raises((errors.MediaError, errors.UnreachableError)) as caught:
        job.wait()
    assert len(str(caught.value).splitlines()) <= 4
    assert ledger.entries()[0].state is State.DOWNLOADING
    assert not list((tmp_path / "media").glob("*"))
    fal.clear_faults()
    assert session.generate("a cat") is not None
    assert fal.count("result") == len(fal.accepted) == 1


def test_a_download_without_its_length(session: Session, fal: ScriptedFal) -> None:
    fal.fault("download", "unsized")
    assert session.generate("a cat") is not None


def test_a_download_that_is_elsewhere(session: Session, fal: ScriptedFal) -> None:
    fal.fault("download", "redirect")
    assert session.generate("a cat") is not None
    assert fal.last("download").path.startswith("/moved/")


@pytest.mark.parametrize("place", ["http://example.com/", "ftp://127.0.0.1/", "//"])
def test_a_download_from_a_forbidden_place(session: Session, fal: ScriptedFal, place: str) -> None:
    def elsewhere(reply: Any) -> Any:
        return replace(reply, status=302, headers=(("location", place),), body=b"")

    fal.fault("download", "edit", edit=elsewhere, times=None)
    with pytest.raises((errors.MediaError, errors.UnreachableError)):
        session.generate("a cat")


def test_a_download_that_leads_in_a_circle(session: Session, fal: ScriptedFal) -> None:
    fal.fault("download", "redirect", times=None)
    with pytest.raises(errors.MediaError, match="in a loop"):
        session.generate("a cat")


def test_a_result_says_whatever_it_likes(session: Session, fal: ScriptedFal) -> None:
    fal.script = Script([Done(extra={"seed": 7, "prompt": "<b>", "nsfw": [False], "timings": {"x": 1e300}})])
    job = session.submit("a cat")
    assert job.wait() is not None
    assert job.output is not None
    assert job.output["seed"] == 7


# uploads


def test_an_image_by_path(session: Session, fal: ScriptedFal, picture: Path) -> None:
    job = session.submit("a cat", image=picture)
    assert job.wait() is not None
    exchanges = [record.exchange for record in fal.requests]
    assert exchanges[:3] == ["upload_initiate", "upload", "submit"]
    assert fal.last("upload_initiate").json == {"content_type": "image/jpeg", "file_name": "cat.jpg"}
    assert fal.last("upload_initiate").query == {"storage_type": "fal-cdn-v3"}
    put = fal.last("upload")
    assert (put.method, put.body) == ("PUT", picture.read_bytes())
    assert "authorization" not in put.headers
    assert not fal.stray_keys
    assert put.headers["content-type"] == "image/jpeg"
    sent = fal.accepted[0]
    assert sent.endpoint_id == "fal-ai/kling-video/v1/pro/image-to-video"  # the sister of the endpoint set
    assert fal.cdn.get(sent.input["image_url"]).data == picture.read_bytes()
    assert any("uploading cat.jpg" in line.message for line in job.lines)


def test_equal_bytes_are_the_same_request(
    session: Session, fal: ScriptedFal, picture: Path, tmp_path: Path
) -> None:
    job = session.submit("a cat", image=picture)
    job.wait()
    renamed = tmp_path / "renamed.jpg"
    renamed.write_bytes(picture.read_bytes())
    for same in (renamed, str(renamed), picture.read_bytes()):
        again = session.submit("a cat", image=same)
        assert again.reused
        assert again.request.fingerprint == job.request.fingerprint
    picture.write_bytes(picture.read_bytes() + b"\0")
    assert not session.submit("a cat", image=picture).reused


def test_a_url_is_sent_as_it_is(session: Session, fal: ScriptedFal) -> None:
    session.generate("a cat", image="https://example.com/cat.jpg")
    assert fal.accepted[0].input == {"prompt": "a cat", "image_url": "https://example.com/cat.jpg"}
    assert fal.count("upload") == 0


def test_two_files_of_one_request(
    session: Session, fal: ScriptedFal, make_picture: Callable[..., Path]
) -> None:
    first, last = make_picture("first.jpg", "red"), make_picture("last.jpg", "blue")
    session.generate("a cat", endpoint="v3-pro-image", image=first, end_image_url=last)
    sent = fal.accepted[0].input
    assert fal.cdn.get(sent["start_image_url"]).data == first.read_bytes()
    assert fal.cdn.get(sent["end_image_url"]).data == last.read_bytes()


UPLOAD_FAULTS: list[tuple[str, str, dict[str, Any]]] = [
    ("upload_initiate", "reset", {}),
    ("upload", "status", {"status": 503}),
]


@pytest.mark.parametrize(("exchange", "kind", "options"), UPLOAD_FAULTS, ids=str)
def test_an_upload_that_fails_at_first(
    session: Session, fal: ScriptedFal, picture: Path, exchange: str, kind: str, options: dict[str, Any]
) -> None:
    fal.fault(exchange, kind, times=2, **options)
    assert session.generate("a cat", image=picture) is not None
    assert len(fal.accepted) == 1


@pytest.mark.parametrize(("exchange", "kind", "options"), UPLOAD_FAULTS, ids=str)
def test_an_upload_that_keeps_failing(
    session: Session,
    fal: ScriptedFal,
    ledger: Ledger,
    picture: Path,
    exchange: str,
    kind: str,
    options: dict[str, Any],
) -> None:
    fal.fault(exchange, kind, times=None, **options)
    with pytest.raises(errors.KlingError) as caught:
        session.generate("a cat", image=picture)
    assert not isinstance(caught.value, errors.SubmissionUncertain)
    assert fal.count("submit") == 0
    assert ledger.entries()[0].state is State.FAILED
    fal.clear_faults()
    assert session.generate("a cat", image=picture) is not None


def test_an_upload_is_not_sent_to_a_forbidden_place(
    session: Session, fal: ScriptedFal, picture: Path
) -> None:
    fal.fault("upload_initiate", "foreign_urls", to="http://example.com", times=None)
    with pytest.raises(errors.UnreachableError):
        session.generate("a cat", image=picture)
    assert fal.count("submit") == 0


def test_upload_alone(session: Session, fal: ScriptedFal, picture: Path) -> None:
    url = session.upload(picture)
    assert fal.cdn.get(url).data == picture.read_bytes()
    assert fal.cdn.get(url).content_type == "image/jpeg"
    url = session.upload(b"whatever", content_type="text/x-odd")
    assert fal.cdn.get(url).content_type == "text/x-odd"
    for bad in (picture.with_name("missing.jpg"), picture.parent, b""):
        with pytest.raises(errors.MediaInputError):
            session.upload(bad)
    assert httpx.URL(url).host == "localhost"
