"""`Storyboard`: shots in order, shown as a strip and joined to one film."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from kling_nb import front_end
from kling_nb._files import sync, write_file
from kling_nb.errors import UsageError
from kling_nb.job.job import Job
from kling_nb.settings import current
from kling_nb.video import Video
from kling_nb.video.join import join_clips
from kling_nb.video.video import write_new

VERSION = 1
"""Version of the sidecar of a film."""


class Storyboard:
    """Shots in the order of the film. In a notebook, it shows a strip that plays them all.

    Args:
        shots: Videos, finished jobs, or files.

    Raises:
        UsageError: The list is empty, or an item is no video.

    Attributes:
        id: Identifies the storyboard in a notebook's outputs.
        shots: The videos.
    """

    def __init__(self, shots: Iterable[Any]) -> None:
        self.id = f"strip-{secrets.token_hex(4)}"
        if isinstance(shots, (str, Path, Video, Job)) or not isinstance(shots, Iterable):
            raise UsageError(
                f"shots is one {type(shots).__name__}; it must be a list of shots.",
                remedy="Example: [one, two, three]",
                parameter="shots",
            )
        self.shots = tuple(_video(shot, number) for number, shot in enumerate(shots, 1))
        if not self.shots:
            raise UsageError(
                "The list of shots is empty.", remedy="Give at least one video.", parameter="shots"
            )

    @property
    def duration(self) -> float:
        """Length of all shots together, in seconds."""
        return sum(shot.duration for shot in self.shots)

    def join(self, path: str | Path | None = None, *, overwrite: bool = False) -> Video:
        """Join the shots to one MP4, with a sidecar that lists them.

        If the shots agree in size, frame rate and encoding, their frames are copied. Otherwise they are
        encoded again, in the size and frame rate of the first shot. If the film already exists, it is
        returned.

        Args:
            path: The new file; by default in the media folder, with a name made from its content.
            overwrite: Replace another file of that name.

        Raises:
            UsageError: The file or its sidecar exists with other content, and `overwrite` is False; or the
                name does not end in .mp4.
            MediaError: A shot is missing or damaged, or the film cannot be written.
        """
        hashes = [_sha256(shot.path) for shot in self.shots]
        name = f"film-{hashlib.sha256(' '.join(hashes).encode()).hexdigest()[:12]}.mp4"
        target = Path(path).absolute() if path is not None else current().media / name
        if target.suffix.lower() != ".mp4":
            raise UsageError(
                f"{target.name} must end in .mp4, because a film is an MP4.",
                remedy="Give a path that ends in .mp4, or call to_gif for a GIF.",
                parameter="path",
            )
        sidecar = target.with_suffix(".json")
        # A film that contains a preview must be marked as LOCAL PREVIEW too.
        backend = "local" if any(shot.backend == "local" for shot in self.shots) else None
        if _is_film_of(sidecar, target, hashes):
            return Video.from_file(target, backend=backend)
        if not overwrite and sidecar.exists() and not _is_sidecar(sidecar):
            raise UsageError(
                f"{sidecar.name} already exists in {sidecar.parent}, and the film's sidecar needs that name.",
                remedy="Give the film another name, or set overwrite=True.",
                parameter="path",
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        encoded: list[bool] = []
        write_new(target, lambda file: encoded.append(join_clips(self.shots, file)), overwrite=overwrite)
        film = Video.from_file(target, backend=backend)
        content = json.dumps(self._describe(film, hashes, encoded=encoded[0]), ensure_ascii=False, indent=2)
        write_file(sidecar, f"{content}\n".encode(), overwrite=True)
        sync(target.parent)
        return film

    def to_gif(self, path: str | Path, width: int = 480, fps: float = 12, *, overwrite: bool = False) -> Path:
        """Write all shots as one animated GIF. See `Video.to_gif`."""
        return self.join().to_gif(path, width, fps, overwrite=overwrite)

    def _describe(self, film: Video, hashes: list[str], *, encoded: bool) -> dict[str, Any]:
        """Return the content of the sidecar. It has file names without folders, because a folder may move."""
        shots = []
        start = 0.0
        for shot, sha256 in zip(self.shots, hashes, strict=True):
            request = shot.request or {}
            shots.append(
                {
                    "file": shot.path.name,
                    "sha256": sha256,
                    "start": round(start, 3),
                    "duration": round(shot.duration, 3),
                    "endpoint": request.get("endpoint"),
                    "input": request.get("input"),
                    "request_id": shot.request_id,
                    "take": shot.take,
                    "backend": shot.backend,
                }
            )
            start += shot.duration
        about = {"width": film.width, "height": film.height, "fps": film.fps, "duration": film.duration}
        own = {"file": film.path.name, "sha256": _sha256(film.path), "encoded_anew": encoded}
        return {"kling_nb_film": VERSION, **own, **about, "shots": shots}

    def __len__(self) -> int:
        return len(self.shots)

    def __iter__(self) -> Iterator[Video]:
        return iter(self.shots)

    def __getitem__(self, index: int) -> Video:
        return self.shots[index]

    def _ipython_display_(self) -> None:
        if front_end.strip_presenter is None:
            raise NotImplementedError  # IPython shows the repr then
        front_end.strip_presenter(self)

    def __repr__(self) -> str:
        return f"<Storyboard {len(self.shots)} shots, {self.duration:.4g} s>"


def join(shots: Iterable[Any], path: str | Path | None = None, *, overwrite: bool = False) -> Video:
    """Join shots to one MP4. See `Storyboard.join`."""
    return Storyboard(shots).join(path, overwrite=overwrite)


def _video(shot: Any, number: int) -> Video:
    if isinstance(shot, Video):
        return shot
    if isinstance(shot, Job) and shot.video is not None:
        return shot.video
    if isinstance(shot, (str, Path)):
        return Video.from_file(shot)
    raise UsageError(
        f"Shot {number} is {type(shot).__name__}, not a video.",
        remedy="Give videos, finished jobs or paths of video files.",
        parameter="shots",
    )


def _is_sidecar(path: Path) -> bool:
    """Return True if the file is the sidecar of a film, which may be replaced."""
    try:
        return "kling_nb_film" in json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def _is_film_of(sidecar: Path, film: Path, hashes: list[str]) -> bool:
    """Return True if the film exists unchanged and consists of exactly these shots."""
    try:
        about = json.loads(sidecar.read_text(encoding="utf-8"))
        shots = [shot["sha256"] for shot in about["shots"]]
        return about["kling_nb_film"] == VERSION and shots == hashes and about["sha256"] == _sha256(film)
    except (OSError, ValueError, KeyError, TypeError, UsageError):
        return False


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise UsageError(
            f"{path.name} is missing in {path.parent}.", remedy="Run its cell again to get it back."
        ) from None
