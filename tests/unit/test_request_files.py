"""Images, videos and audio files as input: URLs, data URIs, files and bytes."""

import base64
import hashlib
import io
import os

import pytest
from PIL import Image

from kling_nb.catalog.shipped import endpoint
from kling_nb.errors import InputError, MediaInputError
from kling_nb.request.local_file import LocalFile
from kling_nb.request.request import VideoRequest

URL = "https://example.com/a.png"
MP4 = b"\0\0\0\x18ftypisom\0\0\x02\0isommp41" + bytes(range(64))
WAV = b"RIFF\x24\0\0\0WAVEfmt " + bytes(64)


def png(color="teal"):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(buffer, "PNG")
    return buffer.getvalue()


PNG = png()
ACCEPTED = "image_url takes an image: PNG, JPEG, WebP, GIF, AVIF or HEIC."


def build(value, name="v1-pro-image", parameter="image_url", **others):
    return VideoRequest.build(endpoint(name), {"prompt": "a heron", parameter: value, **others})


def refused(value, *args, **others):
    with pytest.raises(MediaInputError) as caught:
        build(value, *args, **others)
    lines = str(caught.value).splitlines()
    assert 2 <= len(lines) <= 4
    assert all(line.isprintable() for line in lines)
    return caught.value


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


class TestAddresses:
    @pytest.mark.parametrize(
        "url",
        [
            URL,
            "http://127.0.0.1:8787/files/a.png?x=1#y",
            "HTTPS://EXAMPLE.COM/a%20b.png",
            "https://[::1]:80/a.png",
            "https://user@example.com/ü.png",
            "data:image/png;base64," + base64.b64encode(PNG).decode(),
            "data:;base64," + base64.b64encode(PNG).decode(),
            "DATA:image/jpeg;name=a.jpg;base64,/9j/4AAQ",
            "data:image/png,%89PNG%0D%0A%1A%0A",
        ],
    )
    def test_are_sent_as_they_are(self, url):
        request = build(f" {url}\n")
        assert request.input["image_url"] == url
        assert request.files == {}
        assert request.body({})["image_url"] == url

    @pytest.mark.parametrize(
        ("value", "message", "remedy"),
        [
            ("ftp://host/a.png", 'cannot be read from "ftp:"', "Use https, http or a data URI"),
            ("javascript:alert(1)", 'cannot be read from "javascript:"', "Use https, http or a data URI"),
            ("file:///home/a.png", 'cannot be read from "file:"', "give the path of a file"),
            ("blob:https://example.com/1", 'cannot be read from "blob:"', "Use https, http"),
            ("sha256:" + "0" * 64, "was bytes in memory", "Give the file again."),
            ("https:/a.png", 'is not an absolute URL: "https:/a.png"', "https://host/file"),
            ("http://", "is not an absolute URL", "https://host/file"),
            ("https://?x", "is not an absolute URL", "https://host/file"),
            ("https://host:x/a.png", "is not an absolute URL", "https://host/file"),
            ("https://[::1/a.png", "is not an absolute URL", "https://host/file"),
            ("https://host/a b.png", 'a space or an invisible character in "https://host/a b.png"', "%20"),
            ("https://host/a\u200b.png", "a space or an invisible character", "%20"),
            ("data:image/png;base64", "without a comma", "Write data:TYPE;base64,…"),
            ("data:image/png;base64,abc", "cannot be decoded: Incorrect padding", "give the path"),
            ("data:image/png;base64,ab*=", "cannot be decoded", "give the path"),
            ("data:image/png;base64,é", "is not base64", "give the path"),
            ("data:image/png;base64,", "with nothing in it", "give the path"),
            ("data:text/plain,hello", 'the data URI is of type "text/plain", not an image', ACCEPTED),
            ("data:video/mp4;base64,AAAA", "the data URI is a video, not an image", ACCEPTED),
            (
                "data:image/png;base64," + base64.b64encode(MP4).decode(),
                "the data URI is an MP4 video, not an image",
                ACCEPTED,
            ),
        ],
    )
    def test_that_cannot_work_are_refused(self, value, message, remedy):
        error = refused(value)
        assert error.parameter == "image_url"
        assert error.message.startswith("image_url")
        assert message in error.message
        assert remedy in error.remedy


class TestLocalFile:
    def test_is_read_hashed_and_left_for_the_upload(self, folder):
        (folder / "cat.png").write_bytes(PNG)
        request = build("cat.png")
        file = request.files["image_url"]
        assert file == LocalFile(
            path=folder / "cat.png",
            data=None,
            name="cat.png",
            content_type="image/png",
            size=len(PNG),
            sha256=hashlib.sha256(PNG).hexdigest(),
        )
        assert file.read() == PNG
        assert request.input["image_url"] == request.to_json()["input"]["image_url"] == "cat.png"
        assert request.body({"image_url": URL}) == {"prompt": "a heron", "image_url": URL}
        with pytest.raises(KeyError):
            request.body({})

    def test_may_be_a_path_object_a_link_or_in_the_home_folder(self, folder, monkeypatch):
        (folder / "cat.png").write_bytes(PNG)
        (folder / "link.png").symlink_to("cat.png")
        monkeypatch.setenv("HOME", str(folder))
        monkeypatch.setenv("USERPROFILE", str(folder))
        for value in (folder / "cat.png", "link.png", "~/cat.png"):
            assert build(value).files["image_url"].size == len(PNG)
        assert build("link.png").files["image_url"].name == "link.png"

    def test_keeps_its_place_when_the_working_folder_changes(self, folder, monkeypatch):
        (folder / "cat.png").write_bytes(PNG)
        file = build("cat.png").files["image_url"]
        (folder / "elsewhere").mkdir()
        monkeypatch.chdir(folder / "elsewhere")
        assert file.read() == PNG

    @pytest.mark.parametrize("name", ["take:2.png", "a b ü 猫.png", "-x.png", "[1].png", "#?&.png"])
    def test_may_have_any_name(self, folder, name):
        (folder / name).write_bytes(PNG)
        assert build(name).files["image_url"].name == name

    def test_with_a_name_that_is_not_utf8_can_still_be_written_down(self, folder):
        name = os.fsdecode(b"caf\xe9.png")
        try:
            (folder / name).write_bytes(PNG)
        except OSError:  # a file system that has no such names has no such problem
            return
        request = build(name)
        assert request.files["image_url"].read() == PNG
        request.to_json()["input"]["image_url"].encode()
        assert len(request.fingerprint) == 64

    def test_is_known_by_its_content_and_not_by_its_name(self, folder):
        (folder / "picture.jpg").write_bytes(PNG)
        assert build("picture.jpg").files["image_url"].content_type == "image/png"

    def test_that_changed_before_the_upload_is_not_sent(self, folder):
        (folder / "cat.png").write_bytes(PNG)
        file = build("cat.png").files["image_url"]
        (folder / "cat.png").write_bytes(png("red"))
        with pytest.raises(MediaInputError, match="has changed since the request was made"):
            file.read()
        (folder / "cat.png").unlink()
        with pytest.raises(MediaInputError, match="cannot be read any more"):
            file.read()

    def test_of_another_request_is_taken_over(self, folder):
        (folder / "cat.png").write_bytes(PNG)
        first = build("cat.png")
        second = build(first.files["image_url"])
        assert second.files == first.files
        assert second.fingerprint == first.fingerprint
        assert second.input["image_url"] == str(folder / "cat.png")
        assert (
            "is image/png, not a video"
            in refused(first.files["image_url"], "o3-pro-edit", "video_url").message
        )


class TestUnfitFile:
    def test_that_does_not_exist(self, folder):
        error = refused("cat.png")
        assert error.message == f'image_url: no such file "cat.png" (looked in "{folder}").'
        assert "a URL begins with https://" in error.remedy

    def test_that_is_spelled_otherwise(self, folder):
        (folder / "kitten.png").write_bytes(PNG)
        (folder / "notes.txt").write_text("notes")
        assert refused("kiten.png").remedy == 'Nearest there: "kitten.png".'

    @pytest.mark.parametrize("name", ["nowhere/cat.png", "www.example.com/cat.png", "file.png/cat.png"])
    def test_in_a_folder_that_does_not_exist(self, folder, name):
        (folder / "file.png").write_bytes(PNG)
        error = refused(name)
        place = str((folder / name).parent)[:60]  # a message shows the beginning of a long path
        assert f'no such file "{name}" (nor a folder "{place}' in error.message
        assert "https://" in error.remedy

    def test_that_is_a_folder(self, folder):
        error = refused(str(folder))
        assert "is a folder, not a file" in error.message
        assert error.remedy == ACCEPTED

    def test_that_is_empty(self, folder):
        (folder / "cat.png").touch()
        assert '"cat.png" is an empty file' in refused("cat.png").message

    def test_that_is_no_file_at_all(self):
        assert "is a device or a pipe" in refused(os.devnull).message

    def test_that_cannot_be_read(self, folder):
        (folder / "loop.png").symlink_to("loop.png")
        error = refused("loop.png")
        assert '"loop.png" cannot be read (' in error.message
        assert "permissions" in error.remedy

    @pytest.mark.parametrize("name", ["x" * 5_000, "nul\0.png", "~no-such-user-here/cat.png"])
    def test_that_no_file_can_be(self, folder, name):
        assert "cannot be read (" in refused(name).message

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (MP4, "an MP4 video"),
            (WAV, "a WAV audio file"),
            (b"<!doctype html><title>404</title>", "a web page (HTML)"),
            (b"hello", "plain text"),
            (b"\0\1\2", "data of no known media format"),
        ],
    )
    def test_that_is_something_else(self, folder, content, words):
        (folder / "cat.png").write_bytes(content)
        error = refused("cat.png")
        assert error.message == f'image_url: "cat.png" is {words}, not an image.'
        assert error.remedy == ACCEPTED

    def test_that_is_an_image_where_a_video_or_audio_is_asked(self, folder):
        (folder / "cat.mp4").write_bytes(PNG)
        error = refused("cat.mp4", "o3-pro-edit", "video_url")
        assert error.message == 'video_url: "cat.mp4" is a PNG image, not a video.'
        assert error.remedy == "video_url takes a video: MP4, MOV or WebM."
        error = refused("cat.mp4", "v1-pro-avatar", "audio_url", image_url=URL)
        assert "is a PNG image, not an audio file" in error.message

    def test_with_a_name_full_of_tricks_is_shown_on_one_line(self, folder):
        error = refused("a\n\x1b[31m<script>\u202e.png")
        assert r"a\n\x1b[31m<script>\u202e.png" in error.message


class TestBytes:
    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_are_taken_as_a_file_without_a_path(self, kind):
        request = build(kind(PNG))
        file = request.files["image_url"]
        assert (file.path, file.name, file.content_type) == (None, "image_url.png", "image/png")
        assert file.read() == PNG
        assert request.to_json()["input"]["image_url"] == "sha256:" + hashlib.sha256(PNG).hexdigest()
        assert "PNG" not in repr(file)

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (b"", "image_url has no bytes in it"),
            (b"hello", "the value (5 bytes) is plain text, not an image"),
            (MP4, "is an MP4 video, not an image"),
            (5, "image_url takes a URL, a path or bytes, not 5"),
            (["a.png"], "image_url takes a URL, a path or bytes, not ['a.png']"),
            ("  ", "image_url is empty"),
        ],
    )
    def test_that_do_not_fit_are_refused(self, value, message):
        error = refused(value)
        assert message in error.message
        assert ACCEPTED in error.remedy


class TestNestedFiles:
    def test_in_lists(self, folder):
        for name in ("a.png", "b.png"):
            (folder / name).write_bytes(png("red" if name == "a.png" else "blue"))
        for given in (["a.png", URL, folder / "b.png"], f'["a.png", "{URL}", "b.png"]'):
            request = build(given, "v1.6-pro-elements", "input_image_urls")
            assert sorted(request.files) == ["input_image_urls.0", "input_image_urls.2"]
            urls = {path: f"https://files/{path}" for path in request.files}
            assert request.body(urls)["input_image_urls"] == [
                "https://files/input_image_urls.0",
                URL,
                "https://files/input_image_urls.2",
            ]

    @pytest.mark.parametrize("name", ["a.png", "[a].png", "[1"])
    def test_one_alone_makes_a_list(self, folder, name):
        (folder / name).write_bytes(PNG)
        for given in (name, folder / name, PNG):
            request = build(given, "v1.6-pro-elements", "input_image_urls")
            assert list(request.files) == ["input_image_urls.0"]

    def test_in_objects_in_lists(self, folder):
        (folder / "face.png").write_bytes(PNG)
        elements = [
            {"frontal_image_url": URL},
            {"frontal_image_url": "face.png", "reference_image_urls": [PNG]},
        ]
        request = build(elements, "v3-pro-image", "elements", start_image_url=URL)
        assert sorted(request.files) == ["elements.1.frontal_image_url", "elements.1.reference_image_urls.0"]
        body = request.body(dict.fromkeys(request.files, "https://up"))
        assert body["elements"][1] == {
            "frontal_image_url": "https://up",
            "reference_image_urls": ["https://up"],
        }
        assert elements[1]["reference_image_urls"] == [PNG]

    def test_that_are_wrong_are_named_by_their_place(self, folder):
        error = refused([{"frontal_image_url": "no.png"}], "v3-pro-image", "elements", start_image_url=URL)
        assert error.parameter == "elements.0.frontal_image_url"
        assert error.message.startswith('elements.0.frontal_image_url: no such file "no.png"')
        error = refused([URL, None], "v1.6-pro-elements", "input_image_urls")
        assert error.parameter == "input_image_urls.1"

    def test_that_are_wrong_next_to_other_problems_make_one_message(self, folder):
        with pytest.raises(InputError) as caught:
            build("no.png", duration=7)
        lines = str(caught.value).splitlines()
        assert [line.split()[0] for line in lines] == ["image_url:", "duration", "Correct"]
        assert isinstance(caught.value, MediaInputError)
        with pytest.raises(InputError) as caught:
            build("no.png", colour="red")
        assert type(caught.value) is InputError
        assert caught.value.parameter == "colour"


def test_a_voice_may_come_from_the_audio_of_a_video():
    request = VideoRequest.build(endpoint("create-voice"), {"voice_url": MP4})
    assert request.files["voice_url"].content_type == "video/mp4"
    with pytest.raises(MediaInputError, match="is a PNG image, not an audio file or a video"):
        VideoRequest.build(endpoint("create-voice"), {"voice_url": PNG})
