"""A take: one stored result of a request, and the draft it is filed from."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kling_nb.errors import MediaError
from kling_nb.media.names import slug
from kling_nb.media.sidecar import Line, Sidecar
from kling_nb.video import MediaFile, Video

Result = Video | MediaFile | dict[str, Any]
"""What a request gives: a video, another file, or the data that the model returned."""


@dataclass(frozen=True, slots=True)
class TakeDraft:
    """What is known about a result before its bytes have come.

    Attributes:
        fingerprint: Of the request.
        take: The number it is to have; None, or a number that is gone, gives the next free one.
        endpoint: fal's id of the model.
        input: What was sent, as JSON; a local file as `{"sha256": …, "name": …}`.
        prompt: Names the file.
        backend: "fal" or "local".
        request_id: fal's id. A second filing of the same one gives the first take.
        url: Where the bytes come from; empty where they came inside the result.
        kind: "video", "audio", "image" or "data": what the bytes have to be.
        content_type: What the server calls it. The content decides.
        file_name: What the server calls it, for messages only.
        created_at: Unix seconds of the submission.
        units: `x-fal-billable-units`, as sent.
        lines: The log: (timestamp or None, message).
        estimate_usd: US dollars that it was expected to cost, or None.
    """

    fingerprint: str
    take: int | None
    endpoint: str
    input: Mapping[str, Any]
    prompt: str
    backend: str
    request_id: str
    url: str
    kind: str
    content_type: str | None = None
    file_name: str | None = None
    created_at: float = 0.0
    units: str | None = None
    lines: tuple[Line, ...] = ()
    estimate_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Take:
    """One stored result.

    Attributes:
        path: The file, as it is called now.
        sidecar: What is known about it.
    """

    path: Path
    sidecar: Sidecar

    def beside(self, name: str) -> Path | None:
        """A further file of the same result, such as the `audio` of a video with its sound; None for none."""
        return self.others().get(slug(name))

    def others(self) -> dict[str, Path]:
        """All further files of the result, by name."""
        start = f"{self.path.name.partition('.')[0]}."
        found = {}
        with suppress(OSError):
            names = os.listdir(self.path.parent)  # noqa: PTH208 -- a folder may hold thousands
            for file in sorted(name for name in names if name.startswith(start)):
                _, name, *rest = file.split(".")
                if rest and file != self.path.name and name != "data":
                    found[name] = self.path.with_name(file)
        return found

    def result(self) -> Result:
        """What the take holds, as a user gets it.

        Of an endpoint that does not say what its file is, the content decides.

        Raises:
            MediaError: It is a video, and does not decode; or the file is gone.
        """
        known = self.sidecar
        main = known.content_type.partition("/")[0]
        if "video" in {known.kind, main}:
            return self.video()
        if known.kind == "data" and known.content_type == "application/json" and known.url is None:
            return self._data()
        kind = known.kind if known.kind != "data" else main
        return MediaFile(
            path=self.path,
            kind="audio" if kind == "audio" else "image" if kind == "image" else "data",
            content_type=known.content_type,
            **self._origin(),
        )

    def _data(self) -> dict[str, Any]:
        """The output that was stored because there is no file in it."""
        try:
            found = json.loads(self.path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise MediaError(f"{self.path.name} cannot be read: {error}.") from error
        return found if isinstance(found, dict) else {"data": found}

    def _origin(self) -> dict[str, Any]:
        known = self.sidecar
        return {
            "url": known.url,
            "request": {"endpoint": known.endpoint, "input": known.input},
            "request_id": known.request_id,
            "backend": known.backend,
            "take": known.take,
        }

    def video(self) -> Video:
        """The take as a `Video`; only for one that is a video.

        Raises:
            MediaError: The sidecar has no measures, and the file does not decode.
        """
        known = self.sidecar
        about = self._origin()
        measures = (known.width, known.height, known.fps, known.duration, known.frame_count)
        if not all(measures):
            return Video.from_file(self.path, **about)
        width, height, fps, duration, frame_count = measures
        return Video(
            path=self.path,
            width=width or 0,
            height=height or 0,
            fps=fps or 0,
            duration=duration or 0,
            frame_count=frame_count or 0,
            **about,
        )
