"""Where a page finds a card's file."""

from __future__ import annotations

from urllib.parse import quote

_OF_URLS = "/:?#[]@!$&'()*+,;=%-._~"


def is_url(src: str) -> bool:
    """Whether `src` is a web address. All else is a path, whatever it looks like."""
    return src.lower().startswith(("http://", "https://"))


def address(src: str) -> str:
    """`src` as a reference in a page, still to be escaped for HTML.

    A URL stays as it is. A path is percent-encoded, because `#`, `?`, `%` and `:` can be
    parts of names; so nothing but http and https ever gets to be a scheme.
    """
    try:
        raw = src.encode("utf-8", "surrogateescape")  # as Python names files that are not UTF-8
    except UnicodeEncodeError:
        raw = src.encode("utf-8", "replace")
    return quote(raw, safe=_OF_URLS if is_url(src) else "/")


def file_name(src: str) -> str:
    """The last part of `src`."""
    path = src.partition("?")[0].partition("#")[0] if is_url(src) else src
    return path.rstrip("/").rsplit("/", 1)[-1]
