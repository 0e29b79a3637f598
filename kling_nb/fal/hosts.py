"""Which hosts there are, which of them may see the key, and the URLs of a request."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from kling_nb.errors import UsageError

QUEUE = "https://queue.fal.run"
REST = "https://rest.fal.ai"
API = "https://api.fal.ai"
SCHEMA = "https://fal.ai"
REST_VARIABLE = "KLING_NB_REST_URL"
BACKUP_OF = {QUEUE: "https://queue.falrun.com"}
"""fal's documented backup of its queue; there is none for a host set by the user (FAL-PROTOCOL §1.1)."""

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class RequestRef:
    """A request and where to ask for it. All three URLs are on a host that may see the key."""

    request_id: str
    status_url: str
    response_url: str
    cancel_url: str

    @property
    def stream_url(self) -> str:
        """Server-sent events of the status (FAL-PROTOCOL §5)."""
        return f"{self.status_url}/stream"


@dataclass(frozen=True, slots=True)
class Hosts:
    """fal's hosts, or the ones configured instead.

    Attributes:
        queue: Queue, scheme and host.
        rest: Uploads.
        api: Platform API.
        schema: Descriptions of endpoints. They are public: this one never sees the key.
    """

    queue: str = QUEUE
    rest: str = REST
    api: str = API
    schema: str = SCHEMA

    def __post_init__(self) -> None:
        bases = {"queue": self.queue, "rest": self.rest, "api": self.api, "schema": self.schema}
        for name, url in bases.items():
            _check_base(f"{name}_url", url)

    @property
    def queues(self) -> tuple[str, ...]:
        """The queue and, for fal's own, its backup; in the order to try."""
        base = self.queue.rstrip("/")
        return (base, BACKUP_OF[base]) if base in BACKUP_OF else (base,)

    @property
    def loopback(self) -> bool:
        """Whether the queue is on this machine."""
        return urlsplit(self.queue).hostname in LOOPBACK

    def may_see_key(self, url: str) -> bool:
        """Whether `url` is on one of these hosts, scheme and port included."""
        return _origin(url) in {_origin(base) for base in (*self.queues, self.rest, self.api)}

    def may_fetch(self, url: str) -> bool:
        """Whether a file may be sent to or fetched from `url`.

        Https anywhere; plain http only on this machine, and only if the queue is here too.
        """
        scheme, host, _ = _origin(url)
        return bool(host) and (scheme == "https" or (scheme == "http" and self.loopback and host in LOOPBACK))

    def ref(self, endpoint_id: str, request_id: str) -> RequestRef:
        """URLs by rule: owner and alias stay, the sub-path goes (FAL-PROTOCOL §2)."""
        parts = endpoint_id.split("/")
        depth = 3 if parts[0] in {"workflows", "comfy"} else 2
        base = f"{self.queue.rstrip('/')}/{'/'.join(parts[:depth])}/requests/{quote(request_id, safe='')}"
        return RequestRef(request_id, f"{base}/status", base, f"{base}/cancel")

    def ref_from_reply(
        self,
        endpoint_id: str,
        request_id: str,
        *,
        status_url: object,
        response_url: object,
        cancel_url: object,
    ) -> RequestRef:
        """The URLs of fal's reply where they are on a known host, else the ones by rule.

        A reply that names another host is not followed there: the key would go along.
        """
        rule = self.ref(endpoint_id, request_id)

        def trusted(url: object, instead: str) -> str:
            plain = isinstance(url, str) and not {"?", "#"} & set(url)
            return url if isinstance(url, str) and plain and self.may_see_key(url) else instead

        return RequestRef(
            request_id,
            trusted(status_url, rule.status_url).rstrip("/"),
            trusted(response_url, rule.response_url).rstrip("/"),
            trusted(cancel_url, rule.cancel_url).rstrip("/"),
        )


def _origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port; all empty for an address that two parsers could read differently."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
        host = parts.hostname
    except ValueError:
        return "", None, None
    odd = not url.isprintable() or not parts.netloc.isascii() or set(parts.netloc) & set(" @\\")
    return ("", None, None) if odd else (parts.scheme, host, port)


def _check_base(name: str, url: str) -> None:
    scheme, host, _ = _origin(url)
    if host and (scheme == "https" or (scheme == "http" and host in LOOPBACK)):
        return
    raise UsageError(
        f"{name} is {url!r}: it must be an https address (plain http only for this machine).",
        remedy="Leave it unset to use fal's own hosts.",
    )
