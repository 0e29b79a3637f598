"""What a studio's library costs: `python -m benchmarks.library`. It needs no network and takes two minutes.

An S3 server (moto) runs on loopback in a process of its own. It is written in Python and slower than a real
one, but the way there is shorter.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

import fsspec

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from scripted import ScriptedFal  # noqa: E402
from studio import CREDENTIALS  # noqa: E402

from kling_nb.library import Library  # noqa: E402
from kling_nb.media import MediaFolder, TakeDraft  # noqa: E402
from kling_nb.session import Session  # noqa: E402

SERVE = """
import sys
from studio import Studio
server = Studio()
server.make_bucket("studio")
print(server.url, flush=True)
sys.stdin.read()
"""
SUBMISSIONS, FILES, SIZE, TAKES = 40, 20, 50_000_000, 10_000


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds of the clock and of this process's CPU that `work` takes."""
    clock, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - cpu


def wait_for_pushes(session: Session) -> None:
    """Wait until all takes are in the library, so that their work is not in the next measure."""
    for push in list(session._connections._pushes):  # noqa: SLF001 -- nothing else tells
        push.result(60)


def submissions(folder: Path, url: str | None) -> list[float]:
    """Return the milliseconds of submissions, from the call until fal has answered."""
    taken = []
    with ScriptedFal() as fal:
        hosts = {"queue_url": fal.url, "rest_url": fal.url, "api_url": fal.url}
        given = {"home": folder / "home", "media": folder / "media", "library": url or "none"}
        with Session(backend="fal", credentials=fal.key, **hosts, **given) as session:
            for number in range(SUBMISSIONS):
                start = time.perf_counter()
                job = session.submit(f"{folder.name}, take {number}")
                job._answered.result(60)
                taken.append(1e3 * (time.perf_counter() - start))
                job.wait()
                wait_for_pushes(session)
    return taken[5:]


async def _chunks(data: bytes) -> object:
    yield data


def fill(folder: MediaFolder) -> None:
    """Store files that together have a gigabyte."""
    for number in range(FILES):
        data = hashlib.shake_128(bytes([number])).digest(1_000_000) * (SIZE // 1_000_000)
        draft = TakeDraft(
            fingerprint=f"{number:064}",
            take=1,
            endpoint="fal-ai/x",
            input={"prompt": "a cat"},
            prompt="a cat",
            backend="fal",
            request_id=f"request-{number}",
            url="",
            kind="data",
        )
        asyncio.run(folder.store(_chunks(data), draft))  # type: ignore[arg-type]


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as name:
        path = {**os.environ, **CREDENTIALS, "PYTHONPATH": str(ROOT / "tests")}
        server = subprocess.Popen(
            [sys.executable, "-c", SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=path, text=True
        )
        assert server.stdout is not None
        with mock.patch.dict(
            os.environ, {**CREDENTIALS, "AWS_ENDPOINT_URL": server.stdout.readline().strip()}
        ):
            measure(Path(name), "s3://studio/kling")
        server.kill()
        server.wait()


def measure(folder: Path, url: str) -> None:
    """Measure with one library."""
    without, with_one = submissions(folder / "a", None), submissions(folder / "b", url)
    medians = [f"{statistics.median(taken):.0f} ms" for taken in (without, with_one)]
    print(f"submission, median: {medians[0]}, with a library {medians[1]}", flush=True)

    here = MediaFolder(folder / "here")
    (folder / "studio").mkdir()
    fill(here)
    for place in (url.replace("kling", "large"), str(folder / "studio")):
        library = Library(place)
        library.push_all(here)
        fs, root = fsspec.core.url_to_fs(place)
        target, pulled_to = str(folder / f"plain-{len(place)}"), MediaFolder(folder / f"pulled-{len(place)}")
        plain = seconds(partial(fs.get, f"{root}/media/", target, recursive=True))
        pulled = seconds(partial(library.pull, pulled_to))
        rates = [f"{FILES * SIZE / 1e6 / clock:.0f} MB/s ({cpu:.1f} s CPU)" for clock, cpu in (plain, pulled)]
        print(f"{place.partition(':')[0]}: plain fsspec {rates[0]}, pull {rates[1]}", flush=True)

    fs, root = fsspec.core.url_to_fs(url)
    for number in range(0, TAKES, 20):
        fs.pipe({f"{root}/takes/{at:064}/fal-1.json": b"{}" for at in range(number, number + 20)})
    library = Library(url)
    library.find("0" * 64, None, ("fal",))
    looks = [
        1e3 * seconds(lambda at=at: library.find(f"{at}" * 64, None, ("fal",)))[0] for at in "abcdef" * 5
    ]
    print(f"look-up among {TAKES:,} takes, median: {statistics.median(looks):.1f} ms")


if __name__ == "__main__":
    main()
