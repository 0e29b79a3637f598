"""Bring `kling_nb/catalog/endpoints.json` up to date from fal's OpenAPI documents. No key is needed.

    python scripts/catalogue.py            all endpoints, then writes the file and reports
    python scripts/catalogue.py --check    reports only; the exit status is 1 if something differs
    python scripts/catalogue.py v4 o3-4k   only endpoints with one of these words in their id

What a request's fingerprint depends on is never changed, because a paid take would not be found any more: the
defaults of parameters that were in the file before. A new default is written into the description, and a
changed one is reported. Choices, parameters and limits that fal no longer lists stay, and are reported. Our
own words stay too, and the formats of files, which fal states in words only. Of a limit, fal's value is used.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kling_nb import settings
from kling_nb.catalog.openapi import UnreadableDocument, from_openapi
from kling_nb.errors import UnreachableError
from kling_nb.fal.platform import fetch_document

FILE = Path(__file__).resolve().parent.parent / "kling_nb" / "catalog" / "endpoints.json"
OURS = ("description", "title", "x-media-formats", "x-media-also", "x-max-together", "x-fal-when")
"""What stays as it is in the file. If the file has none, fal's is used."""

MERGED = ("default", "enum", "items", "properties", "x-fal")
"""What is compared part by part."""

Schema = dict[str, Any]


def merge(old: Mapping[str, Any] | None, new: Mapping[str, Any], path: str = "") -> tuple[Schema, list[str]]:
    """Return the schema to ship, and a line for each difference.

    Args:
        old: The schema in the file, or None if it has none.
        new: fal's schema.
        path: The place of both, for the lines.
    """
    if old is None:
        return dict(new), [f"{path or 'schema'}: new"]
    kept = {word: old[word] for word in (*OURS, "enum", "items") if word in old}
    result, lines = {**new, **kept}, _gone_or_new(old, new, path)
    limits, stated = old.get("x-fal", {}), new.get("x-fal", {})
    if limits or stated:
        result["x-fal"] = {**limits, **stated}
    for name in sorted({*limits, *stated}):
        if name not in stated:
            lines.append(f"{path}: fal no longer states {name} {limits[name]}, kept")
        elif stated[name] != limits.get(name):
            lines.append(f"{path}: {name} {limits.get(name)} -> {stated[name]}")
    if new.get("default") != old.get("default"):
        lines.append(
            f"{path}: default {old.get('default')!r} -> {new.get('default')!r} at fal, NOT CHANGED here"
        )
        result.pop("default", None)
        result |= {"default": old["default"]} if "default" in old else {}
    if "enum" in old and "enum" in new:
        gone = [option for option in old["enum"] if option not in new["enum"]]
        added = [option for option in new["enum"] if option not in old["enum"]]
        result["enum"] = [*new["enum"], *gone]
        lines += [f"{path}: new choices {added}"] if added else []
        lines += [f"{path}: fal no longer lists {gone}, kept"] if gone else []
    lines += [
        f"{path}: {word} {old.get(word)!r} -> {new.get(word)!r}"
        for word in sorted({*old, *new} - {*OURS, *MERGED, "$schema"})
        if old.get(word) != new.get(word)
    ]
    if "properties" in old or "properties" in new:
        result["properties"], more = _merge_properties(
            old.get("properties", {}), new.get("properties", {}), path
        )
        lines += more
    if "items" in old and "items" in new:
        result["items"], more = merge(old["items"], new["items"], f"{path}[]")
        lines += more
    return result, lines


def _gone_or_new(old: Mapping[str, Any], new: Mapping[str, Any], path: str) -> list[str]:
    """Return a line for each part that only one of the schemas has."""
    lines = []
    for word in ("enum", "items", *OURS[2:]):
        if word in old and word not in new and word not in OURS:
            lines.append(f"{path}: fal has no {word} any more, kept")
        if word in new and word not in old:
            lines.append(f"{path}: new {word} {new[word]}")
    return lines


def _merge_properties(
    old: Mapping[str, Schema], new: Mapping[str, Schema], path: str
) -> tuple[dict[str, Schema], list[str]]:
    merged: dict[str, Schema] = {}
    lines = []
    for name, part in new.items():
        place = f"{path}.{name}".lstrip(".")
        if name in old:
            merged[name], more = merge(old[name], part, place)
            lines += more
            continue
        merged[name] = {word: value for word, value in part.items() if word != "default"}
        lines.append(f"{place}: new parameter")
        if "default" in part:
            words = f"{part.get('description', '')} Default at fal: {part['default']}."
            merged[name]["description"] = words.strip()
    gone = [name for name in old if name not in new]
    lines += [f"{path}.{name}".lstrip(".") + ": fal no longer has it, kept" for name in gone]
    return merged | {name: old[name] for name in gone}, lines


async def refresh(
    entries: Mapping[str, Any], ids: Sequence[str]
) -> dict[str, tuple[Schema | None, list[str]]]:
    """Return the new input schema of each endpoint, or None if it stays, and the lines about it."""
    hosts = settings.current().hosts
    found: dict[str, tuple[Schema | None, list[str]]] = {}
    for endpoint_id in ids:
        try:
            document = await fetch_document(hosts, endpoint_id)
            if document is None:
                found[endpoint_id] = None, ["fal has no such endpoint (any more)"]
                continue
            live = from_openapi(endpoint_id, document, fetched_at="")
            found[endpoint_id] = merge(entries[endpoint_id]["input"], live.input_schema)
        except (UnreachableError, UnreadableDocument) as fault:
            found[endpoint_id] = None, [f"not read: {fault}"]
    return found


def report(found: Mapping[str, tuple[Schema | None, list[str]]]) -> Iterator[str]:
    """Yield the lines of the report."""
    for endpoint_id, (_, lines) in found.items():
        if lines:
            yield endpoint_id
            yield from (f"  {line}" for line in lines)
    same = sum(not lines for _, lines in found.values())
    yield f"{len(found)} endpoints asked for, {same} as in the file."


def main(arguments: Sequence[str], file: Path = FILE) -> int:
    """Ask fal for the schemas, report, and write the file unless `--check` is given."""
    words = [word for word in arguments if not word.startswith("-")]
    data = json.loads(file.read_bytes())
    ids = [one for one in data["endpoints"] if not words or any(word in one for word in words)]
    found = asyncio.run(refresh(data["endpoints"], ids))
    print("\n".join(report(found)))
    changed = any(lines for _, lines in found.values())
    if "--check" in arguments or not changed:
        return int(changed)
    for endpoint_id, (schema, _) in found.items():
        if schema is not None:
            data["endpoints"][endpoint_id]["input"] = schema
    data["generated"] = datetime.now(UTC).date().isoformat()
    file.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print("Next: python scripts/magic_page.py, and read the differences.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
