"""Options of a submission: what is sent for each, and what is refused because fal would refuse or drop it."""

import inspect
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_nb.catalog.shipped import endpoints
from kling_nb.errors import UsageError
from kling_nb.fal.options import OPTIONS, SubmitOptions
from kling_nb.notebook.flags import FIXED_FLAGS, flag_of
from kling_nb.session import Session

SENT: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({}, {}),
    ({"priority": "low"}, {"X-Fal-Queue-Priority": "low"}),
    ({"priority": "normal"}, {"X-Fal-Queue-Priority": "normal"}),
    (
        {"start_timeout": 90},
        {"X-Fal-Request-Start-Timeout": "90", "X-Fal-Request-Timeout": "90"},
    ),
    (
        {"start_timeout": 2_000_000.5},
        {"X-Fal-Request-Start-Timeout": "2000000.5", "X-Fal-Request-Timeout": "2000000.5"},
    ),
    ({"hint": " lora-7 "}, {"X-Fal-Runner-Hint": "lora-7"}),
    ({"no_retry": True}, {"X-Fal-No-Retry": "1"}),
    ({"no_retry": False}, {}),
    ({"tags": {"project": "reel 7", "by": "a=b"}}, {"X-Fal-Tags": "project=reel 7,by=a=b"}),
    ({"tags": {}}, {}),
    ({"store_io": False}, {"X-Fal-Store-IO": "0"}),
    ({"store_io": True}, {"X-Fal-Store-IO": "1"}),
    ({"fallback": False}, {"X-App-Fal-Disable-Fallback": "1"}),
    ({"fallback": True}, {}),
    ({"headers": {"X-Team": "seven"}}, {"X-Team": "seven"}),
    ({"headers": {"x-fal-queue-priority": "high"}, "priority": "low"}, {"x-fal-queue-priority": "high"}),
    ({"max_queue_length": 3}, {}),
]


@pytest.mark.parametrize(("options", "headers"), SENT, ids=str)
def test_what_is_sent(options: dict[str, Any], headers: dict[str, str]) -> None:
    assert SubmitOptions(**options).to_headers() == headers


def test_the_length_of_the_queue_is_shown_in_the_url() -> None:
    assert SubmitOptions(max_queue_length=0).to_query() == {"fal_max_queue_length": "0"}
    assert SubmitOptions().to_query() == {}


LIFECYCLES: list[tuple[Any, dict[str, Any]]] = [
    ("1d", {"expiration_duration_seconds": 86_400}),
    (90, {"expiration_duration_seconds": 90}),
    ("never", {"expiration_duration_seconds": None}),
    ({"expires_in": "immediate"}, {"expiration_duration_seconds": 60}),
    ({"acl": "forbid"}, {"initial_acl": {"default": "forbid", "rules": []}}),
    (
        {"expires_in": "1h", "acl": {"default": "hide", "rules": [{"user": "u1", "decision": "allow"}]}},
        {
            "expiration_duration_seconds": 3_600,
            "initial_acl": {"default": "hide", "rules": [{"user": "u1", "decision": "allow"}]},
        },
    ),
]


@pytest.mark.parametrize(("given_as", "sent"), LIFECYCLES, ids=str)
def test_the_life_of_the_output_files(given_as: Any, sent: dict[str, Any]) -> None:
    headers = SubmitOptions(lifecycle=given_as).to_headers()
    assert json.loads(headers["X-Fal-Object-Lifecycle-Preference"]) == sent


REFUSED: list[tuple[str, Any]] = [
    *(("priority", value) for value in ("high", "LOW", "", 1)),
    *(("start_timeout", value) for value in (0.1, 0, -1, "soon", float("nan"), float("inf"), True, [])),
    *(("hint", value) for value in ("", "  ", "a\nb", "größe", 7)),
    *(("no_retry", value) for value in (1, "yes")),
    *(("store_io", value) for value in (0, "no")),
    *(("fallback", value) for value in (0, "off")),
    *(("max_queue_length", value) for value in (-1, 1.5, "3", True)),
    *(("lifecycle", value) for value in ("soon", 0, -1, {}, {"expires": "1d"}, 1.5)),
    *(
        ("lifecycle", {"acl": value})
        for value in (
            "public",
            {},
            {"default": "allow", "more": 1},
            {"default": "allow", "rules": "all"},
            {"default": "allow", "rules": [{"user": "u"}]},
            {"default": "allow", "rules": [{"user": "u", "decision": "maybe"}]},
            {"default": "allow", "rules": [{"user": 1, "decision": "allow"}]},
        )
    ),
    ("tags", "a=b"),
    ("tags", {f"k{number}": "v" for number in range(11)}),
    ("tags", {f"k{number}": "v" * 256 for number in range(4)}),
    *(("tags", {name: "v"}) for name in ("", "A", "a b", "fal.x", "a=b", "k" * 65, "ä", 7)),
    *(("tags", {"k": value}) for value in ("", "a,b", "a\nb", "ä", "v" * 257, 7, None)),
    ("headers", "X-A: b"),
    *(
        ("headers", {name: "v"})
        for name in (
            "Authorization",
            "authorization",
            "CONTENT-TYPE",
            "Host",
            "content-length",
            "X A",
            "",
            "X:",
        )
    ),
    *(("headers", {"X-A": value}) for value in ("a\r\nX-B: c", "ä", 7, None)),
]


@pytest.mark.parametrize(("name", "value"), REFUSED, ids=str)
def test_what_is_refused(name: str, value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        SubmitOptions(**{name: value})
    assert len(str(caught.value).splitlines()) <= 4
    assert all(len(line) < 300 for line in str(caught.value).splitlines())
    assert caught.value.message.isprintable()


def test_the_value_of_a_header_is_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        SubmitOptions(headers={"X-Token": "geheim-ä"})
    assert "geheim" not in str(caught.value)


def test_limits_that_are_just_met() -> None:
    many = SubmitOptions(tags={f"k{number}": "v" for number in range(10)})
    assert len(many.to_headers()["X-Fal-Tags"].split(",")) == 10
    long = SubmitOptions(tags={"k" * 64: "v" * 256})
    assert len(long.to_headers()["X-Fal-Tags"]) == 64 + 1 + 256
    assert SubmitOptions(start_timeout=0.11).start_timeout == 0.11


keys = st.text("abcxyz019._-", min_size=1, max_size=64).filter(lambda key: not key.startswith("fal."))
values = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters=","), min_size=1)


@given(st.dictionaries(keys, values.filter(lambda text: len(text) <= 60), max_size=8))
def test_tags_come_apart_again(tags: dict[str, str]) -> None:
    sent = SubmitOptions(tags=tags).to_headers().get("X-Fal-Tags", "")
    assert len(sent) <= 1024
    assert dict(pair.split("=", 1) for pair in sent.split(",") if pair) == tags


def test_options_are_split_from_parameters() -> None:
    options, rest = SubmitOptions.split({"duration": 10, "priority": "low", "hint": None, "no_retry": True})
    assert rest == {"duration": 10}
    assert options == SubmitOptions(priority="low", no_retry=True)
    assert options.to_json() == {"priority": "low", "no_retry": True}
    assert SubmitOptions().to_json() == {}


def test_it_cannot_be_changed() -> None:
    options = SubmitOptions(tags={"a": "b"})
    with pytest.raises(AttributeError):
        options.priority = "low"  # type: ignore[misc]


@pytest.mark.parametrize(
    "endpoint", [one for one in endpoints() if one.has_schema], ids=lambda endpoint: endpoint.short_name
)
def test_no_parameter_of_an_endpoint_has_the_name_of_an_option(endpoint: Any) -> None:
    """Such a parameter could not be set by an argument or a flag."""
    fixed = set(inspect.signature(Session.submit).parameters) - {"prompt", "parameters"}
    names = {control.name for control in endpoint.parameters}
    assert not names & (set(OPTIONS) | fixed)
    assert not {flag_of(name) for name in names} & set(FIXED_FLAGS)
    switches = {control.name for control in endpoint.parameters if control.kind == "switch"}
    assert not {f"--no-{name.replace('_', '-')}" for name in switches} & set(FIXED_FLAGS)
