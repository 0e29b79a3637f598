"""Keeps a Python process on this machine: whatever reaches for another host is stopped and written down.

Used by the test session itself (`tests/conftest.py`) and, through `sitecustomize.py`
next to this file, by every Python that a test starts.
"""

import os
import sys

LEAKS = "KLING_NB_TEST_LEAKS"
_LOOKUPS = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
_SENDS = {"socket.connect", "socket.sendto", "socket.sendmsg"}


class LeftLoopback(ConnectionRefusedError):
    """Something tried to reach another machine."""


def install() -> None:
    """Watch this process from now on. The file named by `KLING_NB_TEST_LEAKS` gets a line per attempt."""
    sys.addaudithook(_watch)


def _watch(event: str, arguments: tuple) -> None:
    if event in _SENDS:
        _check(event, _host_of(*arguments[:2]))
    elif event in _LOOKUPS:
        host = arguments[0]
        _refuse_invalid(host)
        _check(event, host)


def _host_of(endpoint: object, address: object) -> object:
    """The host of an internet address; None for everything that cannot leave the machine."""
    import socket

    internet = getattr(endpoint, "family", None) in {socket.AF_INET, socket.AF_INET6}
    return address[0] if internet and isinstance(address, tuple) else None


def _refuse_invalid(host: object) -> None:
    """Names in `.invalid` never exist (RFC 6761): tests of a failing lookup use them, and none is made."""
    import socket

    if isinstance(host, str) and host.endswith(".invalid"):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def _check(event: str, host: object) -> None:
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    if not isinstance(name, str) or _stays(name):
        return
    with open(os.environ[LEAKS], "a", encoding="utf-8") as file:  # noqa: PTH123 - costs each process less
        file.write(f"{event} {name} by {' '.join(sys.argv)[:200]} (process {os.getpid()})\n")
    raise LeftLoopback(f"tests stay on loopback, and this was for {name}")


def _stays(name: str) -> bool:
    """Whether `name` is this machine. Its own host name is looked up by jupyter_client."""
    import ipaddress
    import socket

    if name in {"", "localhost", socket.gethostname()} or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
