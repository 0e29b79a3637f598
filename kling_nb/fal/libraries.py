"""httpx, without its own command line.

httpx imports that with itself wherever click and rich happen to be installed: 75 of 120 ms of the first
job's imports, for a program that is a process of its own.
"""

import sys

_COMMAND_LINE = "httpx._main"
_left_out = "httpx" not in sys.modules and _COMMAND_LINE not in sys.modules
if _left_out:
    sys.modules[_COMMAND_LINE] = None  # type: ignore[assignment]  # an import of it fails, which httpx allows for

import httpx  # noqa: E402 -- see above
from httpx_sse import ServerSentEvent, SSEError, aconnect_sse  # noqa: E402

if _left_out:
    del sys.modules[_COMMAND_LINE]

__all__ = ["SSEError", "ServerSentEvent", "aconnect_sse", "httpx"]
