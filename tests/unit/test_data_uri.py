"""Data URIs, as people, fal and the local preview server write them."""

import pytest

from kling_nb.request.media_input import DataUri, DataUriError, decode_base64, is_data_uri, parse_data_uri


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data:image/png;base64,AAEC", DataUri("image/png", b"\0\1\2")),
        ("DATA:Image/PNG;name=a.png;BASE64,AAEC", DataUri("image/png", b"\0\1\2")),
        ("data:image/png;base64,AA EC\n", DataUri("image/png", b"\0\1\2")),
        ("data:image/png;base64,%41AEC", DataUri("image/png", b"\0\1\2")),
        ("data:text/plain,a%20cat", DataUri("text/plain", b"a cat")),
        ("data:,a,b", DataUri("", b"a,b")),
        ("data:;base64,", DataUri("", b"")),
    ],
)
def test_content_and_type(text: str, expected: DataUri) -> None:
    assert is_data_uri(text)
    assert parse_data_uri(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("https://host/a,b", "without data:"),
        ("data:image/png;base64", "without a comma"),
        ("data:image/png;base64,A", "cannot be decoded"),
        ("data:image/png;base64,AA*C", "cannot be decoded"),
        ("data:image/png;base64,猫", "is not base64"),
        ("data:text/plain,\ud800", "broken character"),
    ],
)
def test_what_cannot_be_read(text: str, words: str) -> None:
    with pytest.raises(DataUriError, match=words):
        parse_data_uri(text)


def test_plain_base64() -> None:
    assert decode_base64("AAEC") == b"\0\1\2"
