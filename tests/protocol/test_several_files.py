"""A result with more than one file: one is the take, and the others are stored next to it."""

import base64

import pytest
from scripted import Done, Script, ScriptedFal, sample_mp4

from kling_nb.job.store import files_of
from kling_nb.session import Session
from kling_nb.video import Video

SOUND = b"ID3" + bytes(200)
VIDEO_URL = "https://example.com/a.mp4"


def test_video_to_audio_gives_both(session: Session, fal: ScriptedFal) -> None:
    video = {"url": fal.cdn.put("a.mp4", sample_mp4(), "video/mp4")}
    inline = {"file_data": base64.b64encode(SOUND).decode()}
    fal.script = Script([Done(output={"audio": inline, "video": video})])
    job = session.submit(endpoint="video-to-audio", video_url=VIDEO_URL)
    result = job.wait()
    assert isinstance(result, Video)
    assert result is job.result is job.video
    assert {name: path.read_bytes() for name, path in job.files.items()} == {"audio": SOUND}
    assert job.files["audio"].name == f"{result.path.stem}.audio.mp3"
    again = session.submit(endpoint="video-to-audio", video_url=VIDEO_URL)
    assert (again.reused, again.files) == (True, job.files)


@pytest.mark.parametrize(
    "audio", [{"url": "https://[half"}, {"file_data": "?"}, {"url": "file:///etc/passwd"}]
)
def test_a_file_that_cannot_be_downloaded_is_reported_and_the_video_is_there(
    session: Session, fal: ScriptedFal, audio: dict[str, str]
) -> None:
    video = {"url": fal.cdn.put("a.mp4", sample_mp4(), "video/mp4")}
    fal.script = Script([Done(output={"audio": audio, "video": video})])
    job = session.submit(endpoint="video-to-audio", video_url=VIDEO_URL)
    assert isinstance(job.wait(), Video)
    assert job.files == {}
    assert job.lines[-1].message.startswith("kling_nb: audio was not stored: ")


@pytest.mark.parametrize(
    ("data", "pointer", "names"),
    [
        ({"video": {"url": "v"}, "audio": {"url": "a"}}, "video", ["video", "audio"]),
        ({"audio": {"url": "a"}, "video": {"url": "v"}}, "", ["video", "audio"]),
        ({"images": [{"url": "1"}, {"url": ""}, {"url": "3"}]}, "images", ["images-1", "images-3"]),
        ({"mesh": {"url": "m"}, "seed": 3}, "", ["mesh"]),
        ({"mesh": {"url": "m"}}, "video", []),
        ({"voice_id": "v", "url": "https://example.com"}, "", []),
        ([], "video", []),
        ({"video": {"url": 7}}, "video", []),
        ({"images": [{"url": "1"}] * 40}, "images", [f"images-{number}" for number in range(1, 17)]),
    ],
)
def test_which_files_a_result_has(data: object, pointer: str, names: list[str]) -> None:
    assert list(files_of(data, pointer)) == names
