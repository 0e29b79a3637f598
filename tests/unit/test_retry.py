"""The retry policy, as the value that it is."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from kling_nb.fal.patience import Retry, parse_retry_after


def test_a_post_is_never_repeated() -> None:
    assert not any(
        Retry().allows("POST", attempt, status) for attempt in range(1, 9) for status in (None, 429, 503)
    )


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_passing_faults_are_repeated_up_to_the_limit(method: str) -> None:
    policy = Retry(attempts=3)
    for status in (None, 408, 429, 500, 502, 503, 504):
        assert [policy.allows(method, attempt, status) for attempt in (1, 2, 3)] == [True, True, False]


@pytest.mark.parametrize("status", [200, 202, 301, 400, 401, 403, 404, 405, 422, 499, 501])
def test_answers_are_not(status: int) -> None:
    assert not Retry().allows("GET", 1, status)


def test_waits_double_up_to_the_cap() -> None:
    policy = Retry(first=0.5, cap=30.0, spread=lambda: 1.0)
    assert [policy.delay(attempt) for attempt in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert policy.delay(10_000) == 30
    assert Retry(first=0.5, spread=lambda: 1.25).delay(1) == 0.625


def test_waits_are_spread() -> None:
    waits = {Retry().delay(1) for _ in range(50)}
    assert len(waits) > 1
    assert all(0.375 <= wait <= 0.625 for wait in waits)


def test_what_fal_asks_for_counts_and_is_capped() -> None:
    policy = Retry(cap=30.0, longest=60.0, spread=lambda: 1.0)
    assert policy.delay(1, "7") == policy.delay(1, 7.0) == 7
    assert policy.delay(1, "45") == 45
    assert policy.delay(1, "0") == 0
    assert policy.delay(1, "86400") == 60
    assert policy.delay(1, "soon") == policy.delay(1)


def test_retry_after_as_a_moment() -> None:
    moment = datetime.now(UTC) + timedelta(seconds=100)
    found = parse_retry_after(format_datetime(moment, usegmt=True))
    assert found is not None
    assert 90 < found <= 100
    assert parse_retry_after(format_datetime(moment - timedelta(days=1), usegmt=True)) == 0
    assert parse_retry_after("Wed, 21 Oct 2015 07:28:00 -0000") == 0  # without a zone


@pytest.mark.parametrize(
    "text", [None, "", " ", "-1", "1.5", "1e3", "٣", "soon", "Wed, 99 Foo", "9" * 400 + "x"]
)
def test_retry_after_that_makes_no_sense(text: str | None) -> None:
    assert parse_retry_after(text) is None


def test_retry_after_of_many_digits() -> None:
    assert parse_retry_after("9" * 400) == 999_999_999
    assert parse_retry_after(" 12 ") == 12
