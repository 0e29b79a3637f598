"""Check an input against its endpoint's schema, and describe in plain words what is wrong.

`problems` is strict and checks JSON in the form in which it is sent. `Coercion` converts the user's values
before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from kling_nb._lazy import jsonschema_rs
from kling_nb.catalog.endpoint import Endpoint, media_of, number_of
from kling_nb.catalog.problem import (
    Problem,
    ValuePath,
    choices,
    dotted_path,
    listing,
    nearest,
    quote,
    unknown_parameter,
)

Schema = Mapping[str, Any]

_MOST = 100  # maximum number of problems that are read from the validator
_DEPTH = 50  # maximum depth of lists and objects; the deepest known schema has 4
_HALF_OF_A_PAIR = re.compile("[\ud800-\udfff]")  # UTF-8 cannot encode it


def problems(endpoint: Endpoint, values: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Return everything that is wrong with `values` as an input of `endpoint`; empty if it is valid.

    Unknown names come first, because they often cause the other problems. Parameters follow in the schema's
    order, with one problem for each place.
    """
    schema = endpoint.input_schema
    broken = tuple(_json_problems(values))
    if broken:  # The validator would raise at them.
        return broken
    rules = [group for keyword in _RULES for group in _groups(schema, keyword)]
    alternatives = frozenset(name for group in rules for name in group)
    found = [
        *_unknown_names(schema, values, (), endpoint.short_name),
        *_blank_texts(schema, values, (), alternatives),
        *_schema_problems(endpoint, values),
        *_rule_problems(endpoint, values),
    ]
    return tuple(sorted(_one_for_each_path(found), key=lambda problem: _rank(schema, problem)))


def _schema_problems(endpoint: Endpoint, values: Mapping[str, Any]) -> Iterator[Problem]:
    rules = [keyword for keyword in _RULES if _groups(endpoint.input_schema, keyword)]
    for error in islice(endpoint.validator.iter_errors(dict(values)), _MOST):
        if error.instance_path or error.schema_path[-1] not in rules:
            yield _problem(endpoint, error)


def _problem(endpoint: Endpoint, error: jsonschema_rs.ValidationError) -> Problem:
    path: ValuePath = tuple(error.instance_path)
    keyword = str(error.schema_path[-1])
    if keyword == "required":
        path = (*path, getattr(error.kind, "property", ""))
    part = subschema(endpoint.input_schema, error.schema_path[:-1])
    return _describe(path, keyword, part, error.instance, fallback=error.message)


def subschema(schema: Mapping[str, Any], path: Sequence[str | int]) -> Mapping[str, Any]:
    """Return the subschema at a path; empty if the path goes through a reference."""
    part: Any = schema
    for step in path:
        try:
            part = part[step]
        except (KeyError, IndexError, TypeError):
            return {}
    return part if isinstance(part, Mapping) else {}


def _unknown_names(schema: Mapping[str, Any], values: Any, path: ValuePath, owner: str) -> Iterator[Problem]:
    """Find names that the schema does not have, at any depth, unless it allows additional ones."""
    if isinstance(values, list):
        for index, item in enumerate(values):
            yield from _unknown_names(
                schema.get("items", {}), item, (*path, index), dotted_path((*path, index))
            )
    known = schema.get("properties", {})
    if not isinstance(values, Mapping) or not known:
        return
    for name, value in values.items():
        if name in known:
            yield from _unknown_names(known[name], value, (*path, name), dotted_path((*path, name)))
        elif not schema.get("additionalProperties", False):
            yield unknown_parameter(owner, (*path, name), list(known))


def _blank_texts(
    schema: Mapping[str, Any], values: Any, path: ValuePath, also: frozenset[str] = frozenset()
) -> Iterator[Problem]:
    """Find required texts that are empty."""
    if isinstance(values, list):
        for index, item in enumerate(values):
            yield from _blank_texts(schema.get("items", {}), item, (*path, index))
    if not isinstance(values, Mapping):
        return
    needed = also | set(schema.get("required", ()))
    for name, part in schema.get("properties", {}).items():
        value = values.get(name)
        yield from _blank_texts(part, value, (*path, name))
        if name not in needed or not isinstance(value, str) or "enum" in part:
            continue
        if not any(char.isprintable() and not char.isspace() for char in value):
            what = "has only white space in it" if value else "is empty"
            wanted = part.get("description")
            remedy = f"Give a text: {wanted}" if wanted else "Give a text."
            yield Problem((*path, name), "blank", f"{dotted_path((*path, name))} {what}.", remedy)


def _json_problems(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Find texts that UTF-8 cannot encode (half of a surrogate pair), and values nested too deeply."""
    left: list[tuple[ValuePath, Any]] = [((str(name),), part) for name, part in values.items()]
    left += [((str(name),), name) for name in values]
    while left:
        path, value = left.pop()
        if len(path) > _DEPTH:
            yield Problem(
                path[:1], "json", f"{dotted_path(path[:1])} is nested too deeply.", "Give a flatter value."
            )
            return
        if isinstance(value, str) and (broken := _HALF_OF_A_PAIR.search(value)):
            at = broken.start()
            text = f"{dotted_path(path)} has a broken character at position {at} and cannot be sent."
            yield Problem(path, "text", text, "Type or paste that character again.")
        elif isinstance(value, Mapping):
            left += [((*path, str(name)), part) for name, part in value.items()]
            left += [((*path, str(name)), name) for name in value]
        elif isinstance(value, list):
            left += [((*path, index), part) for index, part in enumerate(value)]


def _one_for_each_path(found: Sequence[Problem]) -> list[Problem]:
    """Return the first problem of each place, because the others usually follow from it."""
    by_path: dict[ValuePath, Problem] = {}
    for problem in found:
        by_path.setdefault(problem.path, problem)
    return list(by_path.values())


def _rank(schema: Mapping[str, Any], problem: Problem) -> int:
    names = list(schema.get("properties", {}))
    if problem.kind == "unknown":
        return -1
    return names.index(str(problem.path[0])) if problem.path and problem.path[0] in names else len(names)


# -- messages for each keyword ----------------------------------------------------

_TYPES = {
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object ({…})",
    "null": "nothing",
}


def _describe(path: ValuePath, keyword: str, schema: Schema, value: Any, *, fallback: str) -> Problem:
    """Return the problem of a value that breaks a keyword of its schema.

    For `required`, the path is that of the missing value, and the schema that of the object. `fallback` is
    the validator's own message, for keywords without a message here.
    """
    name = dotted_path(path) or "the input"
    if keyword == "type" and "enum" in schema:  # A wrong type breaks both, and the choices help more.
        keyword = "enum"
    message = _message(keyword, name, schema, value) if keyword in schema else None
    if message is None:
        return Problem(path, keyword, f"{name}: {quote(fallback, 160)[1:-1]}.")
    return Problem(path, keyword, *message)


def _message(keyword: str, name: str, schema: Schema, value: Any) -> tuple[str, str] | None:
    """Return what is wrong and what to do, or None for a keyword without a message here."""
    limit = schema[keyword]
    match keyword:
        case "required":
            part = schema.get("properties", {}).get(name.rpartition(".")[2], {})
            return f"{name} is missing.", f"It is required: {part.get('description', 'give a value.')}"
        case "enum":
            close, default = nearest(value, limit, 1), schema.get("default")
            usual = f"Leave it out for {listing([default])}." if default is not None else "Give one of these."
            remedy = f"Nearest: {listing(close)}." if close else usual
            return f"{name} must be {choices(limit, value)}, not {quote(value)}.", remedy
        case "type":
            types = limit if isinstance(limit, list) else [limit]
            wanted = listing([_TYPES.get(kind, kind) for kind in types if kind != "null"], "or")
            limits = f", {_range(schema)}" if "minimum" in schema or "maximum" in schema else ""
            return f"{name} must be {wanted}, not {quote(value)}.", f"Give {wanted}{limits}."
        case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum":
            bound = schema.get("minimum") if value < schema.get("minimum", value) else schema.get("maximum")
            remedy = f"Nearest: {bound}." if bound is not None else ""
            return f"{name} must be {_range(schema)}, not {quote(value)}.", remedy
        case "multipleOf":
            near = round(value / limit) * limit
            return f"{name} must be a multiple of {limit}, not {quote(value)}.", f"Nearest: {near:.10g}."
        case "maxLength" | "minLength" | "maxItems" | "minItems":
            entries = "entry" if len(value) == 1 else "entries"
            most = "maximum" if keyword.startswith("max") else "minimum"
            has = f"{name} has {len(value):,} {'characters' if keyword.endswith('Length') else entries}"
            remedy = {
                "maxLength": f"Shorten it by {len(value) - limit:,}.",
                "minLength": "Make it longer.",
                "maxItems": f"Leave out {len(value) - limit:,}.",
                "minItems": f"Add {limit - len(value):,}, or leave {name} out if it is not needed.",
            }[keyword]
            return f"{has}; the {most} is {limit:,}.", remedy
        case "pattern":
            return f"{name} cannot be {quote(value)}.", f"Give a text that matches {quote(limit)}."
    return None


def _range(schema: Schema) -> str:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is None or high is None:
        return f"at most {high}" if low is None else f"at least {low}"
    return f"from {low} to {high}"


# -- rules between parameters -----------------------------------------------------
#
# Kling's schemas use `oneOf`, `anyOf` and `not` at the root for a single rule: either a prompt for the whole
# video, or a list of shots (`multi_prompt`). Each branch is `{"required": [names]}`.


_RULES = ("oneOf", "anyOf", "not")
"""Keywords that `_rule_problems` checks, where all their branches have that form."""


def _rule_problems(endpoint: Endpoint, values: Mapping[str, Any]) -> Iterator[Problem]:
    """Find the rules that `values` break. The path of each problem is the rule's first parameter."""
    schema = endpoint.input_schema
    one, some = _groups(schema, "oneOf"), _groups(schema, "anyOf")
    if one and (count := _count_given(one, values)) != 1:
        yield _too_many("oneOf", one) if count else _none_of("oneOf", one)
    if some and not _count_given(some, values):
        yield _none_of("anyOf", some)
    for excluded in _groups(schema, "not"):
        if _count_given([excluded], values):
            yield _too_many("not", [(name,) for name in excluded])
        elif not schema.get("required") and not any(name in values for name in excluded):
            # The schema allows an empty input, which would cost money for a random video.
            yield _none_of("not", [(name,) for name in excluded])


def _groups(schema: Schema, keyword: str) -> list[tuple[str, ...]]:
    """Return the names of each branch; none if one has another form, which the validator handles."""
    found = schema.get(keyword, [])
    branches = found if isinstance(found, list) else [found]
    if not all(isinstance(part, Mapping) and set(part) == {"required"} for part in branches):
        return []
    return [tuple(part["required"]) for part in branches]


def _count_given(groups: list[tuple[str, ...]], values: Mapping[str, Any]) -> int:
    return sum(all(name in values for name in group) for group in groups)


def _too_many(keyword: str, groups: list[tuple[str, ...]]) -> Problem:
    text = f"{_names(groups, 'and')} exclude each other."
    return Problem((groups[0][0],), keyword, text, f"Give either {_names(groups, 'or')}.")


def _none_of(keyword: str, groups: list[tuple[str, ...]]) -> Problem:
    text = f"{_names(groups, 'or')} is missing."
    remedy = "Give one of them." if keyword == "anyOf" else "Give exactly one of them."
    return Problem((groups[0][0],), keyword, text, remedy)


def _names(groups: list[tuple[str, ...]], last: str) -> str:
    return listing([" with ".join(group) for group in groups], last)


# -- rules that fal states in words -------------------------------------------------
#
# `rule_problems` decides only about new submissions. The names are those of Kling's parameters; an endpoint
# without one of them has no such rule. Two lists in the root of a schema hold numbers that JSON Schema cannot
# state: `x-max-together`, such as {"max": 4, "of": ["elements", "image_urls"]}.

_LONG_PROMPT = 2_500  # Kling's own limit for most models; above it the end of a prompt may be ignored
_LONG_SHOT = 512
_MOST_SHOTS = 6
_REFERENCE = re.compile(r"(?<![\w@])@(Image|Element|Video)(\d+)\b|<<<voice_(\d+)>>>")


def rule_problems(endpoint: Endpoint, values: Mapping[str, Any]) -> Iterator[Problem]:
    """Find what fal would refuse in a valid input, or would make another video of than the user expects."""
    yield from _shot_problems(endpoint, values)
    yield from _count_problems(endpoint.input_schema, values)
    yield from _element_problems(endpoint.input_schema, values)
    yield from _reference_problems(endpoint.input_schema, values)


def warnings(endpoint: Endpoint, values: Mapping[str, Any]) -> Iterator[str]:
    """Return what fal accepts, and may not do as expected."""
    prompt, stated = values.get("prompt"), endpoint.input_schema.get("properties", {}).get("prompt", {})
    if isinstance(prompt, str) and len(prompt) > _LONG_PROMPT and "maxLength" not in stated:
        yield f"The prompt has {len(prompt):,} characters. Kling may ignore what is after {_LONG_PROMPT:,}."
    if (ratio := values.get("aspect_ratio")) and (
        values.get("start_image_url") or endpoint.category == "image-to-video"
    ):
        yield f"The video has the shape of the image, so aspect_ratio {ratio} may have no effect."
    shots = _shots(values)
    if len(shots) > _MOST_SHOTS:
        yield f"multi_prompt has {len(shots)} shots. Kling may refuse more than {_MOST_SHOTS}."
    for index, shot in enumerate(shots):
        length = len(str(shot.get("prompt", "")))
        if length > _LONG_SHOT:
            yield f"Shot {index + 1} has a prompt of {length:,} characters. The limit may be {_LONG_SHOT}."


def _shots(values: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    shots = values.get("multi_prompt")
    return [shot for shot in shots if isinstance(shot, Mapping)] if isinstance(shots, list) else []


def _shot_problems(endpoint: Endpoint, values: Mapping[str, Any]) -> Iterator[Problem]:
    """Compare the length of the shots with `duration`: its limits, and its value if it is given."""
    shots, schema = _shots(values), endpoint.input_schema.get("properties", {})
    if not shots:
        return
    shot = schema.get("multi_prompt", {}).get("items", {}).get("properties", {})
    usual = shot.get("duration", {}).get("default")
    lengths = [number_of(shot.get("duration", usual)) for shot in shots]
    if None in lengths:
        return
    total = sum(length for length in lengths if length is not None)
    duration = schema.get("duration", {})
    allowed = [number for option in duration.get("enum", ()) if (number := number_of(option)) is not None]
    low = min(allowed, default=duration.get("minimum", 0))
    high = max(allowed, default=duration.get("maximum", total))
    if not low <= total <= high:
        yield Problem(
            ("multi_prompt",),
            "shots",
            f"The shots of multi_prompt last {total:g} s in all; {low:g} to {high:g} s are allowed.",
            "Change the duration of some shots.",
        )
    given = number_of(values.get("duration"))
    if given is not None and given != total:
        yield Problem(
            ("duration",),
            "shots",
            f"duration is {given:g}, and the shots of multi_prompt last {total:g} s in all.",
            "Leave duration out, or make both equal.",
        )


def _count_problems(schema: Schema, values: Mapping[str, Any]) -> Iterator[Problem]:
    """Find required lists that are empty, and too many values of several parameters together."""
    for name in schema.get("required", ()):
        if values.get(name) == []:
            yield Problem((name,), "minItems", f"{name} is an empty list.", "Give at least one entry.")
    for rule in schema.get("x-max-together", ()):
        counts = {name: _count(values.get(name)) for name in rule["of"] if _count(values.get(name))}
        if sum(counts.values()) > rule["max"]:
            each = listing([f"{count} {name}" for name, count in counts.items()], "and")
            yield Problem(
                (next(iter(counts)),),
                "maxItems",
                f"{each} are {sum(counts.values())} together; the maximum is {rule['max']}.",
                f"Leave out {sum(counts.values()) - rule['max']}.",
            )


def _count(value: Any) -> int:
    return len(value) if isinstance(value, list) else int(value is not None)


def _element_problems(schema: Schema, values: Mapping[str, Any]) -> Iterator[Problem]:
    """Find elements that show nothing, and more than one with a video, where fal's words exclude that."""
    for name, part in schema.get("properties", {}).items():
        parts = part.get("items", {}).get("properties", {})
        files = [key for key, inner in parts.items() if media_of(inner)]
        given = values.get(name)
        if not files or not isinstance(given, list) or not all(isinstance(one, Mapping) for one in given):
            continue
        for index, element in enumerate(given):
            if not any(element.get(key) for key in files):
                yield Problem(
                    (name, index), "blank", f"{name}.{index} shows nothing.", f"Give {listing(files, 'or')}."
                )
        videos = [index for index, element in enumerate(given) if element.get("video_url")]
        if len(videos) > 1 and "one element" in str(parts.get("video_url", {}).get("description")):
            yield Problem(
                (name, videos[1]),
                "maxItems",
                f"{len(videos)} of {name} have a video; only one may have one.",
                "Give images for the others.",
            )


def _reference_problems(schema: Schema, values: Mapping[str, Any]) -> Iterator[Problem]:
    """Find names such as @Image3 in a prompt that refer to nothing in the input."""
    counts = {"Image": 0, "Video": 0, "Element": _count(values.get("elements")), "voice": 0}
    for name, part in schema.get("properties", {}).items():
        kind = str(media_of(part)).capitalize()
        if kind in counts:
            counts[kind] += _count(values.get(name))
    counts["voice"] = _count(values.get("voice_ids"))
    texts: list[tuple[ValuePath, Any]] = [(("prompt",), values.get("prompt"))]
    texts += [(("multi_prompt", at, "prompt"), shot.get("prompt")) for at, shot in enumerate(_shots(values))]
    for path, text in texts:
        for found in _REFERENCE.finditer(text) if isinstance(text, str) else ():
            kind, number = found[1] or "voice", int(found[2] or found[3])
            if not 1 <= number <= counts[kind]:
                has = f"{counts[kind]} of them" if counts[kind] else "none"
                yield Problem(
                    path,
                    "reference",
                    f"{dotted_path(path)} names {found[0]}, and the input has {has}.",
                    "Add it to the input, or take it out of the text.",
                )
