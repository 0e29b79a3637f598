"""`join`: packets are copied if the shots agree, else all frames are encoded again."""

import io
import json
from contextlib import redirect_stderr
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import colourful, make_clip

from kling_nb import Storyboard, Video, front_end, join
from kling_nb.errors import InputError, MediaError, UsageError
from kling_nb.front_end import progress_line
from kling_nb.notebook.output.kernel import open_line
from kling_nb.video.join import Wish, plan_film


@pytest.fixture
def shots(tmp_path: Path) -> list[Video]:
    return [
        Video.from_file(make_clip(tmp_path / f"shot{number}.mp4", paint=colourful, frames=20 + 4 * number))
        for number in range(3)
    ]


def test_shots_that_agree_keep_their_frames(shots, tmp_path):
    film = join(shots, tmp_path / "film.mp4")
    assert (film.width, film.height, film.fps) == (64, 48, 10)
    assert film.frame_count == 20 + 24 + 28
    whole = list(film.frames())
    apart = [array for shot in shots for array in shot.frames()]
    assert all(np.array_equal(one, other) for one, other in zip(whole, apart, strict=True))
    with av.open(str(film.path)) as container:
        times = [packet.dts for packet in container.demux(video=0) if packet.dts is not None]
        assert times == sorted(set(times))


def test_shots_that_differ_get_the_shape_of_the_first(shots, tmp_path):
    tall = Video.from_file(make_clip(tmp_path / "tall.mp4", size=(48, 96), fps=20, frames=20))
    assert plan_film([shots[0].path, tall.path], Wish()).why == "shot 2 differs from the first in its size"
    film = join([shots[0], tall], tmp_path / "film.mp4")
    assert (film.width, film.height, film.fps) == (64, 48, 10)
    assert film.frame_count == 30
    last = np.asarray(film.last_frame)
    assert last[:, :16].mean() < 12  # The bars are black.
    assert last[:, 26:38].mean() > 60
    assert json.loads((tmp_path / "film.json").read_text())["encoded_anew"] is True


def with_audio(path, seconds=2.0, hertz=440, rate=48_000):
    """A clip of 10 frames a second with a tone."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = out.add_stream("aac", rate=rate, layout="stereo")
        for index in range(round(seconds * 10)):
            frame = av.VideoFrame.from_ndarray(colourful(index, 64, 48), format="rgb24")
            out.mux(video.encode(frame))
        wave = np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate).astype(np.float32) / 2
        for at in range(0, len(wave), 1024):
            piece = np.stack([wave[at : at + 1024]] * 2)
            frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
            out.mux(sound.encode(frame))
        out.mux(video.encode(None))
        out.mux(sound.encode(None))
    return Video.from_file(path)


def loudness(film, start, stop):
    """Return the root mean square of the audio between two times."""
    with av.open(str(film.path)) as container:
        heard = [frame for frame in container.decode(audio=0) if start <= frame.time < stop]
        return float(np.sqrt(np.mean(np.concatenate([frame.to_ndarray() for frame in heard], axis=1) ** 2)))


def test_audio_is_joined_too(tmp_path):
    shots = [with_audio(tmp_path / "a.mp4"), with_audio(tmp_path / "b.mp4", hertz=880)]
    film = join(shots, tmp_path / "film.mp4")
    assert json.loads((tmp_path / "film.json").read_text())["encoded_anew"] is False
    assert film.duration == pytest.approx(4)
    assert loudness(film, 0.5, 1.5) > 0.2
    assert loudness(film, 2.5, 3.5) > 0.2


def test_a_shot_without_audio_is_silent(shots, tmp_path):
    film = join([with_audio(tmp_path / "a.mp4"), shots[0]], tmp_path / "film.mp4")
    assert film.frame_count == 40
    assert loudness(film, 0.5, 1.5) > 0.2
    assert loudness(film, 2.5, 3.5) < 0.01


def test_the_sidecar_lists_the_shots(shots, tmp_path):
    film = join(shots, tmp_path / "film.mp4")
    about = json.loads((tmp_path / "film.json").read_text())
    assert (about["kling_nb_film"], about["file"], about["encoded_anew"]) == (1, "film.mp4", False)
    assert [shot["file"] for shot in about["shots"]] == ["shot0.mp4", "shot1.mp4", "shot2.mp4"]
    assert [shot["start"] for shot in about["shots"]] == [0, 2, 4.4]
    assert str(tmp_path) not in (tmp_path / "film.json").read_text()
    before = film.path.stat().st_mtime_ns
    assert join(shots, tmp_path / "film.mp4").path.stat().st_mtime_ns == before  # The film exists already.


def test_another_film_is_not_overwritten(shots, tmp_path):
    join(shots, tmp_path / "film.mp4")
    with pytest.raises(UsageError, match="There is a file film"):
        join(shots[:2], tmp_path / "film.mp4")
    assert join(shots[:2], tmp_path / "film.mp4", overwrite=True).frame_count == 44


def test_by_default_the_film_is_in_the_media_folder(shots, tmp_path, monkeypatch):
    monkeypatch.setenv("KLING_NB_MEDIA", str(tmp_path / "media"))
    film = Storyboard(shots).join()
    assert film.path.parent == tmp_path / "media"
    assert film.path.name.startswith("film-")
    gif = Storyboard(shots).to_gif(tmp_path / "film.gif", width=32, fps=5)
    assert gif.read_bytes().startswith(b"GIF89a")


def test_a_film_with_a_preview_is_a_preview(shots, tmp_path):
    preview = Video.from_file(shots[0].path, backend="local")
    assert join([preview, shots[1]], tmp_path / "film.mp4").backend == "local"


def test_what_cannot_be_joined(shots, tmp_path):
    with pytest.raises(UsageError, match="list of shots is empty"):
        join([])
    with pytest.raises(UsageError, match="Shot 2 is int"):
        join([shots[0], 7])
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    with pytest.raises(MediaError):
        join([shots[0], broken])
    shots[1].path.unlink()
    with pytest.raises(UsageError, match="missing in"):
        join(shots, tmp_path / "film.mp4")
    assert not (tmp_path / "film.mp4").exists()


def test_the_users_own_file_where_the_sidecar_goes_is_kept(shots, tmp_path):
    notes = tmp_path / "film.json"
    notes.write_text('{"my": "notes"}')
    with pytest.raises(UsageError, match=r"film\.json already exists in"):
        join(shots, tmp_path / "film.mp4")
    assert notes.read_text() == '{"my": "notes"}'
    assert not (tmp_path / "film.mp4").exists()
    join(shots, tmp_path / "film.mp4", overwrite=True)
    join(shots[:2], tmp_path / "film.mp4", overwrite=True)  # over a sidecar of ours
    assert len(json.loads(notes.read_text())["shots"]) == 2


def test_one_shot_and_names_of_other_files_are_refused(shots, tmp_path):
    for one in (shots[0], str(shots[0].path), shots[0].path, 5):
        with pytest.raises(UsageError, match="must be a list of shots"):
            join(one)
    with pytest.raises(UsageError, match=r"must end in \.mp4"):
        join(shots, tmp_path / "film.gif")
    with pytest.raises(InputError, match=r"must end in \.gif"):
        shots[0].to_gif(tmp_path / "film.mp4")
    assert not list(tmp_path.glob("film.*"))


def joining(what, **options):
    return progress_line(what, None, verbs=("Joining", "Joined"), **options)


def test_a_long_join_rewrites_one_line_of_its_cell():
    class Shell:
        def __init__(self):
            self.display_pub, self.published = self, []

        def publish(self, data, metadata, transient, update):
            self.published.append((data["text/plain"], transient["display_id"], update))

    def stopped():
        with joining("1 shot", after=0) as report:
            report(0, 4)
            raise KeyboardInterrupt

    shell = Shell()
    front_end.open_line = lambda: open_line(shell)
    try:
        with joining("3 shots", after=0) as report:
            for done in (1, 1, 4):
                report(done, 4)
        with pytest.raises(KeyboardInterrupt):
            stopped()
        with joining("3 shots") as report:
            report(1, 4)  # a short join shows nothing
    finally:
        front_end.open_line = None
    texts = [text.partition(" in ")[0] for text, _, _ in shell.published]
    assert texts == [
        "Joining 3 shots: 25 %",
        "Joining 3 shots: 100 %",
        "Joined 3 shots",
        "Joining 1 shot: 0 %",
        "Joining 1 shot was stopped.",
    ]
    assert [update for _, _, update in shell.published] == [False, True, True, False, True]
    assert len({display_id for _, display_id, _ in shell.published}) == 2


def test_a_long_join_rewrites_one_line_of_the_terminal_and_none_of_a_file():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for stream, lines in ((Terminal(), ["Joining 2 shots: 50 %", "Joined 2 shots"]), (io.StringIO(), [])):
        with redirect_stderr(stream), joining("2 shots", after=0) as report:
            report(1, 2)
        shown = stream.getvalue().replace("\x1b[K", "").split("\r")[1:]
        assert [line.partition(" in ")[0] for line in shown] == lines


def test_trimmed_shots_have_the_frames_and_the_audio_between_their_points(shots, tmp_path):
    tone = with_audio(tmp_path / "tone.mp4")
    board = Storyboard([shots[2], tone], [(0.5, 1.5), (1.0, None)])
    assert board.duration == pytest.approx(2.0)
    film = board.join(tmp_path / "film.mp4")
    assert film.frame_count == 20
    whole = [np.asarray(array, int) for array in shots[2].frames(0.5, 1.5)]
    made = [np.asarray(array, int) for array in film.frames(0.0, 1.0)]
    assert [np.abs(one - other).mean() < 12 for one, other in zip(whole, made, strict=True)] == [True] * 10
    assert np.abs(whole[0] - made[9]).mean() > np.abs(whole[9] - made[9]).mean()
    assert film.notes[0] == "encoded again: shots are trimmed"
    assert "shot 1: the first 0.5 s left out" in film.notes
    with av.open(str(film.path)) as container:
        audio = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    assert np.abs(audio[: 48_000 - 4_000]).max() < 0.01
    assert np.abs(audio[48_000 + 4_000 : 2 * 48_000 - 4_000]).max() > 0.05
    assert board.join(tmp_path / "film.mp4").path == film.path
    with pytest.raises(UsageError):  # another cut is another film
        Storyboard([shots[2], tone], [(0.5, 1.6), (1.0, None)]).join(tmp_path / "film.mp4")


def test_a_dissolve_mixes_images_and_audio_and_shortens_the_film(tmp_path):
    def plain(level):
        return lambda index, width, height: np.full((height, width, 3), level, np.uint8)

    dark, light = (make_clip(tmp_path / f"{level}.mp4", paint=plain(level), frames=20) for level in (60, 180))
    film = join([dark, light, dark], tmp_path / "film.mp4", transition="dissolve")
    levels = [float(frame.mean()) for frame in film.frames()]
    assert (len(levels), film.notes[0]) == (50, "encoded again: shots are mixed")
    assert len(film.notes) == 1  # nothing was left out
    assert levels[:15] == pytest.approx([60] * 15, abs=3)
    assert levels[15:20] == pytest.approx([80, 100, 120, 140, 160], abs=4)
    assert levels[20:30] == pytest.approx([180] * 10, abs=3)
    assert levels[30:35] == pytest.approx([160, 140, 120, 100, 80], abs=4)

    low, high = with_audio(tmp_path / "low.mp4", hertz=300), with_audio(tmp_path / "high.mp4", hertz=3000)
    film = join([low, high], tmp_path / "both.mp4", transition="dissolve")
    with av.open(str(film.path)) as container:
        audio = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])

    def loudness(seconds, hertz):
        part = audio[round(seconds * 48_000) :][:4_800]
        return np.abs(np.fft.rfft(part * np.hanning(4_800)))[hertz // 10]

    assert loudness(0.5, 300) > 50 * loudness(0.5, 3000)
    assert loudness(2.5, 3000) > 50 * loudness(2.5, 300)
    assert 0.5 < loudness(1.7, 300) / loudness(1.7, 3000) < 2  # in the middle of the mix
    assert film.duration == pytest.approx(3.5, abs=0.03)


@pytest.mark.parametrize(
    "trims", [[None], [(1, 1), None], [(0, 99), None], [(-1, 1), None], [("0", 1), None]]
)
def test_a_trim_that_makes_no_sense(shots, trims):
    with pytest.raises(UsageError, match="trim"):
        Storyboard(shots[:2], trims)


def test_a_storyboard_is_a_document(shots, tmp_path, monkeypatch, home):
    monkeypatch.chdir(tmp_path)
    board = Storyboard([shots[2], shots[0]], [(0.5, None), None])
    document = board.save("film")
    assert document == tmp_path / "film.storyboard.json"
    again = Storyboard.load("film")
    assert [shot.path for shot in again] == [shots[2].path, shots[0].path]
    assert again.trims == ((0.5, None), None)
    board = Storyboard(list(again)[:1])
    assert len(Storyboard.load(board.save(document))) == 1
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    document.rename(moved / document.name)
    file = shots[2].path.rename(moved / shots[2].path.name)
    assert Storyboard.load(moved / document.name)[0].path == file
    file.write_bytes(shots[1].path.read_bytes())
    with pytest.raises(UsageError, match=r"missing or changed: shot2\.mp4"):
        Storyboard.load(moved / document.name)
    (tmp_path / "film.storyboard.json").write_text("{}")
    with pytest.raises(UsageError, match="is no storyboard"):
        Storyboard.load("film")
    with pytest.raises(UsageError, match="is no storyboard"):
        board.save("film")
    with pytest.raises(UsageError, match="There is no file"):
        Storyboard.load("nothing")


def test_an_edit_is_stored_in_the_document_or_changes_nothing(shots, tmp_path, monkeypatch, home):
    monkeypatch.chdir(tmp_path)
    board = Storyboard(shots)
    board.edit([shots[2], shots[0]], [(0.5, None), None])
    assert (board.path, len(board), board.trims) == (None, 2, ((0.5, None), None))
    document = board.save("film")
    board.edit([shots[1]])
    again = Storyboard.load("film")
    assert ([shot.path for shot in again], again.path) == ([shots[1].path], document)
    for wrong in ([], [5]):
        with pytest.raises(UsageError):
            again.edit(wrong)
    document.unlink()
    document.mkdir()
    with pytest.raises((MediaError, UsageError)):
        again.edit(shots)
    assert [shot.path for shot in again] == [shots[1].path]


def test_a_fade_goes_through_black_and_silence_at_each_join_and_keeps_the_length(tmp_path):
    grey = Video.from_file(
        make_clip(tmp_path / "grey.mp4", frames=20, paint=lambda i, w, h: np.full((h, w, 3), 200, np.uint8))
    )
    tone = with_audio(tmp_path / "tone.mp4")
    film = join([grey, tone, grey], tmp_path / "film.mp4", transition="fade")
    assert film.frame_count == 60
    assert film.notes[0].startswith("encoded again: ")
    light = [float(np.asarray(frame).mean()) for frame in film.frames()]
    assert min(light[:15]) > 190  # The start and the end do not fade.
    assert min(light[46:]) > 190
    assert light[20] < 12 > light[40]
    assert light[15] > light[17] > light[19]
    assert light[41] < light[43] < light[45]
    with av.open(str(film.path)) as container:
        audio = np.abs(np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)]))
    loud = [audio[int(48_000 * t) : int(48_000 * (t + 0.1))].max() for t in (2.05, 2.9, 3.85)]
    assert loud[0] < loud[1] / 2 > loud[2]
    cut = join([grey, tone], tmp_path / "cut.mp4", fit="crop")
    assert json.loads(cut.path.with_suffix(".json").read_text())["asked"] == {
        "fit": "crop",
        "size": None,
        "fps": None,
        "audio": "keep",
    }
    with pytest.raises(InputError, match="transition"):
        join([grey], transition="wipe")
