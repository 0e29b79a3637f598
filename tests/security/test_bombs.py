"""A small file that unpacks to much: it is refused, or costs little, and the process lives."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import clip_bytes, make_clip

from kling_nb.errors import MediaError
from kling_nb.video import probe

MEGABYTES = 1500
"""Address space of the process that opens a bomb, above what it has at its start."""

OPEN_IT = """
import resource, sys
from pathlib import Path
import av, numpy
from PIL import Image
from kling_nb.errors import KlingError
from kling_nb.video import Video
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + {megabytes} * 2**20,) * 2)
path = Path(sys.argv[1])
def reported(act):
    try:
        act()
        return "fine"
    except KlingError as error:
        return type(error).__name__
output = []
def opened():
    video = Video.from_file(path)
    output.append(reported(lambda: video.poster))
    output.append(reported(lambda: video.last_frame))
    output.append(reported(lambda: video.frame(video.duration)))
    output.append(reported(lambda: next(iter(video.frames()))))
    output.append(reported(lambda: video.to_gif(path.with_suffix(".gif"), width=64)))
print(reported(opened), *output)
"""


def opened(path: Path) -> list[str]:
    """What a process of little memory says of each way to open it."""
    command = [sys.executable, "-c", OPEN_IT.replace("{megabytes}", str(MEGABYTES)), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()


def long_clip(path: Path, frames: int) -> Path:
    """Black, tiny, one key frame: a few bytes a frame."""
    options = {"preset": "ultrafast", "g": "1000000", "keyint_min": "1000000", "sc_threshold": "0"}
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=30, options=options)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((24, 16), np.uint8), format="yuv420p")
        for index in range(frames):
            frame.pts, frame.time_base = index, Fraction(1, 30)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def claiming(path: Path, *, seconds_a_frame: int) -> Path:
    """A clip of 20 frames whose tables say how long each is shown."""
    data = bytearray(clip_bytes())
    scale, steps = data.index(b"mdhd") + 16, data.index(b"stts") + 16
    data[scale : scale + 4] = (1).to_bytes(4, "big")
    data[steps : steps + 4] = seconds_a_frame.to_bytes(4, "big")
    data[scale + 4 : scale + 8] = (20 * seconds_a_frame).to_bytes(4, "big")
    path.write_bytes(bytes(data).replace(b"edts", b"free"))  # the edit list would say the true length
    return path


def test_an_image_of_more_than_8k_is_refused_by_its_header(tmp_path: Path) -> None:
    path = make_clip(
        tmp_path / "big.mov", codec="mjpeg", container="mov", size=(8192, 4336), pix_fmt="yuvj420p", frames=1
    )
    assert path.stat().st_size < 3_000_000
    with pytest.raises(MediaError, match="has frames of"):
        probe(path)
    assert opened(path) == ["MediaError"]


def test_many_frames_cost_little(tmp_path: Path) -> None:
    path = long_clip(tmp_path / "long.mp4", 20_000)
    assert path.stat().st_size < 400_000
    assert opened(path) == ["fine", "fine", "fine", "fine", "fine", "MediaError"]  # no GIF of eleven minutes


def test_tables_that_claim_years(tmp_path: Path) -> None:
    path = claiming(tmp_path / "years.mp4", seconds_a_frame=10**7)
    assert probe(path).duration > 10**8
    assert opened(path) == ["fine", "fine", "fine", "fine", "fine", "MediaError"]
