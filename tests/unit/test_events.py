"""`fold`: from events to a state, without looking at anything else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_nb.events import (
    Cancelled,
    Completed,
    Downloading,
    Event,
    Failed,
    Held,
    JobState,
    Logged,
    Queued,
    Ready,
    Running,
    State,
    Submitted,
    Unclear,
    Uploading,
    fold,
)

BROKEN = ValueError("broken")
ENDS: list[tuple[Event, State]] = [
    (Ready("5"), State.READY),
    (Failed(BROKEN), State.FAILED),
    (Cancelled(), State.CANCELLED),
    (Unclear(BROKEN), State.UNCERTAIN),
]
EVENTS: list[Event] = [
    Submitted("r-1"),
    Submitted("r-1", resumed=True),
    Queued(3),
    Queued(),
    Running(),
    Logged("line", "2024-12-20T15:00:00"),
    Completed(inference_time=3.5),
    Downloading(10, 100),
    *(event for event, _ in ENDS),
]


def folded(*events: Event) -> JobState:
    state = JobState()
    for event in events:
        state = fold(state, event)
    return state


def test_the_usual_way() -> None:
    assert folded() == JobState(state=State.SUBMITTING)
    assert folded(Submitted("r-1")) == JobState(State.IN_QUEUE, "r-1")
    assert folded(Submitted("r-1"), Queued(3)) == JobState(State.IN_QUEUE, "r-1", queue_position=3)
    assert folded(Submitted("r-1"), Queued(3), Running()) == JobState(State.IN_PROGRESS, "r-1")
    done = folded(
        Submitted("r-1", resumed=True),
        Running(),
        Logged("one"),
        Logged("two"),
        Completed(inference_time=3.5),
        Downloading(10, 100),
        Downloading(100, 100),
        Ready("5"),
    )
    assert (done.state, done.request_id, done.resumed) == (State.READY, "r-1", True)
    assert (done.lines, done.received, done.total) == (2, 100, 100)
    assert (done.units, done.inference_time, done.error) == ("5", 3.5, None)


def test_bytes_are_those_that_go_up_and_then_those_that_come() -> None:
    assert folded().bytes_transferred == (0, None)
    assert folded(Uploading(3, 9)).bytes_transferred == (3, 9)
    assert folded(Uploading(9, 9), Submitted("r-1")).bytes_transferred == (0, None)
    assert folded(Submitted("r-1"), Completed(), Downloading(5, None)).bytes_transferred == (5, None)
    assert folded(Submitted("r-1"), Downloading(5, 5), Ready()).bytes_transferred == (0, None)


def test_a_request_that_waits_to_be_sent_is_held_until_fal_has_it() -> None:
    assert not folded().held
    assert folded(Held()).held
    assert folded(Held()).state is State.SUBMITTING
    accepted = folded(Held(), Submitted("r-1"))
    assert (accepted.held, accepted.queue_position) == (False, None)


def test_fal_may_put_a_running_job_back_into_the_queue() -> None:
    again = folded(Submitted("r-1"), Running(), Queued(7))
    assert (again.state, again.queue_position) == (State.IN_QUEUE, 7)
    assert folded(Submitted("r-1"), Running(), Queued(7), Running()).queue_position is None


def test_completed_is_not_success() -> None:
    state = folded(Submitted("r-1"), Running(), Completed(error="Invalid status code: 422"))
    assert state.state is State.DOWNLOADING
    assert not state.state.finished


@pytest.mark.parametrize(("event", "expected"), ENDS)
def test_ends(event: Event, expected: State) -> None:
    state = folded(Submitted("r-1"), event)
    assert state.state is expected
    assert state.state.finished
    assert state.error is getattr(event, "error", None)
    assert state.request_id == "r-1"


@pytest.mark.parametrize("late", EVENTS, ids=lambda event: type(event).__name__)
@pytest.mark.parametrize(("end", "_state"), ENDS)
def test_what_comes_after_the_end_changes_nothing(end: Event, _state: State, late: Event) -> None:
    state = folded(Submitted("r-1"), end)
    assert fold(state, late) is state


@given(st.lists(st.sampled_from(EVENTS)))
def test_no_order_of_events_breaks_it(events: list[Event]) -> None:
    """And the id, once known, is never forgotten; lines never become fewer."""
    state = JobState()
    for event in events:
        before, state = state, fold(state, event)
        assert state.lines >= before.lines
        assert before.request_id is None or state.request_id == before.request_id
        assert not before.state.finished or state == before


def test_states_are_their_names() -> None:
    """The ledger and the widget hold them as text."""
    assert [str(state) for state in State] == [state.name for state in State]


@pytest.mark.parametrize("value", [*EVENTS, JobState()], ids=lambda value: type(value).__name__)
def test_events_cannot_be_changed(value: Any) -> None:
    with pytest.raises((AttributeError, TypeError)):
        value.anything = 1
