"""Video files: size, frames, poster, copies.

The notebook layer registers a presenter, which shows a `Video`. PyAV, NumPy and Pillow are imported when they
are first used.
"""

from kling_nb.video.frames import Probe, probe
from kling_nb.video.video import MediaFile, Video

__all__ = ["MediaFile", "Probe", "Video", "probe"]
