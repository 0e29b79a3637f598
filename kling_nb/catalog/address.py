"""Addresses that stand for a file and are sent as they are: http(s) URLs and data URIs."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from kling_nb.catalog import media_type
from kling_nb.catalog.media_slot import MediaSlot
from kling_nb.catalog.media_type import NOUNS
from kling_nb.catalog.wording import quote

LONGEST_INLINE = 32 << 10
"""Characters of the longest data URI that is sent as it is; the file of a longer one is uploaded."""

# Two letters at least, so that the drive of a Windows path is none.
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):", re.IGNORECASE)


def scheme_of(text: str) -> str:
    """The scheme of an address in lower case, empty for a path."""
    match = _SCHEME.match(text)
    return match[1].lower() if match else ""


def check(slot: MediaSlot, text: str) -> bytes:
    """See that an address can work, without any network.

    Returns:
        The content of a data URI; nothing for a URL.

    Raises:
        Unfit: It cannot: a relative URL, a data URI that does not decode or is of the wrong
            kind, a scheme that nobody on fal's side can fetch.
    """
    match scheme_of(text):
        case "http" | "https":
            _check_url(slot, text)
        case "data":
            return _check_data_uri(slot, text)
        case "sha256":  # how a request made from bytes is written down
            raise slot.unfit(
                f"{slot.name} was bytes in memory, and a record keeps only their hash", "Give the file again."
            )
        case scheme:
            remedy = "Use https, http or a data URI, or give the path of a file."
            raise slot.unfit(
                f"{slot.name} cannot be read from {quote(scheme + ':')}, as in {quote(text)}", remedy
            )
    return b""


def _check_url(slot: MediaSlot, text: str) -> None:
    if any(char.isspace() or not char.isprintable() for char in text):
        raise slot.unfit(
            f"{slot.name} has a space or an invisible character in {quote(text)}", "Write %20 for a space."
        )
    try:
        parts = urlsplit(text)
        absolute = bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, brackets that do not close
        absolute = False
    if not absolute:
        raise slot.unfit(
            f"{slot.name} is not an absolute URL: {quote(text)}", "Write it in full, as https://host/file."
        )


def _check_data_uri(slot: MediaSlot, text: str) -> bytes:
    declared, comma, payload = text[len("data:") :].partition(",")
    label = declared.partition(";")[0].strip().lower()
    remedy = "Write data:TYPE;base64,… (such as image/png), or give the path of a file."
    if not comma:
        raise slot.unfit(f"{slot.name} is a data URI without a comma: {quote(text)}", remedy)
    try:
        data = _decode(declared, payload)
    except binascii.Error as error:
        raise slot.unfit(f"{slot.name} is a data URI that does not decode: {error}", remedy) from None
    except ValueError:  # characters beyond ASCII
        raise slot.unfit(f"{slot.name} is a data URI that is not base64: {quote(text)}", remedy) from None
    if not data:
        raise slot.unfit(f"{slot.name} is a data URI with nothing in it", remedy)
    found = media_type.detect(data[: media_type.HEAD])
    if found:
        slot.check(found.kind, found.noun, "the data URI")
    elif label:  # where the content tells nothing, the label is believed
        main = label.partition("/")[0]
        slot.check(main, NOUNS.get(main, f"of type {quote(label)}"), "the data URI")
    slot.check_size(len(data), "the data URI")
    return data


def _decode(declared: str, payload: str) -> bytes:
    if declared.rstrip().lower().endswith(";base64"):
        return base64.b64decode("".join(unquote(payload).split()), validate=True)
    return unquote_to_bytes(payload)
