"""What a run will do is decided once: everything that shows a plan says the same, and the run does it."""

import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from scripted import Done, Hold, Run, Script, ScriptedFal

from kling_nb import errors
from kling_nb.catalog.shipped import endpoint
from kling_nb.events import State
from kling_nb.job.job import Job
from kling_nb.job.plan import WORDS, Call, Outcome
from kling_nb.ledger import Intent, Ledger
from kling_nb.notebook.cell import dry_run_text
from kling_nb.notebook.output.terminal import plan_text
from kling_nb.notebook.widgets import takes
from kling_nb.notebook.widgets.compose import Desk
from kling_nb.request.request import VideoRequest, stored_input
from kling_nb.session import Session
from kling_nb.sweeps.axes import Axis

MakeSession = Callable[..., Session]
PRICED = "v1.6-pro"  # $0.098 a second, so $0.49 for 5 s


class World:
    """A ledger, a folder and a fal, in which a request has its past."""

    def __init__(self, make_session: MakeSession, fal: ScriptedFal, ledger: Ledger, folder: Path) -> None:
        self.make_session = make_session
        self.fal = fal
        self.ledger = ledger
        self.folder = folder
        self.dead_owner = ""

    def submit(self, session: Session | None = None, **arguments: Any) -> Job:
        return (session or self.make_session()).submit("a cat", endpoint=PRICED, **arguments)


def never_asked(world: World) -> None:
    pass


def never_sent(world: World) -> None:
    """A kernel wrote the row, and was killed before it sent the request."""
    session = world.make_session()
    request = session.plan("a cat", endpoint=PRICED).request
    entry, _ = world.ledger.claim(
        Intent(
            backend="fal",
            endpoint=request.endpoint.id,
            input=stored_input(request),
            prompt=request.prompt,
            fingerprint=request.fingerprint,
            folder=session.settings().media,
            cost=0.49,
        )
    )
    world.ledger.update(entry.id, owner=world.dead_owner)


def made(world: World) -> None:
    world.submit().wait()


def made_elsewhere(world: World) -> None:
    world.submit(world.make_session(media=world.folder.with_name("other"))).wait()


def made_by_a_colleague(world: World) -> None:
    """The library has it, and no folder of this machine."""
    studio = world.folder.with_name("studio")
    studio.mkdir()
    world.make_session = partial(world.make_session, library=str(studio))
    with world.make_session(media=world.folder.with_name("other")) as session:
        world.submit(session).wait()
    for path in world.folder.with_name("other").iterdir():
        path.unlink()


def running(world: World) -> None:
    """Another session has sent it, and fal is at work."""
    world.fal.script = Script([Run(), Hold(), Done()])
    world.submit()
    world.fal.wait_for("stream")


def left_running(world: World) -> None:
    """Its session was closed, and fal is at work."""
    world.fal.script = Script([Run(), Hold(), Done()])
    with world.make_session() as session:
        world.submit(session)
        world.fal.wait_for("stream")


def unanswered(world: World) -> None:
    world.fal.fault("submit", "reset", handled=True)
    with pytest.raises(errors.SubmissionUncertain):
        world.submit().wait()


def not_stored(world: World) -> None:
    """Its kernel ended while the file came."""
    stall = world.fal.fault("download", "stall", at="mid_body")
    with world.make_session() as session:
        world.submit(session)
        world.fal.wait_for("download")
    stall.release()


def deleted(world: World) -> None:
    made(world)
    for path in world.folder.iterdir():
        path.unlink()


def forgotten(world: World) -> None:
    """fal forgot it while no kernel looked, and text_shown so once."""
    left_running(world)
    world.fal.job().forget()
    world.fal.script = Script()
    with pytest.raises(errors.ResultGone):
        world.submit().wait()


ALL = [
    # the past, the outcome, submissions that fal has accepted before and after a run, what the run raises
    (never_asked, Outcome.SUBMIT, 0, 1, None),
    (never_sent, Outcome.SUBMIT, 0, 1, None),
    (made, Outcome.REUSE, 1, 1, None),
    (made_elsewhere, Outcome.COPY, 1, 1, None),
    (made_by_a_colleague, Outcome.LIBRARY, 1, 1, None),
    (running, Outcome.FOLLOW, 1, 1, None),
    (left_running, Outcome.FOLLOW, 1, 1, None),
    (unanswered, Outcome.LOOK_UP, 1, 1, None),
    (not_stored, Outcome.ASK_RESULT, 1, 1, None),
    (deleted, Outcome.REFETCH, 1, 1, None),
    (forgotten, Outcome.RESULT_GONE, 1, 1, errors.ResultGone),
]


@pytest.fixture
def world(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger, tmp_path: Path, dead_owner: str
) -> World:
    world = World(make_session, fal, ledger, tmp_path / "media")
    world.dead_owner = dead_owner
    return world


in_every_past = pytest.mark.parametrize(
    ("past", "outcome", "before", "after", "fault"), ALL, ids=[past.__name__ for past, *_ in ALL]
)


def test_every_outcome_is_in_the_table() -> None:
    assert set(WORDS) == set(Outcome) == {outcome for _, outcome, *_ in ALL}


@in_every_past
def test_all_that_show_a_plan_say_what_the_run_then_does(
    world: World,
    past: Callable[[World], None],
    outcome: Outcome,
    before: int,
    after: int,
    fault: type[Exception] | None,
) -> None:
    past(world)
    fal = world.fal
    session = world.make_session()
    asked = len(fal.requests)
    plan = session.plan("a cat", endpoint=PRICED)
    assert (plan.outcome, plan.refusal) == (outcome, None)
    assert plan.submits == (outcome is Outcome.SUBMIT)
    words = WORDS[outcome].sentence.replace("{price}", "about $0.49")
    words = "About $0.49." if outcome is Outcome.SUBMIT else words
    assert plan.words == words

    assert words in plan_text(plan)  # --dry-run
    assert plan_text(plan).endswith("Nothing was sent.")

    desk = Desk(session, PRICED, notify=lambda: None, on_draft=lambda *_: None)  # the panel
    draft = {"endpoint": PRICED, "values": {"prompt": "a cat"}, "author": 1}
    quote = desk.compose(draft)["quote"]
    assert (quote["outcome"], quote["words"], quote["refusal"]) == (outcome.value, words, None)

    other = session.plan("a dog", endpoint=PRICED).request  # the job widget of another job
    shown = Job("0" * 12, request=other, backend="fal", background=session._background)
    shown.maker = session
    assert takes.quote(shown, {"prompt": "a cat"}) == quote  # one quote for all forms

    study = session.sweep(["a cat"], endpoint=PRICED, start=False)
    price = "1 to make, about $0.49" if outcome is Outcome.SUBMIT else f"1 {WORDS[outcome].brief}"
    assert study.price == f"1 cell · {price}"
    assert WORDS[outcome].brief in dry_run_text(study).splitlines()[1]
    assert (study[0].outcome, study.records[0]["outcome"]) == (outcome, outcome.value)

    assert len(fal.requests) == asked  # looking asks no one
    assert len(fal.accepted) == before

    job = world.submit(session)
    assert job.outcome is outcome
    for held in fal.jobs:
        held.release()
    if fault is None:
        assert job.wait() is not None
    else:
        with pytest.raises(fault):
            job.wait()
    assert len(fal.accepted) == after
    assert len(world.ledger.entries()) == 1


@pytest.mark.parametrize("past", [deleted, forgotten, not_stored])
def test_a_sweep_of_what_was_paid_for_does_not_call_it_running(
    world: World, past: Callable[[World], None]
) -> None:
    past(world)
    study = world.make_session().sweep(["a cat", "a dog"], endpoint=PRICED)
    study.wait(check=False)
    assert "running" not in study.price
    assert [cell.outcome for cell in study][1] is Outcome.SUBMIT
    assert len(world.fal.accepted) == 2


async def test_a_result_that_was_fetched_call_by_call_is_only_stored(
    session: Session, fal: ScriptedFal
) -> None:
    ref = await session.client.submit(PRICED, {"prompt": "a cat"})
    async for _ in session.client.events(PRICED, ref.request_id):
        pass
    await session.client.result(PRICED, ref.request_id)
    asked = fal.count("result")
    assert session.plan("a cat", endpoint=PRICED).outcome is Outcome.ASK_RESULT
    assert await session.submit("a cat", endpoint=PRICED) is not None
    assert (fal.count("result"), len(fal.accepted)) == (asked, 1)


def test_an_accepted_row_is_followed_and_one_being_sent_is_waited_for(world: World) -> None:
    never_sent(world)
    (entry,) = world.ledger.entries()
    plan = world.make_session().plan
    world.ledger.update(entry.id, sent_at=time.time())
    assert plan("a cat", endpoint=PRICED).outcome is Outcome.LOOK_UP  # its owner is dead
    world.ledger.update(entry.id, owner=f"{socket.gethostname()}:{os.getppid()}:deadbeef")  # it lives
    assert plan("a cat", endpoint=PRICED).outcome is Outcome.FOLLOW
    world.ledger.update(entry.id, state=State.UNCERTAIN)
    assert plan("a cat", endpoint=PRICED).outcome is Outcome.LOOK_UP
    world.ledger.update(entry.id, state=State.UNCERTAIN, request_id="r-1")
    assert plan("a cat", endpoint=PRICED).outcome is Outcome.FOLLOW


# what an earlier version made of the same cell


WAS = Call(prompt="a cat", endpoint=PRICED)


@in_every_past
def test_what_an_earlier_version_paid_for_is_shown_with_the_reason(
    world: World,
    past: Callable[[World], None],
    outcome: Outcome,
    before: int,
    after: int,
    fault: type[Exception] | None,
) -> None:
    past(world)
    session, line = world.make_session(), 'which sent the prompt as "a cat"'
    plan = session.plan("a cat!", endpoint=PRICED, earlier=WAS)
    assert plan.outcome is outcome
    assert (line in plan_text(plan)) == (outcome is not Outcome.SUBMIT)
    assert session.plan("a cat!", endpoint=PRICED, earlier=WAS, new=True).submits
    frozen = session.plan("a cat!", endpoint=PRICED, earlier=WAS, frozen=True)
    assert (frozen.refusal is None) == (outcome in {Outcome.REUSE, Outcome.LIBRARY})
    study = session.sweep(
        lambda values: f"{values['animal']}!",
        axes=[Axis("animal", ("a cat", "a dog"), ("cat", "dog"), argument=False)],
        endpoint=PRICED,
        earlier=lambda values: Call(prompt=values["animal"], endpoint=PRICED),
        start=False,
    )
    assert [cell.outcome for cell in study] == [outcome, Outcome.SUBMIT]
    assert [line in notice for notice in study.notices] == [True] * (outcome is not Outcome.SUBMIT)
    assert len(world.fal.accepted) == before

    job = session._launch(plan)
    assert [line in notice for notice in job.about] == [True] * (outcome is not Outcome.SUBMIT)
    assert job.request.prompt == ("a cat!" if outcome is Outcome.SUBMIT else "a cat")
    for held in world.fal.jobs:
        held.release()
    if fault is None:
        job.wait()
    else:
        with pytest.raises(fault):
            job.wait()
    assert len(world.fal.accepted) == after
    assert sum(entry.sent_at is not None for entry in world.ledger.entries()) == 1


def test_a_job_of_an_earlier_version_that_just_failed_is_not_sent_again_in_its_old_form(world: World) -> None:
    left_running(world)
    session = world.make_session()
    plan = session.plan("a cat!", endpoint=PRICED, earlier=WAS)
    (entry,) = world.ledger.entries()
    world.ledger.update(entry.id, state=State.FAILED, error="fal refused it")
    with pytest.raises(errors.KlingError, match="just failed"):
        session._launch(plan)
    assert len(world.ledger.entries()) == len(world.fal.accepted) == 1
    assert session.plan("a cat!", endpoint=PRICED, earlier=WAS).request.prompt == "a cat!"


def test_a_cell_that_is_not_accepted_any_more_shows_its_take_and_buys_nothing(world: World) -> None:
    session, refused = world.make_session(), errors.UsageError("{cat}: name 'cat' is not defined.")
    with pytest.raises(errors.UsageError, match="not defined"):
        session.plan(earlier=WAS, fault=refused)
    made(world)
    plan = session.plan(earlier=WAS, fault=refused)
    assert plan.outcome is Outcome.REUSE
    assert 'which sent the prompt as "a cat"' in session._launch(plan).about[-1]
    with pytest.raises(errors.UsageError, match="not defined"):
        session.plan(earlier=WAS, fault=refused, new=True)
    assert len(world.fal.accepted) == 1


def test_a_prompt_with_other_line_ends_is_found(world: World) -> None:
    """Version 0.1.0 up to commit 21fcdc9 sent them as they were."""
    session, sent = world.make_session(), "a cat\r\nasleep\n"
    old = VideoRequest(endpoint(PRICED), {"prompt": sent}, {})
    session._launch(replace(session.plan("x", endpoint=PRICED), request=old)).wait()
    for text in (sent, "a cat\r\nasleep\n"):
        job = session.submit(text, endpoint=PRICED)
        assert (job.outcome, job.request.prompt) == (Outcome.REUSE, sent)
        assert 'sent the prompt as "a cat\\r\\nasleep\\n"' in job.about[0]
    desk = Desk(session, PRICED, notify=lambda: None, on_draft=lambda *_: None)  # the panel
    draft = {"endpoint": PRICED, "values": {"prompt": sent}, "author": 1}
    assert "Made by an earlier version" in desk.compose(draft)["quote"]["words"]
    assert session.plan("a cat\nasleep", endpoint=PRICED).submits  # not what was typed then
    again = takes.submit(job, {})  # another take of what is shown
    again.wait()
    assert [one.input["prompt"] for one in world.fal.accepted] == [sent, "a cat\nasleep"]


# what a run would refuse


REFUSED: dict[str, tuple[dict[str, Any], type[errors.KlingError], str]] = {
    "frozen": ({"frozen": True}, errors.NoTake, "Frozen"),
    "no key": ({"credentials": None}, errors.MissingKey, "No fal API key found"),
    "max cost": ({"max_cost": 0.4}, errors.BudgetExceeded, "over --max-cost 0.4"),
    "budget": ({"budget": 0.4}, errors.BudgetExceeded, "the budget of this session leaves"),
    "budget of the day": ({"daily_budget": 0.4}, errors.BudgetExceeded, "the budget of today leaves"),
}


@pytest.mark.parametrize(("settings", "kind", "words"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_is_the_error_that_a_run_raises(
    world: World, settings: dict[str, Any], kind: type[errors.KlingError], words: str
) -> None:
    session = world.make_session(**settings)
    plan = session.plan("a cat", endpoint=PRICED)
    assert plan.outcome is Outcome.SUBMIT
    assert type(plan.refusal) is kind
    with pytest.raises(kind) as caught:
        world.submit(session)
    assert str(caught.value) == str(plan.refusal)
    assert words in plan_text(plan)
    desk = Desk(session, PRICED, notify=lambda: None, on_draft=lambda *_: None)
    quote = desk.compose({"endpoint": PRICED, "values": {"prompt": "a cat"}, "author": 1})["quote"]
    assert words in quote["refusal"]
    assert quote["problem"] is None
    assert plan.refusal.__traceback__ is None  # its frames would hold the settings
    assert not world.fal.requests


def test_a_limit_without_a_price_on_record(world: World) -> None:
    world.fal.platform.prices = {}
    plan = world.make_session(budget=5).plan("a cat", endpoint="v1-pro")
    assert isinstance(plan.refusal, errors.BudgetExceeded)
    assert plan.words == "No price on record for v1-pro."
    assert "no price is known for v1-pro" in str(plan.refusal)


def test_a_take_that_is_there_is_never_refused(world: World) -> None:
    made(world)
    for settings, _, _ in REFUSED.values():
        session = world.make_session(**settings)
        assert session.plan("a cat", endpoint=PRICED).refusal is None
        assert world.submit(session).reused


@pytest.mark.parametrize("limit", ["max_cost", "budget", "daily_budget"])
@pytest.mark.parametrize("past", [running, unanswered, not_stored, deleted])
def test_what_costs_nothing_more_is_not_refused_for_its_price(
    world: World, past: Callable[[World], None], limit: str
) -> None:
    past(world)
    session = world.make_session(**{limit: 0.01})
    assert session.plan("a cat", endpoint=PRICED).refusal is None
    job = world.submit(session)
    world.fal.release()
    assert job.wait() is not None
    assert len(world.fal.accepted) == 1


# a plan is advice: the claim decides, which a sweep does later


def test_what_ended_between_plan_and_claim_is_not_bought_over_max_cost(world: World) -> None:
    """The plan would follow a job for nothing; at the claim there is no such job any more."""
    left_running(world)
    study = world.make_session(max_cost=0.01).sweep(["a cat"], endpoint=PRICED, start=False)
    assert (study[0].outcome, study[0].plan.refusal) == (Outcome.FOLLOW, None)
    (entry,) = world.ledger.entries()
    world.ledger.update(entry.id, state=State.CANCELLED)
    study.wait(check=False)
    assert isinstance(study[0].error, errors.BudgetExceeded)
    assert len(world.fal.accepted) == 1
    assert [entry.state for entry in world.ledger.entries()] == [State.CANCELLED]


def test_the_outcome_of_the_claim_is_the_one_that_is_shown(world: World) -> None:
    """The plan would submit; another kernel was faster."""
    study = world.make_session().sweep(["a cat"], endpoint=PRICED, start=False)
    assert study[0].outcome is Outcome.SUBMIT
    running(world)
    started = threading.Event()
    study.subscribe(lambda cell: started.set() if cell.job else None)
    study.start()
    world.fal.wait_for("stream", 2)
    assert started.wait(20)  # the job may be at work before its cell has it
    assert study[0].outcome is Outcome.FOLLOW
    world.fal.release()
    study.wait()
    assert study.records[0]["outcome"] == "FOLLOW"
    assert len(world.fal.accepted) == 1
