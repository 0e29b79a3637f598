"""A file of 100 MB to fal's storage, by `Session.upload` and by plain httpx."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import causes, uploads
from benchmarks.table import Row, number

RUNS = 7


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="kling_nb-bench-") as folder, uploads.serving() as base:
        path = uploads.make_file(Path(folder))
        medians = uploads.compare(base, path, RUNS)
        peaks = {name: uploads.memory(name, base, path) for name in uploads.SIDES}
    ours, plain = medians["Session.upload"], medians["httpx, from disk"]
    others = ", ".join(
        f"{name} {number(1000 * medians[name])} ms" for name in medians if name != "Session.upload"
    )
    yield Row(
        "upload of 100 MB that fal does not have; its hash is made afterwards",
        f"{number(1000 * ours)} ms",
        others,
        f"{plain / ours:.2f} of plain httpx's throughput",
        "≥ 0.9",
        plain / ours >= 0.9,
        causes.UPLOAD,
    )
    yield Row(
        "memory above idle of that upload",
        f"{peaks['Session.upload']:.0f} MB",
        ", ".join(f"{name} {peak:.0f} MB" for name, peak in peaks.items() if name != "Session.upload"),
        "",
        "≤ 40 MB",
        peaks["Session.upload"] <= 40,
    )
