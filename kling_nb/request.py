"""What is asked of an endpoint: an input that its schema accepts, and its fingerprint."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from kling_nb.catalog.coercion import Coercion
from kling_nb.catalog.entry import Endpoint
from kling_nb.catalog.local_file import LocalFile
from kling_nb.catalog.problem import Problem, report
from kling_nb.catalog.validation import problems
from kling_nb.catalog.wording import quote
from kling_nb.errors import InputError

__all__ = ["LocalFile", "VideoRequest", "canonical_json"]


@dataclass(frozen=True, repr=False)
class VideoRequest:
    """A checked request, ready to be sent. Make one with `build`.

    Attributes:
        endpoint: Where it goes.
        input: What was given, checked and in the schema's order, without defaults. A local
            file stands as its path as given, bytes stand as `sha256:…`. Plain JSON values.
        files: The local files by parameter path, such as `image_url`, `image_urls.0` or
            `elements.0.frontal_image_url`. They are to be uploaded before sending.
    """

    endpoint: Endpoint
    input: Mapping[str, Any]
    files: Mapping[str, LocalFile]

    @classmethod
    def build(cls, endpoint: Endpoint, values: Mapping[str, Any]) -> VideoRequest:
        """Check `values` against the endpoint's schema.

        Values are converted where nothing has to be guessed: 5 to "5" where the schema lists
        "5", "0.5" to 0.5, 5.0 to 5, "true" to True, a JSON text to a list or object. None
        means not given. A file may be given as a URL, a data URI, a path, bytes, a PIL image, a NumPy
        array, an open file, an earlier `Video`, or a `LocalFile`; local files are read once, for
        their kind and hash.

        Raises:
            InputError: With all problems in one message; `parameter` names the first.
            MediaInputError: The first problem is about a file.
        """
        if not isinstance(values, Mapping):
            raise InputError(f"The input is {quote(values)}, not parameters by name.", remedy="Give a dict.")
        given = {str(name): value for name, value in values.items() if value is not None}
        known = endpoint.input_schema.get("properties", {})
        ordered = [name for name in known if name in given] + [name for name in given if name not in known]
        coercion = Coercion()
        data = {name: coercion.fit(known.get(name, {}), given[name], (name,)) for name in ordered}
        found = _merge(coercion.problems, problems(endpoint, data))
        if found:
            raise report(found)
        return cls(endpoint, MappingProxyType(data), MappingProxyType(coercion.files))

    @property
    def resolved(self) -> dict[str, Any]:
        """The input with the schema's defaults filled in, also inside of lists and objects."""
        resolved: dict[str, Any] = _with_defaults(self.endpoint.input_schema, dict(self.input))
        return resolved

    @cached_property
    def fingerprint(self) -> str:
        """Tells whether two requests ask for the same thing. 64 hex digits.

        Sidecars and ledgers keep it, so the recipe must not change:

        1. `resolved`: the input as converted by `build`, with every default of the schema
           that was left out. Nulls are gone.
        2. Each local file becomes `{"sha256": "<hex digest of its bytes>"}`, so that its name
           and place do not count. Of a picture from memory the digest is one of its mode, size and
           pixels (`catalog.pixels`). URLs count as the texts that they are, and so do data URIs of
           up to 32,768 characters; a longer one is a local file.
        3. `{"endpoint": "<full id>", "input": <that>}` as `canonical_json`.
        4. SHA-256 of its UTF-8 bytes, in hex.
        """
        data = self.resolved
        for path, file in self.files.items():
            _put(data, path, {"sha256": file.sha256})
        text = canonical_json({"endpoint": self.endpoint.id, "input": data})
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def prompt(self) -> str:
        """What it is about: the prompt or text, the prompts of its shots, or the endpoint's title."""
        shots = [shot["prompt"] for shot in self.input.get("multi_prompt", ())]
        return self.input.get("prompt") or self.input.get("text") or " · ".join(shots) or self.endpoint.title

    def to_json(self) -> dict[str, Any]:
        """Endpoint and input as plain JSON, for a sidecar or a ledger. Local files are path texts."""
        return {"endpoint": self.endpoint.id, "input": copy.deepcopy(dict(self.input))}

    def body(self, uploaded: Mapping[str, str]) -> dict[str, Any]:
        """What is sent: the input, with a URL in the place of each local file.

        Args:
            uploaded: URL by parameter path, one for each of `files`.

        Raises:
            KeyError: A file has no URL.
        """
        data = copy.deepcopy(dict(self.input))
        for path in self.files:
            _put(data, path, uploaded[path])
        return data

    def __repr__(self) -> str:
        return f"VideoRequest({self.endpoint.short_name!r}, {quote(canonical_json(self.input), 200)[1:-1]})"


def canonical_json(value: Any) -> str:
    """The one JSON text of a value.

    Keys are sorted by code point, there are no spaces, and characters stay themselves. A
    whole number is written without a fraction (1.0 as 1), because JSON knows no difference
    and languages disagree on it; other numbers have Python's shortest exact form.

    Raises:
        ValueError: A number is infinite or not a number.
        TypeError: A value, or the key of an object, is none of JSON's.
    """
    return json.dumps(
        _canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def _canonical(value: Any) -> Any:
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            raise TypeError("The keys of a JSON object are texts.")
        return {name: _canonical(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(part) for part in value]
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return int(value)
    return value


def _merge(first: list[Problem], then: tuple[Problem, ...]) -> list[Problem]:
    """All problems, without those that only follow from a value that could not be converted."""
    places = [problem.path for problem in first]
    rest = [problem for problem in then if not any(problem.path[: len(place)] == place for place in places)]
    unknown = [problem for problem in rest if problem.kind == "unknown"]
    return [*unknown, *first, *(problem for problem in rest if problem not in unknown)]


def _with_defaults(schema: Mapping[str, Any], value: Any) -> Any:
    if isinstance(value, dict):
        parts = schema.get("properties", {})
        filled = {name: _with_defaults(parts.get(name, {}), part) for name, part in value.items()}
        missing = {
            name: copy.deepcopy(part["default"])
            for name, part in parts.items()
            if name not in filled and part.get("default") is not None
        }
        return {**filled, **missing}
    if isinstance(value, list):
        return [_with_defaults(schema.get("items", {}), item) for item in value]
    return value


def _put(data: dict[str, Any], path: str, value: Any) -> None:
    """Replace the value at a parameter path such as `elements.0.frontal_image_url`."""
    *steps, last = path.split(".")
    place: Any = data
    for step in steps:
        place = place[int(step) if isinstance(place, list) else step]
    place[int(last) if isinstance(place, list) else last] = value
