"""How fal's queue is to treat a request, apart from what is asked of the model (FAL-PROTOCOL §3.1, §3.2)."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kling_nb.errors import UsageError

PRIORITIES = ("normal", "low")
DECISIONS = ("hide", "forbid", "allow")
LEAST_START_TIMEOUT = 0.1
MOST_TAGS, MOST_TAG_BYTES = 10, 1024
_TAG_KEY = re.compile(r"[a-z0-9._-]{1,64}")
_TAG_VALUE = re.compile(r"[\x20-\x2b\x2d-\x7e]{1,256}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OURS = frozenset({"authorization", "content-type", "content-length", "host", "transfer-encoding"})
"""Headers that nobody may set: who asks, what is sent, and to whom, is not an option."""


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """Options of one submission. They are no part of the request, so they do not change its fingerprint.

    Each is an argument of `submit` and `generate` too. Values are checked and brought into their
    final form when an instance is made.

    Attributes:
        priority: "low" lets other requests go first; "normal" is fal's default.
        start_timeout: Seconds, above 0.1, in which the work must have begun; fal gives the request up
            then, at no cost. None waits without limit. It says nothing of how long the work takes.
        hint: Requests with the same text are sent to the same runner where possible.
        no_retry: fal makes no second attempt by itself where a runner fails.
        tags: Up to 10 pairs that fal's billing can be filtered by. Keys of `a-z 0-9 . _ -`, values of
            printable ASCII without comma; 1,024 bytes in all.
        store_io: Whether fal keeps input and output for its dashboard; None leaves it to the account.
        lifecycle: How long fal keeps the output files, and who may fetch them: "1d" or seconds, as in
            `upload(expires_in=…)`, or `{"expires_in": "1d", "acl": "forbid"}`, or with rules
            `{"acl": {"default": "forbid", "rules": [{"user": "…", "decision": "allow"}]}}`.
        fallback: False keeps fal from passing a failed request on to an equivalent endpoint.
        max_queue_length: fal refuses the request (429) where more than this wait for the endpoint.
        headers: Further headers; those that say who asks, what is sent and where cannot be set.

    Raises:
        UsageError: A value that fal would refuse, or silently drop.
    """

    priority: str | None = None
    start_timeout: float | None = None
    hint: str | None = None
    no_retry: bool = False
    tags: Mapping[str, str] | None = None
    store_io: bool | None = None
    lifecycle: Any = None
    fallback: bool = True
    max_queue_length: int | None = None
    headers: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, check(name, value))

    @classmethod
    def split(cls, arguments: Mapping[str, Any]) -> tuple[SubmitOptions, dict[str, Any]]:
        """The options among the arguments of a call, and the rest: parameters of the endpoint."""
        given = {name: value for name, value in arguments.items() if name in OPTIONS and value is not None}
        return cls(**given), {name: value for name, value in arguments.items() if name not in OPTIONS}

    def to_headers(self) -> dict[str, str]:
        """The headers that say it, all but the user's own in fal's spelling."""
        seconds = None if self.start_timeout is None else repr(self.start_timeout).removesuffix(".0")
        named = {
            "X-Fal-Queue-Priority": self.priority,
            "X-Fal-Request-Start-Timeout": seconds,
            "X-Fal-Request-Timeout": seconds,  # its old name, the only one that fal's clients send
            "X-Fal-Runner-Hint": self.hint,
            "X-Fal-No-Retry": "1" if self.no_retry else None,
            "X-Fal-Tags": ",".join(f"{key}={value}" for key, value in (self.tags or {}).items()) or None,
            "X-Fal-Store-IO": None if self.store_io is None else str(int(self.store_io)),
            "X-Fal-Object-Lifecycle-Preference": json.dumps(self.lifecycle) if self.lifecycle else None,
            "X-App-Fal-Disable-Fallback": None if self.fallback else "1",
        }
        own = self.headers or {}
        lowered = {name.lower() for name in own}
        sent = {name: value for name, value in named.items() if value and name.lower() not in lowered}
        return {**sent, **own}

    def to_query(self) -> dict[str, str]:
        """The parameters of the address that say it."""
        return {} if self.max_queue_length is None else {"fal_max_queue_length": str(self.max_queue_length)}

    def to_json(self) -> dict[str, Any]:
        """Those that differ from the default, by name."""
        pairs = ((field.name, getattr(self, field.name), field.default) for field in dataclasses.fields(self))
        return {name: value for name, value, default in pairs if value != default}


def _wrong(name: str, value: Any, allowed: str) -> UsageError:
    return UsageError(
        f"{name} is {str(value)[:80]!r}.", remedy=f"It must be {allowed}. Nothing was sent.", parameter=name
    )


def _priority(name: str, value: Any) -> str:
    if value in PRIORITIES:
        return str(value)
    raise _wrong(name, value, f"one of: {', '.join(PRIORITIES)}")


def _start_timeout(name: str, value: Any) -> float:
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not LEAST_START_TIMEOUT < seconds < math.inf:
        raise _wrong(name, value, f"a number of seconds above {LEAST_START_TIMEOUT}")
    return seconds


def _hint(name: str, value: Any) -> str:
    if isinstance(value, str) and value.strip() and value.isascii() and value.isprintable():
        return value.strip()
    raise _wrong(name, value, "a text of printable ASCII characters")


def _switch(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise _wrong(name, value, "True or False")


def _tags(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise _wrong(name, value, 'pairs, e.g. {"project": "reel-7"}')
    if len(value) > MOST_TAGS:
        raise _wrong(name, f"{len(value)} pairs", f"at most {MOST_TAGS} pairs")
    for key, text in value.items():
        if not isinstance(key, str) or not _TAG_KEY.fullmatch(key) or key.startswith("fal."):
            allowed = 'made of a-z, 0-9, ".", "_" and "-", at most 64 of them, and not begin with "fal."'
            raise _wrong("A tag's name", key, allowed)
        if not isinstance(text, str) or not _TAG_VALUE.fullmatch(text):
            raise _wrong(f"The tag {key}", text, "1 to 256 printable ASCII characters without comma")
    length = len(",".join(f"{key}={text}" for key, text in value.items()))
    if length > MOST_TAG_BYTES:
        raise _wrong(name, f"{length} bytes long", f"at most {MOST_TAG_BYTES:,} bytes in all")
    return dict(value)


def _max_queue_length(name: str, value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise _wrong(name, value, "a whole number from 0")


def _lifecycle(name: str, value: Any) -> dict[str, Any]:
    """As fal takes it: `expiration_duration_seconds` and `initial_acl`."""
    from kling_nb.fal.storage.lifecycle import Lifecycle  # noqa: PLC0415 -- its package imports httpx

    parts = value if isinstance(value, Mapping) else {"expires_in": value}
    if not parts or not set(parts) <= {"expires_in", "acl"}:
        raise _wrong(name, value, 'a time such as "1d", or {"expires_in": …, "acl": …}')
    wire: dict[str, Any] = {}
    if parts.get("expires_in") is not None:
        wire["expiration_duration_seconds"] = Lifecycle.parse(parts["expires_in"]).seconds
    if parts.get("acl") is not None:
        wire["initial_acl"] = _acl(parts["acl"])
    return wire


def _acl(value: Any) -> dict[str, Any]:
    parts = value if isinstance(value, Mapping) else {"default": value}
    rules = parts.get("rules", [])
    well_formed = (
        set(parts) <= {"default", "rules"}
        and parts.get("default") in DECISIONS
        and isinstance(rules, list | tuple)
        and all(
            isinstance(rule, Mapping)
            and set(rule) == {"user", "decision"}
            and isinstance(rule["user"], str)
            and rule["decision"] in DECISIONS
            for rule in rules
        )
    )
    if not well_formed:
        words = ", ".join(DECISIONS)
        raise _wrong(
            "acl", value, f'one of {words}, or {{"default": …, "rules": [{{"user": …, "decision": …}}]}}'
        )
    return {"default": parts["default"], "rules": [dict(rule) for rule in rules]}


def _headers(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise _wrong(name, value, 'pairs, e.g. {"X-Name": "value"}')
    for header, text in value.items():
        if not isinstance(header, str) or not _HEADER_NAME.fullmatch(header):
            raise _wrong("A header's name", header, "letters, digits and hyphens")
        if header.lower() in _OURS:
            raise UsageError(
                f"The header {header} cannot be set.",
                remedy="It says who asks, what is sent or where to; the key is set by credentials=….",
                parameter=name,
            )
        if not isinstance(text, str) or not text.isascii() or not text.isprintable():
            raise UsageError(  # what it holds is not repeated: it may be a secret
                f"The value of the header {header} is no text of printable ASCII characters.",
                remedy="Nothing was sent.",
                parameter=name,
            )
    return dict(value)


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "priority": _priority,
    "start_timeout": _start_timeout,
    "hint": _hint,
    "no_retry": _switch,
    "tags": _tags,
    "store_io": _switch,
    "lifecycle": _lifecycle,
    "fallback": _switch,
    "max_queue_length": _max_queue_length,
    "headers": _headers,
}
OPTIONS = tuple(_CHECKS)
"""Names of all options: no endpoint's parameter of the same name can be set by an argument."""
