"""`Video`, `probe` and everything that decodes, on clips made here."""

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from clips import colourful, make_clip, numbered
from PIL import Image, ImageChops, ImageStat

from kling_nb import front_end
from kling_nb._files import place, write_file
from kling_nb.errors import InputError, MediaError, UsageError
from kling_nb.video import Video, probe
from kling_nb.video.frames import small_jpeg


@pytest.fixture
def clip(tmp_path: Path) -> Video:
    """Return a clip of 2 s, 10 frames per second, 64×48. Frame n has grey 10 n right of a white bar."""
    return Video.from_file(make_clip(tmp_path / "clip.mp4"))


def number(array: np.ndarray) -> int:
    """Return the number of a frame: the grey of its right half, divided by ten."""
    return round(float(array[:, array.shape[1] // 2 :].mean()) / 10)


# -- what a file is ---------------------------------------------------------------


def test_a_clip_is_measured(clip: Video) -> None:
    assert (clip.width, clip.height, clip.fps, clip.duration, clip.frame_count) == (64, 48, 10, 2, 20)
    assert probe(clip.path).codec == "h264"


def test_repr_is_one_line(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4")
    assert repr(Video.from_file(path)) == "<Video 'clip.mp4' 64×48, 2 s, 10 fps>"
    text = repr(Video.from_file(path, backend="local", take=2))
    assert text.endswith("take 2, local preview>")


def test_webm_and_odd_sizes_are_measured(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.webm", codec="libvpx-vp9", container="webm", size=(63, 47))
    found = probe(path)
    assert (found.width, found.height, found.codec) == (63, 47, "vp9")
    assert found.duration == pytest.approx(2, abs=0.05)
    assert found.frame_count == 20


def test_a_turned_clip_stands_upright_everywhere(tmp_path: Path) -> None:
    video = Video.from_file(make_clip(tmp_path / "turned.mp4", rotation=90, paint=numbered))
    assert (video.width, video.height) == (48, 64)
    array = next(video.frames())
    assert array.shape == (64, 48, 3)
    # Turned a quarter to the left, the white bar of the left edge lies at the bottom.
    assert array[-8:].mean() > 240
    assert array[:40].mean() < 10
    assert video.frame(0).size == video.last_frame.size == (48, 64)
    poster = Image.open(BytesIO(video.poster))
    assert poster.size == (48, 64)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "does not decode"),
        (b"<html>404</html>", "does not decode"),
        (b"#EXTM3U\n#EXTINF:5,\nhttp://127.0.0.1:9/clip.ts\n", "does not decode"),
        (b"ffconcat version 1.0\nfile '/etc/hostname'\n", "does not decode"),
    ],
)
def test_what_is_no_video_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "no.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=words):
        probe(path)


def test_a_clip_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "cut.mp4")
    path.write_bytes(path.read_bytes()[:-200])  # an MP4's index stands at its end
    with pytest.raises(MediaError, match="does not decode"):
        probe(path)


def test_a_clip_with_damaged_frames_is_refused(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "damaged.mp4")
    data = bytearray(path.read_bytes())
    begin, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    data[begin:end] = bytes(end - begin)
    path.write_bytes(bytes(data))
    with pytest.raises(MediaError):
        probe(path)


def test_audio_without_video_is_refused(tmp_path: Path) -> None:
    import av

    path = tmp_path / "audio.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with pytest.raises(MediaError, match="no video stream"):
        probe(path)


def test_absurd_sizes_are_refused_by_their_header(tmp_path: Path) -> None:
    path = make_clip(
        tmp_path / "wide.mov", codec="mjpeg", container="mov", size=(8200, 16), pix_fmt="yuvj420p", frames=1
    )
    with pytest.raises(MediaError, match="8200×16 pixels"):
        probe(path)


def test_a_file_that_never_was_there_is_no_lost_take(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"There is no file nothing\.mp4 in ") as caught:
        Video.from_file(tmp_path / "nothing.mp4")
    assert caught.value.remedy == "Check the path."


def test_the_error_of_a_missing_file(clip: Video) -> None:
    clip.path.unlink()
    with pytest.raises(MediaError, match="no longer in"):
        clip.frame(0)
    with pytest.raises(MediaError, match="no longer in"):
        list(clip.frames())
    with pytest.raises(MediaError, match="no longer in"):
        clip.save(clip.path.with_name("copy.mp4"))


# -- frames by time ---------------------------------------------------------------


def test_frames_gives_all_in_order(clip: Video) -> None:
    arrays = list(clip.frames())
    assert [number(array) for array in arrays] == list(range(20))
    assert arrays[0].shape == (48, 64, 3)
    assert arrays[0].dtype == np.uint8


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ((0.5, None, 1), list(range(5, 20))),
        ((0.55, 0.9, 1), [5, 6, 7, 8]),
        ((0, 1, 3), [0, 3, 6, 9]),
        ((1.3, None, 4), [13, 17]),
        ((0.3, 0.31, 1), [3]),
        ((2.0, None, 1), [19]),
        ((0, 99, 10), [0, 10]),
    ],
)
def test_frames_by_start_stop_and_step(clip: Video, span: tuple, expected: list[int]) -> None:
    assert [number(array) for array in clip.frames(*span)] == expected


def test_each_time_gives_the_frame_a_player_shows_then(clip: Video) -> None:
    for index in range(20):
        for t in (index / 10, index / 10 + 0.05, (index + 1) / 10 - 0.001):
            assert number(np.asarray(clip.frame(t))) == index, t
    assert number(np.asarray(clip.frame(clip.duration))) == 19
    assert number(np.asarray(clip.last_frame)) == 19


def test_a_container_that_cannot_seek_is_read_nevertheless(clip: Video, tmp_path: Path) -> None:
    gif = Video.from_file(clip.to_gif(tmp_path / "clip.gif", fps=10))
    assert number(np.asarray(gif.frame(1.55))) == 15
    assert gif.frame_count == 20


@pytest.mark.parametrize("t", [-0.1, 2.01, float("nan"), float("inf")])
def test_a_time_outside_the_clip_is_refused(clip: Video, t: float) -> None:
    with pytest.raises(InputError, match="t must be from 0 to 2 seconds, not") as caught:
        clip.frame(t)
    assert caught.value.parameter == "t"


@pytest.mark.parametrize(
    ("arguments", "parameter"),
    [
        ({"start": 3.0}, "start"),
        ({"start": 1.0, "stop": 1.0}, "stop"),
        ({"step": 0}, "step"),
        ({"step": True}, "step"),
    ],
)
def test_frames_refuses_wrong_arguments_at_once(
    clip: Video, arguments: dict[str, float], parameter: str
) -> None:
    with pytest.raises(InputError) as caught:
        clip.frames(**arguments)
    assert caught.value.parameter == parameter


def test_an_untagged_hd_clip_has_the_colours_of_a_player(tmp_path: Path) -> None:
    def red(index: int, width: int, height: int) -> np.ndarray:
        return np.full((height, width, 3), (200, 40, 0), np.uint8)

    # The encoder here makes BT.601 of RGB and tags nothing; a player takes HD for BT.709.
    small = Video.from_file(make_clip(tmp_path / "sd.mp4", paint=red, frames=2))
    large = Video.from_file(make_clip(tmp_path / "hd.mp4", paint=red, frames=2, size=(1280, 720)))
    assert np.allclose(next(small.frames())[20, 30], (200, 40, 0), atol=6)
    assert next(large.frames())[300, 300][0] > 208


# -- poster -----------------------------------------------------------------------


def test_the_poster_is_a_small_jpeg(tmp_path: Path) -> None:
    video = Video.from_file(make_clip(tmp_path / "c.mp4", size=(1280, 720), paint=colourful, frames=3))
    poster = Image.open(BytesIO(video.poster))
    assert (poster.format, poster.size) == ("JPEG", (480, 270))
    assert len(video.poster) <= 16_000
    assert video.poster is video.poster  # made once


def test_the_poster_is_the_first_frame_where_that_shows_something(clip: Video) -> None:
    assert number(np.asarray(Image.open(BytesIO(clip.poster)))) == 0


def test_the_poster_of_a_clip_that_fades_in_is_half_a_second_after_the_black(tmp_path: Path) -> None:
    def fade(index: int, width: int, height: int) -> np.ndarray:
        return numbered(index, width, height) if index >= 7 else np.zeros((height, width, 3), np.uint8)

    video = Video.from_file(make_clip(tmp_path / "fade.mp4", paint=fade))
    assert number(np.asarray(Image.open(BytesIO(video.poster)))) == 12


def test_the_poster_of_a_clip_that_shows_nothing_is_its_middle(tmp_path: Path) -> None:
    def black(index: int, width: int, height: int) -> np.ndarray:
        return np.full((height, width, 3), 3 if index == 10 else 0, np.uint8)

    video = Video.from_file(make_clip(tmp_path / "black.mp4", paint=black))
    assert Image.open(BytesIO(video.poster)).size == (64, 48)


def test_the_poster_of_noise_is_under_the_limit(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (720, 1280, 3), np.uint8)
    data = small_jpeg(Image.fromarray(noise), largest=3000)
    assert len(data) <= 3000
    assert Image.open(BytesIO(data)).width >= 64


# -- copies -----------------------------------------------------------------------


def test_save_copies_and_never_overwrites_by_itself(clip: Video, tmp_path: Path) -> None:
    copy = clip.save(tmp_path / "copy.mp4")
    assert copy.read_bytes() == clip.path.read_bytes()
    copy.write_text("mine")
    with pytest.raises(UsageError, match=r"copy\.mp4"):
        clip.save(copy)
    assert copy.read_text() == "mine"
    assert clip.save(copy, overwrite=True).read_bytes() == clip.path.read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_save_into_a_folder_and_onto_itself(clip: Video, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert clip.save(tmp_path / "out") == tmp_path / "out" / "clip.mp4"
    assert clip.save(clip.path) == clip.path
    assert clip.save(str(clip.path), overwrite=True).stat().st_size > 0


def test_save_where_there_is_no_folder_is_a_typed_error(clip: Video, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="cannot be written"):
        clip.save(tmp_path / "nowhere" / "copy.mp4")


def test_a_gif_has_the_length_and_colours_of_the_clip(tmp_path: Path) -> None:
    video = Video.from_file(
        make_clip(tmp_path / "c.mp4", paint=colourful, size=(320, 180), fps=24, frames=48)
    )
    path = video.to_gif(tmp_path / "c.gif", width=160, fps=12)
    with Image.open(path) as gif:
        assert gif.size == (160, 90)
        assert gif.n_frames == 24  # type: ignore[attr-defined]
        assert gif.info["loop"] == 0
        length = 0
        for index in range(gif.n_frames):  # type: ignore[attr-defined]
            gif.seek(index)
            length += gif.info["duration"]
        assert length == 2000
        gif.seek(12)
        wanted = video.frame(1.0).resize((160, 90))
        difference = ImageStat.Stat(ImageChops.difference(gif.convert("RGB"), wanted)).mean
    assert max(difference) < 16


def test_a_gif_reports_its_progress_and_can_be_stopped(clip: Video, tmp_path: Path) -> None:
    steps: list[tuple[float, float]] = []
    clip.to_gif(tmp_path / "a.gif", on_progress=lambda done, total: steps.append((done, total)))
    assert steps == sorted(steps)
    assert steps[-1] == (steps[0][1], steps[0][1]) != steps[0]

    def stop(done: float, total: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        clip.to_gif(tmp_path / "b.gif", on_progress=stop)
    assert not list(tmp_path.glob("*b.gif*"))


def test_a_gif_of_a_turned_clip_stands_upright(tmp_path: Path) -> None:
    video = Video.from_file(make_clip(tmp_path / "t.mp4", rotation=-90))
    with Image.open(video.to_gif(tmp_path / "t.gif", width=480)) as gif:
        assert gif.size == (48, 64)


@pytest.mark.parametrize("arguments", [{"width": 8}, {"width": 9999}, {"fps": 0}, {"fps": 60}])
def test_a_gif_that_viewers_cannot_show_is_refused(
    clip: Video, tmp_path: Path, arguments: dict[str, int]
) -> None:
    with pytest.raises(InputError, match="must be from"):
        clip.to_gif(tmp_path / "c.gif", **arguments)
    assert not (tmp_path / "c.gif").exists()


def test_a_gif_never_overwrites_by_itself(clip: Video, tmp_path: Path) -> None:
    (tmp_path / "c.gif").write_text("mine")
    with pytest.raises(UsageError):
        clip.to_gif(tmp_path / "c.gif")
    assert (tmp_path / "c.gif").read_text() == "mine"


# -- placing ----------------------------------------------------------------------


def no_links(source: Path, target: Path) -> None:
    raise PermissionError("this disk has no hard links")


def test_a_disk_without_links_gets_whole_files_that_overwrite_nothing(tmp_path: Path) -> None:
    source = tmp_path / ".part"
    source.write_text("new")
    place(source, tmp_path / "a", link=no_links)
    assert (tmp_path / "a").read_text() == "new"
    with pytest.raises(FileExistsError):
        place(source, tmp_path / "a", link=no_links)
    assert {path.name for path in tmp_path.iterdir()} == {".part", "a"}


def test_a_copy_that_fails_frees_the_name_again(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        place(tmp_path / "gone", tmp_path / "a", link=no_links)
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def half(path: Path) -> None:
        path.write_text("half")
        raise MediaError("no more")

    with pytest.raises(MediaError):
        write_file(tmp_path / "a", half)
    assert list(tmp_path.iterdir()) == []


# -- showing ----------------------------------------------------------------------


def test_a_video_is_text_without_a_presenter(clip: Video, monkeypatch: pytest.MonkeyPatch) -> None:
    assert clip._repr_mimebundle_() == {"text/plain": repr(clip)}
    monkeypatch.setattr(front_end, "video_presenter", lambda video: {"text/html": video.path.name})
    assert clip._repr_mimebundle_(include=None) == {"text/html": "clip.mp4"}


def test_importing_brings_in_nothing_heavy() -> None:
    code = (
        "import sys, kling_nb.video, kling_nb.media, kling_nb.notebook.card.html\n"
        "print([name for name in ('av', 'numpy', 'PIL', 'httpx', 'anywidget') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
