"""fal's hosts, which of them may receive the key, the route to them, and the URLs of a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal
from urllib.parse import quote, urlsplit

from kling_nb.catalog.endpoint import split_app
from kling_nb.errors import UsageError

QUEUE = "https://queue.fal.run"
REST = "https://rest.fal.ai"
API = "https://api.fal.ai"
SCHEMA = "https://fal.ai"
BACKUP_OF = {QUEUE: "https://queue.falrun.com"}
"""fal's documented backup of its queue (FAL-PROTOCOL §1.1). A queue set by the user has none."""

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
PROXY_SCHEMES = frozenset({"http", "https", "socks5", "socks5h"})


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy. `setting` is the name of the variable or setting that it comes from."""

    url: str = field(repr=False)  # It may contain a password.
    setting: str

    def __post_init__(self) -> None:
        scheme, _, rest = self.url.partition("://")
        scheme, host, _ = _origin(f"{scheme}://{rest.rpartition('@')[2]}")  # without name and password
        if not host or scheme not in PROXY_SCHEMES:
            raise UsageError(
                f"{self.setting} is not the URL of a proxy that kling_nb can use.",
                remedy=(
                    "Write http://HOST:PORT, https://… or socks5://…, or unset it. To skip it for fal, set\n"
                    'NO_PROXY=fal.run,fal.ai,fal.media,falrun.com, or kling_nb.configure(proxy="none").'
                ),
            )


@dataclass(frozen=True, slots=True)
class Route:
    """How this machine reaches other hosts.

    Attributes:
        proxy: URL of the proxy, "none" for none, or None for what the environment or the system says.
        ca_bundle: File or folder of the trusted certificates (PEM). None is SSL_CERT_FILE or SSL_CERT_DIR,
            else the package certifi.
    """

    proxy: str | None = field(default=None, repr=False)
    ca_bundle: str | None = None


UrlName = Literal["status_url", "response_url", "cancel_url"]


@dataclass(frozen=True, slots=True)
class RequestRef:
    """A request and its URLs. All of them are on a host that may receive the key.

    Attributes:
        rule: The URLs by the rule of FAL-PROTOCOL §2, for URLs that come from fal's reply; otherwise None.
    """

    request_id: str
    status_url: str
    response_url: str
    cancel_url: str
    rule: RequestRef | None = field(default=None, repr=False, compare=False)

    def urls(self, name: UrlName) -> list[str]:
        """Return the URL of fal's reply, and that of the rule if it differs. fal may refuse the first one."""
        urls = [getattr(ref, name) for ref in (self, self.rule) if ref is not None]
        return list(dict.fromkeys(urls))


@dataclass(frozen=True, slots=True)
class Hosts:
    """The base URLs of fal's hosts, or of the hosts configured instead.

    Attributes:
        queue: The queue.
        rest: Uploads and the keys of webhooks.
        api: The platform API.
        schema: Schemas of endpoints. They are public, so this host never receives the key.
        route: How to reach them.
    """

    queue: str = QUEUE
    rest: str = REST
    api: str = API
    schema: str = SCHEMA
    route: Route = field(default_factory=Route)

    def __post_init__(self) -> None:
        for name in ("queue", "rest", "api", "schema"):
            url = getattr(self, name)
            scheme, host, _ = _origin(url)
            if host and (scheme == "https" or (scheme == "http" and host in LOOPBACK)):
                continue
            raise UsageError(
                f"{name}_url must be an https URL (plain http only for this machine), not {url!r}.",
                remedy="Leave it unset to use fal's own hosts.",
            )

    @property
    def queues(self) -> tuple[str, ...]:
        """The queue and its backup, if it has one, in the order to try them."""
        base = self.queue.rstrip("/")
        return (base, BACKUP_OF[base]) if base in BACKUP_OF else (base,)

    def twin(self, url: str) -> str | None:
        """Return the same URL on the other host of fal's queue, or None if it has none."""
        for here, there in zip(self.queues, reversed(self.queues), strict=True):
            if here != there and _origin(url) == _origin(here):
                return urlsplit(url)._replace(netloc=urlsplit(there).netloc).geturl()
        return None

    def is_backup(self, url: str) -> bool:
        """Return True if `url` is on the backup host. Its 4xx says nothing about a request."""
        return any(_origin(url) == _origin(base) for base in self.queues[1:])

    @property
    def loopback(self) -> bool:
        """True if the queue is on this machine."""
        return urlsplit(self.queue).hostname in LOOPBACK

    def may_see_key(self, url: str) -> bool:
        """Return True if `url` is on one of these hosts, with the same scheme and port."""
        return _origin(url) in {_origin(base) for base in (*self.queues, self.rest, self.api)}

    def may_fetch(self, url: str) -> bool:
        """Return True if a file may be sent to or fetched from `url`.

        https is allowed on any host, plain http only on this machine and only if the queue is here too.
        """
        scheme, host, _ = _origin(url)
        return bool(host) and (scheme == "https" or (scheme == "http" and self.loopback and host in LOOPBACK))

    def ref(self, endpoint_id: str, request_id: str) -> RequestRef:
        """Build the URLs of a request. They contain only owner and name of the app (FAL-PROTOCOL §2)."""
        app, _ = split_app(endpoint_id)
        base = f"{self.queue.rstrip('/')}/{app}/requests/{quote(request_id, safe='')}"
        return RequestRef(request_id, f"{base}/status", base, f"{base}/cancel")

    def ref_from_reply(self, endpoint_id: str, request_id: str, reply: Mapping[str, object]) -> RequestRef:
        """Return the URLs of fal's reply. Replace those on an unknown host, which would receive the key."""
        rule = self.ref(endpoint_id, request_id)

        def choose(name: UrlName) -> str:
            url = reply.get(name)
            fits = isinstance(url, str) and not {"?", "#"} & set(url) and self.may_see_key(url)
            return str(url if fits else getattr(rule, name)).rstrip("/")

        status, response, cancel = choose("status_url"), choose("response_url"), choose("cancel_url")
        return RequestRef(request_id, status, response, cancel, rule)


def domain_of(url: str) -> str:
    """Return the scheme and the domain of a URL: fal's CDN has several hosts of one domain, `fal.media`."""
    scheme, host, _ = _origin(url)
    return f"{scheme}://{'.'.join((host or '').split('.')[-2:])}" if host else ""


@lru_cache(maxsize=1024)
def _origin(url: str) -> tuple[str, str | None, int | None]:
    """Return scheme, host and port. All are empty for a URL that two parsers could read differently."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
        host = parts.hostname
    except ValueError:
        return "", None, None
    odd = not url.isprintable() or not parts.netloc.isascii() or set(parts.netloc) & set(" @\\")
    return ("", None, None) if odd else (parts.scheme, host, port)
