"""The media folder: takes, each of them a file with a sidecar next to it.

    kling_media/
    ├── a-heron-lands-on-a-frozen-lake-3f9c1a20-1.mp4
    └── a-heron-lands-on-a-frozen-lake-3f9c1a20-1.json

Takes are found by the content of the sidecars, so a user may rename, move or delete files.
Nothing is overwritten.
"""

from kling_nb.media.folder import MediaFolder
from kling_nb.media.incoming import Origin, PartialDownload
from kling_nb.media.index import Note
from kling_nb.media.take import Measures, Result, Sidecar, Take, TakeDraft, Takes, data_frame, read_sidecar
from kling_nb.video.decisions import read_decisions

__all__ = [
    "Measures",
    "MediaFolder",
    "Note",
    "Origin",
    "PartialDownload",
    "Result",
    "Sidecar",
    "Take",
    "TakeDraft",
    "Takes",
    "data_frame",
    "read_decisions",
    "read_sidecar",
]
