"""Shots in a row: a strip to look at, and one film made of them."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from kling_nb import _front_end
from kling_nb._job import Job
from kling_nb._settings import current
from kling_nb.errors import UsageError
from kling_nb.video import Video
from kling_nb.video.placing import sync, write_whole

VERSION = 1
"""Of the sidecar of a film."""


class Storyboard:
    """Shots in the order in which they are to be seen. It shows itself as a strip that plays through.

    Args:
        shots: Videos, finished jobs, or files.

    Raises:
        UsageError: There is no shot, or something that is none.

    Attributes:
        id: Names it in a notebook's outputs.
        shots: The videos.
    """

    def __init__(self, shots: Iterable[Any]) -> None:
        self.id = f"strip-{secrets.token_hex(4)}"
        if isinstance(shots, (str, Path, Video, Job)) or not isinstance(shots, Iterable):
            raise UsageError(
                f"shots is one {type(shots).__name__}; it must be a list of shots.",
                remedy="Write [one, two, three].",
                parameter="shots",
            )
        self.shots = tuple(_video(shot, number) for number, shot in enumerate(shots, 1))
        if not self.shots:
            raise UsageError("There is no shot.", remedy="Give at least one video.", parameter="shots")

    @property
    def duration(self) -> float:
        """Seconds of all shots together."""
        return sum(shot.duration for shot in self.shots)

    def join(self, path: str | Path | None = None, *, overwrite: bool = False) -> Video:
        """Put the shots together in one MP4, with a sidecar that says what it is made of.

        The pictures are taken over as they are where the shots agree in size, rate and encoding; else they
        are encoded once more, in the shape of the first. Joined again, the film that exists is returned.

        Args:
            path: The new file; by default one in the folder of takes, named by what is in it.
            overwrite: Replace another file that is there.

        Raises:
            UsageError: There is another film of that name or another file where its sidecar goes, and
                `overwrite` is False; or the name is not that of an MP4.
            MediaError: A shot is gone or damaged, or the film cannot be written.
        """
        from kling_nb.video.joining import join_clips  # noqa: PLC0415 -- needs PyAV
        from kling_nb.video.saving import write_new  # noqa: PLC0415 -- as above

        marks = [_sha256(shot.path) for shot in self.shots]
        name = f"film-{hashlib.sha256(' '.join(marks).encode()).hexdigest()[:12]}.mp4"
        target = Path(path).absolute() if path is not None else current().media / name
        if target.suffix.lower() != ".mp4":
            raise UsageError(
                f"{target.name} is no name for a film: it is written as an MP4.",
                remedy="Give a path that ends in .mp4; to_gif writes a GIF.",
                parameter="path",
            )
        note = target.with_suffix(".json")
        # A film with a preview in it is one: it must say so wherever it is shown.
        backend = "local" if any(shot.backend == "local" for shot in self.shots) else None
        if _holds(note, target, marks):
            return Video.from_file(target, backend=backend)
        if not overwrite and note.exists() and not _is_sidecar(note):
            raise UsageError(
                f"{note.name} is already in {note.parent}, where the film's sidecar goes; it is kept.",
                remedy="Give the film another name, or overwrite=True.",
                parameter="path",
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        encoded: list[bool] = []
        write_new(target, lambda file: encoded.append(join_clips(self.shots, file)), overwrite=overwrite)
        film = Video.from_file(target, backend=backend)
        sidecar = self._sidecar(film, marks, encoded=encoded[0])
        write_whole(note, lambda file: _write(file, sidecar), overwrite=True)
        sync(target.parent)
        return film

    def to_gif(self, path: str | Path, width: int = 480, fps: float = 12, *, overwrite: bool = False) -> Path:
        """Write all shots as one animated GIF. See `Video.to_gif`."""
        return self.join().to_gif(path, width, fps, overwrite=overwrite)

    def _sidecar(self, film: Video, marks: list[str], *, encoded: bool) -> dict[str, Any]:
        """What the film is made of. Files are named, not placed: a folder may move."""
        shots = []
        start = 0.0
        for shot, mark in zip(self.shots, marks, strict=True):
            made = shot.request or {}
            shots.append(
                {
                    "file": shot.path.name,
                    "sha256": mark,
                    "start": round(start, 3),
                    "duration": round(shot.duration, 3),
                    "endpoint": made.get("endpoint"),
                    "input": made.get("input"),
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
        if _front_end.strip_presenter is None:
            raise NotImplementedError  # IPython shows the repr then
        _front_end.strip_presenter(self)

    def __repr__(self) -> str:
        return f"<Storyboard {len(self.shots)} shots, {self.duration:.4g} s>"


def join(shots: Iterable[Any], path: str | Path | None = None, *, overwrite: bool = False) -> Video:
    """Put shots together in one MP4. See `Storyboard.join`."""
    return Storyboard(shots).join(path, overwrite=overwrite)


def _video(shot: Any, number: int) -> Video:
    if isinstance(shot, Video):
        return shot
    if isinstance(shot, Job) and shot.video is not None:
        return shot.video
    if isinstance(shot, (str, Path)):
        return Video.from_file(shot)
    raise UsageError(
        f"Shot {number} is {type(shot).__name__}, which is no video.",
        remedy="Give videos, finished jobs, or paths of video files.",
        parameter="shots",
    )


def _is_sidecar(note: Path) -> bool:
    """Whether the file says what a film is made of, and is ours to write anew."""
    try:
        return "kling_nb_film" in json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def _holds(note: Path, film: Path, marks: list[str]) -> bool:
    """Whether the film is there, whole, and made of just these shots."""
    try:
        about = json.loads(note.read_text(encoding="utf-8"))
        made_of = [shot["sha256"] for shot in about["shots"]]
        return about["kling_nb_film"] == VERSION and made_of == marks and about["sha256"] == _sha256(film)
    except (OSError, ValueError, KeyError, TypeError, UsageError):
        return False


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise UsageError(
            f"{path.name} is no longer in {path.parent}.", remedy="Run its cell again."
        ) from None


def _write(path: Path, about: dict[str, Any]) -> None:
    path.write_text(json.dumps(about, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
