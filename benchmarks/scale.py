"""A year of takes: a media folder of 100, 1,000 and 10,000 takes, a ledger of ten times as many rows.

    python benchmarks/scale.py                               # 100, 1,000 and 10,000 takes
    python benchmarks/scale.py 100 10000 --before HEAD~5     # and the same with the code of that commit
    python benchmarks/scale.py 1000 --only sweep verify

Each figure is taken in a process of its own, as seconds of CPU (`time.process_time`), so that other work on
the machine counts little. The ratio in brackets is to the smallest folder.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[1]
ENDPOINT = "fal-ai/kling-video/v1/pro/text-to-video"
SIZES = (100, 1_000, 10_000)
CELLS, REUSED, OUTPUTS, POSTERS, PREVIEWS = 100, 500, 300, 20, 40
SHAPE = (1280, 720)
LINES = 24
"""Log lines of a sidecar, which then has about 4 kB."""


def prompt(number: int) -> str:
    return f"A red fox crosses a snowy forest clearing at dawn, take {number}"


# -- The folder and the ledger.


def make(place: Path, takes: int) -> None:
    """Write takes and rows as jobs would have left them."""
    from kling_nb import Session

    media = place / "kling_media"
    media.mkdir(parents=True)
    clip = _clip()
    session = _session(place)
    assert isinstance(session, Session)
    for number in range(takes):
        request = session.request(prompt(number), endpoint=ENDPOINT)
        name = f"a-red-fox-crosses-a-snowy-forest-{request.fingerprint[:8]}-1"
        data = clip + number.to_bytes(4, "big") + bytes(number % 997)
        (media / f"{name}.mp4").write_bytes(data)
        at = f"2025-11-14T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}.000Z"
        entries = {
            "kling_nb": 1,
            "fingerprint": request.fingerprint,
            "take": 1,
            "endpoint": ENDPOINT,
            "input": dict(request.input),
            "backend": "fal",
            "request_id": f"request-{number}",
            "file": f"{name}.mp4",
            "kind": "video",
            "content_type": "video/mp4",
            "sha256": hashlib.sha256(data).hexdigest(),
            "size": len(data),
            "url": f"https://v3.fal.media/files/{number}/output.mp4",
            "width": SHAPE[0],
            "height": SHAPE[1],
            "fps": 24.0,
            "duration": 5.0,
            "frame_count": 120,
            "created_at": at,
            "finished_at": at,
            "billable_units": "5",
            "lines": [[at, f"step {line} of {LINES}: " + "denoising " * 9] for line in range(LINES)],
            "estimate_usd": 0.7,
        }
        rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in entries.items())
        (media / f"{name}.json").write_text(f"{{\n{rows}\n}}\n")
    _fill(session, place, takes)
    session.close()
    if hasattr(os, "sync"):  # Else the first syncs of what is measured write all these files.
        os.sync()


def _clip() -> bytes:
    import av

    target = BytesIO()
    with av.open(target, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = *SHAPE, "yuv420p"
        import numpy as np

        for number in range(120):
            image = np.full((SHAPE[1], SHAPE[0], 3), 40 + number, np.uint8)
            image[100:600, number : number + 600] = 220
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        container.mux(stream.encode(None))
    return target.getvalue()


def _fill(session: Any, place: Path, takes: int) -> None:
    ledger = session.ledger
    fingerprints = [session.request(prompt(number), endpoint=ENDPOINT).fingerprint for number in range(takes)]
    names = (
        "id, created_at, state, backend, endpoint, input, prompt, fingerprint, folder, take, owner, sent_at,"
        " request_id, finished_at, result, units, reserved_usd, media_path"
    )

    def row(number: int) -> tuple[object, ...]:
        at = 1_750_000_000.0 + 60 * number
        old = number >= takes  # of a folder that is no longer here, and not ready
        value = fingerprints[number] if not old else hashlib.sha256(str(number).encode()).hexdigest()
        return (
            f"{number:012x}", at, "FAILED" if old else "READY", "fal", ENDPOINT,
            json.dumps({"prompt": prompt(number)}), prompt(number), value, str(place / "kling_media"), 1,
            "host:1:x", at, f"request-{number}", at + 90,
            json.dumps({"video": {"url": f"https://v3.fal.media/files/{number}/output.mp4"}}), "5", 0.7,
            None if old else "x",
        )  # fmt: skip

    ledger.get("0")
    with ledger._file.transaction() as db:  # noqa: SLF001 -- 100,000 claims would take an hour of fsync
        query = f"INSERT INTO jobs ({names}) VALUES ({', '.join('?' * len(names.split()))})"
        db.executemany(query, (row(number) for number in range(10 * takes)))


def _session(place: Path) -> Any:
    from kling_nb import Session

    return Session(
        backend="fal", credentials="a:b", home=str(place / "home"), media=str(place / "kling_media"),
        endpoint=ENDPOINT, queue_url="http://127.0.0.1:9", rest_url="http://127.0.0.1:9",
        api_url="http://127.0.0.1:9", schema_url="http://127.0.0.1:9",
    )  # fmt: skip


# -- What is measured. Each function runs in a process of its own and returns figures by name.


def _cpu(work: Callable[[], Any], runs: int = 1) -> float:
    """Return the median of the CPU milliseconds of some runs."""
    taken = []
    for _ in range(runs):
        start = time.process_time()
        work()
        taken.append(1000 * (time.process_time() - start))
    return statistics.median(taken)


def _memory() -> float:
    """Return the present size of this process in MB."""
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def fresh(place: Path, takes: int) -> dict[str, float]:
    session = _session(place)
    request, settings = session.request(prompt(takes // 2), endpoint=ENDPOINT), session.settings()
    find = session._planner.find  # noqa: SLF001
    before, found = _memory(), []
    spent = _cpu(lambda: found.append(find(request, settings, None)))
    assert found[0]
    return {"look-up, fresh process": spent, "its memory, MB": _memory() - before}


def fresh_miss(place: Path, takes: int) -> dict[str, float]:
    session = _session(place)
    request, settings = session.request("never sent", endpoint=ENDPOINT), session.settings()
    find = session._planner.find  # noqa: SLF001
    found = []
    spent = _cpu(lambda: found.append(find(request, settings, None)))
    assert found == [None]
    return {"look-up without a take, fresh process": spent}


def warm(place: Path, takes: int) -> dict[str, float]:
    session = _session(place)
    settings = session.settings()
    some = [session.request(prompt(number), endpoint=ENDPOINT) for number in range(40)]
    never = session.request("never sent", endpoint=ENDPOINT)
    find = session._planner.find  # noqa: SLF001
    find(some[0], settings, None), find(never, settings, None)
    waiting = iter(some[1:])
    hit = _cpu(lambda: find(next(waiting), settings, None), 30)
    miss = _cpu(lambda: find(never, settings, None), 30)
    return {"look-up, warm": hit, "look-up without a take, warm": miss}


def reuse(place: Path, takes: int) -> dict[str, float]:
    session = _session(place)
    return {"first generate(), reuse": _cpu(lambda: session.generate(prompt(takes // 2), endpoint=ENDPOINT))}


def new(place: Path, takes: int) -> dict[str, float]:
    """Instant local previews: the CPU of the kernel's process."""
    from kling_nb import Session

    session = Session(
        backend="local", home=str(place / "home"), media=str(place / "kling_media"), local_speed=1e9
    )
    stamp = time.time_ns()
    session.generate(f"warm {stamp}", duration="5")
    names = iter(range(100))
    spent = _cpu(lambda: session.generate(f"a new one {stamp} {next(names)}", duration="5"), 7)
    for path in (place / "kling_media").glob("a-new-one-*"):
        path.unlink()
    for path in (place / "kling_media").glob("warm-*"):
        path.unlink()
    session.close()
    return {"one new instant job": spent}


def previews(place: Path, takes: int) -> dict[str, float]:
    """A new sweep of local previews in its grid: CPU of the kernel's process for each. It draws none of them.

    No page is open, which would ask the kernel for posters.
    """
    from kling_nb import Session
    from kling_nb.notebook.widgets.grid import live_view

    os.environ["KLING_NB_LOCAL_SCALE"] = "0.2"  # small pictures: drawing them is not measured
    session = Session(
        backend="local", home=str(place / "home"), media=str(place / "kling_media"), local_speed=1e9
    )
    stamp = time.time_ns()
    session.generate(f"previewed {stamp}", duration="5")
    made = session.sweep([f"previewed {stamp} {number}" for number in range(PREVIEWS)], duration="5")
    live_view(made)
    spent = _cpu(made.wait) / PREVIEWS
    session.close()
    for path in (place / "kling_media").glob("previewed-*"):
        path.unlink()
    return {"one preview of a new sweep": spent}


def sweep(place: Path, takes: int) -> dict[str, float]:
    from kling_nb.notebook.card import grid

    os.environ["KLING_NB_HOME"] = str(place / "home")  # where posters are stored
    session = _session(place)
    prompts = [prompt(number) for number in range(min(REUSED, takes))]
    session.request(prompts[0], endpoint=ENDPOINT)
    before, made = _memory(), []
    spent = _cpu(lambda: made.append(session.sweep(prompts, endpoint=ENDPOINT, max_cost="none").wait()))
    more = _memory() - before
    os.chdir(place)
    html = []
    card = _cpu(lambda: html.append(grid.sweep_html(made[0])))
    return {
        f"sweep of {REUSED} reused cells": spent,
        "its memory in the kernel, MB": more,
        "its static card": card,
        "its static card, kB": len(html[0]) / 1000,
    }


def _notebook(place: Path, cells: list[dict[str, Any]], name: str) -> Path:
    path = place / name
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}))
    return path


def _cell(source: str, outputs: list[dict[str, Any]]) -> dict[str, Any]:
    return {"cell_type": "code", "source": source, "metadata": {}, "outputs": outputs, "execution_count": 1}


def verify(place: Path, takes: int) -> dict[str, float]:
    from kling_nb.notebook.saved import verify as verifying

    os.environ |= {"KLING_NB_HOME": str(place / "home"), "KLING_NB_BACKEND": "local"}
    path = _notebook(
        place,
        [
            _cell(f"%%kling --endpoint {ENDPOINT}\n{prompt(number)}", [])
            for number in range(min(CELLS, takes))
        ],
        "verified.ipynb",
    )
    found = []
    spent = _cpu(lambda: found.extend(verifying.verify(path)))
    assert all(one.status == "reusable" for one in found), found[:2]
    return {f"verify, {CELLS} cells": spent}


def _save_notebook(place: Path, takes: int, name: str) -> Path:
    """Save a notebook whose kernel ended before the last cards were drawn: its outputs show running jobs."""
    from kling_nb.notebook.card.mark import VIEW, Mark

    session = _session(place)
    cells = []
    for number in range(min(OUTPUTS, takes)):
        value = session.request(prompt(number), endpoint=ENDPOINT).fingerprint
        job = f"{number:012x}" if number % 2 else f"take-{value[:8]}-1"
        mark = Mark(job, "0" * 36, 1, "IN_PROGRESS", value, f"request-{number}")
        html = f'<div class="kling-card"{mark.to_attributes()}></div>'
        data = {VIEW: {"model_id": "0"}, "text/html": html, "text/plain": "running"}
        output = {"output_type": "display_data", "data": data, "metadata": mark.to_metadata()}
        cells.append(_cell("%%kling", [output]))
    return _notebook(place, cells, name)


def opening(place: Path, takes: int) -> dict[str, float]:
    """Open a notebook whose kernel ended, when the posters are stored."""
    from kling_nb.notebook.saved import renewal, reopening

    os.environ |= {"KLING_NB_HOME": str(place / "home"), "KLING_NB_BACKEND": "local"}
    path = _save_notebook(place, takes, "opened.ipynb")
    notebook = json.loads(path.read_bytes())
    _draw_cards_elsewhere(path)
    own = renewal.Renewal()
    context = reopening.OutputContext(place, lambda mark: False, own.draw_card, own.find_file)
    with own.one_look():  # as the server does
        spent = _cpu(lambda: reopening.update_outputs(notebook, context))
    assert "READY" in json.dumps(notebook)
    return {f"opening {OUTPUTS} outputs of an ended kernel, posters stored": spent}


def moved(place: Path, takes: int) -> dict[str, float]:
    """Open a notebook whose files were renamed since it was saved. All cards are drawn again."""
    from kling_nb.notebook.saved import renewal, reopening

    os.environ |= {"KLING_NB_HOME": str(place / "home"), "KLING_NB_BACKEND": "local"}
    notebook = _save_notebook(place, takes, "moved.ipynb")
    _draw_cards_elsewhere(notebook)
    content = json.loads(notebook.read_bytes())
    names = _played(content)
    for name in names:
        (place / name).rename(place / f"{name}.moved.mp4")
    try:
        own = renewal.Renewal()
        context = reopening.OutputContext(place, lambda mark: False, own.draw_card, own.find_file)
        with own.one_look():
            spent = _cpu(lambda: reopening.update_outputs(content, context))
        assert all(name.endswith(".moved.mp4") for name in _played(content))
    finally:
        for name in names:
            (place / f"{name}.moved.mp4").rename(place / name)
    return {f"opening {OUTPUTS} outputs whose files were moved": spent}


def _draw_cards_elsewhere(notebook: Path) -> None:
    """Draw all cards of a notebook, in a process of its own: the caller's process remembers nothing of it."""
    command = [sys.executable, __file__, "0", "--run", "draw_cards", "--place", str(notebook)]
    subprocess.run(command, check=True, capture_output=True)


def draw_cards(path: Path, _takes: int) -> dict[str, float]:
    """Save a notebook with the cards of finished jobs."""
    from kling_nb.notebook.saved import renewal, reopening

    content = json.loads(path.read_bytes())
    own = renewal.Renewal()
    context = reopening.OutputContext(path.parent, lambda mark: False, own.draw_card, own.find_file)
    with own.one_look():
        reopening.update_outputs(content, context)
    path.write_text(json.dumps(content))
    return {}


def _played(notebook: dict[str, Any]) -> list[str]:
    """Return the names of the files that the cards of a notebook play."""
    return list(dict.fromkeys(re.findall(r'video src=\\"([^"]*)\\"', json.dumps(notebook))))


def blocked(place: Path, takes: int) -> dict[str, float]:
    """The longest time for which the server's loop did not run while it opened the notebook. By the clock."""
    import asyncio

    from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager, LargeFileManager

    from benchmarks.opening import NoKernels
    from kling_nb.notebook.saved.server_extension import update_on_read

    os.environ |= {"KLING_NB_HOME": str(place / "home"), "KLING_NB_BACKEND": "local"}
    name = _save_notebook(place, takes, "blocked.ipynb").name

    async def longest(contents: Any) -> float:
        found = []

        async def beat() -> None:
            while True:
                last = time.perf_counter()
                await asyncio.sleep(0.001)
                found.append(1000 * (time.perf_counter() - last) - 1)

        beats = asyncio.create_task(beat())
        await asyncio.sleep(0.1)
        found.clear()
        model = contents.get(name)
        if asyncio.iscoroutine(model):
            model = await model
        await asyncio.sleep(0.01)
        beats.cancel()
        return max(found)

    def median(kind: Any, *, ours: bool) -> float:
        contents = kind(root_dir=str(place))
        if ours:
            update_on_read(contents, NoKernels(), place)
        return statistics.median(asyncio.run(longest(contents)) for _ in range(3))

    managers = {"": AsyncLargeFileManager, ", synchronous contents manager": LargeFileManager}
    return {
        f"longest block of the server's loop{words}{which} (by the clock)": median(kind, ours=ours)
        for words, kind in managers.items()
        for which, ours in ((" without the extension", False), ("", True))
    }


def first_opening(place: Path, takes: int) -> dict[str, float]:
    """Open the notebook when no poster is stored, as the server does. By the clock."""
    import asyncio

    from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager

    from benchmarks.opening import NoKernels
    from kling_nb.notebook.saved.server_extension import update_on_read

    os.environ |= {"KLING_NB_HOME": str(place / "home"), "KLING_NB_BACKEND": "local"}
    shutil.rmtree(place / "home" / "index" / "posters", ignore_errors=True)
    name = _save_notebook(place, takes, "first.ipynb").name
    contents = AsyncLargeFileManager(root_dir=str(place))
    update_on_read(contents, NoKernels(), place)
    start, cpu = time.perf_counter(), time.process_time()
    html = json.dumps(asyncio.run(contents.get(name))["content"])
    seconds, spent = time.perf_counter() - start, time.process_time() - cpu
    what = f"first opening of {OUTPUTS} outputs, no poster stored"
    return {
        f"{what} (by the clock)": 1000 * seconds,
        f"{what}": 1000 * spent,
        "outputs that it shows as READY": html.count("<video"),
        "and with a poster": html.count("data:image/jpeg"),
    }


def freeze(place: Path, takes: int) -> dict[str, float]:
    from kling_nb.notebook.saved import renewal

    os.environ |= {"KLING_NB_HOME": str(place / "home"), "KLING_NB_BACKEND": "local"}
    path = _save_notebook(place, takes, "frozen.ipynb")
    return {f"freeze, {OUTPUTS} outputs": _cpu(lambda: renewal.freeze(path))}


def check(place: Path, takes: int) -> dict[str, float]:
    from kling_nb import cli

    os.environ |= {"KLING_NB_HOME": str(place / "home"), "KLING_NB_BACKEND": "local"}
    os.environ["KLING_NB_MEDIA"] = str(place / "kling_media")

    def run() -> None:
        with redirect_stdout(StringIO()):
            cli.main(["ledger", "check"])

    return {"ledger check": _cpu(run)}


def missing(place: Path, takes: int) -> dict[str, float]:
    session = _session(place)
    request, settings = session.request(prompt(3), endpoint=ENDPOINT), session.settings()
    find = session._planner.find  # noqa: SLF001
    take = find(request, settings, None)
    data = take.path.read_bytes()
    take.path.unlink()
    try:
        first = _cpu(lambda: find(request, settings, None))
        time.sleep(0.2)  # the folder has been left alone for a moment
        find(request, settings, None)
        later = _cpu(lambda: find(request, settings, None), 5)
    finally:
        take.path.write_bytes(data)
    return {"look-up of a take whose file is missing": first, "the same, later": later}


def posters(place: Path, takes: int) -> dict[str, float]:
    from kling_nb.notebook.widgets.compose import Desk

    os.environ["KLING_NB_HOME"] = str(place / "home")  # where they are stored
    session = _session(place)
    desk = Desk(session, ENDPOINT, notify=lambda: None, on_draft=lambda *_: None)
    ids = [
        entry.id
        for entry in session.jobs(limit=10 * takes)
        if (entry.state, entry.backend) == ("READY", "fal")
    ]
    shown: list[bytes] = []
    first, again = (_cpu(lambda: shown.extend(desk.poster(one) for one in ids[:POSTERS])) for _ in range(2))
    assert all(shown)
    return {f"{POSTERS} posters of the panel, the first time ever": first, "the same, stored": again}


def pages(place: Path, takes: int) -> dict[str, float]:
    from kling_nb.notebook.widgets.library import page

    session = _session(place)
    session.jobs()
    return {
        "jobs()": _cpu(session.jobs, 9),
        "first page of the panel": _cpu(lambda: page(session.ledger, {"page": 0}), 5),
        "search": _cpu(lambda: page(session.ledger, {"page": 0, "search": f"snowy take {takes}"}), 5),
        "row by the start of its id": _cpu(lambda: session.ledger.get("take-0123"), 9),
    }


FIGURES = (
    fresh,
    fresh_miss,
    warm,
    reuse,
    new,
    previews,
    sweep,
    verify,
    opening,
    moved,
    first_opening,
    blocked,
    freeze,
    check,
    missing,
    posters,
    pages,
)


# -- Run them.


def measure(place: Path, takes: int, only: list[str], code: Path) -> dict[str, float]:
    """Return all figures with the package in `code`."""
    shutil.rmtree(place / "home" / "index", ignore_errors=True)
    found: dict[str, float] = {}
    env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(code), str(HERE))), "PYTHONDONTWRITEBYTECODE": ""}
    for figure in FIGURES:
        if only and figure.__name__ not in only:
            continue
        if figure is fresh:
            again = _run("fresh", place, takes, env)
            found["look-up, the first time ever"] = again["look-up, fresh process"]
        found |= _run(figure.__name__, place, takes, env)
    return found


def _run(name: str, place: Path, takes: int, env: dict[str, str]) -> dict[str, float]:
    command = [sys.executable, __file__, str(takes), "--run", name, "--place", str(place)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{name}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return {}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _export(commit: str, place: Path) -> Path:
    """Return a folder with the package of a commit. The built front end is that of the working tree."""
    place.mkdir(parents=True)
    archive = subprocess.run(
        ["git", "archive", commit, "kling_nb"], cwd=HERE, check=True, capture_output=True
    )
    subprocess.run(["tar", "-x", "-C", str(place)], input=archive.stdout, check=True)
    if (HERE / "kling_nb" / "static").exists():
        shutil.copytree(HERE / "kling_nb" / "static", place / "kling_nb" / "static", dirs_exist_ok=True)
    return place


def table(found: dict[str, dict[int, dict[str, float]]]) -> str:
    """Return a row for each figure, a column for each code and number of takes."""
    columns = [(code, size) for code in found for size in found[code]]
    names = dict.fromkeys(name for code in found for size in found[code] for name in found[code][size])
    head = "| figure (ms of CPU) | " + " | ".join(f"{code}, {size:,}" for code, size in columns) + " |"
    lines = [head, "|---" * (len(columns) + 1) + "|"]
    for name in names:
        cells = []
        for code, size in columns:
            value, least = found[code][size].get(name), found[code][min(found[code])].get(name)
            ratio = f" ({value / least:.2g} ×)" if value and least and size != min(found[code]) else ""
            cells.append("" if value is None else f"{value:,.4g}{ratio}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("takes", nargs="*", type=int, default=SIZES)
    parser.add_argument("--before", metavar="COMMIT", help="measure the code of this commit, too")
    parser.add_argument("--only", nargs="*", default=[], metavar="FIGURE", help="names of functions here")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    parser.add_argument("--place", type=Path, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.run:
        figures = {figure.__name__: figure for figure in (*FIGURES, make, draw_cards)}
        print(json.dumps(figures[words.run](words.place, words.takes[0])))
        return
    with tempfile.TemporaryDirectory(prefix="kling_nb-scale-") as folder:
        codes = {"now": HERE}
        if words.before:
            codes = {"before": _export(words.before, Path(folder) / "before"), **codes}
        found: dict[str, dict[int, dict[str, float]]] = {code: {} for code in codes}
        for size in words.takes:
            place = Path(folder) / str(size)
            make(place, size)
            for code, path in codes.items():
                found[code][size] = measure(place, size, words.only, path)
                print(f"{size:,} takes, {code}: measured", file=sys.stderr)
            shutil.rmtree(place)
    print(table(found))


if __name__ == "__main__":
    main()
