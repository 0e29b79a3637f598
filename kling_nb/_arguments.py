"""From the arguments of a call to a request: where a prompt goes, and where pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kling_nb.catalog import Endpoint, endpoint, endpoints
from kling_nb.catalog.wording import listing
from kling_nb.errors import InputError, UnknownEndpoint
from kling_nb.request import VideoRequest

_END = frozenset({"tail", "end", "last", "final"})
"""Words of a parameter's name for the picture that a video ends on: `tail_image_url`, `end_image_url`."""

_ASIDE = _END | {"mask"}
_SHOWN = 6


def build_request(
    chosen: Endpoint, *, prompt: str | None, image: Any, end_image: Any, parameters: Mapping[str, Any]
) -> VideoRequest:
    """A validated request.

    Raises:
        InputError: Bad input.
    """
    values = dict(parameters)
    if image is not None:
        _put(values, chosen, "image", _start_parameter(chosen), image)
    if end_image is not None:
        _put(values, chosen, "end_image", _end_parameter(chosen), end_image)
    if prompt is not None and _wanted(chosen, prompt):
        values[_prompt_parameter(chosen)] = prompt
    return VideoRequest.build(chosen, values)


def storable(request: VideoRequest) -> Mapping[str, Any]:
    """The input as ledger and sidecar keep it: a local file by its hash and name."""
    marks: dict[str, Any] = {
        name: {"sha256": file.sha256, "name": file.name} for name, file in request.files.items()
    }
    return request.body(marks)


def with_picture(chosen: Endpoint, find: Callable[[str], Endpoint]) -> Endpoint:
    """The endpoint itself where it takes a picture, else its image-to-video sister, else itself.

    Args:
        chosen: The one that was named.
        find: How to look up an endpoint that does not come with the package.
    """
    sister = chosen.id.replace("text-to-video", "image-to-video")
    if sister == chosen.id or _pictures(chosen):
        return chosen
    try:  # one that comes with the package has its sister there too
        return find(sister) if chosen.fetched_at else endpoint(sister)
    except UnknownEndpoint:
        return chosen


def notices(named: Endpoint, chosen: Endpoint) -> tuple[str, ...]:
    """What a user should know who named one endpoint and gets another, or one with an old schema."""
    found = [chosen.notice] if chosen.notice else []
    if chosen.id != named.id:
        found.append(f"{named.short_name} takes no picture: its sister {chosen.short_name} is used.")
    return tuple(found)


def _put(values: dict[str, Any], chosen: Endpoint, word: str, name: str, value: Any) -> None:
    if values.get(name) is not None:
        raise InputError(
            f"{word} and {name} name the same picture of {chosen.short_name}.",
            parameter=name,
            remedy="Give one of them. Nothing was sent.",
        )
    values[name] = value


def _wanted(chosen: Endpoint, prompt: str) -> bool:
    """Whether a prompt is to be part of the input.

    An empty cell says nothing to an endpoint that can do without, or that takes `multi_prompt`
    instead; one that needs a prompt is to say so itself.
    """
    required = chosen.input_schema.get("required", ())
    return bool(prompt.strip()) or "prompt" in required or "text" in required


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


def _start_parameter(chosen: Endpoint) -> str:
    """The parameter for the first picture: what its schema names first, and is no end picture or mask."""
    for name in _pictures(chosen):
        if not _ASIDE & set(name.split("_")):
            return name
    raise InputError(
        f"{chosen.short_name} takes no picture.",
        parameter="image",
        remedy="Choose an image-to-video endpoint: %kling endpoints image",
    )


def _end_parameter(chosen: Endpoint) -> str:
    found = _end_of(chosen)
    if found is not None:
        return found
    able = [one for one in endpoints() if _end_of(one)]
    able.sort(key=lambda one: one.generation != chosen.generation)  # stable: then newest first
    names = [one.short_name for one in able]
    raise InputError(
        f"{chosen.short_name} takes no end picture.",
        parameter="end_image",
        remedy=f"These do: {listing(names[:_SHOWN])} and {len(names) - _SHOWN} more. Nothing was sent.",
    )


def _end_of(chosen: Endpoint) -> str | None:
    return next((name for name in _pictures(chosen) if _END & set(name.split("_"))), None)


def _pictures(chosen: Endpoint) -> list[str]:
    return [
        control.name for control in chosen.parameters if control.kind == "media" and control.media == "image"
    ]
