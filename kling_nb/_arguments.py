"""From the arguments of a call to a request: where a prompt goes, and where a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kling_nb.catalog import Endpoint, endpoint
from kling_nb.errors import InputError
from kling_nb.request import VideoRequest


def build_request(
    endpoint_name: str, *, prompt: str | None, image: Any, parameters: Mapping[str, Any]
) -> VideoRequest:
    """A validated request.

    Raises:
        InputError: Bad input.
    """
    chosen = endpoint(endpoint_name)
    values = dict(parameters)
    if image is not None:
        chosen = with_picture(chosen)
        name = _picture_parameter(chosen)
        if values.get(name) is not None:
            raise InputError(
                f"image and {name} name the same picture of {chosen.short_name}.",
                parameter=name,
                remedy="Give one of them. Nothing was sent.",
            )
        values[name] = image
    if prompt is not None:
        values[_prompt_parameter(chosen)] = prompt
    return VideoRequest.build(chosen, values)


def storable(request: VideoRequest) -> Mapping[str, Any]:
    """The input as ledger and sidecar keep it: a local file by its hash and name."""
    marks: dict[str, Any] = {
        name: {"sha256": file.sha256, "name": file.name} for name, file in request.files.items()
    }
    return request.body(marks)


def _prompt_parameter(chosen: Endpoint) -> str:
    """Where a prompt goes: `prompt`, or `text` for speech."""
    names = [control.name for control in chosen.parameters]
    for name in ("prompt", "text"):
        if name in names:
            return name
    raise InputError(
        f"{chosen.short_name} takes no prompt.",
        parameter="prompt",
        remedy=f"Its parameters are: {', '.join(names)}.",
    )


def with_picture(chosen: Endpoint) -> Endpoint:
    """The endpoint itself where it takes a picture, else its image-to-video sister, else itself."""
    if _pictures(chosen):
        return chosen
    try:
        return endpoint(chosen.id.replace("text-to-video", "image-to-video"))
    except InputError:
        return chosen


def _picture_parameter(chosen: Endpoint) -> str:
    names = _pictures(chosen)
    if names:
        return names[0]
    raise InputError(
        f"{chosen.short_name} takes no picture.",
        parameter="image",
        remedy="Choose an image-to-video endpoint: %kling endpoints image",
    )


def _pictures(chosen: Endpoint) -> list[str]:
    return [
        control.name for control in chosen.parameters if control.kind == "media" and control.media == "image"
    ]
