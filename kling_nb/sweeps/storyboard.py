"""`Storyboard`: shots in order, shown as a strip and joined to one film."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from kling_nb import front_end
from kling_nb._files import sync, write_file
from kling_nb.catalog.problem import counted
from kling_nb.errors import KlingError, MediaError, UsageError
from kling_nb.front_end import OnProgress, progress_line
from kling_nb.job.job import Job, no_widgets
from kling_nb.media import MediaFolder
from kling_nb.settings import current
from kling_nb.video import Video
from kling_nb.video.join import Film, Trim, Wish, join_clips
from kling_nb.video.video import write_new

VERSION = 1
"""Version of the sidecar of a film."""

_AT_ONCE = 4
"""Files that are read at once."""


class Storyboard:
    """Shots in the order of the film. In a notebook, it shows a strip that plays them all.

    Args:
        shots: Videos, finished jobs, or files.
        trims: In and out point of each shot in seconds, as (1.0, 4.5); None as out point is its end, and None
            in place of both is the whole shot. By default all are whole.

    Raises:
        UsageError: The list is empty, an item is no video, or a trim makes no sense.

    Attributes:
        id: Identifies the storyboard in a notebook's outputs.
        shots: The videos.
        trims: In and out point of each shot, or None.
        path: The document that has it, or None. `edit` keeps it up to date, and so does the live view.
    """

    def __init__(self, shots: Iterable[Any], trims: Sequence[Trim] | None = None) -> None:
        self.id = f"strip-{secrets.token_hex(4)}"
        self.path: Path | None = None
        if isinstance(shots, (str, Path, Video, Job)) or not isinstance(shots, Iterable):
            raise UsageError(
                f"shots is one {type(shots).__name__}; it must be a list of shots.",
                remedy="Example: [one, two, three]",
                parameter="shots",
            )
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            self.shots = tuple(pool.map(_video, shots, itertools.count(1)))
        if not self.shots:
            raise UsageError(
                "The list of shots is empty.", remedy="Give at least one video.", parameter="shots"
            )
        given = [None] * len(self.shots) if trims is None else list(trims)
        if len(given) != len(self.shots):
            raise UsageError(
                f"There are {len(given)} trims for {len(self.shots)} shots.",
                remedy="Give one for each; None is the whole shot.",
                parameter="trims",
            )
        self.trims = tuple(
            _trim(trim, shot.duration, number)
            for number, (trim, shot) in enumerate(zip(given, self.shots, strict=True), 1)
        )

    @property
    def duration(self) -> float:
        """Length of all shots together, in seconds, as they are trimmed."""
        return sum(
            shot.duration if trim is None else (shot.duration if trim[1] is None else trim[1]) - trim[0]
            for shot, trim in zip(self.shots, self.trims, strict=True)
        )

    def edit(self, shots: Iterable[Any], trims: Sequence[Trim] | None = None) -> None:
        """Replace shots, order and trims. If the storyboard has a document, it is stored there.

        Raises:
            UsageError: As `Storyboard`. Nothing is changed.
            MediaError: The document cannot be written. Nothing is changed.
        """
        edited = Storyboard(shots, trims)
        if self.path is not None:
            edited.save(self.path)
        self.shots, self.trims = edited.shots, edited.trims

    def save(self, path: str | Path) -> Path:
        """Store order, trims and takes in a document: `film.storyboard.json`.

        Args:
            path: The document, or its name: `save("film")`. Relative ones count from the notebook's folder.

        Returns:
            The document.

        Raises:
            UsageError: There is another file of that name.
            MediaError: It cannot be written, or a shot is gone.
        """
        target = document_path(path)
        if target.exists() and _read_document(target) is None:
            raise UsageError(
                f"{target.name} in {target.parent} is no storyboard.",
                remedy="Choose another name.",
                parameter="path",
            )
        shots = [
            {
                "file": os.path.relpath(shot.path, target.parent).replace(os.sep, "/"),
                "sha256": _sha256(shot.path),
                "in": trim[0] if trim else None,
                "out": trim[1] if trim else None,
                "request_id": shot.request_id,
                "backend": shot.backend,
                "take": shot.take,
            }
            for shot, trim in zip(self.shots, self.trims, strict=True)
        ]
        content = json.dumps({_DOCUMENT: VERSION, "shots": shots}, ensure_ascii=False, indent=2)
        try:
            write_file(target, f"{content}\n".encode(), overwrite=True)
        except OSError as error:
            raise MediaError(f"{target} cannot be written: {error.strerror or error}.") from error
        self.path = target
        return target

    @classmethod
    def load(cls, path: str | Path) -> Storyboard:
        """Return the storyboard of a document that `save` wrote.

        A take is found by its request, so it may have been renamed or moved within the media folder. Other
        files are found next to the document.

        Raises:
            UsageError: There is no such document, or shots are missing or changed. All of them are named.
        """
        target = document_path(path)
        content = _read_document(target)
        if content is None:
            raise UsageError(
                f"{target} is no storyboard." if target.exists() else f"There is no file {target}.",
                remedy='board.save("film") makes film.storyboard.json.',
                parameter="path",
            )
        media = MediaFolder(current({"backend": "local"}).media)
        with media.one_look():
            found = [_find_shot(shot, target.parent, media) for shot in content]
        lost = [shot["file"] for shot, video in zip(content, found, strict=True) if video is None]
        if lost:
            raise UsageError(
                f"Shots of {target.name} are missing or changed: {', '.join(lost)[:300]}.",
                remedy="Run their cells again: finished videos are fetched at no charge.",
                parameter="path",
            )
        trims = [None if shot["in"] is None else (shot["in"], shot["out"]) for shot in content]
        board = cls([video for video in found if video is not None], trims)
        board.path = target
        return board

    def join(
        self,
        path: str | Path | None = None,
        *,
        fit: str = "letterbox",
        size: tuple[int, int] | None = None,
        fps: float | None = None,
        audio: str = "keep",
        transition: str = "cut",
        on_progress: OnProgress | None = None,
        overwrite: bool = False,
    ) -> Video:
        """Join the shots to one MP4, with a sidecar that lists them.

        If the shots agree in everything that a player looks at, their frames are copied. Otherwise they are
        encoded again, with HD colours. `notes` of the film and its sidecar say why, and what was left out or
        changed. If the film already exists, it is returned. Interrupt the cell to stop; no file is left.

        Args:
            path: The new file; by default in the media folder, with a name made from its content.
            fit: For shots of another shape: "letterbox" adds bars, "crop" cuts edges, "scale" stretches.
            size: Width and height in pixels, even numbers. By default those of the first shot.
            fps: Frames per second. By default those of the first shot.
            audio: "keep", or "mute" for a film without audio.
            transition: "cut"; "fade": through black, half a second at the end and the start of shots; or
                "dissolve": each shot begins over the last half second of the one before, and their audio is
                mixed, so that the film is shorter.
            on_progress: Called as `on_progress(done, total)`, in seconds of the film, in place of the line
                that shows the progress. An exception that it raises stops the work.
            overwrite: Replace another file of that name, or a film of these shots by an earlier version.

        Raises:
            InputError: `fit`, `size`, `fps`, `audio` or `transition` has a value that is not allowed.
            UsageError: The file or its sidecar exists with other content, and `overwrite` is False; or the
                name does not end in .mp4.
            MediaError: A shot is missing or damaged, or the film cannot be written.
        """
        wish = Wish(fit, size, fps, audio, transition)
        wish.check()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            hashes = list(pool.map(_sha256, (shot.path for shot in self.shots)))
        asked = None if wish == Wish() else json.loads(json.dumps(asdict(wish), default=float))
        if asked and transition == "cut":  # films of earlier versions have no such entry
            del asked["transition"]
        if any(self.trims):
            asked = {**(asked or {}), "trims": [list(trim) if trim else None for trim in self.trims]}
        content = " ".join([*hashes, json.dumps(asked)] if asked else hashes)
        name = f"film-{hashlib.sha256(content.encode()).hexdigest()[:12]}.mp4"
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
        about = _film_of(sidecar, target, hashes, asked)
        # A film by an earlier version without this entry might have lost colours, rotation or sync.
        is_outdated = about is not None and "video" not in about
        if about is not None and not (overwrite and is_outdated):
            return Video.from_file(target, backend=backend, notes=_notes(about))
        if not overwrite and sidecar.exists() and not _is_sidecar(sidecar):
            raise UsageError(
                f"{sidecar.name} already exists in {sidecar.parent}, and the film's sidecar needs that name.",
                remedy="Give the film another name, or set overwrite=True.",
                parameter="path",
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        made: list[Film] = []
        with progress_line(
            counted(len(self.shots), "shot"), on_progress, verbs=("Joining", "Joined")
        ) as report:
            write_new(
                target,
                lambda file: made.append(
                    join_clips(
                        [shot.path for shot in self.shots],
                        file,
                        wish,
                        report,
                        trims=self.trims if any(self.trims) else (),
                    )
                ),
                overwrite=overwrite,
            )
        film = Video.from_file(target, backend=backend)
        about = self._describe(film, hashes, made[0]) | {"asked": asked}
        write_file(sidecar, f"{json.dumps(about, ensure_ascii=False, indent=2)}\n".encode(), overwrite=True)
        sync(target.parent)
        return replace(film, notes=_notes(about))

    def to_gif(self, path: str | Path, width: int = 480, fps: float = 12, **options: Any) -> Path:
        """Write all shots as one animated GIF. See `Video.to_gif`."""
        return self.join().to_gif(path, width, fps, **options)

    def _describe(self, film: Video, hashes: list[str], made: Film) -> dict[str, Any]:
        """Return the content of the sidecar. It has file names without folders, because a folder may move."""
        shots = []
        for number, (shot, sha256) in enumerate(zip(self.shots, hashes, strict=True)):
            request = shot.request or {}
            shots.append(
                {
                    "file": shot.path.name,
                    "sha256": sha256,
                    "start": round(float(made.edges[number]), 3),
                    "duration": round(float(made.edges[number + 1] - made.edges[number]), 3),
                    "changes": made.changes(number),
                    "endpoint": request.get("endpoint"),
                    "input": request.get("input"),
                    "request_id": shot.request_id,
                    "take": shot.take,
                    "backend": shot.backend,
                }
            )
        about = {"width": film.width, "height": film.height, "fps": film.fps, "duration": film.duration}
        own = {"file": film.path.name, "sha256": _sha256(film.path), "encoded_anew": made.encoded}
        done = {"video": "encoded" if made.encoded else "copied", "audio": made.audio, "why": made.why}
        return {"kling_nb_film": VERSION, **own, **done, **about, "shots": shots}

    def __len__(self) -> int:
        return len(self.shots)

    def __iter__(self) -> Iterator[Video]:
        return iter(self.shots)

    def __getitem__(self, index: int) -> Video:
        return self.shots[index]

    def widget(self) -> Any:
        """Return a live view of the storyboard for a notebook."""
        if front_end.grid_widget is None:
            raise no_widgets()
        return front_end.grid_widget(self)

    def _ipython_display_(self) -> None:
        if front_end.storyboard_presenter is None:
            raise NotImplementedError  # IPython shows the repr then
        front_end.storyboard_presenter(self)

    def __repr__(self) -> str:
        return f"<Storyboard {counted(len(self.shots), 'shot')}, {self.duration:.4g} s>"


def document_path(path: str | Path) -> Path:
    """Return the path of a storyboard document. A name gets its ending, next to the notebook."""
    given = Path(path)
    if not given.name.endswith(_ENDING):
        given = given.with_name(given.name + _ENDING)
    return front_end.base_folder() / given


_DOCUMENT, _ENDING = "kling_nb_storyboard", ".storyboard.json"


def _read_document(path: Path) -> list[dict[str, Any]] | None:
    """Return the shots of a document, or None if it is none that this version can read."""
    try:
        content = json.loads(path.read_text("utf-8"))
        if content[_DOCUMENT] != VERSION:
            return None
        names = ("file", "sha256", "in", "out", "request_id", "backend")
        shots = [{name: shot[name] for name in names} for shot in content["shots"]]
        return shots if all(isinstance(shot["file"], str) for shot in shots) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _find_shot(shot: Mapping[str, Any], folder: Path, media: MediaFolder) -> Video | None:
    """Return the video of a shot whose content is as it was saved, or None."""
    if isinstance(shot["request_id"], str) and shot["backend"] in {"fal", "local"}:
        take = media.take_of_request(shot["request_id"], shot["backend"])
        if take is not None and take.sidecar.sha256 == shot["sha256"]:
            return take.video()
    path = folder / shot["file"]
    try:
        return Video.from_file(path) if _sha256(path) == shot["sha256"] else None
    except (KlingError, OSError):
        return None


def _trim(trim: Any, duration: float, number: int) -> Trim:
    """Return the in and out point of a shot, or None for the whole shot.

    Raises:
        UsageError: They are no times within the shot.
    """
    if trim is None:
        return None
    start: Any
    stop: Any
    start, stop = trim if isinstance(trim, (tuple, list)) and len(trim) == 2 else (None, None)
    end: Any = duration if stop is None else stop
    whole = all(isinstance(time, (int, float)) and not isinstance(time, bool) for time in (start, end))
    if not whole or not 0 <= start < end <= duration + _ROUNDING:  # This refuses NaN too.
        raise UsageError(
            f"The trim of shot {number} must be two times within its {duration:g} s, not {trim!r}.",
            remedy="Example: (1.0, 4.5), or (1.0, None) to its end.",
            parameter="trims",
        )
    return float(start), None if stop is None else float(stop)


_ROUNDING = 0.001
"""Seconds that an out point may lie after the end, because players round."""


def join(shots: Iterable[Any], path: str | Path | None = None, **how: Any) -> Video:
    """Join shots to one MP4. `how` are the arguments of `Storyboard.join`."""
    return Storyboard(shots).join(path, **how)


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


def _film_of(sidecar: Path, film: Path, hashes: list[str], asked: Any) -> dict[str, Any] | None:
    """Return the sidecar if the film exists unchanged, and has exactly these shots as they are wished now."""
    try:
        about: dict[str, Any] = json.loads(sidecar.read_text(encoding="utf-8"))
        shots = [shot["sha256"] for shot in about["shots"]]
        same = (about["kling_nb_film"], shots, about.get("asked")) == (VERSION, hashes, asked)
        return about if same and about["sha256"] == _sha256(film) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UsageError):
        return None


def _notes(about: dict[str, Any]) -> tuple[str, ...]:
    """Return in words why a film was encoded again, and what its shots lost."""
    why = [f"encoded again: {about['why']}"] if about.get("why") else []
    shots = enumerate(about["shots"], 1)
    return (*why, *(f"shot {number}: {text}" for number, shot in shots for text in shot.get("changes", ())))


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise UsageError(
            f"{path.name} is missing in {path.parent}.", remedy="Run its cell again to get it back."
        ) from None
