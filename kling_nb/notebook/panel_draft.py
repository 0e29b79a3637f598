"""What the compose area of a panel holds, as its views and as Python see it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kling_nb.catalog import Endpoint
from kling_nb.errors import UsageError
from kling_nb.notebook.panel_files import Attachments


@dataclass(frozen=True, slots=True)
class Draft:
    """An endpoint and values for it, not checked yet.

    Attributes:
        endpoint: Where it would go.
        values: By parameter name, plain JSON; a file of the panel stands as `{"file": its id, …}`.
        revision: Of two drafts the larger one is newer.
        author: Which page wrote it, so that its own words are not given back to it.
    """

    endpoint: Endpoint
    values: Mapping[str, Any] = field(default_factory=dict)
    revision: int = 0
    author: int = 0

    def arguments(self, files: Attachments) -> dict[str, Any]:
        """The values as `Session.submit` takes them, files as their bytes.

        Raises:
            MediaInputError: A file is not there.
        """
        return {name: _with_files(value, files) for name, value in self.values.items()}

    def to_json(self, files: Attachments) -> dict[str, Any]:
        """What a view shows."""
        named = {mark: files.get(mark).to_json() for mark in _marks(self.values) if files.known(mark)}
        return {
            "revision": self.revision,
            "author": self.author,
            "endpoint": self.endpoint.id,
            "values": dict(self.values),
            "files": named,
        }


def checked_values(values: Any) -> dict[str, Any]:
    """The values of a message.

    Raises:
        UsageError: They are no values by name.
    """
    if not isinstance(values, dict):
        raise UsageError("values are parameters by name.")
    return values


def _with_files(value: Any, files: Attachments) -> Any:
    if isinstance(value, Mapping):
        if "file" in value:
            return files.get(value["file"]).content
        return {name: _with_files(part, files) for name, part in value.items()}
    if isinstance(value, list):
        return [_with_files(part, files) for part in value]
    return value


def _marks(value: Any) -> Iterator[str]:
    """Ids of the files named in a value."""
    if isinstance(value, Mapping):
        if isinstance(value.get("file"), str):
            yield value["file"]
        else:
            for part in value.values():
                yield from _marks(part)
    elif isinstance(value, list):
        for part in value:
            yield from _marks(part)
