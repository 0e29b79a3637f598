"""A take: one stored result of a request, and the draft it is filed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kling_nb.media.sidecar import Line, Sidecar
from kling_nb.video import Video


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


@dataclass(frozen=True, slots=True)
class Take:
    """One stored result.

    Attributes:
        path: The file, as it is called now.
        sidecar: What is known about it.
    """

    path: Path
    sidecar: Sidecar

    def video(self) -> Video:
        """The take as a `Video`; only for takes of kind "video".

        Raises:
            MediaError: The sidecar has no measures, and the file does not decode.
        """
        known = self.sidecar
        about: dict[str, Any] = {
            "url": known.url,
            "request": {"endpoint": known.endpoint, "input": known.input},
            "request_id": known.request_id,
            "backend": known.backend,
            "take": known.take,
        }
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
