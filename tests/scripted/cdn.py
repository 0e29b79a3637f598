"""The other host: files to download, and the bytes of uploads. No key is wanted here."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from .message import Head, Reply
from .routes import Route


@dataclass(frozen=True)
class File:
    """A file on the CDN."""

    name: str
    data: bytes
    content_type: str


@dataclass
class Multipart:
    """An upload in parts, until it is complete."""

    name: str
    content_type: str
    parts: dict[int, bytes] = field(default_factory=dict)


class Cdn:
    """Files by path. Handlers belong to the server's loop; `files` may be read from any thread.

    Attributes:
        ranges: parts of files may be asked for.
        tag: gives a file's ETag.
        acl: who may read, by path: "allow", "forbid" or "hide"; a path that is not named has `default_acl`.
        signature: what addresses for uploads carry; those with an older one have expired.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.token = "cdn-token-1"
        self.ranges = True
        self.tag: Callable[[bytes], str] = _tag
        self.default_acl = "allow"
        self.acl: dict[str, str] = {}
        self.signature = "abc123"
        self.files: dict[str, File] = {}
        self._identities: set[str] = set()
        self.expected: dict[str, str] = {}
        self._uploads: dict[str, Multipart] = {}
        self._paths = 0

    def path(self, name: str) -> str:
        """A new path for a file of that name."""
        self._paths += 1
        return f"/files/b/{0x0A800000 + self._paths:08x}/{name}"

    def put(self, name: str, data: bytes, content_type: str) -> str:
        """Offer a file; returns its address."""
        path = self.path(name)
        self.files[path] = File(name, data, content_type)
        return self.url + path

    def get(self, url: str) -> File:
        """The file at an address, for tests that look at what was uploaded."""
        return self.files[url.removeprefix(self.url)]

    def sign(self, url: str) -> str:
        """An address that works whatever the file's ACL, as fal gives it: one more query parameter."""
        self._identities.add(f"identity-{len(self._identities) + 1}")
        return f"{url}?identity=identity-{len(self._identities)}"

    def upload_url(self, path: str) -> str:
        """Where a file is to be put."""
        return f"{self.url}{path}?signature={self.signature}"

    def _is_expired(self, head: Head) -> bool:
        return dict(head.query).get("signature") != self.signature and not self.admits(head)

    def download(self, route: Route, head: Head, body: bytes) -> Reply:
        file = self.files.get(route.file)
        decision = self.acl.get(route.file, self.default_acl)
        if decision != "allow" and dict(head.query).get("identity") not in self._identities:
            if decision == "forbid":
                return Reply.json(403, {"detail": "Access denied"})
            file = None
        if file is None:
            return Reply.json(404, {"detail": "File not found"})
        tag = self.tag(file.data)
        about = (("content-type", file.content_type), ("etag", tag), ("accept-ranges", "bytes"))
        start = _start(head, tag, len(file.data)) if self.ranges else None
        if start is None:
            return Reply(200, file.data, about)
        size = len(file.data)
        place = ("content-range", f"bytes {start}-{size - 1}/{size}")
        return Reply(206, file.data[start:], (*about, place))

    def upload(self, route: Route, head: Head, body: bytes) -> Reply:
        """Second step of both flows: PUT to an address that was given out, or POST with a token."""
        content_type = head.header("content-type") or "application/octet-stream"
        if head.method == "POST":
            if not self.admits(head):
                return Reply.json(401, {"detail": "Invalid token"})
            return Reply.json(200, {"access_url": self.put(_name(head), body, content_type)})
        if route.file not in self.expected or self._is_expired(head):
            return Reply.json(403, {"detail": "Signature does not match"})
        if content_type != self.expected[route.file]:
            return Reply.json(403, {"detail": "Content type differs from the one announced"})
        self.files[route.file] = File(route.file.rpartition("/")[2], body, content_type)
        return Reply(200)

    def admits(self, head: Head) -> bool:
        """Whether the request has the upload token that was given out."""
        return head.header("authorization") == f"Bearer {self.token}"

    def begin(self, path: str, name: str, content_type: str) -> str:
        """Start an upload in parts; returns its id."""
        upload = f"upload-{len(self._uploads) + 1}"
        self._uploads[path + upload] = Multipart(name, content_type)
        return upload

    def multipart_start(self, route: Route, head: Head, body: bytes) -> Reply:
        if not self.admits(head):
            return Reply.json(401, {"detail": "Invalid token"})
        path = self.path(_name(head))
        upload = self.begin(path, _name(head), head.header("content-type") or "application/octet-stream")
        return Reply.json(200, {"access_url": self.url + path, "uploadId": upload})

    def multipart_part(self, route: Route, head: Head, body: bytes) -> Reply:
        upload = self._uploads.get(route.file + route.upload)
        if upload is None:
            return Reply.json(404, {"detail": "Upload not found"})
        if self._is_expired(head):
            return Reply.json(403, {"detail": "Signature has expired"})
        upload.parts[route.part] = body
        tag = _tag(body)
        return Reply.json(200, {"partNumber": route.part, "etag": tag}, etag=tag)

    def multipart_complete(self, route: Route, head: Head, body: bytes) -> Reply:
        upload = self._uploads.get(route.file + route.upload)
        if upload is None:
            return Reply.json(404, {"detail": "Upload not found"})
        if self._is_expired(head):
            return Reply.json(403, {"detail": "Signature has expired"})
        listed = {part["partNumber"]: part["etag"] for part in json.loads(body)["parts"]}
        if listed != {number: _tag(data) for number, data in upload.parts.items()}:
            return Reply.json(400, {"detail": "The parts are not those that were sent"})
        whole = b"".join(data for _, data in sorted(upload.parts.items()))
        self.files[route.file] = File(upload.name, whole, upload.content_type)
        return Reply.json(200, {"url": self.url + route.file})


def _start(head: Head, tag: str, size: int) -> int | None:
    """Where the part begins that is asked for; None where it is all of the file."""
    wanted = re.fullmatch(r"bytes=(\d+)-", head.header("range") or "")
    if wanted is None or head.header("if-range") not in (None, tag):
        return None
    return int(wanted[1]) if int(wanted[1]) < size else None


def _name(head: Head) -> str:
    return head.header("x-fal-file-name") or "file.bin"


def _tag(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()[:16]}"'
