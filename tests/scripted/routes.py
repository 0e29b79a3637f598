"""Find the exchange of a request by its method and URL alone.

So the exchange is known before the body is read, and a fault can strike there.
"""

import re
from dataclasses import dataclass

from .message import Head
from .records import Listener

EXCHANGES = (
    # on the fal listener
    "submit",
    "status",
    "stream",
    "result",
    "cancel",
    "upload_initiate",
    "upload_token",
    "multipart_initiate",
    "lookup",
    "pricing",
    "sign",
    "models",
    "bills",
    "openapi",
    # on the media listener
    "download",
    "upload",
    "multipart_start",
    "multipart_part",
    "multipart_complete",
    # on either: an address that no one should ask for
    "stray",
)
FAULT_POINTS = ("connect", *EXCHANGES)
PUBLIC = ("models", "openapi", "stray")


@dataclass(frozen=True)
class Route:
    """An exchange and the parts of its address; which are filled depends on the exchange.

    Attributes:
        app: `owner/alias`, with its namespace if any.
        below: what stands in the address beyond the form that fal answers.
        upload: id of a multipart upload.
        part: number of a part.
    """

    exchange: str
    app: str = ""
    endpoint_id: str = ""
    request_id: str = ""
    below: str = ""
    file: str = ""
    upload: str = ""
    part: int = 0


APP = r"(?P<app>(?:(?:workflows|comfy)/)?[^/]+/[^/]+)"
REQUEST = re.compile(rf"/{APP}(?P<below>(?:/.+)?)/requests/(?P<id>[^/]+)(?P<rest>/.*)?")
MODEL = re.compile(rf"/{APP}(?:/.*)?")
PARTS = re.compile(r"(?P<file>/files/.+)/multipart/(?P<upload>[^/]+)/(?:(?P<part>[0-9]+)|complete)")

NOT_APPS = ("/v1/", "/storage/", "/tokens", "/api/")
FIXED = {
    ("POST", "/storage/upload/initiate"): "upload_initiate",
    ("POST", "/storage/auth/token"): "upload_token",
    ("POST", "/storage/upload/initiate-multipart"): "multipart_initiate",
    ("GET", "/v1/models/requests/by-endpoint"): "lookup",
    ("GET", "/v1/models/pricing"): "pricing",
    ("POST", "/v1/storage/files/sign"): "sign",
    ("GET", "/v1/models"): "models",
    ("GET", "/v1/models/billing-events"): "bills",
    ("GET", "/api/openapi/queue/openapi.json"): "openapi",
}
OF_A_REQUEST = {
    ("GET", "/status"): "status",
    ("GET", "/status/stream"): "stream",
    ("GET", ""): "result",
    ("GET", "/response"): "result",
    ("PUT", "/cancel"): "cancel",
}


def route(listener: Listener, head: Head) -> Route:
    """Classify a request."""
    return _media(head) if listener == "media" else _fal(head)


def _fal(head: Head) -> Route:
    path = head.path.rstrip("/")
    if fixed := FIXED.get((head.method, path)):
        return Route(fixed)
    if match := REQUEST.fullmatch(path):
        rest = match["rest"] or ""
        exchange = OF_A_REQUEST.get((head.method, rest), "stray")
        below = match["below"] + (rest if rest == "/response" else "")
        return Route(exchange, app=match["app"], request_id=match["id"], below=below)
    if path.startswith(NOT_APPS):
        return Route("stray")
    if match := MODEL.fullmatch(path):
        exchange = "submit" if head.method == "POST" else "stray"
        return Route(exchange, app=match["app"], endpoint_id=path.removeprefix("/"))
    return Route("stray")


def _media(head: Head) -> Route:
    path = head.path.removeprefix("/moved")
    if match := PARTS.fullmatch(path):
        if head.method == "PUT" and match["part"]:
            return Route(
                "multipart_part", file=match["file"], upload=match["upload"], part=int(match["part"])
            )
        if head.method == "POST" and not match["part"]:
            return Route("multipart_complete", file=match["file"], upload=match["upload"])
    if (head.method, path) == ("POST", "/files/upload/multipart"):
        return Route("multipart_start")
    if (head.method, path) == ("POST", "/files/upload"):
        return Route("upload")
    if path.startswith("/files/") and head.method in ("GET", "PUT"):
        return Route("download" if head.method == "GET" else "upload", file=path)
    return Route("stray")
