"""Files as inputs of jobs, and `upload`: what is sent once, what is sent again, and what a failure costs."""

import base64
import io
import json
import os
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scripted import Fail, Queue, Run, Script, ScriptedFal

import kling_nb
from kling_nb import errors
from kling_nb.background import BackgroundThread
from kling_nb.events import State, Uploading
from kling_nb.job.store import open_file
from kling_nb.ledger import Ledger, Upload


def png(color="teal", size=(64, 48)):
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, "PNG")
    return buffer.getvalue()


PNG = png()
MP4 = b"\0\0\0\x18ftypisom\0\0\x02\0isommp41" + bytes(64)


def sent(fal: ScriptedFal) -> str:
    return fal.accepted[-1].input["image_url"]


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "cat.png"
    path.write_bytes(PNG)
    return path


class TestJobs:
    def test_a_file_is_uploaded_then_named(self, session, fal, picture):
        session.submit("a cat", image=picture).wait()
        assert fal.cdn.get(sent(fal)).data == PNG
        exchanges = [record.exchange for record in fal.requests]
        assert exchanges[:3] == ["upload_initiate", "upload", "submit"]
        assert not fal.stray_keys

    @pytest.mark.parametrize("form", ["bytes", "pillow", "numpy", "file", "uri"])
    def test_forms(self, session, fal, form):
        image = Image.open(io.BytesIO(PNG))
        value = {
            "bytes": PNG,
            "pillow": image,
            "numpy": np.asarray(image),
            "file": io.BytesIO(PNG),
            "uri": "data:image/png;base64," + base64.b64encode(PNG).decode(),
        }[form]
        session.submit("a cat", image=value).wait()
        if form == "uri":
            assert sent(fal) == value
        else:
            assert np.array_equal(Image.open(io.BytesIO(fal.cdn.get(sent(fal)).data)), image)

    def test_the_last_frame_of_a_video_begins_the_next(self, session, fal):
        first = session.submit("a cat").wait()
        second = session.submit("it runs on", image=first.last_frame).wait()
        assert fal.cdn.get(sent(fal)).content_type == "image/png"
        assert session.submit("it runs on", image=first.last_frame).reused
        assert second.take == 1

    def test_a_whole_video_where_one_is_wanted(self, session, fal):
        first = session.submit("a cat").wait()
        job = session.submit(
            "make it night",
            endpoint="v3-pro-motion-control",
            video_url=first,
            image="https://example.com/a.png",
            character_orientation="video",
        )
        job.wait()
        assert fal.cdn.get(fal.accepted[-1].input["video_url"]).data == first.path.read_bytes()

    def test_progress_is_reported_and_nothing_else_is_disturbed(self, session, picture):
        seen = []
        job = session.submit(
            "a cat", image=picture, on_event=lambda event, state: seen.append((event, state))
        )
        job.wait()
        steps = [(event, state) for event, state in seen if isinstance(event, Uploading)]
        assert steps[0][0] == Uploading(0, len(PNG))
        assert steps[-1][0] == Uploading(len(PNG), len(PNG))
        assert all(state.state is State.SUBMITTING for _, state in steps)
        assert all((state.uploaded, state.upload_size) == (event.sent, event.total) for event, state in steps)
        shown = [line.message for line in job.lines if line.message.startswith("kling_nb: upload")]
        assert shown == [
            f"kling_nb: uploading cat.png ({len(PNG):,} bytes)",
            "kling_nb: uploaded cat.png",
        ]

    def test_several_files_add_up(self, session, fal):
        pictures = [png(color) for color in ("red", "green", "blue")]
        seen = []
        job = session.submit(
            "they meet",
            endpoint="v1.6-pro-elements",
            input_image_urls=pictures,
            on_event=lambda event, _: seen.append(event),
        )
        job.wait()
        urls = fal.accepted[-1].input["input_image_urls"]
        assert [fal.cdn.get(url).data for url in urls] == pictures
        whole = sum(map(len, pictures))
        assert [event for event in seen if isinstance(event, Uploading)][-1] == Uploading(whole, whole)

    def test_the_same_file_in_two_places_is_sent_once(self, session, fal, picture):
        session.submit("a cat", endpoint="v1.6-pro-elements", input_image_urls=[picture, PNG]).wait()
        assert fal.count("upload") == 1
        assert len(set(fal.accepted[-1].input["input_image_urls"])) == 1


class TestInline:
    def test_is_off_by_default(self, session):
        assert session.settings().inline_limit == 0

    @pytest.mark.parametrize("limit", [len(PNG), str(len(PNG))])
    def test_up_to_the_limit_a_file_goes_along(self, make_session, fal, picture, limit):
        job = make_session(inline_limit=limit).submit("a cat", image=picture)
        job.wait()
        head, _, payload = sent(fal).partition(",")
        assert (head, base64.b64decode(payload)) == ("data:image/png;base64", PNG)
        assert fal.count("upload_initiate") == 0
        stored = json.dumps(dict(job.request.input))
        assert "base64" not in stored

    def test_above_the_limit_it_is_uploaded(self, make_session, fal, picture):
        make_session(inline_limit=len(PNG) - 1).submit("a cat", image=picture).wait()
        assert fal.count("upload") == 1

    def test_audio_is_uploaded_whatever_the_limit(self, make_session, fal, picture):
        """The decoder of fal refuses data URIs of audio/wav and others."""
        wav = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0@\x1f\0\0\x80>\0\0\2\0\x10\0data\0\0\0\0"
        session = make_session(inline_limit=1000)
        uri = "data:audio/wav;base64," + base64.b64encode(wav).decode()
        for audio in (wav, uri):
            session.submit(endpoint="v2-pro-avatar", image_url=picture, audio_url=audio, new=True).wait()
            sent_input = fal.accepted[-1].input
            assert sent_input["image_url"].startswith("data:image/png;base64,")
            assert fal.cdn.get(sent_input["audio_url"]).data == wav
        assert fal.count("upload") == 1

    def test_audio_that_was_uploaded_for_a_data_uri_is_found_by_the_look_up(self, session, fal, picture):
        given = {
            "image_url": picture,
            "audio_url": "data:audio/ogg;base64," + base64.b64encode(b"OggS").decode(),
        }
        fal.fault("submit", "reset")
        with pytest.raises(errors.SubmissionUncertain):
            session.submit(endpoint="v2-pro-avatar", **given).wait()
        session.submit(endpoint="v2-pro-avatar", **given).wait()
        assert len(fal.accepted) == 1

    def test_by_environment_and_configure(self, session, monkeypatch):
        monkeypatch.setenv("KLING_NB_INLINE_LIMIT", "1000")
        assert session.settings().inline_limit == 1000
        kling_nb.configure(inline_limit=0)
        assert session.settings().inline_limit == 0

    @pytest.mark.parametrize("limit", ["-1", "many", 1e400])
    def test_that_makes_no_sense(self, make_session, limit):
        with pytest.raises(errors.UsageError, match="whole number of bytes"):
            make_session(inline_limit=limit).settings()


class TestFailures:
    def test_cost_nothing_and_lose_nothing(self, session, fal, picture, ledger):
        fault = fal.fault("upload", "reset", times=None)
        job = session.submit("a cat", image=picture)
        with pytest.raises(errors.UnreachableError) as caught:
            job.wait()
        assert "Nothing was submitted" in caught.value.remedy
        assert len(str(caught.value).splitlines()) <= 4
        assert (fault.used, fal.accepted) == (12, ())  # six tries by each of two routes
        assert ledger.get(job.id).state is State.FAILED
        assert ledger.get(job.id).sent_at is None
        fal.clear_faults()
        again = session.submit("a cat", image=picture)
        again.wait()
        assert again.id != job.id
        assert len(fal.accepted) == 1
        assert fal.count("upload") == 13

    def test_the_first_of_several_that_fails_ends_the_rest(self, session, fal):
        fal.fault("upload_initiate", "status", status=422)
        job = session.submit(
            "they meet", endpoint="v1.6-pro-elements", input_image_urls=[png("red"), png("blue")]
        )
        with pytest.raises(errors.InputRefused):
            job.wait()
        assert fal.accepted == ()

    def test_a_file_that_changes_before_its_upload(self, session, fal, picture):
        (file,) = session.request("a cat", image=picture).files.values()
        picture.write_bytes(png("red"))
        with pytest.raises(errors.MediaInputError, match="has changed"):
            session.submit("a cat", image=file).wait()
        assert fal.requests == ()

    def test_a_cancel_while_it_is_sent_ends_it(self, session, fal, picture, ledger):
        fault = fal.fault("upload", "stall", at="after_body")
        job = session.submit("a cat", image=picture)
        fal.wait_for("upload")
        assert job.cancel() == "Cancelled. Nothing was sent."
        with pytest.raises(errors.JobCancelled):
            job.wait()
        fault.release()
        assert fal.accepted == ()
        assert ledger.get(job.id).state is State.CANCELLED

    @pytest.mark.parametrize(
        "value",
        [b"", b"text", MP4, "no.png", "ftp://host/a.png", "data:image/png;base64,abc", os.devnull, "/"],
    )
    def test_bad_input_sends_nothing(self, session, fal, value, ledger):
        with pytest.raises(errors.MediaInputError):
            session.submit("a cat", image=value)
        assert fal.requests == ()
        assert ledger.entries() == []


class TestOnceADay:
    def test_by_two_jobs_and_an_upload(self, session, fal, picture):
        session.submit("a cat", image=picture).wait()
        session.submit("a dog", image=PNG).wait()
        url = session.upload(picture)
        assert fal.count("upload") == 1
        assert fal.accepted[0].input["image_url"] == sent(fal) == url

    def test_across_kernels(self, make_session, run, fal, picture):
        program = run(f"import kling_nb; print(kling_nb.upload({str(picture)!r}))")
        code, out, complaints = program.finish()
        assert code == 0, complaints
        assert make_session().upload(picture) == out.strip()
        assert fal.count("upload") == 1

    def test_at_the_same_time(self, session, fal, picture):
        fault = fal.fault("upload", "stall", at="before_body")
        jobs = [session.submit(f"cat {index}", image=picture) for index in range(5)]
        fal.wait_for("upload")
        fault.release()
        for job in jobs:
            job.wait()
        assert fal.count("upload") == 1
        assert len({submission.input["image_url"] for submission in fal.accepted}) == 1

    def test_one_who_gives_up_leaves_it_to_the_others(self, session, fal, picture):
        fault = fal.fault("upload", "stall", at="after_body")
        first, second = (session.submit(name, image=picture) for name in ("a cat", "a dog"))
        fal.wait_for("upload")
        first.cancel()
        fault.release()
        assert second.wait() is not None
        assert fal.count("upload") == 1

    def test_after_all_gave_up_it_begins_again(self, session, fal, picture):
        fault = fal.fault("upload", "stall", at="after_body")
        first = session.submit("a cat", image=picture)
        fal.wait_for("upload")
        first.cancel()
        assert session.submit("a dog", image=picture).wait() is not None
        fault.release()
        assert fal.count("upload") == 2

    @pytest.mark.parametrize(
        "change", [{"content_type": "image/x-other"}, {"expires_in": "7d"}], ids=["type", "lifetime"]
    )
    def test_something_else_is_another_upload(self, session, fal, picture, change):
        session.upload(picture)
        session.upload(picture, **change)
        session.upload(picture, **change)
        assert fal.count("upload") == 2

    def test_another_account_is_another_upload(self, make_session, fal, picture):
        make_session().upload(picture)
        with ScriptedFal(key="other:account") as other:
            at_other = dict.fromkeys(("queue_url", "rest_url", "api_url"), other.url)
            make_session(**at_other, credentials=other.key).upload(picture)
            assert other.count("upload") == 1

    def test_one_that_soon_expires_is_not_used(self, session, fal, picture, ledger):
        session.upload(picture, expires_in="1h")
        with sqlite3.connect(ledger.path) as db:
            db.execute("UPDATE uploads SET uploaded_at = uploaded_at - 1801, expires = expires - 1801")
        db.close()
        session.upload(picture, expires_in="1h")
        session.upload(picture, expires_in="1h")
        assert fal.count("upload") == 2

    def test_one_that_fal_could_not_fetch_is_not_used_again(self, session, fal, picture):
        detail = {"loc": ["body", "image_url"], "msg": "Failed to download", "type": "file_download_error"}
        fal.script = Script([Queue(0), Run(), Fail.refused(detail)])
        with pytest.raises(errors.InputRefused):
            session.submit("a cat", image=picture).wait()
        fal.script = Script()
        session.submit("a cat", image=picture).wait()
        assert fal.count("upload") == 2

    def test_a_ledger_that_cannot_be_used_stops_no_upload(self, make_session, fal, picture, tmp_path):
        (tmp_path / "no folder").write_text("a file")
        session = make_session(home=tmp_path / "no folder")
        assert fal.cdn.get(session.upload(picture)).data == PNG


class TestUploadFunction:
    def test_gives_progress_and_a_url(self, session, fal, picture):
        seen = []
        url = session.upload(picture, on_progress=lambda *amounts: seen.append(amounts))
        assert fal.cdn.get(url).data == PNG
        assert (seen[0], seen[-1]) == ((0, len(PNG)), (len(PNG), len(PNG)))

    def test_a_url_is_given_back(self, session, fal):
        assert session.upload("https://example.com/a.png") == "https://example.com/a.png"
        assert fal.requests == ()

    def test_a_data_uri_gets_a_url(self, session, fal):
        url = session.upload("data:image/png;base64," + base64.b64encode(PNG).decode())
        assert fal.cdn.get(url).data == PNG

    def test_a_lifetime(self, session, fal, picture):
        session.upload(picture, expires_in="1d")
        header = fal.last("upload_initiate").headers["x-fal-object-lifecycle"]
        assert json.loads(header) == {"expiration_duration_seconds": 86_400}
        with pytest.raises(errors.UsageError):
            session.upload(picture, expires_in="soon")

    def test_without_a_key_sends_nothing(self, make_session, fal, picture):
        with pytest.raises(errors.MissingKey):
            make_session(credentials=None).upload(picture)
        assert fal.requests == ()

    def test_inside_a_running_loop(self, run, fal, picture):
        program = run(
            "import asyncio, kling_nb\n"
            f"async def cell(): return kling_nb.upload({str(picture)!r})\n"
            "print(asyncio.run(cell()))"
        )
        code, out, complaints = program.finish()
        assert code == 0, complaints
        assert fal.cdn.get(out.strip()).data == PNG


class TestUploadRule:
    HOUR = Upload("s", "image/png", "https://rest.fal.ai", "a", 3600)
    ACCOUNT = Upload("s", "image/png", "https://rest.fal.ai", "a")

    @pytest.mark.parametrize(
        ("upload", "age", "usable"),
        [
            (HOUR, 0, True),
            (HOUR, 1_799, True),
            (HOUR, 1_801, False),
            (HOUR, 3_601, False),
            (ACCOUNT, 86_399, True),
            (ACCOUNT, 86_401, False),
            (ACCOUNT, -5, False),  # the clock was set back
            (Upload("s", "t", "h", "a", 30 * 86_400), 86_401, False),
        ],
    )
    def test_for_the_first_half_of_its_life_and_a_day_at_most(self, upload, age, usable):
        assert upload.usable(1_000_000.0, 1_000_000.0 + age) is usable
        assert upload.expires(10.0) == (10.0 + upload.lifecycle if upload.lifecycle else None)

    def test_old_ones_are_forgotten(self, tmp_path):
        ledger = Ledger(tmp_path / "ledger.sqlite3")
        assert ledger.find_upload(self.ACCOUNT) is None
        assert not ledger.path.exists()
        ledger.note_upload(self.ACCOUNT, "https://files/1")
        assert ledger.find_upload(self.ACCOUNT) == "https://files/1"
        with sqlite3.connect(ledger.path) as db:
            db.execute("UPDATE uploads SET uploaded_at = uploaded_at - 90000")
        db.close()
        assert ledger.find_upload(self.ACCOUNT) is None
        ledger.note_upload(self.HOUR, "https://files/2")
        with sqlite3.connect(ledger.path) as db:
            assert db.execute("SELECT url FROM uploads").fetchall() == [("https://files/2",)]
        db.close()
        ledger.forget_upload("https://files/2")
        assert ledger.find_upload(self.HOUR) is None
        ledger.close()


def test_on_the_local_preview_server_from_end_to_end(tmp_cwd, home, picture):
    with kling_nb.Session(backend="local", local_speed=float("inf")) as session:
        first = session.submit("a cat", image=picture).wait()
        url = session.upload(picture)
        import httpx

        assert httpx.get(url).content == PNG
        second = session.submit("it runs on", image=first.last_frame)
        second.wait()
        assert Path(second.file).is_file()
        long = tmp_cwd / "long.mp4"
        long.write_bytes(MP4)
        os.truncate(long, 95 << 20)
        seen = []
        reply = httpx.get(session.upload(long, on_progress=lambda *amounts: seen.append(amounts)))
        assert (len(reply.content), seen[-1]) == (95 << 20, (95 << 20, 95 << 20))
        with pytest.raises(errors.MediaPrivate) as caught:
            BackgroundThread.get_shared().spawn(open_lost_file(session, url)).result(60)
        assert "local preview server" in str(caught.value)
        assert "which is free" in str(caught.value)  # and no word of a key or of money


async def open_lost_file(session, url):
    """Open a file that the local preview server does not have."""
    backend = await session._connections.connect(session.settings())
    async with open_file(backend, {"url": f"{url}.lost"}, sign=True):
        pass
