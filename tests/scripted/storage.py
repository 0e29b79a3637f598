"""REST side of uploads: where to put a file, or a token to put it with."""

import json
from datetime import UTC, datetime, timedelta

from .cdn import Cdn
from .message import Head, Reply
from .routes import Route


class Storage:
    """First step of each upload flow; the bytes themselves go to the CDN."""

    def __init__(self, cdn: Cdn) -> None:
        self._cdn = cdn

    def initiate(self, route: Route, head: Head, body: bytes) -> Reply:
        """`{"content_type", "file_name"}` in; `upload_url` (signed) and `file_url` out."""
        about = _about(body)
        if about is None:
            return _refusal()
        name, content_type = about
        path = self._cdn.path(name)
        self._cdn.expected[path] = content_type
        upload_url = self._cdn.upload_url(path)
        return Reply.json(200, {"upload_url": upload_url, "file_url": self._cdn.url + path})

    def initiate_multipart(self, route: Route, head: Head, body: bytes) -> Reply:
        """The same for an upload in parts: `{upload_url's path}/{n}` and `…/complete`."""
        about = _about(body)
        if about is None:
            return _refusal()
        path = self._cdn.path(about[0])
        upload = self._cdn.begin(path, *about)
        upload_url = self._cdn.upload_url(f"{path}/multipart/{upload}")
        return Reply.json(200, {"upload_url": upload_url, "file_url": self._cdn.url + path})

    def token(self, route: Route, head: Head, body: bytes) -> Reply:
        """A token for the CDN, good for an hour."""
        until = datetime.now(UTC) + timedelta(hours=1)
        named = {"token": self._cdn.token, "token_type": "Bearer", "base_url": self._cdn.url}
        return Reply.json(200, named | {"expires_at": until.isoformat()})


def _about(body: bytes) -> tuple[str, str] | None:
    try:
        value = json.loads(body)
        name, content_type = value["file_name"], value["content_type"]
    except (ValueError, KeyError, TypeError):
        return None
    return (name, content_type) if isinstance(name, str) and isinstance(content_type, str) else None


def _refusal() -> Reply:
    detail = {"loc": ["body", "content_type"], "msg": "field required", "type": "missing"}
    return Reply.json(422, {"detail": [detail]})
