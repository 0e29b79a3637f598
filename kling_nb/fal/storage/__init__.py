"""fal's file storage: where a local file goes before a request can name it.

The flows are those of FAL-PROTOCOL §9.3: the key is part of the first step only, which gives
an address that carries its own permission. Files up to `WHOLE_BYTES` go in one piece, larger
ones in parts, several at once. Nothing is billed for an upload, so every step may be repeated.
"""

from kling_nb.fal.storage.lifecycle import Lifecycle
from kling_nb.fal.storage.progress import OnProgress
from kling_nb.fal.storage.store import PART_BYTES, WHOLE_BYTES, Storage

__all__ = ["PART_BYTES", "WHOLE_BYTES", "Lifecycle", "OnProgress", "Storage"]
