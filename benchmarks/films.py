"""Joins and GIFs of 1080p footage next to ffmpeg, which has to be installed (Debian: `ffmpeg`).

    python -m benchmarks.films                # all three, 3 rounds
    python -m benchmarks.films copy --rounds 5

Each side is a process of its own, and they take turns. CPU counts, because other work on the machine makes
time longer, not CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.table import Row, Times, interleaved, markdown, number

FFMPEG = ("ffmpeg", "-v", "error", "-y")
SHOTS = 10
JOIN = """
import json, resource, sys, time
from kling_nb import Storyboard, Video
paths, film = sys.argv[1:-1], sys.argv[-1]

def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime

videos = [Video.from_file(path) for path in paths]  # loads PyAV, and knows the clips as a notebook does
if len(set(paths)) > 2:
    start = cpu(), time.perf_counter()
    Storyboard(videos).join(film, overwrite=True)
    print(json.dumps([cpu() - start[0], time.perf_counter() - start[1]]))
else:
    print(Storyboard(videos).join(film, overwrite=True).notes[0])
"""
GIF = (
    "import sys; from kling_nb import Video; Video.from_file(sys.argv[1]).to_gif(sys.argv[2], overwrite=True)"
)
PALETTE = "fps=12,scale=480:-2:flags=lanczos,split[a][b];[a]palettegen[p];[b][p]paletteuse"
CONCAT = "[1:v]scale=1920:1080[b];[0:v][0:a][b][1:a]concat=n=2:v=1:a=1"


@dataclass(frozen=True)
class Ran:
    """What a process took: seconds of CPU, the peak of its memory in MB, and what it printed."""

    cpu: float
    peak: float
    output: str


def ran(command: Sequence[str | Path]) -> Ran:
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{command[0]} ended with status {process.returncode}")
        output.seek(0)
        return Ran(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, output.read())


def make_shots(folder: Path) -> list[Path]:
    """Ten clips of 10 s with a tone: three that differ, and copies."""
    made = []
    for index in range(SHOTS):
        path = folder / f"shot{index}.mp4"
        image = f"mandelbrot=s=1920x1080:r=24:start_scale={3 - index % 3}"
        tone = f"sine=f={440 + 110 * (index % 3)}:r=48000"
        hd = ("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709")
        if index < 3:
            inputs = ("-f", "lavfi", "-i", image, "-f", "lavfi", "-i", tone, "-t", "10", "-ac", "2")
            video = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p", *hd)
            ran([*FFMPEG, *inputs, *video, "-c:a", "aac", "-movflags", "+faststart", path])
        else:
            path.write_bytes(made[index % 3].read_bytes())
        made.append(path)
    return made


def cut(source: Path, target: Path, *options: str) -> Path:
    ran([*FFMPEG, "-t", "5", "-i", source, *options, target])
    return target


def listed(folder: Path, shots: Sequence[Path]) -> Path:
    path = folder / "list.txt"
    path.write_text("".join(f"file '{shot}'\n" for shot in shots))
    return path


def copy(folder: Path, shots: Sequence[Path], rounds: int) -> Iterator[Row]:
    """A film of ten clips that agree. ffmpeg hashes nothing and writes no sidecar."""
    concat = [*FFMPEG, "-f", "concat", "-safe", "0", "-i", listed(folder, shots), "-c", "copy"]

    def ours() -> Ran:
        (folder / "copied.json").unlink(missing_ok=True)
        return ran([sys.executable, "-c", JOIN, *shots, folder / "copied.mp4"])

    found = interleaved(
        rounds,
        {"ours": ours, "theirs": lambda: ran([*concat, "-movflags", "+faststart", folder / "c.mp4"])},
    )
    inside = [json.loads(one.output) for one in found["ours"]]
    cpu, wall = Times([one[0] for one in inside]), Times([one[1] for one in inside])
    size = sum(shot.stat().st_size for shot in shots) / 1e6
    yield Row(
        f"join of {SHOTS} clips of 10 s by copying, {size:.0f} MB: CPU",
        f"{cpu}, in {wall}",
        f"ffmpeg {Times([one.cpu for one in found['theirs']])}",
        goal="≤ 0.5 s",
        met=cpu.median <= 0.5,
    )


def encode(folder: Path, shots: Sequence[Path], rounds: int) -> Iterator[Row]:
    """A film of 10 s of two clips of different size."""
    small = ("-vf", "scale=1280:720", "-preset", "veryfast", "-crf", "20", "-c:a", "copy")
    pair = cut(shots[0], folder / "one.mp4", "-c", "copy"), cut(shots[1], folder / "two.mp4", *small)
    inputs = ["-i", pair[0], "-i", pair[1], "-filter_complex", CONCAT, "-crf", "18"]

    def ours() -> Ran:
        (folder / "encoded.json").unlink(missing_ok=True)
        return ran([sys.executable, "-c", JOIN, *pair, folder / "encoded.mp4"])

    found = interleaved(
        rounds,
        {
            "ours": ours,
            "theirs": lambda: ran([*FFMPEG, *inputs, "-movflags", "+faststart", folder / "e.mp4"]),
        },
    )
    cpu, theirs = (Times([one.cpu for one in found[side]]) for side in ("ours", "theirs"))
    peak = max(one.peak for one in found["ours"])
    ratio = cpu.median / theirs.median
    yield Row(
        "join of 10 s by encoding: CPU, peak memory",
        f"{cpu}, {peak:.0f} MB",
        f"ffmpeg {theirs}, {max(one.peak for one in found['theirs']):.0f} MB",
        f"{ratio:.2f}",
        "≤ 1.3 × ffmpeg, ≤ 300 MB",
        ratio <= 1.3 and peak <= 300,
    )


def gif(folder: Path, shots: Sequence[Path], rounds: int) -> Iterator[Row]:
    """A GIF of 120 s."""
    long, mine, its = folder / "long.mp4", folder / "ours.gif", folder / "theirs.gif"
    source = listed(folder, [shots[index % 3] for index in range(12)])
    ran([*FFMPEG, "-f", "concat", "-safe", "0", "-i", source, "-c", "copy", long])
    found = interleaved(
        rounds,
        {
            "ours": lambda: ran([sys.executable, "-c", GIF, long, mine]),
            "theirs": lambda: ran([*FFMPEG, "-i", long, "-vf", PALETTE, its]),
        },
    )
    cpu, theirs = (Times([one.cpu for one in found[side]]) for side in ("ours", "theirs"))
    sizes = [path.stat().st_size / 1e6 for path in (mine, its)]
    yield Row(
        "GIF of 120 s of 1080p, 480 pixels wide, 12 per second: CPU, size",
        f"{cpu}, {number(sizes[0])} MB",
        f"ffmpeg’s palettegen {theirs}, {number(sizes[1])} MB",
        f"{cpu.median / theirs.median:.2f}, {sizes[0] / sizes[1]:.2f}",
        "≤ 1",
        cpu.median <= theirs.median and sizes[0] <= sizes[1],
    )


GROUPS = {"copy": copy, "encode": encode, "gif": gif}


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    asked.add_argument("groups", nargs="*", help=f"of {', '.join(GROUPS)}; all by default")
    asked.add_argument("--rounds", type=int, default=3)
    options = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="kling_nb-films-") as name:
        folder = Path(name)
        shots = make_shots(folder)
        groups = [GROUPS[group] for group in options.groups or GROUPS]
        rows = [row for group in groups for row in group(folder, shots, options.rounds)]
    print(markdown(rows))
    return int(any(row.met is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
