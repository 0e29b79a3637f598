"""Frames compared to plain PyAV, and the clip of a local preview."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import causes
from benchmarks.kernel import Kernel
from benchmarks.rows_kernel import BARE, LOAD, TICKER, lag_row
from benchmarks.table import Row, Times, interleaved

ROUNDS = 7
CLIPS = 5

RENDER = """
import json, kling_nb
kling_nb.generate("A first job, which starts the local preview server")
times = []
for number in range({clips}):
    job = kling_nb.submit(f"A red fox crosses a snowy forest clearing at dawn {{number}}", duration="5")
    video = job.wait()
    times.append([job.finished_at - job.created_at, job.state.inference_time, video.duration])
print(json.dumps(times))
"""
RENDERING = """
import kling_nb
jobs = [kling_nb.submit(f"A harbour town in rain {number}", duration="5") for number in range(8)]
report(await delays(3))
for job in jobs: await job
"""


def make_clip(path: Path, *, seconds: int = 5, size: tuple[int, int] = (1280, 720)) -> None:
    """A clip in H.264 with something that moves."""
    import av
    import numpy as np

    width, height = size
    y, x = np.mgrid[:height, :width]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(24 * seconds):
            image = np.stack([(x + 4 * number) % 256, (y + number) % 256, (x + y) % 256], -1)
            frame = av.VideoFrame.from_ndarray(image.astype(np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def frames() -> Iterator[Row]:
    """All frames of 5 s in 720p as RGB arrays, one at a time."""
    with tempfile.TemporaryDirectory(prefix="kling_nb-bench-") as folder:
        path = Path(folder) / "clip.mp4"
        make_clip(path)
        sides = {"ours": lambda: _ours(path), "plain": lambda: _plain(path), "usual": lambda: _usual(path)}
        interleaved(1, sides)
        took = {name: Times(values) for name, values in interleaved(ROUNDS, sides).items()}
    ratio = took["ours"].median / took["plain"].median
    yield Row(
        "`video.frames()`, 120 frames of 720p",
        str(took["ours"]),
        f'PyAV with one converter for all {took["plain"]}; PyAV’s `to_ndarray("rgb24")` {took["usual"]}',
        f"{ratio:.2f} × the faster",
        "≤ 1.1",
        ratio <= 1.1,
    )


def _ours(path: Path) -> float:
    from kling_nb.video import Video

    video = Video.from_file(path)
    start = time.perf_counter()
    assert sum(1 for _ in video.frames()) == 120
    return time.perf_counter() - start


def _plain(path: Path) -> float:
    import av
    from av.video.reformatter import VideoReformatter

    start = time.perf_counter()
    reformatter, count = VideoReformatter(), 0
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        for frame in container.decode(video=0):
            count += len(reformatter.reformat(frame, format="rgb24").to_ndarray()) > 0
    assert count == 120
    return time.perf_counter() - start


def _usual(path: Path) -> float:
    import av

    start = time.perf_counter()
    with av.open(str(path)) as container:
        count = sum(len(frame.to_ndarray(format="rgb24")) > 0 for frame in container.decode(video=0))
    assert count == 120
    return time.perf_counter() - start


def _render() -> tuple[float, float]:
    """CPU seconds of one clip: of the drawing thread, and of all."""
    from kling_nb.local.preview.clip import Clip, frame_size, write_clip
    from kling_nb.local.preview.render import draw_frames

    clip = Clip("A red fox crosses a snowy forest clearing at dawn", "Kling", frame_size(16 / 9), 5.0)
    drawing, cpu = time.thread_time(), time.process_time()
    with tempfile.TemporaryDirectory(prefix="kling_nb-bench-") as folder:
        write_clip(Path(folder) / "clip.mp4", draw_frames(clip), clip.size, "")
    return time.thread_time() - drawing, time.process_time() - cpu


def local_engine() -> Iterator[Row]:
    """A preview of 5 s, from submission to checked file."""
    import json

    with tempfile.TemporaryDirectory(prefix="kling_nb-bench-") as folder:
        variables = {
            **os.environ,
            "KLING_NB_BACKEND": "local",
            "KLING_NB_HOME": f"{folder}/home",
            "KLING_NB_LOCAL_SPEED": "inf",
        }
        done = subprocess.run(
            [sys.executable, "-c", RENDER.format(clips=CLIPS)],
            cwd=folder,
            env=variables,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    times = json.loads(done.stdout.splitlines()[-1])
    wall, rendering = Times([whole for whole, _, _ in times]), Times([render for _, render, _ in times])
    drawing, cpu = _render()
    yield Row(
        f"local preview, clip of {times[0][2]:.0f} s, submission to file",
        str(wall),
        f"rendering alone {rendering}",
        "",
        f"rendering ≤ 0.5 s on 2 cores (here {os.cpu_count()})",
        rendering.median <= 0.5,
        causes.RENDER.format(cpu=cpu, drawing=drawing),
    )
    with Kernel(KLING_NB_BACKEND="local", KLING_NB_LOCAL_SPEED="inf") as kernel:
        kernel.run(LOAD)
        kernel.run(TICKER)
        kernel.run("%%kling\na first job, which starts the local preview server")
        bare, busy = kernel.value(BARE), kernel.value(RENDERING)
    yield lag_row("kernel loop lag while the local preview renders", bare, busy)
