"""Any endpoint of fal, read from its own OpenAPI document (FAL-PROTOCOL §12.6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kling_nb.catalog.entry import Endpoint
from kling_nb.catalog.plain_schema import NotADescription, PlainSchemas

__all__ = ["NotADescription", "from_openapi"]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def from_openapi(endpoint_id: str, document: Any, *, fetched_at: str) -> Endpoint:
    """The endpoint that a document describes.

    Args:
        endpoint_id: Its id, which is its name here too.
        document: OpenAPI 3, parsed.
        fetched_at: When fal sent it, ISO 8601.

    Raises:
        NotADescription: It is none, or says nothing about the input.
    """
    posted = _schema(_at(document, "paths", f"/{endpoint_id}", "post", "requestBody", "content"))
    if posted is None:
        raise NotADescription("it does not say what the endpoint takes")
    components = _mapping(_at(document, "components", "schemas"))
    taken = PlainSchemas(components).plain(posted)
    if not taken.get("properties") and taken.get("type") != "object":
        raise NotADescription("its input is not an object")
    result = f"/{endpoint_id}/requests/{{request_id}}"
    given = _schema(_at(document, "paths", result, "get", "responses", "200", "content"))
    about = _mapping(_at(document, "info", "x-fal-metadata"))
    return Endpoint(
        id=endpoint_id,
        short_name=endpoint_id,
        title=_title(endpoint_id),
        category=about["category"] if isinstance(about.get("category"), str) else "",
        input_schema={"$schema": _DIALECT, "type": "object", **taken},
        output_schema={"$schema": _DIALECT, **PlainSchemas(components, results=True).plain(given)},
        fetched_at=fetched_at,
    )


def _title(endpoint_id: str) -> str:
    """`alibaba/happy-horse/image-to-video` as "Happy horse image to video"."""
    words = " ".join(endpoint_id.split("/")[1:]).replace("-", " ").replace("_", " ")
    return words[:1].upper() + words[1:]


def _schema(content: Any) -> Any:
    """The schema of a body, of whatever JSON type it is said to be."""
    for kind, body in _mapping(content).items():
        if "json" in str(kind) and isinstance(body, Mapping) and isinstance(body.get("schema"), Mapping):
            return body["schema"]
    return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _at(value: Any, *path: str) -> Any:
    """What stands at a path of names, or None."""
    for step in path:
        value = _mapping(value).get(step)
    return value
