"""Footage as film makers bring it: each file of known truth is read, and joined with a plain clip."""

import json
import resource
import signal
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from clips import need
from footage import (
    COLOURS,
    SIZE,
    Audio,
    Take,
    audio_with_cover,
    beeps,
    colours_of,
    drawn,
    flashes,
    number_of,
    to_yuv,
    truncated,
)

from kling_nb import Video, join
from kling_nb.errors import InputError, MediaError
from kling_nb.video import probe
from kling_nb.video.frames import Probe, frames_from, open_video
from kling_nb.video.join import Wish, plan_film

NEAR = 3
"""Of 255: how far a colour may be off."""

HD, SD = (1, 1, 1, 1), (6, 1, 6, 6)
PLAIN = Take(frames=24, tags=HD, matrix=1, flashes=(12,), audio=(Audio(seconds=1),))
TEN = {"pix_fmt": "yuv420p10le", "bits": 10}
TO_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
TO_P3 = np.array([[0.8225, 0.1774, 0.0], [0.0332, 0.9669, 0.0], [0.0171, 0.0724, 0.9108]])


def as_pq(rgb: np.ndarray) -> np.ndarray:
    """Return the drawn colours as PQ in BT.2020, with white at 203 cd/m² (SMPTE ST 2084)."""
    light = np.clip(np.power(rgb, 2.4) @ TO_2020.T, 0, 1) * 203 / 10_000
    power = np.power(light, 2610 / 16384)
    return np.power((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power), 2523 / 32)


def as_hlg(rgb: np.ndarray) -> np.ndarray:
    """Return the drawn colours as HLG in BT.2020, for a display of 1000 cd/m² (ITU-R BT.2100)."""
    light = np.clip(np.power(rgb, 2.4) @ TO_2020.T, 0, 1) * 203 / 1000
    bright = np.maximum(light @ np.array([0.2627, 0.6780, 0.0593]), 1e-9)[..., None]
    scene = light * np.power(bright, 1 / 1.2 - 1)
    return np.where(
        scene <= 1 / 12,
        np.sqrt(3 * scene),
        0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073,
    )


def as_p3(rgb: np.ndarray) -> np.ndarray:
    """Return the drawn colours in the primaries of Display P3."""
    return np.power(np.clip(np.power(rgb, 2.4) @ TO_P3.T, 0, 1), 1 / 2.4)


PHONE = tuple(
    number / 30 + jitter / 1000 + (0.1 if number >= 20 else 0)
    for number, jitter in zip(range(40), [0, 1, -2, 2, 0, -1] * 7, strict=False)
)
"""Seconds: about 30 frames per second, with one pause."""

FRAGMENTS = (("movflags", "frag_keyframe+empty_moov"),)

TAKES: dict[str, Take] = {
    "SD without tags": Take(tags=(2, 0, 2, 2)),
    "SD tagged as HD": Take(tags=HD, matrix=1),
    "HD without tags": Take(size=(1280, 720), frames=3, tags=(2, 0, 2, 2), matrix=1),
    "HD tagged as SD": Take(size=(1280, 720), frames=3, tags=SD),
    "full range": Take(tags=(1, 2, 1, 1), matrix=1, full=True),
    "motion JPEG": Take(codec="mjpeg", container="mov", pix_fmt="yuvj420p", tags=(5, 2, 2, 2), full=True),
    "10 bits": Take(tags=HD, matrix=1, **TEN),
    "BT.2020": Take(tags=(9, 1, 1, 1), matrix=9, **TEN),
    "HDR, PQ": Take(frames=4, tags=(9, 1, 9, 16), matrix=9, encode=as_pq, **TEN),
    "HDR, HLG": Take(frames=4, tags=(9, 1, 9, 18), matrix=9, encode=as_hlg, **TEN),
    "Display P3": Take(frames=4, tags=(1, 1, 12, 1), matrix=1, encode=as_p3, **TEN),
    "rotated left": Take(rotation=90),
    "rotated right": Take(rotation=-90),
    "upside down": Take(rotation=180),
    "mirrored": Take(flip=True),
    "wide pixels": Take(pixel=Fraction(4, 3)),
    "interlaced": Take(options=(("flags", "+ildct+ilme"), ("x264-params", "interlaced=1"))),
    "odd size": Take(
        size=(107, 61), codec="libvpx-vp9", container="webm", options=(("b", "2M"), ("cpu-used", "8"))
    ),
    "variable rate": Take(frames=40, times=PHONE),
    "hidden frames": Take(hidden=6, frames=30),
    "audio starts late": Take(flashes=(24, 36), audio=(Audio(start=0.5, seconds=1.5),)),
    "video starts late": Take(delay=0.5, flashes=(12, 36), audio=(Audio(start=-0.5, seconds=2.5),)),
    "audio ends late": Take(flashes=(12, 36), audio=(Audio(seconds=3),)),
    "surround": Take(flashes=(12, 36), audio=(Audio(layout="5.1"),)),
    "two audio tracks": Take(container="matroska", flashes=(12, 36), audio=(Audio(), Audio(language="ger"))),
    "transparent": Take(codec="png", container="mov", pix_fmt="rgba", frames=6),
    "fragmented": Take(muxing=FRAGMENTS, flashes=(12, 36), audio=(Audio(),)),
    "old camera": Take(container="avi", codec="mpeg4", options=(("b", "8M"), ("qmin", "1"), ("bf", "2"))),
    "NTSC": Take(fps=Fraction(30000, 1001), container="matroska"),
}
ENDINGS = {"matroska": "mkv"}


def written(folder: Path, name: str) -> tuple[Take, Path]:
    take = TAKES[name]
    return take, take.write(
        folder / f"{name.replace(' ', '_')}.{ENDINGS.get(take.container, take.container)}"
    )


def upright(take: Take, image: np.ndarray) -> np.ndarray:
    """Return the drawn image from a shown one, for the helpers that read it."""
    turned = np.rot90(image, -take.rotation // 90)
    return turned[:, ::-1] if take.flip else turned


def expected_colours(take: Take) -> np.ndarray:
    colours = np.array(COLOURS, float)
    colours[0] *= take.pix_fmt != "rgba"  # Its first patch is transparent, and shown on black.
    return colours


def numbers(take: Take, images: list[np.ndarray]) -> list[int]:
    shown = [number_of(upright(take, image)) for image in images]
    return [number & ~3 for number in shown] if take.pix_fmt == "rgba" else shown


def own_numbers(take: Take) -> list[int]:
    own = range(take.hidden, take.hidden + take.frames)
    return [number & ~3 for number in own] if take.pix_fmt == "rgba" else list(own)


def decoded_by_tags(path: Path, at: int) -> np.ndarray:
    """Return the colours of a frame by the equations of H.273, from the file's own tags."""
    with av.open(str(path)) as container:
        frame = next(frame for number, frame in enumerate(container.decode(video=0)) if number == at)
        assert (frame.colorspace, frame.color_range, frame.format.name) == (1, 1, "yuv420p")
        y, u, v = (
            np.frombuffer(bytes(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
            for plane in frame.planes
        )
    luma = (y.astype(float) - 16) / 219
    cb, cr = ((np.repeat(np.repeat(part, 2, 0), 2, 1) - 128.0) / 224 for part in (u, v))
    red, blue = luma + 2 * (1 - 0.2126) * cr, luma + 2 * (1 - 0.0722) * cb
    green = (luma - 0.2126 * red - 0.0722 * blue) / 0.7152
    return np.stack([red, green, blue], -1) * 255


# -- one file ---------------------------------------------------------------------


@pytest.mark.parametrize("name", TAKES)
def test_footage_is_read_as_it_is(name: str, tmp_path: Path) -> None:
    take, path = written(tmp_path, name)
    video = Video.from_file(path)
    width, height = round(take.size[0] * (take.pixel or 1)), take.size[1]
    assert (video.width, video.height) == ((height, width) if take.rotation in {90, -90} else (width, height))
    assert video.frame_count == take.frames
    length = take.times[-1] + 1 / 30 if take.times else take.frames / take.fps
    assert video.duration == pytest.approx(float(length), abs=0.005)
    assert video.fps == pytest.approx(float(take.frames / length), rel=0.005)
    images = list(video.frames())
    assert numbers(take, images) == own_numbers(take)
    found = colours_of(upright(take, images[-1]))
    assert np.abs(found - expected_colours(take)).max() <= NEAR
    number = take.frames // 2
    middle = take.times[number] if take.times else float(number / Fraction(take.fps))
    single = [np.asarray(video.frame(middle + 0.002)), np.asarray(video.last_frame)]
    assert numbers(take, single) == [own_numbers(take)[number], own_numbers(take)[-1]]


def test_facts_that_only_the_packets_tell(tmp_path: Path) -> None:
    def facts(name: str) -> Probe:
        return probe(written(tmp_path, name)[1])

    late = facts("video starts late")
    assert (late.start, late.tracks[0].start) == (Fraction(1, 2), pytest.approx(-0.5, abs=0.03))
    assert facts("audio ends late").tracks[0].end == pytest.approx(3, abs=0.03)
    assert [track.language for track in facts("two audio tracks").tracks] == ["", "ger"]
    phone = facts("variable rate")
    assert (phone.steady, phone.rate) == (False, 30)
    with open_video(tmp_path / "variable_rate.mp4") as (container, stream):
        times = [time for time, _ in frames_from(container, stream, 0)]
    assert np.abs(np.subtract(times, PHONE)).max() < 0.001
    assert facts("NTSC").rate == Fraction(30000, 1001)
    assert facts("hidden frames").refusal == "an edit list hides frames"


# -- what is no video -------------------------------------------------------------


def test_audio_with_a_cover_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no video stream: audio with a cover image"):
        Video.from_file(audio_with_cover(tmp_path / "song.m4a"))


def test_a_cover_in_front_of_the_video_is_not_the_video(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    cover = tmp_path / "cover.mov"
    Take(codec="mjpeg", container="mov", pix_fmt="yuvj420p", frames=1).write(cover)
    with av.open(str(cover)) as source:
        image = bytes(next(source.demux(video=0)))
    with av.open(str(path), "w", format="matroska") as out:
        need(out, "add_attachment")
        out.add_attachment("cover.jpg", "image/jpeg", image)
        video = out.add_stream("libx264", rate=24, width=64, height=48, pix_fmt="yuv420p")
        for packet in (*video.encode(av.VideoFrame(64, 48, "yuv420p")), *video.encode(None)):
            out.mux(packet)
    found = probe(path)
    assert (found.width, found.height, found.codec) == (64, 48, "h264")
    assert found.others == ("cover image",)


@pytest.mark.parametrize("container", ["mp4", "matroska", "avi"])
def test_a_truncated_file_says_where_it_ends(container: str, tmp_path: Path) -> None:
    codec = {"codec": "mpeg4"} if container == "avi" else {}
    muxing = (("movflags", "faststart"),) if container == "mp4" else ()
    take = Take(container=container, frames=96, gop=6, muxing=muxing, **codec)
    path = truncated(take.write(tmp_path / f"cut.{container}"), 0.6)
    with pytest.raises(MediaError, match=r"is truncated after [123]\.\d s of [234]\.\d s"):
        Video.from_file(path)
    found = probe(path)  # Its frames are there, so a result that was paid for is stored.
    assert found.frame_count == pytest.approx(found.duration * 24, abs=2)
    assert plan_film([path], Wish()).changes(0)[0].startswith("truncated after")


def test_the_error_says_what_a_file_is(tmp_path: Path) -> None:
    stream = Take(container="mpegts").write(tmp_path / "clip.ts")
    with pytest.raises(MediaError, match="it is MPEG-TS, which is not supported") as caught:
        Video.from_file(stream)
    assert "ffmpeg -i clip.ts -c copy clip.mp4" in caught.value.remedy
    empty, image = tmp_path / "empty.mp4", tmp_path / "photo.mp4"
    empty.touch()
    image.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(MediaError, match="it is empty"):
        Video.from_file(empty)
    with pytest.raises(MediaError, match="it is an image"):
        Video.from_file(image)


# -- films ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return PLAIN.write(tmp_path_factory.mktemp("plain") / "plain.mp4")


@pytest.mark.parametrize("name", [name for name in TAKES if not name.startswith("HD ")])
def test_footage_in_a_film_keeps_frames_colours_sync_and_length(
    name: str, plain: Path, tmp_path: Path
) -> None:
    take, path = written(tmp_path, name)
    shots = [Video.from_file(plain), Video.from_file(path)]
    film = join(shots, tmp_path / "film.mp4", size=SIZE, fit="scale")
    about = json.loads((tmp_path / "film.json").read_text())
    images = list(film.frames())
    inside = [upright(take, image) if take.rotation == 180 or take.flip else image for image in images[24:]]
    if take.fps == 24 and not take.times and take.rotation in {0, 180} and take.pix_fmt != "rgba":
        assert [number_of(image) for image in (*images[:24], *inside)] == [*range(24), *own_numbers(take)]
    assert film.duration == pytest.approx(sum(shot.duration for shot in shots), abs=1 / 24)
    assert film.frame_count == len(images) == round(film.duration * 24)
    if take.rotation in {0, 180}:
        assert np.abs(colours_of(inside[-1]) - expected_colours(take)).max() <= NEAR + 1
        if about["video"] == "encoded":
            frame = decoded_by_tags(film.path, len(images) - 1)
            frame = upright(take, frame) if take.rotation == 180 or take.flip else frame
            assert np.abs(colours_of(frame) - expected_colours(take)).max() <= NEAR
    check_sync(film, images[:24] + (inside if take.rotation in {0, 180} else []))
    with av.open(str(film.path)) as container:
        audio = container.streams.audio[0]
        assert float(audio.duration * audio.time_base) == pytest.approx(film.duration, abs=0.012)


def check_sync(film: Video, images: list[np.ndarray], within: float = 0.02) -> None:
    """Check that each flash has its beep."""
    lights = [flashes(image) for image in images]
    seen = [
        number / film.fps for number, on in enumerate(lights) if on and not (number and lights[number - 1])
    ]
    heard = beeps(film.path)
    assert len(seen) == len(heard) > 0
    assert max(abs(light - beep) for light, beep in zip(seen, heard, strict=True)) <= within


def test_twenty_shots_stay_in_sync(tmp_path: Path) -> None:
    take = replace(PLAIN, frames=13, flashes=(6,), audio=(Audio(seconds=13 / 24),))
    other = replace(take, tags=SD, matrix=6)
    for name, kinds in (("copied", [take]), ("encoded", [take, other])):
        paths = [kind.write(tmp_path / f"{name}{number}.mp4") for number, kind in enumerate(kinds)]
        film = join([paths[number % len(paths)] for number in range(20)], tmp_path / f"{name}.mp4")
        about = json.loads((tmp_path / f"{name}.json").read_text())
        assert about["video"] == name
        images = list(film.frames())
        assert [number_of(image) for image in images] == list(range(13)) * 20
        assert sum(flashes(image) for image in images) == 20
        check_sync(film, images)
        assert film.duration == pytest.approx(20 * 13 / 24)
        starts = [shot["start"] for shot in about["shots"]]
        assert all(after - before == pytest.approx(13 / 24, abs=0.002) for before, after in pairwise(starts))


def test_films_of_films_do_not_get_longer(plain: Path, tmp_path: Path) -> None:
    film = plain
    for number in range(5):
        film = join([film, plain], tmp_path / f"{number}.mp4").path
    with av.open(str(film)) as container:
        lengths = [float(stream.duration * stream.time_base) for stream in container.streams]
    assert lengths == [pytest.approx(6), pytest.approx(6, abs=0.012)]


def test_shots_of_another_rate_do_not_add_up_to_another_length(tmp_path: Path) -> None:
    first = replace(PLAIN, audio=(), flashes=()).write(tmp_path / "first.mp4")
    ntsc = replace(TAKES["NTSC"], frames=7).write(tmp_path / "ntsc.mkv")
    film = plan_film([first, *[ntsc] * 20], Wish())
    assert float(film.edges[-1]) == pytest.approx(1 + 20 * 7 * 1001 / 30000, abs=1 / 48)


REASONS = {
    "rotated left": "size",
    "upside down": "rotation",
    "mirrored": "rotation",
    "SD without tags": "colours",
    "full range": "colours",
    "10 bits": "pixel format",
    "interlaced": "colours",
    "variable rate": "colours",
}


@pytest.mark.parametrize("name", REASONS)
def test_packets_are_copied_only_where_nothing_differs(name: str, plain: Path, tmp_path: Path) -> None:
    path = written(tmp_path, name)[1]
    film = plan_film([plain, path], Wish())
    assert film.why == f"shot 2 differs from the first in its {REASONS[name]}"
    assert not plan_film([path, path], Wish()).encoded


def test_the_film_and_its_sidecar_say_what_was_lost(plain: Path, tmp_path: Path) -> None:
    lost = {
        "HDR, PQ": ["HDR (PQ) became SDR", "BT.2020 colours became those of HD", "10 bits became 8"],
        "transparent": ["transparent parts became black"],
        "surround": ["5.1 audio became stereo"],
        "two audio tracks": ["audio track 2 (ger) left out"],
        "audio ends late": ["1.0 s of audio after the last frame left out"],
        "video starts late": ["0.5 s of audio before the first frame left out"],
        "NTSC": ["29.97 fps became 24"],
    }
    films = {name: plan_film([plain, written(tmp_path, name)[1]], Wish()) for name in lost}
    assert {name: film.changes(1) for name, film in films.items()} == lost
    assert all(film.changes(0) == [] for film in films.values())
    film = join([plain, written(tmp_path, "NTSC")[1]], tmp_path / "film.mp4")
    assert film.notes == (
        "encoded again: shot 2: its time stamps are not in order",
        "shot 2: 29.97 fps became 24",
    )
    about = json.loads((tmp_path / "film.json").read_text())
    assert (about["video"], about["audio"], about["shots"][1]["changes"]) == (
        "encoded",
        "encoded",
        ["29.97 fps became 24"],
    )
    assert join([plain, tmp_path / "NTSC.mkv"], tmp_path / "film.mp4").notes == film.notes


# -- what a film is to be ---------------------------------------------------------


@pytest.mark.parametrize(
    ("fit", "edges", "middle"), [("letterbox", 0, 200), ("crop", 200, 200), ("scale", 200, 200)]
)
def test_a_shot_of_another_shape(fit: str, edges: int, middle: int, plain: Path, tmp_path: Path) -> None:
    def red(path: Path, size: tuple[int, int]) -> Path:
        with av.open(str(path), "w") as out:
            stream = out.add_stream("libx264", rate=24, width=size[0], height=size[1], pix_fmt="yuv420p")
            for _ in range(3):
                frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), (200, 30, 30), np.uint8))
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        return path

    film = join([plain, red(tmp_path / "tall.mp4", (64, 96))], tmp_path / "film.mp4", fit=fit)
    image = np.asarray(film.last_frame)
    assert image.shape == (96, 192, 3)
    assert image[:, :48, 0].mean() == pytest.approx(edges, abs=3)
    assert image[:, 80:112, 0].mean() == pytest.approx(200, abs=3)


def test_size_rate_and_audio_can_be_chosen(plain: Path, tmp_path: Path) -> None:
    film = join([plain], tmp_path / "film.mp4", size=(96, 48), fps=12, audio="mute")
    assert (film.width, film.height, film.fps, film.frame_count) == (96, 48, 12, 12)
    assert film.notes == (
        "encoded again: another size was asked for",
        "shot 1: audio left out",
        *film.notes[2:],
    )
    with av.open(str(film.path)) as container:
        assert not container.streams.audio
    again = join([plain], tmp_path / "film.mp4", size=(96, 48), fps=12, audio="mute")
    assert again.notes == film.notes
    muted = join([plain, plain], tmp_path / "muted.mp4", audio="mute")
    assert json.loads((tmp_path / "muted.json").read_text())["video"] == "copied"
    assert muted.frame_count == 48


@pytest.mark.parametrize(
    ("options", "parameter"),
    [
        ({"fit": "fill"}, "fit"),
        ({"fit": ["crop"]}, "fit"),
        ({"audio": "loud"}, "audio"),
        ({"audio": []}, "audio"),
        ({"size": (101, 50)}, "size"),
        ({"size": 720}, "size"),
        ({"fps": 0}, "fps"),
        ({"fps": float("nan")}, "fps"),
        ({"fps": "24"}, "fps"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused(
    options: dict, parameter: str, plain: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=f"^{parameter} must be") as caught:
        join([plain], tmp_path / "film.mp4", **options)
    assert caught.value.parameter == parameter
    assert not list(tmp_path.iterdir())


def test_progress_is_reported_and_can_stop_the_work(plain: Path, tmp_path: Path) -> None:
    steps: list[tuple[float, float]] = []
    join([plain, plain], tmp_path / "film.mp4", on_progress=lambda done, total: steps.append((done, total)))
    assert steps == sorted(steps)
    assert steps[-1] == (2, 2)
    assert len(steps) > 10

    def stop(done: float, total: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        join([plain], tmp_path / "other.mp4", on_progress=stop)
    assert {path.name for path in tmp_path.iterdir()} == {"film.mp4", "film.json"}


def test_a_film_whose_packets_cannot_be_copied_is_encoded(tmp_path: Path) -> None:
    take = replace(PLAIN, audio=(), flashes=())
    one, two = take.write(tmp_path / "one.mp4"), tmp_path / "two.mp4"
    # The second clip has the same frames, decoded half a second earlier, when the first still runs.
    with av.open(str(one)) as source, av.open(str(two), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.dts -= round(0.5 / packet.time_base)
                packet.stream = stream
                out.mux(packet)
    assert not plan_film([one, two], Wish()).encoded
    film = join([one, two], tmp_path / "film.mp4")
    assert film.notes[0].startswith("encoded again: the packets could not be copied")
    assert [number_of(image) for image in film.frames()] == [*range(24)] * 2


def test_a_full_disk_is_not_filled_a_second_time(tmp_path: Path) -> None:
    noise = replace(PLAIN, frames=240, audio=(), quality="0").write(tmp_path / "long.mp4")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    seen: list[float] = []
    resource.setrlimit(resource.RLIMIT_FSIZE, (noise.stat().st_size // 2, limits[1]))
    try:
        with pytest.raises(MediaError, match=r"film\.mp4 cannot be written: File too large"):
            join([noise], tmp_path / "film.mp4", on_progress=lambda done, _: seen.append(done))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert len(seen) > 10
    assert seen == sorted(seen)
    assert [path.name for path in tmp_path.iterdir()] == ["long.mp4"]


@pytest.mark.parametrize(
    ("codec", "options", "tag"),
    [("libsvtav1", {"preset": "12"}, "av01"), ("libx265", {"x265-params": "log-level=none"}, "hvc1")],
)
def test_clips_of_other_codecs_of_an_mp4_are_copied_with_their_tag(
    codec: str, options: dict[str, str], tag: str, tmp_path: Path
) -> None:
    clips = [
        Take(codec=codec, tags=HD, matrix=1, frames=6, first=first, options=tuple(options.items())).write(
            tmp_path / f"{first}.mp4"
        )
        for first in (0, 6)
    ]
    if tag == "hvc1":
        clips = [retagged(clip, tag) for clip in clips]
    film = join(clips, tmp_path / "film.mp4")
    assert film.notes == ()
    assert [number_of(image) for image in film.frames()] == [*range(12)]
    with av.open(str(film.path)) as container:
        assert container.streams.video[0].codec_context.codec_tag == tag


def retagged(path: Path, tag: str) -> Path:
    """Return a copy whose video has another tag, as phones write it."""
    target = path.with_stem(f"{path.stem}-{tag}")
    with av.open(str(path)) as source, av.open(str(target), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        stream.codec_context.codec_tag = tag
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    return target


def test_a_film_of_an_earlier_version_is_joined_again_if_asked(plain: Path, tmp_path: Path) -> None:
    other = Take(frames=4).write(tmp_path / "sd.mp4")
    film = join([plain, other], tmp_path / "film.mp4")
    sidecar = tmp_path / "film.json"
    about = json.loads(sidecar.read_text())
    old = {key: value for key, value in about.items() if key not in {"video", "audio", "why", "asked"}}
    sidecar.write_text(json.dumps(old))
    join([plain, other], film.path)
    assert json.loads(sidecar.read_text()) == old  # No file of a user is changed without being asked.
    join([plain, other], film.path, overwrite=True)
    assert json.loads(sidecar.read_text())["video"] == "encoded"


def test_a_header_that_claims_hours_is_refused_before_the_work(tmp_path: Path) -> None:
    path = Take(times=(0, 1, 40_000), frames=3).write(tmp_path / "long.mp4")
    with pytest.raises(MediaError, match=r"hours long\. The limit is 6"):
        join([path], tmp_path / "film.mp4")


def test_the_drawn_truth_is_read_back() -> None:
    image = drawn(0b10110101, SIZE, flash=True)
    assert number_of(image) == 0b10110101
    assert flashes(image)
    assert np.abs(colours_of(image) - COLOURS).max() == 0
    luma, _, _ = to_yuv(np.ones((2, 2, 3)), 1, full=False)
    assert luma[0, 0] == 235
