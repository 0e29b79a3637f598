"""One entry of the catalogue: an endpoint of fal, what it takes, gives and costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from kling_nb.catalog.control import Control, controls
from kling_nb.catalog.problem import report, unknown_parameter

if TYPE_CHECKING:  # the extension module takes 40 ms to load
    from jsonschema_rs import Draft202012Validator

OutputKind = Literal["video", "audio", "image", "data"]

_OUTPUT_KINDS: tuple[OutputKind, ...] = ("video", "audio", "image")
_NAMESPACES = frozenset({"workflows", "comfy"})


@dataclass(frozen=True)
class Price:
    """What an endpoint costs, as far as it is known. A rough guard, not a quote.

    Attributes:
        usd_per_second: US dollars for a second of video at the default settings.
        usd_per_video: US dollars for one result, where the price is flat.
        note: What the figure covers and where it was read.
        as_of: Day it was read (ISO), None where the source is undated.
        variants: Other rates in the same unit, by setting: `audio_on`, `audio_off`, `voice_control`.
    """

    usd_per_second: float | None = None
    usd_per_video: float | None = None
    note: str = ""
    as_of: str | None = None
    variants: Mapping[str, float] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Endpoint:
    """One endpoint. Compared by what it says, hashed by its id.

    Attributes:
        id: fal's id, such as `fal-ai/kling-video/v1/pro/text-to-video`.
        short_name: Name for people, such as `v1-pro`; equals the id for endpoints that are not Kling's.
        title: Name in words.
        category: fal's category, such as `text-to-video`.
        generation: Kling's version ("3.0", "O3"), None where there is none.
        tier: `pro`, `standard`, `4k` and so on, None where there is none.
        input_schema: JSON Schema (2020-12) of the input. Beyond the standard, `x-fal-media` marks
            a text that is the URL of an image, video or audio file, and `x-media-also` lists further
            kinds that it takes, `x-media-max-bytes` the size of the largest.
        output_schema: JSON Schema of the result.
        price: Known price, or None.
        fetched_at: When fal sent its schema (ISO 8601), None for one that comes with the package.
        notice: What a user should know of that schema, such as that it is old; empty where there is nothing.
    """

    id: str
    short_name: str
    title: str
    category: str
    generation: str | None = field(default=None, hash=False)
    tier: str | None = field(default=None, hash=False)
    input_schema: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    output_schema: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    price: Price | None = field(default=None, repr=False, hash=False)
    fetched_at: str | None = field(default=None, repr=False, compare=False)
    notice: str = field(default="", repr=False, compare=False)

    @cached_property
    def parameters(self) -> tuple[Control, ...]:
        """Its parameters, in the schema's order."""
        return controls(self.input_schema)

    def parameter(self, name: str) -> Control:
        """The parameter of that name.

        Raises:
            InputError: There is none; the message names the closest ones.
        """
        for control in self.parameters:
            if control.name == name:
                return control
        raise report(
            [unknown_parameter(self.short_name, (name,), [control.name for control in self.parameters])]
        )

    @property
    def media_parameters(self) -> tuple[str, ...]:
        """Names of the parameters that take a file, or a list of files."""
        return tuple(control.name for control in self.parameters if control.kind == "media")

    @property
    def output_pointer(self) -> str:
        """Name of the result's property that is the file; empty where a result is data only."""
        return next(iter(self._files()), "")

    @property
    def output_kind(self) -> OutputKind:
        """What the file of the result is; `data` where there is none, or none that can be told."""
        return next(iter(self._files().values()), "data")

    def _files(self) -> dict[str, OutputKind]:
        """The result's properties that are a file, or a list of files: the most wanted kind first."""
        files: dict[str, OutputKind] = {}
        for name, part in self.output_schema.get("properties", {}).items():
            file = part.get("items", part)
            if "url" in file.get("properties", {}):
                kind = file.get("x-fal-media", name)
                files[name] = next((known for known in _OUTPUT_KINDS if known == kind), "data")
        order = (*_OUTPUT_KINDS, "data")
        return dict(sorted(files.items(), key=lambda pair: order.index(pair[1])))

    @property
    def app_path(self) -> str:
        """The part of the id under which fal keeps requests: owner and alias (FAL-PROTOCOL §2)."""
        parts = self.id.split("/")
        return "/".join(parts[: 3 if parts[0] in _NAMESPACES else 2])

    @cached_property
    def validator(self) -> Draft202012Validator:
        """Compiled form of the input schema, made at first use. Any thread may use it."""
        from jsonschema_rs import Draft202012Validator  # noqa: PLC0415 - 40 ms, only when validating

        return Draft202012Validator(dict(self.input_schema))
