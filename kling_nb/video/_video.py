"""`Video`: one clip on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kling_nb.errors import InputError
from kling_nb.video._probe import probe
from kling_nb.video.presenting import bundle_of
from kling_nb.video.saving import save_copy, write_new

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image


@dataclass(frozen=True, eq=False, repr=False)
class Video:
    """A clip that is stored on this machine.

    Attributes:
        path: The file.
        url: Where it was fetched from; such URLs of fal expire. None for a file of your own.
        width: Pixels, as shown.
        height: Pixels, as shown.
        fps: Frames a second.
        duration: Seconds.
        frame_count: Frames.
        request: What it was made from: `{"endpoint": id, "input": {…}}`, or None.
        request_id: fal's id of the request, or None.
        backend: `"fal"` or `"local"`, or None for a file of your own.
        take: Its number among the takes of the same request, from 1.
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

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        *,
        url: str | None = None,
        request: Mapping[str, Any] | None = None,
        request_id: str | None = None,
        backend: str | None = None,
        take: int | None = None,
    ) -> Video:
        """The clip at `path`, measured now.

        Raises:
            MediaError: The file is missing or does not decode as a video.
        """
        path = Path(path).absolute()
        found = probe(path)
        return cls(
            path=path,
            width=found.width,
            height=found.height,
            fps=found.fps,
            duration=found.duration,
            frame_count=found.frame_count,
            url=url,
            request=request,
            request_id=request_id,
            backend=backend,
            take=take,
        )

    @cached_property
    def poster(self) -> bytes:
        """A JPEG of at most 480 pixels' width and 16 kB: the first frame that shows something.

        Raises:
            MediaError: The file is gone or damaged.
        """
        from kling_nb.video.poster import poster  # noqa: PLC0415 - Pillow is heavy

        return poster(self.path, self.duration)

    @property
    def last_frame(self) -> Image:
        """The frame it ends on, for a shot that goes on from here.

        Raises:
            MediaError: The file is gone or damaged.
        """
        from kling_nb.video.frames import last_array  # noqa: PLC0415 - see `_picture`

        return _picture(last_array(self.path, self.duration))

    def frame(self, t: float) -> Image:
        """The picture that a player shows at `t` seconds, exactly.

        Raises:
            InputError: `t` is outside of 0 to `duration`.
            MediaError: The file is gone or damaged.
        """
        from kling_nb.video.frames import array_at  # noqa: PLC0415 - see `_picture`

        return _picture(array_at(self.path, self._within("t", t)))

    def frames(
        self, start: float = 0.0, stop: float | None = None, step: int = 1
    ) -> Iterator[NDArray[np.uint8]]:
        """Frames as arrays of shape (height, width, 3), uint8, RGB, one at a time.

        Args:
            start: Seconds; the first array is the frame shown then.
            stop: Seconds; frames from here on are left out. None goes to the end.
            step: 2 gives every second frame, and so on.

        Raises:
            InputError: `start` is outside of 0 to `duration`, `stop` is not after it, or `step` below 1.
            MediaError: The file is gone or damaged.
        """
        from kling_nb.video.frames import arrays  # noqa: PLC0415 - see `_picture`

        start = self._within("start", start)
        if stop is not None and not stop > start:
            raise InputError(f"stop is {stop!r}; allowed is more than start ({start:g} s).", parameter="stop")
        if isinstance(step, bool) or not isinstance(step, int) or step < 1:
            raise InputError(f"step is {step!r}; allowed is a whole number from 1.", parameter="step")
        return arrays(self.path, start, stop, step)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Copy the file to `path`, or into it where it is a folder.

        Returns:
            The new file.

        Raises:
            UsageError: There is such a file already, and `overwrite` is False.
            MediaError: The copy cannot be written, or the file is gone.
        """
        return save_copy(self.path, path, overwrite=overwrite)

    def to_gif(self, path: str | Path, width: int = 480, fps: float = 12, *, overwrite: bool = False) -> Path:
        """Write it as an endless animated GIF with a palette of its own.

        Args:
            path: The new file.
            width: Pixels, from 16; a clip that is narrower stays as it is.
            fps: Frames a second, from 1 to 50 (viewers slow faster ones down).
            overwrite: Replace a file that is there.

        Returns:
            The new file.

        Raises:
            InputError: `width` or `fps` is out of its range, or `path` does not end in .gif.
            UsageError: There is such a file already, and `overwrite` is False.
            MediaError: It cannot be written, or the clip is gone or damaged.
        """
        from kling_nb.video.gif import write_gif  # noqa: PLC0415 - see `_picture`

        if not 16 <= width <= 4096:
            raise InputError(f"width is {width!r}; allowed is 16 to 4096.", parameter="width")
        if not 1 <= fps <= 50:
            raise InputError(f"fps is {fps!r}; allowed is 1 to 50.", parameter="fps")
        target = Path(path).absolute()
        if target.suffix.lower() != ".gif":
            raise InputError(f"path is {target.name!r}; a GIF's name ends in .gif.", parameter="path")
        narrow = min(int(width), self.width)
        write_new(target, lambda temporary: write_gif(self, temporary, narrow, fps), overwrite=overwrite)
        return target

    def _within(self, name: str, t: float) -> float:
        if not 0 <= t <= self.duration:  # NaN is refused by this as well
            raise InputError(f"{name} is {t!r}; allowed is 0 to {self.duration:g} seconds.", parameter=name)
        return float(t)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Any:
        """What IPython shows (its documented hook)."""
        return bundle_of(self)

    def __repr__(self) -> str:
        facts = [f"{self.width}×{self.height}", f"{self.duration:.4g} s", f"{self.fps:.4g} fps"]
        facts += [f"take {self.take}"] if self.take else []
        facts += ["local preview"] if self.backend == "local" else []
        return f"<Video {self.path.name!r} {', '.join(facts)}>"


def _picture(array: NDArray[np.uint8]) -> Image:
    """A Pillow image. It and NumPy are imported here, not with the module: they take 0.1 s."""
    from PIL.Image import fromarray  # noqa: PLC0415 - heavy

    return fromarray(array)
