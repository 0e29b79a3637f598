"""Inputs for any endpoint, good and bad, drawn from its schema."""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

FILES = (
    "https://example.com/a.png",  # not on this machine, so it is never fetched
    "http://127.0.0.1:9/no-server.mp4",
    "data:image/png;base64,bm90IGEgcGljdHVyZQ==",
    "data:,",
    "not a URL",
)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 10**12) | st.floats(allow_nan=False) | WORDS | st.just(""),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)


def fitting(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Values that fit a schema, nearly always: rules between parameters are left to chance."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    for word in ("oneOf", "anyOf"):
        if word in schema and "properties" not in schema:
            return st.one_of([fitting(part) for part in schema[word]])
    match schema.get("type"):
        case "object":
            return objects(schema)
        case "array":
            most = min(schema.get("maxItems", 3), max(3, schema.get("minItems", 0)))
            return st.lists(
                fitting(schema.get("items", {})), min_size=schema.get("minItems", 0), max_size=most
            )
        case "integer":
            return st.integers(int(schema.get("minimum", 0)), int(schema.get("maximum", 9)))
        case "number":
            return st.floats(float(schema.get("minimum", 0)), float(schema.get("maximum", 9)))
        case "boolean":
            return st.booleans()
        case "string":
            return st.sampled_from(FILES) if "x-fal-media" in schema else WORDS
    return ANYTHING


def objects(schema: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object with all that is required, and some of the rest."""
    parts = {name: fitting(part) for name, part in schema.get("properties", {}).items()}
    required = set(schema.get("required", ()))
    return st.fixed_dictionaries(
        {name: part for name, part in parts.items() if name in required},
        optional={name: part for name, part in parts.items() if name not in required},
    )


@st.composite
def inputs(draw: st.DrawFn, schema: Mapping[str, Any]) -> Any:
    """A whole input: as it should be, or spoilt in one place, or something else altogether."""
    how = draw(st.sampled_from(["good", "good", "spoilt", "lacking", "more", "anything"]))
    if how == "anything":
        return draw(ANYTHING)
    value = draw(objects(schema))
    names = sorted(value)
    if how == "spoilt" and names:
        value[draw(st.sampled_from(names))] = draw(ANYTHING)
    elif how == "lacking" and names:
        del value[draw(st.sampled_from(names))]
    elif how == "more":
        value[draw(WORDS)] = draw(ANYTHING)
    return value
