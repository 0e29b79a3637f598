"""A place in an input where a file is expected, and what fits into it."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kling_nb.catalog import media_type
from kling_nb.catalog.media_type import FORMATS, KNOWN, NOUNS, MediaType
from kling_nb.catalog.problem import Path, Problem, Unfit, dotted
from kling_nb.catalog.wording import listing, quote


@dataclass(frozen=True, slots=True)
class MediaSlot:
    """Where a file is expected.

    Attributes:
        path: Place in the input, such as `("elements", 0, "frontal_image_url")`.
        kinds: What fits: `image`, `video`, `audio`. With a word that is none of these,
            anything fits.
        max_bytes: Size of the largest file that fits, where the schema says one.
        read_later: A file on disk for it need not be read before it is sent: nothing is told by its hash.
    """

    path: Path
    kinds: tuple[str, ...]
    max_bytes: int | None = None
    read_later: bool = False

    @classmethod
    def of(cls, schema: Mapping[str, Any], path: Path) -> MediaSlot:
        """The slot of a property with `x-fal-media`."""
        kinds = (schema["x-fal-media"], *schema.get("x-media-also", ()))
        return cls(path, kinds, schema.get("x-media-max-bytes"))

    @property
    def name(self) -> str:
        """The place in one word."""
        return dotted(self.path)

    @property
    def open(self) -> bool:
        """Whether files of every kind fit."""
        return not NOUNS.keys() >= set(self.kinds)

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

    def recognise(self, head: bytes, subject: str, name: str = "") -> MediaType:
        """The format of a content that begins with `head`.

        Args:
            head: Its first bytes.
            subject: The content in words, for a message.
            name: Its file name, if any: the type of a file whose content tells nothing, and what
                such a file must not pretend to be.

        Raises:
            Unfit: It is no format that is known here, or one that does not fit.
        """
        found = media_type.detect(head)
        if found is not None:
            self.check(found.kind, found.noun, subject)
            return found
        named = mimetypes.guess_type(name)[0] or "application/octet-stream"
        if not self.open:
            raise self.unfit(f"{self.name}: {subject} is {media_type.describe(head)}, not {self.nouns}")
        if named in KNOWN:
            noun = NOUNS[named.partition("/")[0]]
            raise self.unfit(
                f"{self.name}: {subject} is {media_type.describe(head)}, not {noun} as its name says",
                "Give the file itself, or rename it.",
            )
        return MediaType("file", named, "", f"of type {quote(named)}")

    def check(self, kind: str, noun: str, subject: str) -> None:
        """Refuse a kind that does not fit.

        Raises:
            Unfit: It does not.
        """
        if kind not in self.kinds and not self.open:
            raise self.unfit(f"{self.name}: {subject} is {noun}, not {self.nouns}")

    def check_size(self, size: int, subject: str) -> None:
        """Refuse what is too large. `size` is in bytes.

        Raises:
            Unfit: It is.
        """
        if self.max_bytes is not None and size > self.max_bytes:
            much, most = _megabytes(size), _megabytes(self.max_bytes)
            raise self.unfit(
                f"{self.name}: {subject} has {much} MB; allowed are {most} MB",
                "Make it smaller: shorter, fewer pixels, or more strongly compressed.",
            )


def _megabytes(size: int) -> str:
    """In units of 2**20 bytes; never rounded down to the limit that was passed."""
    return f"{-(-size * 10 // (1 << 20)) / 10:,.1f}".removesuffix(".0")
