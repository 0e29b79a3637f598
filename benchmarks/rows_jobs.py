"""Jobs at fal's queue: requests, bytes, delays, CPU, memory, and a download."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

from benchmarks import causes
from benchmarks.loopback import Loopback, read_result
from benchmarks.table import Row, Times, interleaved, megabytes, number

MINUTE = "seconds=60 lines=120"
SHORT = "seconds=6 lines=12"
CLIENTS = ("kling", "fal_async", "fal_sync")
THOUSAND = "seconds=60 lines=1000 burst=25"


class OneJob:
    """One job of 60 s by each client, in parallel. It is only counted, so other rows may run meanwhile."""

    def __init__(self, server: Loopback) -> None:
        self._server = server
        self._running: list[subprocess.Popen[str]] = []
        for name in CLIENTS:
            self._running.append(server.start(name, MINUTE, key=f"minute-{name}"))
            self._running.append(server.start(name, THOUSAND, key=f"thousand-{name}"))

    def rows(self) -> Iterator[Row]:
        for process in self._running:
            read_result(process)
        counts = self._server.counts()
        one = {name: counts[f"minute-{name}"] for name in CLIENTS}
        # The job before it, which warms each client up, is done at once.
        warm = {"kling": 5, "fal_async": 3, "fal_sync": 3}
        requests = {name: one[name]["requests"] - warm[name] for name in CLIENTS}
        yield Row(
            "requests for one job of 60 s, its download included",
            str(requests["kling"]),
            f"async {requests['fal_async']}, sync {requests['fal_sync']} (no download)",
            number(requests["kling"] / requests["fal_async"]),
            "≤ 5",
            requests["kling"] <= 5,
        )
        lines = {name: counts[f"thousand-{name}"] for name in CLIENTS}
        size = lines["kling"]["line bytes"]
        ratio = {name: lines[name]["bytes"] / size for name in CLIENTS}
        yield Row(
            f"bytes received, job of 60 s with 1,000 log lines (events of 25 lines, {size / 1000:.0f} kB)",
            f"{lines['kling']['bytes'] / 1000:.0f} kB",
            ", ".join(f"{name[4:]} {lines[name]['bytes'] / 1e6:.1f} MB" for name in CLIENTS[1:]),
            f"{ratio['kling']:.2f} × their size; async {ratio['fal_async']:.0f} ×",
            "≤ 1.3 × their size",
            ratio["kling"] <= 1.3,
        )


def hundred_jobs(server: Loopback, rounds: int = 2) -> Iterator[Row]:
    """100 parallel jobs with two lines a second each: once with 60 s, and in turns with 6 s."""
    long = {name: server.side(name, MINUTE, 100, key=f"long-{name}") for name in CLIENTS[:2]}
    polls = server.counts()["long-fal_async"]["requests"]
    short = interleaved(rounds, {name: lambda name=name: server.side(name, SHORT, 100) for name in CLIENTS})
    ours, theirs = long["kling"], long["fal_async"]
    for what, goal in (("p50", 5), ("p99", 25)):
        each = {name: Times([run[what] for run in short[name]], "ms") for name in CLIENTS}
        share = ours[what] / theirs[what]
        yield Row(
            f"log line emitted → callback, 100 jobs at once, {'median' if what == 'p50' else 'p99'}",
            f"{number(ours[what])} ms in 60 s; {each['kling']} in 6 s",
            f"async {number(theirs[what])} ms; {each['fal_async']}; sync {each['fal_sync']}",
            f"{share:.3f} of async",
            f"≤ {goal} ms" + (", ≤ 0.1 of fal_client" if what == "p50" else ""),
            ours[what] <= goal and (what != "p50" or share <= 0.1),
            causes.LATE_LINES,
        )
    cpu = {name: Times([run["cpu"] for run in short[name]]) for name in CLIENTS}
    share = ours["cpu"] / theirs["cpu"]
    yield Row(
        "client CPU, 100 jobs × 60 s with 2 lines a second",
        f"{number(ours['cpu'])} s; × 6 s: {cpu['kling']}",
        f"async {number(theirs['cpu'])} s; × 6 s: {cpu['fal_async']}, sync {cpu['fal_sync']}",
        f"{share:.2f} of async",
        "≤ 0.08 of fal_client",
        share <= 0.08,
        causes.STREAMS.format(polls=polls // 100),
    )


def instant_jobs(server: Loopback, rounds: int = 2) -> Iterator[Row]:
    """1,000 jobs that are done at once, 100 in flight."""
    works = {
        "queue": ("queue", "instant nofile"),
        "plain, no file": ("plain", "instant nofile"),
        "kling": ("kling", "instant"),
        "fal": ("fal_files", "instant"),
        "plain": ("plain", "instant"),
    }
    runs = interleaved(
        rounds,
        {name: lambda work=work: server.side(*work, 1000, 100) for name, work in works.items()},
    )
    wall = {name: Times([run["wall"] for run in runs[name]]) for name in works}
    shown = {name: f"{wall[name]}, CPU {Times([run['cpu'] for run in runs[name]])}" for name in works}
    nothing = "which records, checks and syncs nothing"
    for name, limit, others, goal, what in (
        ("queue", "plain, no file", "", 1.0, "by `Session.client`: recorded, no files"),
        (
            "kling",
            "plain",
            f"fal_client {shown['fal']}; ",
            1.5,
            "whole: recorded, downloaded, checked, filed",
        ),
    ):
        ratio = wall[name].median / wall[limit].median
        yield Row(
            f"1,000 instant jobs, 100 in flight, {what}",
            shown[name],
            f"{others}plain httpx, {nothing}, {shown[limit]}",
            f"{ratio:.2f} × plain httpx",
            f"≤ {goal}",
            ratio <= goal,
            causes.INSTANT,
        )


def memory(server: Loopback) -> Iterator[Row]:
    """1,000 jobs in flight: none of them ends before all are submitted."""
    each = server.side("in_flight", "seconds=45 lines=45", 1000)["each"]
    yield Row(
        "memory of one job in flight, of 1,000", f"{each / 1000:.0f} kB", "", "", "≤ 60 kB", each <= 60_000
    )


def download(server: Loopback, rounds: int = 5) -> Iterator[Row]:
    """200 MB to the disk: hashed, synced, by us also decoded and filed."""
    names = ("kling", "plain")
    runs = interleaved(
        rounds, {name: lambda name=name: server.side(name, "file=200000000") for name in names}
    )
    wall = {name: Times([run["wall"] for run in runs[name]]) for name in names}
    grown = {name: megabytes([run["memory"] for run in runs[name]]) for name in names}
    ratio = wall["kling"].median / wall["plain"].median
    yield Row(
        "200 MB download, verified and synced",
        str(wall["kling"]),
        f"plain httpx that writes, hashes and syncs {wall['plain']}",
        f"{ratio:.2f} × plain httpx",
        "≤ 1.1",
        ratio <= 1.1,
        causes.DOWNLOAD,
    )
    yield Row(
        "memory above idle of that download",
        str(grown["kling"]),
        f"plain httpx {grown['plain']}",
        "",
        "≤ 16 MB",
        grown["kling"].median <= 16e6,
    )
