"""The media folder: files, a sidecar beside each, and the takes they make.

    kling_media/
    ├── a-heron-lands-on-a-frozen-lake-3f9c1a20-1.mp4
    └── a-heron-lands-on-a-frozen-lake-3f9c1a20-1.json

Takes are found by what the sidecars say, so a user may rename, move or delete files.
Nothing is ever overwritten. No HTTP in here: `store` takes bytes from whoever has them.
"""

from kling_nb.media.begun import Begun, Origin
from kling_nb.media.folder import MediaFolder
from kling_nb.media.sidecar import Sidecar
from kling_nb.media.take import Result, Take, TakeDraft

__all__ = ["Begun", "MediaFolder", "Origin", "Result", "Sidecar", "Take", "TakeDraft"]
