"""How long the catalogue takes to load, and a live schema to be found on disk. Prints medians.

    .venv/bin/python benchmarks/catalogue.py

Loading is timed in fresh processes: import of the catalogue and its first look-up, above Python's
own start. The look-up of a live schema is timed in this process with nothing kept in memory, so
each one reads its file and makes the endpoint again. Nothing leaves this machine.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kling_nb.catalog.live import EndpointBook
from kling_nb.catalog.shipped import endpoints

RUNS = 30
LOOK_UPS = 200

LOAD = """
import time
import json, re, dataclasses, functools, pathlib, difflib, reprlib
start = time.perf_counter()
from kling_nb.catalog.shipped import endpoints
imported = time.perf_counter()
assert len(endpoints()) == 72
print(imported - start, time.perf_counter() - imported)
"""


def loads() -> list[tuple[float, float]]:
    """Seconds for import and first look-up, of fresh processes; the first one only writes byte code."""
    times = []
    for _ in range(RUNS + 1):
        done = subprocess.run([sys.executable, "-c", LOAD], check=True, capture_output=True, text=True)
        imported, read = map(float, done.stdout.split())
        times.append((imported, read))
    return times[1:]


def document(endpoint_id: str, fields: int) -> dict[str, object]:
    """An OpenAPI document of fal's form and size: the largest of Kling's has 15 parameters."""
    optional = {"anyOf": [{"type": "string", "maxLength": 2500}, {"type": "null"}], "description": "x" * 200}
    file = {
        "type": "object",
        "properties": {"url": {"type": "string"}, "size": optional},
        "required": ["url"],
    }
    part = {"$ref": "#/components/schemas/Part"}
    taken = {f"field_{number}": optional for number in range(fields)} | {
        "parts": {"type": "array", "items": part}
    }
    schemas = {
        "In": {"type": "object", "properties": taken, "x-fal-order-properties": list(reversed(taken))},
        "Part": {
            "type": "object",
            "properties": {f"part_{number}_image_url": optional for number in range(8)},
        },
        "Out": {"type": "object", "properties": {"video": {"$ref": "#/components/schemas/File"}}},
        "File": file,
    }

    def body(name: str) -> dict[str, object]:
        return {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}}

    return {
        "openapi": "3.0.4",
        "components": {"schemas": schemas},
        "paths": {
            f"/{endpoint_id}": {"post": {"requestBody": body("In")}},
            f"/{endpoint_id}/requests/{{request_id}}": {"get": {"responses": {"200": body("Out")}}},
        },
    }


def look_ups(fields: int) -> tuple[int, list[float]]:
    """Size of the stored file, and seconds of each look-up by a process that has not seen it yet."""
    endpoint_id = "someone/model/image-to-video"
    with tempfile.TemporaryDirectory(prefix="kling_nb-catalogue-") as folder:
        EndpointBook(Path(folder), lambda name: document(name, fields)).find(endpoint_id)
        (file,) = Path(folder).iterdir()
        times = []
        for _ in range(LOOK_UPS):
            book = EndpointBook(Path(folder), fail)
            start = time.perf_counter()
            found = book.find(endpoint_id)
            times.append(time.perf_counter() - start)
            assert len(found.input_schema["properties"]) == fields + 1
        return file.stat().st_size, times


def fail(endpoint_id: str) -> object:
    """In the place of fal, which must not be asked."""
    raise AssertionError(endpoint_id)


def shown(times: list[float]) -> str:
    """Median with the range, in milliseconds."""
    each = [1000 * seconds for seconds in times]
    return f"{statistics.median(each):.2f} ms ({min(each):.2f} to {max(each):.2f})"


def main() -> None:
    """Print the table."""
    endpoints()  # the names of shipped endpoints are looked at first, and are in memory after the first time
    loaded = loads()
    rows = [
        ("Catalogue load (first look-up)", "15 ms", shown([read for _, read in loaded])),
        ("Catalogue import and load", "", shown([sum(times) for times in loaded])),
    ]
    for fields in (15, 60):
        size, times = look_ups(fields)
        rows.append((f"Live schema from disk, {size / 1000:.0f} kB", "5 ms", shown(times)))
    print(f"Medians of {RUNS} processes or {LOOK_UPS} look-ups\n")
    print("| figure | at most | measured |\n|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print(json.dumps({"python": sys.version.split()[0]}))


if __name__ == "__main__":
    main()
