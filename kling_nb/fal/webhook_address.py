"""Which addresses may be given as a webhook: those that fal can reach."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from kling_nb.errors import UsageError

_HOME_NAMES = ("localhost", "local", "internal", "home.arpa", "lan", "intranet", "localdomain")
"""Last parts of names that mean something in one network only."""


def check_webhook(url: str, *, local: bool) -> None:
    """Refuse an address that fal would not deliver to, before anything is sent.

    Names are judged by their text: none is looked up, as fal's answer is not this machine's.

    Args:
        url: The address.
        local: Whether the queue is on this machine, which may be given any http(s) address.

    Raises:
        UsageError: With the reason.
    """
    reason = _reason(url, local=local)
    if reason:
        raise UsageError(
            f"The webhook address {str(url)[:120]!r} cannot be used: {reason}.",
            parameter="webhook_url",
            remedy="Give an http(s) address that fal can reach, or leave it out. Nothing was sent.",
        )


def _reason(url: object, *, local: bool) -> str | None:
    """What speaks against an address, or None."""
    if not isinstance(url, str) or not url.isprintable() or " " in url or "\\" in url:
        return "that is no address"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "that is no address"
    if parts.scheme not in {"http", "https"}:
        return "a webhook is an http or https address"
    if not host or set(parts.netloc) & set("%"):
        return "it names no host"
    return None if local else _unreachable(host)


def _unreachable(host: str) -> str | None:
    address = _address(host)
    if address is not None:
        return _private(address)
    name = host.rstrip(".").lower()
    if "." not in name or name.rpartition(".")[2] in _HOME_NAMES or name.endswith(".home.arpa"):
        return f"{host} is a name of this machine or its network, which fal cannot reach"
    return None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that a host is, also as `127.1` or `0x7f000001`, which web clients take too."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host.rstrip(".")))
    except (OSError, ValueError):
        return None


def _private(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str | None:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        address = inner or address
    for word, holds in (
        ("loopback", address.is_loopback),
        ("link-local", address.is_link_local),
        ("unspecified", address.is_unspecified),
        ("multicast", address.is_multicast),
        ("private", not address.is_global),
    ):
        if holds:
            return f"{address} is a {word} address, which fal cannot reach"
    return None
