"""`Video` and `MediaFile`: results on disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property, partial
from itertools import count, islice, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kling_nb import front_end
from kling_nb._files import write_file
from kling_nb._lazy import av, np, pillow
from kling_nb.errors import InputError, MediaError, UsageError
from kling_nb.front_end import OnProgress, progress_line
from kling_nb.video.decisions import Decided, decidable
from kling_nb.video.frames import (
    TOLERANCE,
    frame_at,
    key_frames,
    last_frame,
    make_palette,
    poster,
    probe,
    quantize,
    read_frames,
    sample,
    shown,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image


class StoredResult(Decided):
    """What `Video` and `MediaFile` share."""

    path: Path
    backend: str | None
    take: int | None

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Copy the file to `path`, or into it if it is a folder.

        Returns:
            The new file.

        Raises:
            UsageError: The file exists, and `overwrite` is False.
            MediaError: The copy cannot be written, or the file is gone.
        """
        target = Path(path).absolute()
        target = target / self.path.name if target.is_dir() else target
        if target.exists() and target.samefile(self.path):
            return target
        write_new(target, lambda temporary: _copy(self.path, temporary), overwrite=overwrite)
        return target

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Any:
        """Return what IPython shows (its documented hook)."""
        presenter = front_end.video_presenter
        return {"text/plain": repr(self)} if presenter is None else presenter(self)

    def _repr_of(self, facts: list[str]) -> str:
        facts += [f"take {self.take}"] if self.take else []
        facts += ["local preview"] if self.backend == "local" else []
        return f"<{type(self).__name__} {self.path.name!r} {', '.join(facts)}>"


@decidable
@dataclass(frozen=True, eq=False, repr=False)
class Video(StoredResult):
    """A clip on this machine.

    Attributes:
        path: The file.
        url: URL it was downloaded from; such URLs of fal expire. None for your own file.
        width: Pixels, as shown.
        height: Pixels, as shown.
        fps: Frames per second.
        duration: Seconds.
        frame_count: Frames.
        request: The request it was made from: `{"endpoint": id, "input": {…}}`, or None.
        request_id: fal's id of the request, or None.
        backend: `"fal"` or `"local"`, or None for your own file.
        take: Its number among the takes of the same request, from 1.
        notes: Of a film by `join`: why it was encoded again, and what each shot lost.
        sidecar: Its sidecar, which has `rating`, `note` and `tags`; None for your own file.
    """

    path: Path
    width: int
    height: int
    fps: float
    duration: float
    frame_count: int
    url: str | None = None
    request: Mapping[str, Any] | None = field(default=None)
    request_id: str | None = None
    backend: str | None = None
    take: int | None = None
    notes: tuple[str, ...] = ()
    sidecar: Path | None = None

    @classmethod
    def from_file(cls, path: str | Path, **origin: Any) -> Video:
        """Measure the file at `path` and return it as a `Video`.

        Args:
            path: The file.
            **origin: Other attributes of the `Video`, such as `request` and `backend`.

        Raises:
            MediaError: The file is missing, truncated, damaged or no video. The message says what it is.
        """
        path = Path(path).absolute()
        try:
            found = probe(path)
        except MediaError as error:
            if "request" not in origin and isinstance(
                error.__cause__, FileNotFoundError
            ):  # not a take of a cell
                raise MediaError(
                    f"There is no file {path.name} in {path.parent}.", remedy="Check the path."
                ) from error
            raise
        if found.announced is not None:
            raise MediaError(
                f"{path.name} is truncated after {found.duration:.1f} s of {found.announced:.1f} s.",
                remedy="Copy or download the file again.",
            )
        return cls(
            path=path,
            width=found.width,
            height=found.height,
            fps=found.fps,
            duration=found.duration,
            frame_count=found.frame_count,
            **origin,
        )

    @cached_property
    def poster(self) -> bytes:
        """A JPEG of the first frame that shows something, at most 480 pixels wide and 16 kB large.

        Raises:
            MediaError: The file is gone or damaged.
        """
        return poster(self.path, self.duration)

    @property
    def last_frame(self) -> Image:
        """The last frame, as the start of a next shot.

        Raises:
            MediaError: The file is gone or damaged.
        """
        return pillow.fromarray(last_frame(self.path, self.duration))

    def frame(self, t: float) -> Image:
        """Return the frame that a player shows at `t` seconds, exactly.

        Raises:
            InputError: `t` is not from 0 to `duration`.
            MediaError: The file is gone or damaged.
        """
        return pillow.fromarray(frame_at(self.path, self._check_time("t", t)))

    def frames(
        self, start: float = 0.0, stop: float | None = None, step: int = 1
    ) -> Iterator[NDArray[np.uint8]]:
        """Return an iterator of frames, as arrays of shape (height, width, 3), uint8, RGB.

        Args:
            start: Seconds; the first array is the frame at this time.
            stop: Seconds; frames from here on are left out. None goes to the end.
            step: 2 gives every second frame, and so on.

        Raises:
            InputError: `start` is not from 0 to `duration`, `stop` is not after it, or `step` is below 1.
            MediaError: The file is gone or damaged.
        """
        start = self._check_time("start", start)
        if stop is not None and not stop > start:
            raise InputError(f"stop must be more than start ({start:g} s), not {stop!r}.", parameter="stop")
        if isinstance(step, bool) or not isinstance(step, int) or step < 1:
            raise InputError(f"step must be a whole number from 1, not {step!r}.", parameter="step")
        return read_frames(self.path, start, stop, step)

    def to_gif(
        self,
        path: str | Path,
        width: int = 480,
        fps: float = 12,
        *,
        on_progress: OnProgress | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Write the clip as an endless animated GIF, with a palette made for it.

        Args:
            path: The new file.
            width: Pixels, from 16 to 4096. A narrower clip keeps its width.
            fps: Frames per second, from 1 to 50. Viewers show faster ones slower.
            on_progress: Called as `on_progress(done, total)`, in seconds of the clip, in place of the line
                that shows the progress. An exception that it raises stops the work.
            overwrite: Replace an existing file.

        Returns:
            The new file.

        Raises:
            InputError: `width` or `fps` is out of range, or `path` does not end in .gif.
            UsageError: The file exists, and `overwrite` is False.
            MediaError: It cannot be written, or the clip is gone or damaged.
        """
        if not 16 <= width <= 4096:
            raise InputError(f"width must be from 16 to 4096, not {width!r}.", parameter="width")
        if not 1 <= fps <= 50:
            raise InputError(f"fps must be from 1 to 50, not {fps!r}.", parameter="fps")
        target = Path(path).absolute()
        if target.suffix.lower() != ".gif":
            raise InputError(f"path must end in .gif, not {target.name!r}.", parameter="path")
        width = min(int(width), self.width)
        with progress_line(f"GIF {target.name}", on_progress, verbs=("Making", "Made")) as report:
            write_new(
                target, lambda temporary: _write_gif(self, temporary, width, fps, report), overwrite=overwrite
            )
        return target

    def _check_time(self, name: str, t: float) -> float:
        if not 0 <= t <= self.duration:  # This refuses NaN too.
            raise InputError(
                f"{name} must be from 0 to {self.duration:g} seconds, not {t!r}.", parameter=name
            )
        return float(t)

    def __repr__(self) -> str:
        facts = [f"{self.width}×{self.height}", f"{self.duration:.4g} s", f"{self.fps:.4g} fps"]
        return self._repr_of(facts)


# -- `MediaFile`: audio, an image, or another file that is not a video.


FileKind = Literal["audio", "image", "data"]


@decidable
@dataclass(frozen=True, eq=False, repr=False)
class MediaFile(StoredResult):
    """A file on this machine that is the result of an endpoint for speech, try-on and the like.

    It can be used as a path: `generate("…", image=result)`, `open(result, "rb")`.

    Attributes:
        path: The file.
        kind: "audio", "image", or "data" for anything else.
        content_type: MIME type, found in the content.
        url: URL it was downloaded from; such URLs of fal expire. None if the result contained the file.
        request: The request it was made from: `{"endpoint": id, "input": {…}}`, or None.
        request_id: fal's id of the request, or None.
        backend: `"fal"` or `"local"`.
        take: Its number among the takes of the same request, from 1.
        sidecar: Its sidecar, which has `rating`, `note` and `tags`.
    """

    path: Path
    kind: FileKind
    content_type: str
    url: str | None = None
    request: Mapping[str, Any] | None = None
    request_id: str | None = None
    backend: str | None = None
    take: int | None = None
    sidecar: Path | None = None

    def read(self) -> bytes:
        """Return the bytes of the file.

        Raises:
            MediaError: The file is gone.
        """
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise MediaError(
                f"{self.path.name} cannot be read: {error.strerror or error}.",
                remedy="Run its cell again to get it back.",
            ) from error

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        facts = ["file" if self.kind == "data" else self.kind, self.content_type]
        return self._repr_of(facts)


# -- Files at a path of the user's choice.


def write_new(target: Path, write: Callable[[Path], None], *, overwrite: bool) -> None:
    """Create `target` with the content that `write` gives a temporary file, completely or not at all.

    Raises:
        UsageError: The file exists, and `overwrite` is False.
        MediaError: It cannot be written.
    """
    try:
        if target.exists() and not overwrite:  # This is checked before the work, and again after it.
            raise FileExistsError
        write_file(target, write, overwrite=overwrite)
    except FileExistsError:
        raise UsageError(
            f"There is a file {target.name} in {target.parent} already.",
            remedy="Choose another name, or give overwrite=True.",
            parameter="path",
        ) from None
    except OSError as error:
        raise MediaError(f"{target} cannot be written: {error.strerror or error}.") from error


def _copy(source: Path, target: Path) -> None:
    if not source.is_file():
        raise MediaError(
            f"{source.name} is no longer in {source.parent}.", remedy="Run its cell again to get it back."
        )
    shutil.copyfile(source, target)


# -- GIFs.
#
# The whole clip has one palette, made of some of its frames, so that colours do not flicker and the clip is
# decoded once. FFmpeg's `paletteuse` and GIF encoder write only what changes from frame to frame.


_LONGEST_GIF = 300.0
"""Seconds. Kling's clips have 15, but a damaged header may claim years."""

_PALETTE_FRAMES = 16
_PALETTE_WIDTH = 320
"""Pixels of the frames that the palette is made of."""


def _write_gif(video: Video, target: Path, width: int, fps: float, on_progress: OnProgress) -> None:
    """Write `video` to `target`, which is overwritten, and whose name does not need to end in .gif.

    Raises:
        MediaError: The clip does not decode, or is longer than 300 s.
        OSError: The file cannot be written.
    """
    if video.duration > _LONGEST_GIF:
        raise MediaError(
            f"{video.path.name} is {video.duration:,.0f} s long. The limit for a GIF is {_LONGEST_GIF:.0f} s."
        )
    size = width, max(1, round(video.height * width / video.width))
    # GIF counts in 10 ms, so each frame starts at the nearest of them.
    marks = [round(100 * index / fps) for index in range(sum(1 for _ in _moments(video, fps)) + 1)]
    options = {"final_delay": str(marks[-1] - marks[-2])}
    with av.open(str(target), "w", format="gif", options=options) as out:
        stream: Any = out.add_stream("gif", rate=100)
        stream.width, stream.height, stream.pix_fmt = *size, "pal8"
        index = 0
        for times, frame in quantize(
            sample(video.path, _moments(video, fps), partial(shown, width=width)), _palette(video), size
        ):
            for _ in range(times):
                frame.pts, frame.time_base = marks[index], Fraction(1, 100)
                index += 1
                out.mux(stream.encode(frame))
            on_progress(marks[index] / 100, marks[-1] / 100)
        if not index:
            raise MediaError(f"{video.path.name} has no frame that decodes.")
        out.mux(stream.encode(None))


def _moments(video: Video, fps: float) -> Iterator[float]:
    """Yield 0, 1/fps, 2/fps … until the end of the clip."""
    return takewhile(lambda t: t < video.duration - TOLERANCE, (index / fps for index in count()))


def _palette(video: Video) -> Any:
    """Return a frame of FFmpeg with a palette that suits the whole clip."""
    steps = partial(shown, width=min(_PALETTE_WIDTH, video.width))
    frames = list(islice(key_frames(video.path, steps), 8 * _PALETTE_FRAMES))
    if len(frames) < _PALETTE_FRAMES / 2:
        moments = _moments(video, _PALETTE_FRAMES / video.duration)
        frames = [frame for _, frame in sample(video.path, moments, steps)]
    return make_palette(frames[:: max(1, len(frames) // _PALETTE_FRAMES)])
