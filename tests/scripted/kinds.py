"""The kinds of faults, each a function from its options to an `Effect`; `faults` tells how to use them."""

import asyncio
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlsplit

from . import stream_faults
from .connection import Action, Cut, Place
from .message import Frames, Head, Reply, reason
from .queue_api import AT_LIMIT, IN_PROGRESS

Instead = Callable[[Head], Reply]
Edit = Callable[[Reply], Reply]

NGINX = """<html>
<head><title>{status} {phrase}</title></head>
<body>
<center><h1>{status} {phrase}</h1></center>
<hr><center>nginx</center>
</body>
</html>
"""
PLACES: tuple[Place, ...] = ("before_body", "in_body", "after_body", "mid_head", "after_head", "mid_body")


@dataclass(frozen=True)
class Hosts:
    """The two origins, for faults that name one in place of the other."""

    url: str
    media_url: str


@dataclass(frozen=True)
class Effect:
    """What a kind of fault does; exactly one of the three."""

    instead: Instead | None = None
    edit: Edit | None = None
    cut: Cut | None = None


# cuts


def _cut(action: Action) -> Callable[..., Effect]:
    def effect(hosts: Hosts, *, at: Place | int = "after_body", frame: int = 0) -> Effect:
        if not isinstance(at, int) and at not in PLACES:
            raise ValueError(f"at={at!r}: a number of bytes or one of {PLACES}")
        if (action, at) == ("stall", "in_body"):
            raise ValueError("a stall is before the body or after it")
        return Effect(cut=Cut(action, at, frame, asyncio.Event()))

    return effect


# replies


def _reply(status: int, body: Any, headers: Mapping[str, str]) -> Effect:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = {"content-type": "text/html" if raw.startswith(b"<") else "application/json"}
    return Effect(instead=lambda head: Reply(status, raw, tuple((kind | dict(headers)).items())))


def _status(
    hosts: Hosts, *, status: int = 500, body: Any = None, headers: Mapping[str, str] | None = None
) -> Effect:
    return _reply(status, {"detail": "Internal Server Error"} if body is None else body, headers or {})


def _named_answer(
    hosts: Hosts, *, status: int = 500, body: Any = None, request_id: str | None = None
) -> Effect:
    """A JSON answer with `x-fal-request-id`: the id of the URL, or another one."""

    def answer(head: Head) -> Reply:
        asked = re.search(r"/requests/([^/]+)", head.path)
        named = request_id or (asked[1] if asked else "")
        text = {"detail": "Internal Server Error"} if body is None else body
        return Reply.json(status, text, x_fal_request_id=named)

    return Effect(instead=answer)


def _nginx(hosts: Hosts, *, status: int = 502, headers: Mapping[str, str] | None = None) -> Effect:
    page = NGINX.format(status=status, phrase=reason(status))
    return _reply(status, page.encode(), headers or {})


def _no_money(hosts: Hosts) -> Effect:
    reason = "Exhausted balance. Top up your balance at fal.ai/dashboard/billing."
    return _reply(403, {"detail": f"User is locked. Reason: {reason}"}, {})


def _busy(hosts: Hosts, *, retry_after: int | str | datetime | None = None, status: int = 429) -> Effect:
    """`retry_after` in either form: seconds, or a moment (aware, in UTC), which is sent as HTTP's date."""
    if isinstance(retry_after, datetime):
        retry_after = format_datetime(retry_after, usegmt=True)
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    return _reply(status, {"detail": "Too many requests"}, headers)


def _at_limit(hosts: Hosts, *, request_id: str | None = None, **more: Any) -> Effect:
    """The account runs its maximum of requests; `retry_after` as for `busy`."""
    busy = _busy(hosts, **more)
    body = AT_LIMIT | ({} if request_id is None else {"request_id": request_id})

    def answer(head: Head) -> Reply:
        assert busy.instead is not None
        named = (("x-fal-error-type", AT_LIMIT["error_type"]), ("x-fal-needs-retry", "1"))
        reply = busy.instead(head).with_body(json.dumps(body).encode())
        return replace(reply, headers=(*reply.headers, *named))

    return Effect(instead=answer)


def _platform(hosts: Hosts, *, error_type: str = "runner_disconnected", status: int = 503) -> Effect:
    """A flat body with `error_type`, and the header of the same name."""
    body = {"detail": "The runner failed", "error_type": error_type}
    return _reply(status, body, {"x-fal-error-type": error_type})


def _in_progress(hosts: Hosts, *, status: int = 400) -> Effect:
    """The result is not there yet; some have seen this body with a 200, just after COMPLETED."""

    def answer(head: Head) -> Reply:
        address = hosts.url + head.path
        named = {
            "response_url": address,
            "status_url": f"{address}/status",
            "cancel_url": f"{address}/cancel",
        }
        request_id = head.path.rpartition("/")[2]
        return Reply.json(status, {"detail": IN_PROGRESS, "request_id": request_id, **named})

    return Effect(instead=answer)


def _redirect(hosts: Hosts, *, status: int = 307, to: str | None = None) -> Effect:
    """To the other host; a download goes to the CDN under another host name, where it is served.

    `to` is an address, or an origin that the path is put behind.
    """

    def answer(head: Head) -> Reply:
        target = head.target
        if to is not None:
            place = to if urlsplit(to).path else to + target
        elif head.method == "GET" and target.startswith("/files/"):
            place = hosts.media_url.replace("localhost", "127.0.0.1") + "/moved" + target
        else:
            place = hosts.media_url + target
        return Reply(status, b"", (("location", place),))

    return Effect(instead=answer)


# edits


def _edit(change: Edit) -> Callable[..., Effect]:
    return lambda hosts: Effect(edit=change)


def _json_edit(change: Callable[[Any], Any]) -> Effect:
    """Change the value of a JSON reply. Other replies stay unchanged."""

    def edit(reply: Reply) -> Reply:
        if ("content-type", "application/json") not in reply.headers:
            return reply
        return reply.with_body(json.dumps(change(json.loads(reply.body)), ensure_ascii=False).encode())

    return Effect(edit=edit)


def _custom(hosts: Hosts, *, edit: Edit) -> Effect:
    """`edit` is given the real `Reply` and returns another."""
    return Effect(edit=edit)


def _wrong_length(hosts: Hosts, *, by: int = 10) -> Effect:
    return Effect(edit=lambda reply: replace(reply, length_error=by))


def _missing(hosts: Hosts, *, keys: Sequence[str]) -> Effect:
    return _json_edit(lambda value: {name: item for name, item in value.items() if name not in keys})


def _foreign_urls(hosts: Hosts, *, to: str | None = None) -> Effect:
    """Every address in the reply names another host: the CDN, or the origin `to`."""
    origin = to or hosts.media_url
    return _json_edit(lambda value: json.loads(re.sub(r"https?://[^/\"]+", origin, json.dumps(value))))


def _response_suffix(hosts: Hosts) -> Effect:
    """`response_url` ends in `/response`, as in some documentation; that address answers 405."""
    return _json_edit(lambda value: value | {"response_url": value["response_url"] + "/response"})


def _whole_path(hosts: Hosts) -> Effect:
    """The URLs have the model's whole path, as in some documentation; they answer 405."""
    sub_path = "/v1/pro/text-to-video/requests/"
    return _json_edit(lambda value: json.loads(json.dumps(value).replace("/requests/", sub_path)))


def _other_app(hosts: Hosts) -> Effect:
    """The URLs name an app that does not have the request; they answer 404."""
    return _json_edit(lambda value: json.loads(json.dumps(value).replace("/kling-video/", "/kling/")))


def wrong_types(value: Any) -> Any:
    """The same keys, each value of a type it should not have."""
    match value:
        case dict():
            return {key: wrong_types(item) for key, item in value.items()}
        case str():
            return 7
        case None | bool() | int() | float():
            return "seven"
    return {}


def _stream(transform: Callable[..., Frames]) -> Callable[..., Effect]:
    def effect(hosts: Hosts, **options: Any) -> Effect:
        def change(reply: Reply) -> Reply:
            if reply.frames is None:
                return reply
            return replace(reply, frames=transform(reply.frames, **options))

        return Effect(edit=change)

    return effect


CUTS: Mapping[str, Callable[..., Effect]] = {
    "reset": _cut("reset"),
    "close": _cut("close"),
    "stall": _cut("stall"),
}
REPLIES: Mapping[str, Callable[..., Effect]] = {
    "status": _status,
    "named": _named_answer,
    "nginx": _nginx,
    "no_money": _no_money,
    "busy": _busy,
    "at_limit": _at_limit,
    "platform": _platform,
    "in_progress": _in_progress,
    "redirect": _redirect,
}


async def _drops() -> Frames:
    """Blanks for six seconds: far longer than a test waits. Then a client that waits without end goes on."""
    for _ in range(300):
        yield b" "
        await asyncio.sleep(0.02)


EDITS: Mapping[str, Callable[..., Effect]] = {
    "drip": _edit(lambda reply: replace(reply, body=b"", frames=_drops())),
    "truncated_json": _edit(lambda reply: reply.with_body(reply.body[: len(reply.body) // 2])),
    "invalid_json": _edit(lambda reply: reply.with_body(b"{'status': COMPLETED" + reply.body[1:])),
    "wrong_types": lambda hosts: _json_edit(wrong_types),
    "not_an_object": _edit(lambda reply: reply.with_body(b"[]")),
    "empty": _edit(lambda reply: reply.with_body(b"")),
    "no_items": lambda hosts: _json_edit(lambda value: value | {"items": []}),
    "missing_keys": _missing,
    "wrong_length": _wrong_length,
    "unsized": _edit(lambda reply: replace(reply, sized=False)),
    "foreign_urls": _foreign_urls,
    "response_suffix": _response_suffix,
    "whole_path": _whole_path,
    "other_app": _other_app,
    "edit": _custom,
}
STREAM_EDITS: Mapping[str, Callable[..., Effect]] = {
    name: _stream(transform) for name, transform in stream_faults.TRANSFORMS.items()
}
KINDS: Mapping[str, Callable[..., Effect]] = {**CUTS, **REPLIES, **EDITS, **STREAM_EDITS}


def kinds_for(exchange: str) -> tuple[str, ...]:
    """The kinds that can befall an exchange; "edit" and "missing_keys" need an option, the others none."""
    if exchange == "connect":
        return tuple(CUTS)
    if exchange == "stream":
        return (*CUTS, *REPLIES, *STREAM_EDITS, "edit")
    return (*CUTS, *REPLIES, *EDITS)
