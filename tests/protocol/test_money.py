"""Spending limits and what was spent, against the scripted fal."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scripted import Done, Fail, Hold, Queue, Run, Script, ScriptedFal

from kling_nb import Session
from kling_nb.catalog.shipped import endpoint
from kling_nb.errors import (
    BudgetExceeded,
    InputRefused,
    JobCancelled,
    PlatformError,
    ResponseError,
    UsageError,
)
from kling_nb.events import State
from kling_nb.job import rebuild as care
from kling_nb.ledger import Intent, Ledger
from kling_nb.notebook.card.job import card_text
from kling_nb.notebook.card.words import cost

PRICED = "v1.6-pro"  # $0.098 a second, so $0.49 for 5 s

MakeSession = Callable[..., Session]


def submit(session: Session, prompt: str, **arguments: Any) -> None:
    session.submit(prompt, endpoint=PRICED, **arguments).wait(20)


def test_over_max_cost_nothing_is_sent(make_session: MakeSession, fal: ScriptedFal) -> None:
    session = make_session()
    with pytest.raises(BudgetExceeded, match=r"\$0\.49, over --max-cost 0\.4\.") as refused:
        submit(session, "a cat", max_cost=0.4)
    assert len(str(refused.value).splitlines()) <= 4
    assert not fal.requests
    assert not session.jobs()
    submit(session, "a cat", max_cost=0.5)
    assert len(fal.accepted) == 1


def test_the_session_budget_counts_what_was_accepted(make_session: MakeSession, fal: ScriptedFal) -> None:
    session = make_session(budget=1.0)
    submit(session, "one")
    submit(session, "two")
    with pytest.raises(BudgetExceeded, match=r"budget of this session leaves \$0\.02 of \$1\.00"):
        submit(session, "three")
    assert len(fal.accepted) == 2
    submit(session, "three", max_cost="none")
    assert len(fal.accepted) == 3


def test_an_earlier_take_costs_nothing_under_any_limit(make_session: MakeSession, fal: ScriptedFal) -> None:
    submit(make_session(), "a cat")
    submit(make_session(max_cost=0.01), "a cat")
    assert len(fal.accepted) == 1


def test_what_is_not_billed_goes_back_to_the_budget(make_session: MakeSession, fal: ScriptedFal) -> None:
    session = make_session(budget=0.5)
    fal.script = Script([Run(), Fail.platform("runner_disconnected")])
    with pytest.raises(PlatformError):
        submit(session, "fails")
    fal.fault("submit", "no_money")
    with pytest.raises(Exception, match="Exhausted"):
        submit(session, "refused")
    fal.script = Script([Queue(1), Hold(), Done()])
    job = session.submit("cancelled", endpoint=PRICED)
    fal.wait_for("stream")
    job.cancel()
    with pytest.raises(JobCancelled):
        job.wait(20)
    fal.script = Script([Run(), Done()])
    submit(session, "works")
    assert sum(group.usd for group in session.spending()) == pytest.approx(0.49)


def test_a_refusal_that_may_be_billed_stays_in_the_budget(
    make_session: MakeSession, fal: ScriptedFal
) -> None:
    session = make_session(budget=0.5)
    detail = {"loc": ["body", "prompt"], "msg": "no", "type": "content_policy_violation"}
    fal.script = Script([Run(), Fail.refused(detail)])
    with pytest.raises(InputRefused):
        submit(session, "forbidden")
    with pytest.raises(BudgetExceeded):
        submit(session, "next")


def test_an_unknown_price_is_refused_under_a_limit_with_a_way_out(
    make_session: MakeSession, fal: ScriptedFal
) -> None:
    fal.platform.prices = {}
    session = make_session(daily_budget=100)
    assert endpoint("v1-pro").price is None
    with pytest.raises(BudgetExceeded, match="no price is known for v1-pro") as refused:
        session.submit("a cat")
    assert "--max-cost none" in str(refused.value)
    assert fal.count("pricing") == len(fal.requests) == 1
    session.submit("a cat", max_cost="none").wait(20)
    priced = make_session(daily_budget=100, prices={"v1-pro": 0.1})
    assert priced.plan("a dog").estimate == pytest.approx(0.5)
    priced.submit("a dog").wait(20)
    assert len(fal.accepted) == 2


def test_a_limit_asks_fal_for_a_price_that_is_not_on_record_once_a_day(
    make_session: MakeSession, fal: ScriptedFal, tmp_path: Path
) -> None:
    make_session().plan("a cat")
    assert not fal.requests, "without a limit no price is needed"
    session = make_session(daily_budget=1.0)
    plan = session.plan("a cat")
    assert (plan.estimate, plan.refusal) == (pytest.approx(0.49), None)  # 5 s, $0.098 each
    assert fal.last("pricing").headers["authorization"] == f"Key {fal.key}"
    session.submit("a cat").wait(20)
    make_session(max_cost=0.5).submit("a dog").wait(20)
    with pytest.raises(BudgetExceeded, match=r"\$0\.49, and the budget of today leaves \$0\.02 of \$1\.00"):
        session.submit("a cow")
    with pytest.raises(BudgetExceeded, match=r"\$0\.49, over --max-cost 0\.4"):
        session.submit("a cow", max_cost=0.4)
    assert make_session().sweep(["a cow", "a pig"], start=False).price == "2 cells · 2 to make, about $0.98"
    assert fal.count("pricing") == 1
    stored = tmp_path / "home" / "prices.json"
    stored.write_text(stored.read_text().replace('"asked_at": 1', '"asked_at": 0'))  # years ago
    fal.platform.prices = dict.fromkeys(fal.platform.prices, 0.1)
    assert make_session(budget=1.0).plan("a cow").estimate == pytest.approx(0.5)
    assert fal.count("pricing") == 2
    assert make_session().plan("a cow").estimate == pytest.approx(0.5)  # known now, and shown
    assert fal.count("pricing") == 2


@pytest.mark.parametrize("unit", ["compute seconds", "units", "megapixels", ""])
def test_a_price_in_a_unit_that_cannot_be_applied_is_none(
    make_session: MakeSession, fal: ScriptedFal, unit: str
) -> None:
    fal.platform.unit = unit
    for _ in range(2):
        with pytest.raises(BudgetExceeded, match="no price is known for v1-pro"):
            make_session(budget=100).submit("a cat")
    assert not fal.accepted
    assert fal.count("pricing") == 1


@pytest.mark.parametrize("kind", ["reset", "status", "busy", "no_money", "invalid_json", "wrong_types"])
def test_a_pricing_api_that_does_not_answer_refuses_as_before_and_is_asked_again_later(
    make_session: MakeSession, fal: ScriptedFal, kind: str
) -> None:
    fal.fault("pricing", kind, times=100)
    session = make_session(budget=100)
    for prompt in ("a cat", "a dog"):
        with pytest.raises(BudgetExceeded, match="no price is known for v1-pro"):
            session.submit(prompt)
    asked = fal.count("pricing")
    assert 1 <= asked <= 6  # the tries of one call: the second call asks no more
    assert not fal.accepted
    fal.clear_faults()
    assert make_session(budget=100).plan("a cat").refusal is None


async def test_a_call_by_call_submission_asks_for_its_price_too(
    make_session: MakeSession, fal: ScriptedFal
) -> None:
    session = make_session(budget=0.4)
    with pytest.raises(BudgetExceeded, match=r"\$0\.49"):
        await session.client.submit("v1-pro", {"prompt": "a cat", "duration": "5"})
    assert fal.count("pricing") == len(fal.requests) == 1


def test_nothing_is_asked_where_nothing_would_be_sent(make_session: MakeSession, fal: ScriptedFal) -> None:
    make_session().submit("a cat").wait(20)
    make_session(budget=0.1).submit("a cat").wait(20)
    make_session(budget=0.1, frozen=True).plan("a dog")
    make_session(budget=0.1, backend="local").plan("a dog")
    make_session(budget=0.1, credentials=None).plan("a dog")
    make_session(budget=1, prices={"v1-pro": 0.1}).plan("a dog")
    make_session(budget=1, max_cost="none").plan("a dog")
    assert fal.count("pricing") == 0


def test_a_finished_job_shows_units_times_unit_price(make_session: MakeSession, fal: ScriptedFal) -> None:
    priced, asked = make_session().submit("a cat", endpoint=PRICED), make_session(budget=1).submit("a dog")
    for job in (priced, asked):
        job.wait(20)
        assert "5 billable units × $0.098 = $0.49" in card_text(job)
        assert cost(job) == "5 billable units × $0.098 = $0.49"
    unpriced = make_session(home=asked.file.parent / "home").submit("a pig")
    unpriced.wait(20)
    assert cost(unpriced) == "5 billable units"


def test_a_budget_says_that_it_is_for_all_accounts(
    make_session: MakeSession, fal: ScriptedFal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAL_KEY_STUDIO", fal.key)
    session = make_session(credentials=None, account="studio", budget=0.1, daily_budget=0.1)
    with pytest.raises(BudgetExceeded, match=r"budget of this session \(all accounts together\) leaves"):
        session.submit("a cat", endpoint=PRICED)


def test_local_previews_know_no_limit(make_session: MakeSession) -> None:
    plan = make_session(backend="local", max_cost=0.01).plan("a cat", endpoint=PRICED)
    assert plan.estimate == pytest.approx(0.49)


PROGRAM = """
import sys
from kling_nb import Session
from kling_nb.errors import BudgetExceeded
url, key, home, media, word = sys.argv[1:]
session = Session(backend="fal", queue_url=url, rest_url=url, api_url=url, credentials=key, home=home,
                  media=media, daily_budget=1.2)
print("ready", flush=True)
sys.stdin.readline()
try:
    session.submit(word, endpoint="v1.6-pro").wait(20)
    print("sent")
except BudgetExceeded:
    print("over")
"""


def test_kernels_share_the_budget_of_a_day(fal: ScriptedFal, tmp_path: Any) -> None:
    arguments = [fal.url, fal.key, str(tmp_path / "home"), str(tmp_path / "media")]
    kernels = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments, f"prompt {number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for kernel in kernels:
        assert kernel.stdout is not None
        assert kernel.stdout.readline() == "ready\n"
    output = [kernel.communicate("go\n")[0].strip() for kernel in kernels]
    assert sorted(output) == ["over", "over", "sent", "sent"]  # 2 × $0.49 of $1.20
    assert len(fal.accepted) == 2


def test_spending_is_grouped(make_session: MakeSession, fal: ScriptedFal) -> None:
    session = make_session()
    submit(session, "one", notebook="a.ipynb")
    submit(session, "two", notebook="b.ipynb")
    session.submit("three", notebook="b.ipynb").wait(20)
    (day,) = session.spending()
    assert (day.jobs, day.units, day.unknown) == (3, 15.0, 1)
    assert day.usd == pytest.approx(0.98)
    by_notebook = {group.group: (group.jobs, round(group.usd, 2)) for group in session.spending("notebook")}
    assert by_notebook == {"a.ipynb": (1, 0.49), "b.ipynb": (2, 0.49)}
    assert {group.group for group in session.spending("endpoint")} == {
        endpoint(PRICED).id,
        endpoint("v1-pro").id,
    }


@pytest.mark.parametrize(
    ("setting", "value"), [("budget", "lots"), ("daily_budget", -1), ("max_cost", "nan"), ("prices", 3)]
)
def test_amounts_are_checked(make_session: MakeSession, setting: str, value: Any) -> None:
    with pytest.raises(UsageError, match=setting):
        make_session(**{setting: value}).plan("a cat")


def test_fal_is_asked_for_its_price_with_the_key(make_session: MakeSession, fal: ScriptedFal) -> None:
    fal.platform.prices = {endpoint(PRICED).id: 0.098}
    assert str(make_session().live_price(PRICED)) == "$0.098 per second"
    assert fal.last("pricing").headers["authorization"] == f"Key {fal.key}"
    with pytest.raises(ResponseError, match="no price"):
        make_session().live_price("v3-pro")


def test_a_ledger_made_again_from_sidecars_remembers_what_was_spent(
    make_session: MakeSession, fal: ScriptedFal, tmp_path: Path
) -> None:
    """From the sidecar, or from the catalogue where an older sidecar has no estimate."""
    session = make_session(prices={"v1-pro": 0.02})
    submit(session, "one")
    session.submit("two").wait(20)
    for place in (tmp_path / "media").glob("*.json"):
        output = json.loads(place.read_bytes())
        if output["input"]["prompt"] == "one":
            assert output.pop("estimate_usd") == pytest.approx(0.49)
            place.write_text(json.dumps(output))
    session.close()
    home = tmp_path / "home" / "ledger.sqlite3"
    home.unlink()
    care.rebuild(home, [tmp_path / "media"])
    (day,) = make_session().spending()
    assert (day.jobs, day.unknown) == (2, 0)
    assert day.usd == pytest.approx(0.59)
    with pytest.raises(BudgetExceeded, match=r"budget of today leaves \$0\.41"):
        submit(make_session(daily_budget=1.0), "three")


def test_a_row_that_another_kernel_left_unsent_is_held_against_ones_own_limit(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger, dead_owner: str
) -> None:
    """And counts once against the limit of the day, in which it is reserved already."""
    session = make_session(daily_budget=0.6)
    request = session.request("a cat", endpoint=PRICED)
    left, _ = ledger.claim(
        Intent(
            "fal",
            request.endpoint.id,
            dict(request.input),
            "a cat",
            request.fingerprint,
            session.settings().media,
            cost=0.49,
            key_fingerprint="another!",
        )
    )
    ledger.update(left.id, owner=dead_owner)
    with pytest.raises(BudgetExceeded, match="budget of this session"):
        submit(make_session(budget=0.3), "a cat")
    entry = ledger.get(left.id)
    assert entry is not None
    assert (entry.owner, entry.reserved_usd) == (dead_owner, 0.49)
    submit(session, "a cat")
    entry = ledger.get(left.id)
    assert entry is not None
    key = session.settings().key
    assert key is not None
    assert (entry.is_ours, entry.state, entry.key_fingerprint) == (True, State.READY, key.fingerprint)
    assert len(fal.accepted) == 1


FORKED = """
import os, sys
from kling_nb import Session
from kling_nb.errors import BudgetExceeded
url, key, home, media = sys.argv[1:]
session = Session(backend="fal", queue_url=url, rest_url=url, api_url=url, credentials=key, home=home,
                  media=media, budget=1.2)
def made(word):
    try:
        return session.submit(word, endpoint="v1.6-pro").wait(20) is not None
    except BudgetExceeded:
        return False
assert made("before")
child = os.fork()
if not child:
    os._exit(0 if made("child") and made("before") else 1)
assert os.waitpid(child, 0)[1] == 0
print(made("parent"))
"""


def test_a_fork_spends_of_the_same_session_budget(fal: ScriptedFal, tmp_path: Path) -> None:
    arguments = [fal.url, fal.key, str(tmp_path / "home"), str(tmp_path / "media")]
    program = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED, *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert program.stdout == "False\n", program.stderr
    assert len(fal.accepted) == 2
