"""What the outputs of a cell show, read as any reader of a notebook can."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from html import unescape
from typing import Any
from urllib.parse import unquote

LINE = re.compile(r"^([0-9a-f]{64}) (\S+) (\S+)$", re.MULTILINE)
"""What the cells in Python print of a job: its fingerprint, its request and its file."""

ATTRIBUTE = re.compile(r' data-kling-(state|request|parts)="([^"]*)"')
SOURCE = re.compile(r'src="(kling_media/[^"]+)"')


def read_outputs(outputs: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the fingerprints, the request ids and the files that outputs in the form of nbformat show."""
    fingerprints: set[str] = set()
    requests: set[str] = set()
    files: set[str] = set()
    for output in outputs:
        for fingerprint, request, file in LINE.findall(text_of(output.get("text", ""))):
            fingerprints.add(fingerprint)
            requests.add(request)
            files.add(file)
        mark = mark_of(output)
        named = [(mark.get("fingerprint"), mark.get("request"))]
        named += [(part[0], part[3] if len(part) > 3 else None) for part in mark.get("parts", ())]
        for fingerprint, request in named:
            fingerprints |= {fingerprint} - {None, ""}
            requests |= {request} - {None}
        html = text_of(output.get("data", {}).get("text/html", ""))
        files |= {unquote(unescape(source)).removeprefix("kling_media/") for source in SOURCE.findall(html)}
    return {"fingerprints": sorted(fingerprints), "requests": sorted(requests), "files": sorted(files)}


def mark_of(output: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an output says of itself: in its metadata, or in the first tag of its card."""
    first_tag = text_of(output.get("data", {}).get("text/html", "")).partition(">")[0]
    found = {name: unescape(value) for name, value in ATTRIBUTE.findall(first_tag)}
    if "parts" in found:
        found["parts"] = json.loads(found["parts"])
    return {**output.get("metadata", {}).get("kling_nb", {}), **found}


def text_of(text: str | list[str]) -> str:
    """Return a text of a notebook, which may be a list of lines, as one string."""
    return text if isinstance(text, str) else "".join(text)
