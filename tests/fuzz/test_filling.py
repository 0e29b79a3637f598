"""Prompts against an independent reading of the filling rule; `make soak` compares 100,000."""

from .filling import compare


def test_prompts_are_sent_as_an_independent_reading_of_the_rule_says() -> None:
    assert compare(11, 800) == 800
