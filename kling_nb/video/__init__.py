"""A video file and what can be asked of it: size, frames, poster, copies.

No HTTP and no notebook in here. How a `Video` shows itself is decided by a presenter
that the notebook layer registers; PyAV, NumPy and Pillow are imported when first used.
"""

from kling_nb.video._media_file import MediaFile
from kling_nb.video._probe import Probe, probe
from kling_nb.video._video import Video
from kling_nb.video.presenting import set_presenter

__all__ = ["MediaFile", "Probe", "Video", "probe", "set_presenter"]
