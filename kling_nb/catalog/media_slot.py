"""A place in an input where a file is expected, and what fits into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kling_nb.catalog import media_type
from kling_nb.catalog.media_type import FORMATS, NOUNS, MediaType
from kling_nb.catalog.problem import Path, Problem, Unfit, dotted
from kling_nb.catalog.wording import listing


@dataclass(frozen=True, slots=True)
class MediaSlot:
    """Where a file is expected.

    Attributes:
        path: Place in the input, such as `("elements", 0, "frontal_image_url")`.
        kinds: What fits: `image`, `video`, `audio`. With a word that is none of these,
            anything fits.
    """

    path: Path
    kinds: tuple[str, ...]

    @classmethod
    def of(cls, schema: Mapping[str, Any], path: Path) -> MediaSlot:
        """The slot of a property with `x-fal-media`."""
        return cls(path, (schema["x-fal-media"], *schema.get("x-media-also", ())))

    @property
    def name(self) -> str:
        """The place in one word."""
        return dotted(self.path)

    @property
    def nouns(self) -> str:
        """What fits, in words: "a picture"."""
        return listing([NOUNS.get(kind, "a file") for kind in self.kinds], "or")

    @property
    def wanted(self) -> str:
        """A sentence that says what fits, with the formats."""
        formats = ", or ".join(FORMATS[kind] for kind in self.kinds if kind in FORMATS)
        return f"{self.name} takes {self.nouns}" + (f": {formats}." if formats else ".")

    def unfit(self, text: str, remedy: str = "") -> Unfit:
        """The error that nothing fits here because of `text`, a sentence without its full stop."""
        return Unfit(Problem(self.path, "media", f"{text}.", remedy or self.wanted))

    def recognise(self, head: bytes, subject: str) -> MediaType:
        """The format of a content that begins with `head`.

        Raises:
            Unfit: It is no format that is known here, or one that does not fit.
        """
        found = media_type.detect(head)
        if found is None:
            raise self.unfit(f"{self.name}: {subject} is {media_type.describe(head)}, not {self.nouns}")
        self.check(found.kind, found.noun, subject)
        return found

    def check(self, kind: str, noun: str, subject: str) -> None:
        """Refuse a kind that does not fit.

        Raises:
            Unfit: It does not.
        """
        if kind not in self.kinds and NOUNS.keys() >= set(self.kinds):
            raise self.unfit(f"{self.name}: {subject} is {noun}, not {self.nouns}")
