"""The studio's library: takes that many machines share through a folder or an object store."""

from kling_nb.library.library import Library, Shared, Status

__all__ = ["Library", "Shared", "Status"]
