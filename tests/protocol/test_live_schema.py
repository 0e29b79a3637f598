"""Endpoints that do not come with the package: their schema is asked for, kept, and used when fal is away."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from live_documents import CHOIR, FLUFF, GOAT, ID, PICTURES, SPEECH
from scripted import Done, Hold, Queue, Script, ScriptedFal

from kling_nb.catalog.shipped import endpoint as shipped_endpoint
from kling_nb.errors import InputError, UnknownEndpoint, UnreachableError, UsageError
from kling_nb.notebook.output.terminal import plan_text
from kling_nb.session import Session
from kling_nb.video import MediaFile

PNG = b"\x89PNG\r\n\x1a\n" + bytes(60)


@pytest.fixture
def fal(fal: ScriptedFal) -> ScriptedFal:
    fal.platform.openapi |= {ID: GOAT, SPEECH: CHOIR, PICTURES: FLUFF}
    fal.queue.apps |= {"alibaba/lucky-goat", "someone/choir", "fal-ai/fluff"}
    return fal


@pytest.fixture
def again(fal: ScriptedFal, make_session: Callable[..., Session]) -> Callable[[], Session]:
    """Makes sessions that ask this server for schemas, each as a new kernel would."""
    return lambda: make_session(schema_url=fal.url)


@pytest.fixture
def session(again: Callable[[], Session]) -> Session:
    return again()


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    return tmp_path / "home" / "schemas" / f"{ID.replace('/', '%2F')}.json"


def make_older(path: Path, days: int) -> str:
    """Let the stored schema have come so many days ago; gives its day."""
    entry = json.loads(path.read_text())
    entry["fetched_at"] = (datetime.now(UTC) - timedelta(days=days)).isoformat()
    path.write_text(json.dumps(entry))
    return str(entry["fetched_at"][:10])


def test_it_is_fetched_once_without_the_key_and_kept(
    fal: ScriptedFal, again: Callable[[], Session], stored: Path
) -> None:
    session = again()
    first = session.endpoint(ID)
    assert fal.last("openapi").query == {"endpoint_id": ID}
    assert session.endpoint(f" {ID}/ ") == first
    assert again().endpoint(ID) == first
    assert fal.count("openapi") == 1
    assert not any(record.carries(fal.key.partition(":")[2]) for record in fal.requests)
    assert "authorization" not in fal.last("openapi").headers
    entry = json.loads(stored.read_text())
    assert entry["document"] == GOAT
    assert datetime.now(UTC) - datetime.fromisoformat(entry["fetched_at"]) < timedelta(minutes=5)
    assert not [path for path in stored.parent.iterdir() if path != stored]


def test_what_comes_with_the_package_is_never_asked_for(fal: ScriptedFal, session: Session) -> None:
    assert session.endpoint("v3-pro") is shipped_endpoint("v3-pro")
    with pytest.raises(UnknownEndpoint, match="No endpoint is called"):
        session.endpoint("v33")
    with pytest.raises(UsageError, match="not fetched"):
        session.endpoint("v3-pro", refresh=True)
    assert not fal.requests


def test_it_is_listed_with_the_shipped_ones(session: Session) -> None:
    assert len(session.endpoints()) == 85
    session.endpoint(ID)
    session.endpoint(SPEECH)
    assert [one.id for one in session.endpoints("goat")] == [ID]
    assert len(session.endpoints()) == 87


def test_refresh_on_demand(fal: ScriptedFal, session: Session) -> None:
    session.endpoint(ID)
    changed = json.loads(json.dumps(GOAT).replace('"Random seed."', '"New words."'))
    fal.platform.openapi[ID] = changed
    assert session.endpoint(ID).parameter("seed").description == "Random seed."
    assert session.endpoint(ID, refresh=True).parameter("seed").description == "New words."
    assert session.endpoint(ID).parameter("seed").description == "New words."
    assert fal.count("openapi") == 2


def test_refresh_without_fal_is_an_error_and_leaves_what_there_is(fal: ScriptedFal, session: Session) -> None:
    session.endpoint(ID)
    with fal.refusing():
        with pytest.raises(UnreachableError) as caught:
            session.endpoint(ID, refresh=True)
        assert f"of {datetime.now(UTC).date()} stays in use" in str(caught.value)
        assert session.endpoint(ID).notice == ""


def test_an_old_one_is_asked_for_again(
    fal: ScriptedFal, again: Callable[[], Session], session: Session, stored: Path
) -> None:
    session.endpoint(ID)
    make_older(stored, 6)
    again().endpoint(ID)
    assert fal.count("openapi") == 1
    make_older(stored, 8)
    assert again().endpoint(ID).notice == ""
    assert fal.count("openapi") == 2


def test_an_old_one_serves_while_fal_is_away_and_its_age_is_reported(
    fal: ScriptedFal, again: Callable[[], Session], session: Session, stored: Path
) -> None:
    session.endpoint(ID)
    day = make_older(stored, 22)
    fal.fault("openapi", "nginx", times=2)  # a try and its repetition
    later = again()
    found = later.endpoint(ID)
    assert found.notice == f"The schema of {ID} is 22 days old ({day}), because fal did not send a newer one."
    assert later.endpoint(ID).notice == found.notice
    assert fal.count("openapi") == 3  # it is not asked for at every look
    assert found.notice in plan_text(later.plan(endpoint=ID, image=PNG))


def test_old_or_new_it_is_used_without_asking_where_waiting_is_not_allowed(
    fal: ScriptedFal, again: Callable[[], Session], session: Session, stored: Path
) -> None:
    with pytest.raises(UnknownEndpoint):
        session.endpoint(ID, fetch=False)
    assert not fal.requests
    session.endpoint(ID)
    make_older(stored, 30)
    assert "30 days old" in again().endpoint(ID, fetch=False).notice
    assert fal.count("openapi") == 1


def test_neither_shipped_nor_fetched_nor_stored(fal: ScriptedFal, session: Session) -> None:
    with fal.refusing(), pytest.raises(UnknownEndpoint) as caught:
        session.endpoint(ID)
    message = str(caught.value)
    for words in (
        f'"{ID}" does not come with kling_nb',
        "could not be fetched",
        "No usable answer",
    ):
        assert words in message
    assert len(message.splitlines()) <= 4


def test_fal_knows_no_such_endpoint(fal: ScriptedFal, session: Session) -> None:
    with pytest.raises(UnknownEndpoint) as caught:
        session.endpoint("fal-ai/kling-video/v1/pro/txt-to-video")
    message = str(caught.value)
    for words in (
        "does not come with kling_nb",
        "fal knows no endpoint of that id",
        "Nearest: ",
        "text-to-video",
    ):
        assert words in message
    assert fal.count("openapi") == 1


@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [
        ("status", {"status": 500}, "answers 500"),
        ("status", {"status": 403, "body": {"detail": "no"}}, "answers 403"),
        ("status", {"status": 200, "body": b"<html>"}, "not JSON"),
        ("status", {"status": 200, "body": []}, "does not describe the input"),
        ("status", {"status": 200, "body": b"[" * 100_000}, "not JSON"),
        ("redirect", {}, "answers 307"),
        ("reset", {"at": "mid_body"}, "No usable answer"),
    ],
)
def test_an_answer_of_no_use(
    fal: ScriptedFal, session: Session, stored: Path, kind: str, options: dict[str, Any], reason: str
) -> None:
    fal.fault("openapi", kind, times=None, **options)
    with pytest.raises(UnknownEndpoint, match=reason):
        session.endpoint(ID)
    assert not stored.exists()
    fal.clear_faults()
    assert session.endpoint(ID).id == ID


def test_a_schema_that_is_none_is_refused_before_it_is_kept(
    fal: ScriptedFal, session: Session, stored: Path
) -> None:
    fal.platform.openapi[ID] = json.loads(
        json.dumps(GOAT).replace('"maxLength": 90', '"maxLength": "ninety"')
    )
    with pytest.raises(UnknownEndpoint, match="no JSON Schema"):
        session.endpoint(ID)
    assert not stored.exists()


@pytest.mark.parametrize("content", ["", "null", "{", '{"kling_nb": 2}', '{"kling_nb": 1, "endpoint": "x"}'])
def test_a_stored_one_that_is_damaged_is_fetched_again(
    fal: ScriptedFal, again: Callable[[], Session], session: Session, stored: Path, content: str
) -> None:
    session.endpoint(ID)
    stored.write_text(content)
    assert again().endpoints("goat") == ()
    assert again().endpoint(ID).id == ID
    assert fal.count("openapi") == 2


def test_a_home_that_cannot_be_written_does_without(fal: ScriptedFal, session: Session, stored: Path) -> None:
    stored.parent.mkdir(parents=True)
    stored.mkdir()  # its name is taken by what is no file
    assert session.endpoint(ID).id == ID
    assert session.endpoint(ID).id == ID
    assert fal.count("openapi") == 2


@pytest.mark.parametrize(
    "name", ["alibaba", "a b/c", "../../etc/passwd", "a/../b", "https://fal.ai/x", "x/" * 90 + "x"]
)
def test_what_can_be_no_id_is_not_asked_for(fal: ScriptedFal, session: Session, name: str) -> None:
    with pytest.raises(UnknownEndpoint):
        session.endpoint(name)
    assert not fal.requests


# -- making something with one


def test_a_video(fal: ScriptedFal, session: Session) -> None:
    video = session.generate(
        "it jumps", endpoint=ID, image=PNG, end_image="https://example.com/e.png", duration=3
    )
    assert video.request["endpoint"] == ID
    sent = fal.accepted[0]
    assert sent.endpoint_id == ID
    address = sent.input.pop("image_url")
    assert fal.cdn.get(address).data == PNG
    assert sent.input == {
        "prompt": "it jumps",
        "end_frame_url": "https://example.com/e.png",
        "duration": 3,
    }
    assert session.submit(
        "it jumps", endpoint=ID, image=PNG, end_image="https://example.com/e.png", duration=3
    ).reused


def test_its_schema_goes_with_the_takes(
    fal: ScriptedFal, session: Session, make_session: Callable[..., Session], tmp_path: Path
) -> None:
    video = session.generate("it jumps", endpoint=ID, image=PNG, duration=3)
    asked = len(fal.requests)
    elsewhere = make_session(schema_url="http://127.0.0.1:9", home=tmp_path / "another home", frozen=True)
    again = elsewhere.generate("it jumps", endpoint=ID, image=PNG, duration=3)
    assert again.path == video.path
    assert [one.id for one in elsewhere.endpoints("goat")] == [ID]
    assert len(fal.requests) == asked


def test_audio_and_a_list_of_images(fal: ScriptedFal, session: Session) -> None:
    sound = b"ID3" + bytes(100)
    fal.script = Script([Done(output={"song": {"url": fal.cdn.put("a.mp3", sound, "audio/mpeg")}})])
    song = session.generate("la", endpoint=SPEECH)
    assert isinstance(song, MediaFile)
    assert (song.kind, song.content_type, song.read()) == ("audio", "audio/mpeg", sound)
    pictures = [PNG + bytes([number]) for number in range(3)]
    urls = [fal.cdn.put(f"{number}.png", data, "image/png") for number, data in enumerate(pictures)]
    fal.script = Script([Done(output={"images": [{"url": url} for url in urls]})])
    job = session.submit("fluff", endpoint=PICTURES, image_size={"width": 64, "height": 64})
    first = job.wait()
    assert isinstance(first, MediaFile)
    assert (first.kind, first.read()) == ("image", pictures[0])
    assert {name: path.read_bytes() for name, path in job.files.items()} == {
        "images-2": pictures[1],
        "images-3": pictures[2],
    }
    reused = session.submit("fluff", endpoint=PICTURES, image_size={"width": 64, "height": 64})
    assert (reused.reused, reused.files) == (True, job.files)


def test_the_local_preview_server_reports_that_it_has_no_preview(session: Session) -> None:
    with pytest.raises(InputError, match=f"no local preview of {ID}") as caught:
        session.submit("x", endpoint=ID, image=PNG, backend="local")
    assert "%kling fal" in str(caught.value)
    plan = session.plan("x", endpoint=ID, image=PNG, backend="local")
    assert "No local preview" in plan_text(plan)
    assert "A run would be refused now: There is no local preview of" in plan_text(plan)


def test_a_job_is_not_lost_with_the_schema(
    fal: ScriptedFal, again: Callable[[], Session], session: Session, stored: Path
) -> None:
    fal.script = Script([Queue(1), Hold(), Done()])
    job = session.submit("x", endpoint=ID, image=PNG)
    fal.wait_for("stream")
    session.close()
    stored.unlink()
    asked = fal.count("openapi")
    found = again().get_job(job.id)
    fal.release()
    video = found.wait()
    assert (video.width, video.request["endpoint"]) == (64, ID)
    assert (fal.count("openapi"), len(fal.accepted)) == (asked, 1)


def test_the_front_door(fal: ScriptedFal, tmp_path: Path, run: Callable[..., Any]) -> None:
    program = run(
        f"import kling_nb; one = kling_nb.endpoint({ID!r}); print(one.id, len(kling_nb.endpoints()));"
        f"print(kling_nb.endpoint({ID!r}, refresh=True).title)",
        KLING_NB_SCHEMA_URL=fal.url,
        PATH=os.environ["PATH"],
    )
    code, out, complaints = program.finish()
    assert (code, out.splitlines()) == (0, [f"{ID} 86", "Lucky goat image to video"]), complaints
    assert fal.count("openapi") == 2
