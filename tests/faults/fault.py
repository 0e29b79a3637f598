"""What can go wrong with an exchange, by the name that the table and the documentation use."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from scripted import ScriptedFal
from scripted.faults import Fault as Armed


@dataclass(frozen=True)
class Fault:
    """A fault of one exchange.

    Attributes:
        kind: of the scripted server; "refused", "clock" and "private" are done by the trial itself.
        options: of that kind.
        handled: for replies: the work was done all the same.
        brief: it lasts for three exchanges, where others strike once; for those that are no fault alone.
    """

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)
    handled: bool = False
    brief: bool = False

    @property
    def stalls(self) -> bool:
        return self.kind in {"stall", "endless", "linger", "drip"}

    def arm(self, fal: ScriptedFal, exchange: str, times: int | None, client: str = "") -> Armed:
        """Set it on the server, for one client only if that is named."""
        options = {name: value() if callable(value) else value for name, value in self.options.items()}
        if times is not None and self.brief:
            times = 3
        return fal.fault(exchange, self.kind, times=times, handled=self.handled, client=client, **options)


def _soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=7)


def _code(status: int, text: str) -> Fault:
    return Fault("status", {"status": status, "body": {"detail": text}})


CUTS = {
    "connection refused": Fault("refused"),
    "accepted, then silent": Fault("stall", {"at": "after_body"}),
    "silent before the body is read": Fault("stall", {"at": "before_body"}),
    "silent in the middle of the reply": Fault("stall", {"at": "mid_body"}),
    "reset before the body": Fault("reset", {"at": "before_body"}),
    "reset in the middle of the body": Fault("reset", {"at": "in_body"}),
    "reset after the body": Fault("reset", {"at": "after_body"}),
    "reset in the reply's headers": Fault("reset", {"at": "mid_head"}),
    "reset after the reply's headers": Fault("reset", {"at": "after_head"}),
    "reset in the reply's body": Fault("reset", {"at": "mid_body"}),
    "closed after the body": Fault("close", {"at": "after_body"}),
    "closed in the reply's headers": Fault("close", {"at": "mid_head"}),
    "closed in the reply's body": Fault("close", {"at": "mid_body"}),
}
LENGTHS = {
    "fewer bytes than announced": Fault("wrong_length", {"by": 10}),
    "more bytes than announced": Fault("wrong_length", {"by": -10}),
    "length not announced": Fault("unsized"),
    "empty body": Fault("empty"),
}
BODIES = {
    "truncated JSON": Fault("truncated_json"),
    "invalid JSON": Fault("invalid_json"),
    "JSON of wrong types": Fault("wrong_types"),
    "JSON that is no object": Fault("not_an_object"),
    "URLs on another host": Fault("foreign_urls"),
}
TRICKLE = {"a byte at a time, without end": Fault("drip")}
CODES = {
    "401": _code(401, "Invalid key credentials"),
    "403": _code(403, "Forbidden"),
    "403, no money": Fault("no_money"),
    "404": _code(404, "Not found"),
    "405": _code(405, "Method Not Allowed"),
    "408": _code(408, "Request Timeout"),
    "409": _code(409, "Conflict"),
    "422": _code(422, "Unprocessable"),
    "429": Fault("busy"),
    "429, Retry-After in seconds": Fault("busy", {"retry_after": 7}),
    "429, Retry-After as a date": Fault("busy", {"retry_after": _soon}),
    "429, absurd Retry-After": Fault("busy", {"retry_after": "9" * 40}),
    "429, senseless Retry-After": Fault("busy", {"retry_after": "yesterday, -1"}),
    "500": _code(500, "Internal Server Error"),
    "500 although it was done": Fault(
        "status", {"status": 500, "body": {"detail": "Internal Server Error"}}, handled=True
    ),
    "502, nginx page": Fault("nginx"),
    "502, nginx page although it was done": Fault("nginx", handled=True),
    "503": _code(503, "Service Unavailable"),
    "503 of fal's own, runner lost": Fault("platform"),
    "504, nginx page": Fault("nginx", {"status": 504}),
    "redirect to another host": Fault("redirect"),
}
STREAM = {
    "events come twice": Fault("repeat"),
    "each event repeats all lines": Fault("replay"),
    "lines in the wrong order": Fault("reorder"),
    "broken and unknown events between": Fault("garbage"),
    "ends after two events": Fault("end", {"frame": 2}),
    "silent after two events": Fault("stall", {"at": "after_head", "frame": 2}),
    "reset in the third event": Fault("reset", {"at": "mid_body", "frame": 2}),
    "stays open after the end": Fault("linger"),
    "keeps alive and never completes": Fault("endless"),
    "torn into pieces of 3 bytes": Fault("shred"),
    "lines end in CR LF": Fault("crlf"),
    "lines of 1 MB": Fault("megabyte"),
    "not UTF-8": Fault("bad_utf8"),
}
STATUS = {
    "IN_PROGRESS, then IN_QUEUE again": Fault("script", {"name": "back"}),
    "COMPLETED with error": Fault("script", {"name": "fails"}),
    "the clock jumps a day ahead": Fault("clock", {"seconds": 86400.0}),
    "the clock jumps a day back": Fault("clock", {"seconds": -86400.0}),
}
MONEY = {
    "402": _code(402, "Payment Required"),
    "403, insufficient credits": _code(403, "Insufficient credits"),
    "401, exhausted balance": _code(401, "Exhausted balance"),
}
LIMIT = {
    "429, the account runs its maximum": Fault("at_limit"),
    "429, the account runs its maximum, Retry-After": Fault("at_limit", {"retry_after": 7}),
    "429, the same with a request id": Fault("at_limit", {"request_id": "another"}),
    "429, a proxy's page": Fault("nginx", {"status": 429}),
}
_MODEL_ERROR = {
    "detail": [{"loc": ["body"], "msg": "The model failed", "type": "internal_server_error", "url": ""}]
}
RESULT = {
    "400, still in progress, for a while": Fault("in_progress", brief=True),
    "200, still in progress, for a while": Fault("in_progress", {"status": 200}, brief=True),
    "URL ends in /response, which is 405": Fault("response_suffix"),
    "URLs with the model's whole path, which are 405": Fault("whole_path"),
    "URLs of another app, which are 404": Fault("other_app"),
    "500 with this request's id": Fault("named", {"status": 500}),
    "503 with this request's id": Fault("named", {"status": 503, "body": {"detail": "Service Unavailable"}}),
    "500 with a model error and this request's id": Fault("named", {"status": 500, "body": _MODEL_ERROR}),
    "422 with this request's id": Fault("named", {"status": 422, "body": _MODEL_ERROR}),
    "422 with another request's id": Fault(
        "named", {"status": 422, "body": _MODEL_ERROR, "request_id": "another"}
    ),
    "404 of a path, with another request's id": Fault(
        "named", {"status": 404, "body": {"detail": "Path /x not found"}, "request_id": "another"}
    ),
    "400, a proxy's page": Fault("nginx", {"status": 400}),
}
DOWNLOAD = {
    "403, the file is private": Fault("private", {"acl": "forbid"}),
    "404, the file is private": Fault("private", {"acl": "hide"}),
    "403, the file is private and the key may not sign": Fault("private", {"acl": "forbid", "sign": False}),
    "404, the file is private and the key may not sign": Fault("private", {"acl": "hide", "sign": False}),
}
ALL = {
    **CUTS,
    **LENGTHS,
    **BODIES,
    **TRICKLE,
    **CODES,
    **MONEY,
    **LIMIT,
    **STREAM,
    **STATUS,
    **RESULT,
    **DOWNLOAD,
}

_PLAIN = {**CUTS, **LENGTHS, **BODIES, **TRICKLE, **CODES}
_BARE = {**CUTS, **LENGTHS, **TRICKLE, **CODES}
_WITHOUT_BODY = {"reset in the middle of the body"}
"""GET and PUT of cancel have no body to be cut."""


def _less(faults: Mapping[str, Fault], names: Collection[str]) -> dict[str, Fault]:
    return {name: fault for name, fault in faults.items() if name not in names}


_WRONG_URLS = dict.fromkeys(
    (
        "URL ends in /response, which is 405",
        "URLs with the model's whole path, which are 405",
        "URLs of another app, which are 404",
    )
)
"""Of the reply to a submission."""
_UNDONE = {"500 although it was done", "502, nginx page although it was done"}
_ASKED = _less(_PLAIN, _WITHOUT_BODY | _UNDONE)

_OF_SIGN = {
    "accepted, then silent",
    "reset in the reply's body",
    "truncated JSON",
    "JSON of wrong types",
    "JSON that is no object",
    "URLs on another host",
    "401",
    "403",
    "404",
    "429",
    "500",
    "502, nginx page",
    "redirect to another host",
}
"""A signed URL is an extra. Other faults end as one of these does."""

FAULTS_OF: Mapping[str, Mapping[str, Fault]] = {
    "submit": {
        **_PLAIN,
        **MONEY,
        **LIMIT,
        **{name: RESULT[name] for name in _WRONG_URLS},
    },
    "stream": {
        **_less({**CUTS, **CODES}, _WITHOUT_BODY | _UNDONE),
        **STREAM,
    },
    "status": {**_ASKED, **MONEY, **LIMIT, **STATUS},
    "result": {**_ASKED, **MONEY, **LIMIT, **_less(RESULT, _WRONG_URLS)},
    "cancel": _less(_PLAIN, _WITHOUT_BODY | {"URLs on another host"}),
    "download": {**_less(_BARE, _WITHOUT_BODY | _UNDONE), **DOWNLOAD},
    "sign": {name: fault for name, fault in _ASKED.items() if name in _OF_SIGN},
    "upload_initiate": _PLAIN,
    "upload": _BARE,
    "lookup": _ASKED,
}
"""Which faults each exchange can meet, in the order of the table."""
