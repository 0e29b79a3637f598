"""Read any endpoint of fal from its own OpenAPI document (FAL-PROTOCOL §12.6).

Pydantic writes fal's documents: shared parts are behind `$ref`, an optional value is `anyOf` with null, a
described reference is `allOf` of one. `_PlainSchemas` turns them into plain JSON Schemas (2020-12), in the
form of the shipped ones: without references or nulls, in the order of `x-fal-order-properties`, with files
marked by `x-fal-media`.

fal has no keyword that always marks a file. The first of these rules that applies decides if a text of an
input is the URL of a file:

1. A text without a list of choices whose form field is named `image`, `video` or `audio`
   (`_fal_ui_field`, or `ui.field`, from which fal's own site draws its forms) is a file of that kind.
2. A text whose name ends in `_url` or `_urls`, or whose `format` is `uri` or `binary`, is a file. A word
   of its name gives the kind (`start_image_url`, `mask_url`, `reference_audio_url`).
3. If no word of its name does, its description gives the kind, unless it mentions several kinds.

Everything else is plain text (`webhook_url`, `lora_url`) and is sent unchanged. A list of such texts is a
list of files. A file of a result is an object with a `url`. Its kind comes from its form field, else from a
word in its name, else from its title (`VideoFile`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from kling_nb.catalog.endpoint import Endpoint

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def from_openapi(endpoint_id: str, document: Any, *, fetched_at: str) -> Endpoint:
    """Return the endpoint that a document (OpenAPI 3, parsed) describes. Its short name is its id.

    Raises:
        UnreadableDocument: It is no OpenAPI document, or does not describe the input.
    """
    posted = _schema(_get(document, "paths", f"/{endpoint_id}", "post", "requestBody", "content"))
    if posted is None:
        raise UnreadableDocument("it does not describe the input")
    components = _mapping(_get(document, "components", "schemas"))
    accepted = _PlainSchemas(components).plain(posted)
    if not accepted.get("properties") and accepted.get("type") != "object":
        raise UnreadableDocument("its input is not an object")
    result = f"/{endpoint_id}/requests/{{request_id}}"
    returned = _schema(_get(document, "paths", result, "get", "responses", "200", "content"))
    about = _mapping(_get(document, "info", "x-fal-metadata"))
    return Endpoint(
        id=endpoint_id,
        short_name=endpoint_id,
        title=_title(endpoint_id),
        category=about["category"] if isinstance(about.get("category"), str) else "",
        input_schema={"$schema": _DIALECT, "type": "object", **accepted},
        output_schema={"$schema": _DIALECT, **_PlainSchemas(components, results=True).plain(returned)},
        fetched_at=fetched_at,
    )


def _title(endpoint_id: str) -> str:
    """Return `alibaba/happy-horse/image-to-video` as "Happy horse image to video"."""
    words = " ".join(endpoint_id.split("/")[1:]).replace("-", " ").replace("_", " ")
    return words[:1].upper() + words[1:]


def _schema(content: Any) -> Any:
    """Return the schema of a body with any JSON content type, or None."""
    for kind, body in _mapping(content).items():
        if "json" in str(kind) and isinstance(body, Mapping) and isinstance(body.get("schema"), Mapping):
            return body["schema"]
    return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _get(value: Any, *path: str) -> Any:
    """Return the value at a path of names, or None."""
    for step in path:
        value = _mapping(value).get(step)
    return value


_DEEPEST = 32
"""Maximum depth of nested parts, including references. Real documents have about 8."""

_MOST = 5_000
"""Maximum number of parts. Real documents have about 200, but nested references can multiply them."""

_PREFIX = "#/components/schemas/"
_KEPT = (
    "type", "description", "title", "default", "enum", "minimum", "maximum", "exclusiveMinimum",
    "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern", "minItems", "maxItems",
    "uniqueItems", "required", "additionalProperties",
)  # fmt: skip
"""Keywords that are copied. The others are for forms of fal's own site, or are handled separately."""

_COMBINING = frozenset({"$ref", "allOf", "anyOf", "oneOf"})

_VIA = "\0via"
"""Key under which `_merge` lists the references that it followed. No document uses this name."""

Schema = dict[str, Any]
Trail = tuple[str, ...]
"""The path from the root to a part: for each level the followed reference, or an empty text."""


class UnreadableDocument(ValueError):
    """A document that does not describe an endpoint's input in a readable form."""


class _PlainSchemas:
    """Reads the schemas of one document.

    Args:
        components: The document's `components.schemas`.
        results: True for schemas of results, in which an object with a `url` is a file. In schemas of
            inputs a text is a file.
    """

    def __init__(self, components: Mapping[str, Any], *, results: bool = False) -> None:
        self._components = components
        self._results = results
        self._left = _MOST

    def plain(self, schema: Any, name: str = "", trail: Trail = ()) -> Schema:
        """Return the plain form of a schema. The name of its property helps to recognise files.

        The result is `{}`, which allows any value, for anything that is no schema or refers to itself.

        Raises:
            UnreadableDocument: The document has more than `_MOST` parts.
        """
        merged = self._merge(schema, trail)
        inside = (*trail, *merged.pop(_VIA, ()), "")
        result: Schema = {word: merged[word] for word in _KEPT if word in merged}
        self._tidy(result, merged, name)
        if _all_mappings(merged.get("properties")):
            parts, names = merged["properties"], _property_order(merged)
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
        limits = _limits(merged) if not self._results else {}
        if limits:
            result["x-fal"] = limits
        return result

    def _kind(self, name: str, merged: Schema, result: Schema) -> str | None:
        if not self._results:
            return hint_of_input(name, merged)
        return _hint_of_output(name, merged) if "url" in result.get("properties", {}) else None

    def _merge(self, schema: Any, trail: Trail) -> Schema:
        """Return one level of a schema without its reference, its `allOf`, and the null in its `anyOf`."""
        self._left -= 1
        if self._left < 0:
            raise UnreadableDocument(f"it has more than {_MOST:,} parts")
        if not isinstance(schema, Mapping) or len(trail) > _DEEPEST:
            return {}
        result: Schema = {}
        reference = schema.get("$ref")
        if isinstance(reference, str) and reference not in trail:
            target = self._components.get(reference.removeprefix(_PREFIX))
            result = self._merge(target, (*trail, reference))
            result[_VIA] = (*result.get(_VIA, ()), reference)
        for part in schema["allOf"] if isinstance(schema.get("allOf"), list) else ():
            result = _join(result, self._merge(part, (*trail, "")))
        result = _join(result, {word: value for word, value in schema.items() if word not in _COMBINING})
        for word in ("anyOf", "oneOf"):
            if isinstance(schema.get(word), list):
                result = self._without_null(result, word, schema[word], trail)
        return result

    def _without_null(self, outer: Schema, word: str, branches: list[Any], trail: Trail) -> Schema:
        """Add the branches of `anyOf` or `oneOf` to the keywords around them, without a null branch.

        The keywords around a single branch win, because they describe this property.
        """
        left = [branch for branch in branches if not (isinstance(branch, Mapping) and _is_null(branch))]
        if len(left) == 1:
            return _join(self._merge(left[0], (*trail, "")), outer)
        return {**outer, word: left} if left else outer

    @staticmethod
    def _tidy(result: Schema, merged: Mapping[str, Any], name: str) -> None:
        """Replace old keywords by the ones of 2020-12, and remove empty ones."""
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
            if result.pop(exclusive) and bound in result:  # In OpenAPI 3.0 it is true or false, not a number.
                result[exclusive] = result.pop(bound)
        if not isinstance(result.get("description", ""), str):
            del result["description"]
        if "title" in result and _repeats_name(result["title"], name):
            del result["title"]


def _join(first: Schema, second: Mapping[str, Any]) -> Schema:
    """Return both schemas as one. `second` wins; properties and required names of both are kept."""
    joined = {**first, **second}
    if _all_mappings(first.get("properties")) and _all_mappings(second.get("properties")):
        joined["properties"] = {**first["properties"], **second["properties"]}
    for word in ("required", "x-fal-order-properties"):
        if _all_texts(first.get(word)) and _all_texts(second.get(word)):
            joined[word] = list(dict.fromkeys([*first[word], *second[word]]))
    if _VIA in first or _VIA in second:
        joined[_VIA] = (*first.get(_VIA, ()), *second.get(_VIA, ()))
    return joined


def _property_order(merged: Schema) -> list[str]:
    """Return the names of the properties, in fal's own order for forms if there is one."""
    parts, order = merged["properties"], merged.get("x-fal-order-properties")
    wanted = [name for name in order if name in parts] if order and _all_texts(order) else []
    return list(dict.fromkeys([*wanted, *parts]))


def _is_null(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "null" or schema.get("enum") == [None]


def _repeats_name(title: Any, name: str) -> bool:
    """Return True for a title that only repeats the name ("Image Url"), and for the name of a class."""
    if not isinstance(title, str) or not name:
        return True
    return title.casefold().replace(" ", "") == name.casefold().replace("_", "") or " " not in title.strip()


def _all_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(part, str) for part in value)


def _all_mappings(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(part, Mapping) for part in value.values())


# -- limits ------------------------------------------------------------------------

_LIMIT = re.compile(
    r"\b(min|max)[_ ](width|height|area|aspect[_ ]ratio|frames|duration|fps|file[_ ]size)", re.IGNORECASE
)
_STATED = re.compile(_LIMIT.pattern + r": (\d+(?:\.\d+)?) ?(MB|px|s)?", re.IGNORECASE)


def _limits(merged: Mapping[str, Any]) -> dict[str, float]:
    """Return the limits of an input file: fal's `x-fal` (§16.7), and those that its description repeats.

    A description has them in this form: "Max file size: 10.0MB, Min width: 300px".
    """
    found: dict[str, float] = {}
    for side, what, number, unit in _STATED.findall(str(merged.get("description", ""))[:5000]):
        bytes_of_unit = 1 << 20 if unit.upper() == "MB" else 1
        found[f"{side}_{what}".lower().replace(" ", "_")] = float(number) * bytes_of_unit
    found |= {
        name: value
        for name, value in _mapping(merged.get("x-fal")).items()
        if _LIMIT.fullmatch(str(name)) and type(value) in {int, float} and math.isfinite(value)
    }
    return {name: int(value) if value == int(value) else value for name, value in found.items()}


# -- files -------------------------------------------------------------------------

_KINDS = ("image", "video", "audio")

_WORDS = {
    "image": "image images photo photos picture pictures frame mask face portrait garment thumbnail",
    "video": "video videos clip footage movie",
    "audio": "audio audios voice sound music song speech",
}
_KIND_OF = {word: kind for kind, words in _WORDS.items() for word in words.split()}
_FORMATS = frozenset({"uri", "url", "binary", "data-url"})


def hint_of_input(name: str, schema: Mapping[str, Any]) -> str | None:
    """Return the kind of file that a text of an input refers to, or None for a plain text.

    `name` is that of the property; for the items of a list, of the list.
    """
    if schema.get("type") != "string" or "enum" in schema or "const" in schema:
        return None
    hinted = _form_field(schema)
    if hinted is not None:
        return hinted
    words = _words(name)
    if not (words[-1:] and words[-1] in {"url", "urls"}) and schema.get("format") not in _FORMATS:
        return None
    named = [_KIND_OF[word] for word in words if word in _KIND_OF]
    if named:
        return named[-1]  # The last word is the noun: `video_audio_url` is audio.
    mentioned = {_KIND_OF[word] for word in _words(str(schema.get("description", ""))) if word in _KIND_OF}
    return mentioned.pop() if len(mentioned) == 1 else None


def _hint_of_output(name: str, schema: Mapping[str, Any]) -> str:
    """Return the kind of a result's file; `data` if it is unknown."""
    hinted = _form_field(schema)
    if hinted is not None:
        return hinted
    for text in (name, str(schema.get("title", ""))):
        named = [_KIND_OF[word] for word in _words(text) if word in _KIND_OF]
        if named:
            return named[0]
    return "data"


def _form_field(schema: Mapping[str, Any]) -> str | None:
    form = schema.get("ui")
    for field in (schema.get("_fal_ui_field"), form.get("field") if isinstance(form, Mapping) else None):
        if field in _KINDS:
            return str(field)
    return None


def _words(text: str) -> list[str]:
    """Return the words of a name in any notation: `start_image_url`, `VideoFile`, `image-url`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text[:2000])
    return re.findall(r"[a-z]+", spaced.lower())
