"""Keys: where they come from, and how little of them is shown."""

from typing import Any

import pytest

from kling_nb.errors import UsageError
from kling_nb.fal.auth import Key, find_key

KEY = "5c0e1a57-0000-4000-8000-feedfacecafe:0123456789abcdef"


def test_the_order() -> None:
    everything = {"FAL_KEY": "a:1", "FAL_KEY_ID": "b", "FAL_KEY_SECRET": "2"}
    assert find_key("c:3", everything) == Key("c:3", "credentials set in code")
    assert find_key(lambda: "d:4", everything) == Key("d:4", "credentials set in code")
    assert find_key(None, everything) == Key("a:1", "environment variable FAL_KEY")
    del everything["FAL_KEY"]
    found = find_key(None, everything)
    assert found is not None
    assert (found.value, found.source) == ("b:2", "environment variables FAL_KEY_ID and FAL_KEY_SECRET")
    del everything["FAL_KEY_SECRET"]
    assert find_key(None, everything) is None
    assert find_key(None, {}) is None
    assert find_key(None, {"FAL_KEY": "  "}) is None


def test_space_around_a_key_is_dropped() -> None:
    found = find_key(None, {"FAL_KEY": f" {KEY}\n"})
    assert found is not None
    assert found.value == KEY
    assert found.header == f"Key {KEY}"


@pytest.mark.parametrize("value", ["", "  ", "a b", "a\nb", "schlüssel", "a\x00b", 7, b"a:b"])
def test_what_cannot_be_a_key_is_refused_and_not_repeated(value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        find_key(value, {})
    said = str(caught.value)
    assert "credentials" in said
    assert len(said.splitlines()) <= 4
    assert not str(value).strip() or str(value) not in said


def test_a_function_that_gives_nothing() -> None:
    with pytest.raises(UsageError, match="empty"):
        find_key(lambda: None, {})  # type: ignore[arg-type, return-value]


def test_it_is_not_shown() -> None:
    key = Key(KEY, "FAL_KEY")
    for text in (repr(key), str(key), f"{key}", f"{key!r}", key.fingerprint):
        assert not any(part in text for part in KEY.split(":"))
    assert "FAL_KEY" in repr(key)


def test_a_fingerprint_tells_keys_apart() -> None:
    assert Key(KEY, "a").fingerprint == Key(KEY, "b").fingerprint
    assert Key(KEY, "a").fingerprint != Key(KEY + "0", "a").fingerprint
    assert len(Key(KEY, "a").fingerprint) == 8
