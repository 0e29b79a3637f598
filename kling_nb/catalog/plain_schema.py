"""Brings a schema of an OpenAPI document into the form that the shipped ones have.

fal's documents are written by pydantic: shared parts stand behind `$ref`, an optional value is
`anyOf` with null, a described reference is `allOf` of one. Here all of it becomes one plain
JSON Schema (2020-12) without references or nulls, in the order of `x-fal-order-properties`,
with files marked by `x-fal-media` (see `media_hint`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kling_nb.catalog import media_hint

_DEEPEST = 32
"""Parts inside of each other that are followed, references counted. Real documents have about 8."""

_MOST = 5_000
"""Parts in all. Real documents have about 200; references can be nested so that they multiply."""

_PREFIX = "#/components/schemas/"
_KEPT = (
    "type",
    "description",
    "title",
    "default",
    "enum",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "uniqueItems",
    "required",
    "additionalProperties",
)
"""Keywords taken over. The rest is for forms of fal's own site, or is dealt with here."""

_COMBINING = frozenset({"$ref", "allOf", "anyOf", "oneOf"})

_VIA = "\0via"
"""Key under which `_merged` says which references it went through; no document has a name like it."""

Schema = dict[str, Any]
Trail = tuple[str, ...]
"""The way from the root to a part: one entry for each level, the reference's target or an empty text."""


class NotADescription(ValueError):
    """A document that does not say what an endpoint takes, in a form that can be read."""


class PlainSchemas:
    """Reads the schemas of one document.

    Args:
        components: Its `components.schemas`.
        results: Whether they are of results, where an object with a `url` is a file, rather than of
            inputs, where a text is.
    """

    def __init__(self, components: Mapping[str, Any], *, results: bool = False) -> None:
        self._components = components
        self._results = results
        self._left = _MOST

    def plain(self, schema: Any, name: str = "", trail: Trail = ()) -> Schema:
        """The plain form of a schema; `{}`, which takes anything, for what is none or refers to itself.

        Args:
            schema: As the document has it.
            name: The property that it describes, which helps to tell files.
            trail: Where it stands.

        Raises:
            NotADescription: It has more parts than anybody could mean.
        """
        merged = self._merged(schema, trail)
        inside = (*trail, *merged.pop(_VIA, ()), "")
        result: Schema = {word: merged[word] for word in _KEPT if word in merged}
        self._tidy(result, merged, name)
        if _all_mappings(merged.get("properties")):
            parts, names = merged["properties"], _ordered(merged)
            result["properties"] = {part: self.plain(parts[part], part, inside) for part in names}
        for word in ("items", "not"):
            if isinstance(merged.get(word), Mapping):
                result[word] = self.plain(merged[word], name, inside)
        for word in ("anyOf", "oneOf"):
            if isinstance(merged.get(word), list):
                result[word] = [self.plain(part, name, inside) for part in merged[word]]
        kind = self._kind(name, merged, result)
        if kind is not None:
            result["x-fal-media"] = kind
        return result

    def _kind(self, name: str, merged: Schema, result: Schema) -> str | None:
        if not self._results:
            return media_hint.of_input(name, merged)
        return media_hint.of_output(name, merged) if "url" in result.get("properties", {}) else None

    def _merged(self, schema: Any, trail: Trail) -> Schema:
        """One level of a schema, with its reference, `allOf` and the null in its `anyOf` taken away."""
        self._left -= 1
        if self._left < 0:
            raise NotADescription(f"it has more than {_MOST:,} parts")
        if not isinstance(schema, Mapping) or len(trail) > _DEEPEST:
            return {}
        result: Schema = {}
        reference = schema.get("$ref")
        if isinstance(reference, str) and reference not in trail:
            target = self._components.get(reference.removeprefix(_PREFIX))
            result = self._merged(target, (*trail, reference))
            result[_VIA] = (*result.get(_VIA, ()), reference)
        for part in schema["allOf"] if isinstance(schema.get("allOf"), list) else ():
            result = _joined(result, self._merged(part, (*trail, "")))
        result = _joined(result, {word: value for word, value in schema.items() if word not in _COMBINING})
        for word in ("anyOf", "oneOf"):
            if isinstance(schema.get(word), list):
                result = self._without_null(result, word, schema[word], trail)
        return result

    def _without_null(self, outer: Schema, word: str, branches: list[Any], trail: Trail) -> Schema:
        """What is around the branches wins over what is in them, as its description is the nearer one."""
        left = [branch for branch in branches if not (isinstance(branch, Mapping) and _is_null(branch))]
        if len(left) == 1:
            return _joined(self._merged(left[0], (*trail, "")), outer)
        return {**outer, word: left} if left else outer

    @staticmethod
    def _tidy(result: Schema, merged: Mapping[str, Any], name: str) -> None:
        """Older words in today's form, and nothing that says nothing."""
        if "const" in merged:
            result["enum"] = [merged["const"]]
        if isinstance(result.get("enum"), list):
            result["enum"] = [option for option in result["enum"] if option is not None]
        if not result.get("enum", True):
            del result["enum"]
        if isinstance(result.get("type"), list):
            types = [word for word in result["type"] if word != "null"]
            result["type"] = types[0] if len(types) == 1 else types
        if result.get("default", ...) is None:
            del result["default"]
        if isinstance(result.get("additionalProperties"), Mapping):
            result["additionalProperties"] = True
        for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            if not isinstance(result.get(exclusive), bool):
                continue
            if result.pop(exclusive) and bound in result:  # OpenAPI 3.0 has a switch there, not a number
                result[exclusive] = result.pop(bound)
        if not isinstance(result.get("description", ""), str):
            del result["description"]
        if "title" in result and _says_only_the_name(result["title"], name):
            del result["title"]


def _joined(first: Schema, second: Mapping[str, Any]) -> Schema:
    """Both; `second` wins, and of objects the properties and required names of both hold."""
    joined = {**first, **second}
    if _all_mappings(first.get("properties")) and _all_mappings(second.get("properties")):
        joined["properties"] = {**first["properties"], **second["properties"]}
    for word in ("required", "x-fal-order-properties"):
        if _all_texts(first.get(word)) and _all_texts(second.get(word)):
            joined[word] = list(dict.fromkeys([*first[word], *second[word]]))
    if _VIA in first or _VIA in second:
        joined[_VIA] = (*first.get(_VIA, ()), *second.get(_VIA, ()))
    return joined


def _ordered(merged: Schema) -> list[str]:
    """Names of the properties, in fal's own order for forms where it is given."""
    parts, order = merged["properties"], merged.get("x-fal-order-properties")
    wanted = (
        [name for name in order if name in parts] if isinstance(order, list) and _all_texts(order) else []
    )
    return list(dict.fromkeys([*(name for name in wanted if name in parts), *parts]))


def _is_null(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "null" or schema.get("enum") == [None]


def _says_only_the_name(title: Any, name: str) -> bool:
    """Pydantic makes "Image Url" of `image_url`; a class's name says nothing to a user either."""
    if not isinstance(title, str) or not name:
        return True
    return title.casefold().replace(" ", "") == name.casefold().replace("_", "") or " " not in title.strip()


def _all_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(part, str) for part in value)


def _all_mappings(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(part, Mapping) for part in value.values())
