"""Sweeps against the scripted server: what is sent, what it may cost, what is left when a part fails."""

import io
import re
import sys
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from ipywidgets import Widget, __version__
from scripted import Done, Fail, Hold, Log, Queue, Run, Script, ScriptedFal
from widget.memory_job import KeptComm

from kling_nb import Session
from kling_nb.errors import (
    BudgetExceeded,
    InputError,
    Interrupted,
    MissingKey,
    SweepIncomplete,
    UsageError,
    WaitTimeout,
)
from kling_nb.ledger import Ledger
from kling_nb.notebook.output.terminal import TerminalSweep
from kling_nb.notebook.widgets.feed import Feed
from kling_nb.notebook.widgets.grid import GridWidget, SweepSource
from kling_nb.sweeps.sweep import Sweep, SweepCell

MakeSession = Callable[..., Session]


def submissions(fal: ScriptedFal) -> int:
    return len(fal.jobs)


def test_every_combination_is_made_once(session: Session, fal: ScriptedFal) -> None:
    study = session.sweep(["a fox", "a wolf"], duration=[5, 10], aspect_ratio="1:1")
    assert study.wait() is study
    assert [dict(cell.values) for cell in study] == [
        {"prompt": "a fox", "duration": 5},
        {"prompt": "a fox", "duration": 10},
        {"prompt": "a wolf", "duration": 5},
        {"prompt": "a wolf", "duration": 10},
    ]
    sent = sorted(
        tuple(sent.input[name] for name in ("prompt", "duration", "aspect_ratio")) for sent in fal.accepted
    )
    assert sent == [
        ("a fox", "10", "1:1"),
        ("a fox", "5", "1:1"),
        ("a wolf", "10", "1:1"),
        ("a wolf", "5", "1:1"),
    ]
    assert all(study.videos)
    assert study.summary() == "4 of 4 ready"


def test_a_cell_is_never_both_ready_and_to_come(session: Session, fal: ScriptedFal) -> None:
    sweep = session.sweep(["a fox", "a wolf", "an owl"], start=False)
    shown: list[str] = []
    sweep.subscribe(lambda _: shown.append(sweep.summary()))
    sweep.start().wait()
    counts = [[int(number) for number in re.findall(r"\d+", text)] for text in shown]
    assert "3 of 3 ready" in shown
    assert all(ready + sum(others) == total for ready, total, *others in counts), shown


def test_takes_are_reused_cell_by_cell(make_session: MakeSession, fal: ScriptedFal) -> None:
    make_session().sweep("a fox", duration=[5]).wait()
    study = make_session().sweep("a fox", duration=[5, 10], start=False)
    assert study.price == "2 cells · 1 already made, free · 1 to make, no price on record for v1-pro"
    assert submissions(fal) == 1
    study.wait()
    assert [record["reused"] for record in study.records] == [True, False]
    assert submissions(fal) == 2


def test_the_same_cell_twice_is_one_submission(session: Session, fal: ScriptedFal) -> None:
    study = session.sweep(["a fox", "a fox"], start=False)
    assert study.price == "2 cells · 1 the same as another · 1 to make, no price on record for v1-pro"
    study.wait()
    assert submissions(fal) == 1
    assert study[0].video is not None
    assert study[1].video is not None
    assert study[0].video.path == study[1].video.path


def test_takes_can_be_an_axis(session: Session, fal: ScriptedFal) -> None:
    study = session.sweep("a fox", take=[1, 2, 3]).wait()
    assert [record["take"] for record in study.records] == [1, 2, 3]
    assert submissions(fal) == 3


def test_no_more_than_allowed_are_under_way(session: Session, fal: ScriptedFal) -> None:
    fal.script = Script((Queue(0), Run(), Hold(), Done()))
    study = session.sweep([f"fox {number}" for number in range(5)], concurrency=2)
    fal.wait_for(lambda: submissions(fal) == 2)
    assert sum(cell.state == "WAITING" for cell in study) == 3
    for number in range(5):
        fal.wait_for(lambda number=number: submissions(fal) > number)
        fal.jobs[number].release()
    study.wait()
    assert submissions(fal) == 5


def test_a_failing_cell_leaves_the_others(session: Session, fal: ScriptedFal) -> None:
    detail = {"loc": ["body", "prompt"], "msg": "too bold", "type": "content_policy_violation"}
    fal.scripts.queue.extend([Script(), Script((Queue(0), Fail.refused(detail))), Script()])
    study = session.sweep(["a fox", "a wolf", "a cat"], concurrency=1)
    with pytest.raises(SweepIncomplete, match=r"1 of 3 cells have no result\. The others are kept") as caught:
        study.wait()
    assert "too bold" in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 4
    assert [cell.state for cell in study] == ["READY", "FAILED", "READY"]
    assert [cell.index for cell in study.failed] == [1]
    assert study.wait(check=False) is study
    assert "too bold" in study.records[1]["error"]


def test_a_plan_is_started_once_from_its_view(make_session: MakeSession, fal: ScriptedFal) -> None:
    study = make_session(prices={"v1-pro": 0.1}).sweep("a fox", duration=[5, 10], start=False)
    shown = SweepSource(study)
    assert (shown.started, shown.summary, shown.describe()["start_price"]) == (
        False,
        "not started",
        "about $1.50",
    )
    assert [shown.cell(at)["plan"] for at in (0, 1)] == ["about $0.50", "about $1.00"]
    assert submissions(fal) == 0
    with ThreadPoolExecutor(4) as pages:
        list(pages.map(lambda _: shown.start(), range(4)))
    study.wait()
    assert (shown.started, shown.done, submissions(fal)) == (True, True, 2)


def test_a_plan_over_a_limit_is_refused_when_it_is_started(
    make_session: MakeSession, fal: ScriptedFal
) -> None:
    make = make_session(prices={"v1-pro": 0.1}, budget=1.4)
    study = make.sweep("a fox", duration=[5], start=False)
    make.sweep("a wolf", duration=[10]).wait()
    with pytest.raises(BudgetExceeded):
        SweepSource(study).start()
    assert not study.started
    assert submissions(fal) == 1


BROKEN = Fail()


def steps(study: Sweep) -> list[list[str]]:
    shown = SweepSource(study)
    return [[*shown.cell(at)["steps"]] for at in range(len(study))]


def test_a_failed_cell_is_tried_again_and_no_other(session: Session, fal: ScriptedFal) -> None:
    fal.scripts.queue.extend([Script(), Script((Queue(0), BROKEN))])
    study = session.sweep(["a fox", "a wolf"], concurrency=1).wait(check=False)
    shown = SweepSource(study)
    assert steps(study) == [[], ["retry", "edit"]]
    assert shown.cell(1)["price"] == "no price on record for v1-pro"
    with pytest.raises(UsageError, match="Nothing was sent"):
        shown.retry(0)
    shown.retry(1)
    assert study.wait() is study
    assert ([cell.state for cell in study], submissions(fal)) == (["READY", "READY"], 3)
    assert steps(study) == [[], []]


def test_what_fal_refused_is_not_sent_again_as_it_is(session: Session, fal: ScriptedFal) -> None:
    detail = {"loc": ["body", "prompt"], "msg": "too bold", "type": "content_policy_violation"}
    fal.script = Script((Queue(0), Fail.refused(detail)))
    study = session.sweep(["a fox"]).wait(check=False)
    assert steps(study) == [["edit"]]  # as in the view of a job
    with pytest.raises(UsageError, match="Nothing was sent"):
        SweepSource(study).retry(0)
    assert submissions(fal) == 1


@pytest.mark.parametrize(("setting", "message"), [("max_cost", "over --max-cost"), ("budget", "leaves")])
def test_another_try_is_within_the_limits_of_the_sweep(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger, setting: str, message: str
) -> None:
    fal.scripts.queue.extend([Script(), Script((Queue(0), BROKEN))])
    session = make_session(prices={"v1-pro": 0.1}, **{setting: 1.2})
    limit = {"max_cost": 1.2} if setting == "max_cost" else {}
    study = session.sweep(["a fox", "a wolf"], concurrency=1, **limit).wait(check=False)
    shown = SweepSource(study)
    # fal may bill what failed without a type: a third submission would be over the limit.
    assert (shown.money, shown.cell(1)["price"]) == ("about $1.00 in all", "about $0.50")
    with pytest.raises(BudgetExceeded, match=message) as caught:
        shown.retry(1)
    assert "Nothing was sent" in str(caught.value)
    assert ([cell.state for cell in study], submissions(fal)) == (["READY", "FAILED"], 2)
    assert len(ledger.entries()) == 2


def test_another_try_of_what_fal_did_not_bill_fits_again(make_session: MakeSession, fal: ScriptedFal) -> None:
    free = Fail.platform("startup_timeout", 504)
    fal.scripts.queue.extend([Script(), Script((Queue(0), free))])
    session = make_session(prices={"v1-pro": 0.1}, budget=1)
    study = session.sweep(["a fox", "a wolf"], concurrency=1, max_cost=1).wait(check=False)
    shown = SweepSource(study)
    assert (shown.money, shown.cell(1)["cost"]) == ("about $0.50 in all", "not charged")
    shown.retry(1)
    study.wait()
    assert (shown.money, submissions(fal)) == ("about $1.00 in all", 3)


def test_the_end_of_another_try_does_not_give_away_the_money_of_the_others(
    make_session: MakeSession, fal: ScriptedFal
) -> None:
    held = Script((Queue(0), Run(), Hold(), Done()))
    fal.scripts.queue.extend([Script((Queue(0), Fail.platform("startup_timeout", 504))), held])
    session = make_session(prices={"v1-pro": 0.1}, budget=2)
    study = session.sweep(["a fox", "a wolf", "a cat", "a heron"], concurrency=1)
    fal.wait_for(lambda: submissions(fal) == 2 and study[0].state == "FAILED")
    SweepSource(study).retry(0)
    fal.wait_for(lambda: study[0].state == "READY")
    with pytest.raises(BudgetExceeded, match="reserved for a running sweep"):
        session.submit("a stork")
    fal.jobs[1].release()
    study.wait(20)
    assert submissions(fal) == 5


def test_a_cell_that_was_left_out_is_started(make_session: MakeSession, fal: ScriptedFal) -> None:
    fal.script = Script((Queue(3), Hold(), Done()))
    study = make_session(prices={"v1-pro": 0.1}).sweep(["a fox", "a wolf"], concurrency=1)
    fal.wait_for(lambda: study[0].job is not None and study[0].job.request_id)
    shown = SweepSource(study)
    assert shown.money == "about $0.50 so far, $0.50 to go"
    study.cancel()
    study.wait(20, check=False)
    assert [shown.cell(at)["cost"] for at in (0, 1)] == ["not charged", "not submitted, not charged"]
    assert (steps(study), shown.money) == ([["retry", "edit"], ["start"]], "not charged")
    fal.script = Script()
    shown.retry(1)
    study.wait(20, check=False)
    assert (study[1].state, shown.money) == ("READY", "about $0.50 in all")


def test_a_cell_of_which_fal_may_have_the_result_is_resumed(session: Session, fal: ScriptedFal) -> None:
    fal.platform.may_sign = False
    fal.fault("download", "status", status=403, times=None)
    study = session.sweep(["a fox"]).wait(check=False)
    assert steps(study) == [["resume", "edit"]]
    fal.clear_faults()
    SweepSource(study).resume(0)
    study.wait()
    assert (study[0].state, submissions(fal)) == ("READY", 1)


@pytest.mark.skipif(__version__ < "8", reason="ipywidgets 7 takes no other comm than its own")
def test_a_job_that_is_resumed_in_an_opened_result_is_that_of_its_cell(
    session: Session, fal: ScriptedFal
) -> None:
    fal.platform.may_sign = False
    fal.fault("download", "status", status=403, times=None)
    study = session.sweep(["a fox"]).wait(check=False)
    widget = GridWidget(SweepSource(study), feed=Feed())
    widget.comm = comm = KeptComm()
    shown = comm.ask("result", {"of": "0", "kind": "snapshot", "msg": {}}, 1)[0]["msg"]
    assert (shown["state"], shown["steps"]) == ("FAILED", ["resume", "edit"])
    fal.clear_faults()
    comm.ask("result", {"of": "0", "kind": "resume", "msg": {"key": shown["key"]}}, 2)
    study.wait()
    assert (study[0].state, study.failed, submissions(fal)) == ("READY", [], 1)
    Widget.close_all()


def test_the_limit_of_the_whole_holds_where_the_backend_is_an_argument(
    make_session: MakeSession, fal: ScriptedFal
) -> None:
    session = make_session(backend="local", prices={"v1-pro": 0.1})
    with pytest.raises(BudgetExceeded, match="2 submissions would cost about"):
        session.sweep("a fox", duration=[5, 10], backend="fal", max_cost=1.4)
    assert submissions(fal) == 0


@pytest.mark.skipif(__version__ < "8", reason="ipywidgets 7 takes no other comm than its own")
def test_a_cell_that_was_tried_again_is_opened_with_its_new_job(session: Session, fal: ScriptedFal) -> None:
    fal.scripts.queue.append(Script((Queue(0), BROKEN)))
    study = session.sweep(["a fox"]).wait(check=False)
    widget = GridWidget(SweepSource(study), feed=Feed())
    widget.comm = comm = KeptComm()
    asked = {"of": "0", "kind": "snapshot", "msg": {}}
    assert comm.ask("result", asked, 1)[0]["msg"]["state"] == "FAILED"
    comm.ask("retry", {"cell": 0}, 2)
    study.wait()
    assert comm.ask("result", asked, 3)[0]["msg"]["state"] == "READY"
    Widget.close_all()


def test_a_take_that_exists_is_shown_before_the_start(session: Session, fal: ScriptedFal) -> None:
    session.submit("a fox").wait()
    study = session.sweep(["a fox", "a wolf"], start=False)
    shown = SweepSource(study)
    made, new = shown.cell(0), shown.cell(1)
    assert (made["state"], made["reused"], new["state"], study.summary()) == (
        "READY",
        True,
        "WAITING",
        "not started",
    )
    assert made["width"] == shown.video(0).width
    assert shown.job(0).reused
    assert (submissions(fal), study[0].job) == (1, None)


def test_one_bad_value_and_nothing_is_sent(session: Session, fal: ScriptedFal) -> None:
    with pytest.raises(InputError, match="aspect_ratio"):
        session.sweep("a fox", aspect_ratio=["16:9", "4:3"])
    with pytest.raises(UsageError, match="concurrency"):
        session.sweep("a fox", duration=[5], concurrency=0)
    assert submissions(fal) == 0


def test_the_price_of_the_whole(make_session: MakeSession, fal: ScriptedFal) -> None:
    priced = make_session(prices={"v1-pro": 0.1})
    study = priced.sweep("a fox", duration=[5, 10], start=False)
    assert study.estimate == pytest.approx(1.5)
    assert study.price == "2 cells · 2 to make, about $1.50"
    assert not study.started
    assert submissions(fal) == 0


@pytest.mark.parametrize(
    ("limits", "call"),
    [({"budget": 1.4}, {}), ({"daily_budget": 1.4}, {}), ({}, {"max_cost": 1.4}), ({"max_cost": 0.9}, {})],
)
def test_nothing_is_sent_where_the_whole_is_over_a_limit(
    make_session: MakeSession, fal: ScriptedFal, limits: dict[str, Any], call: dict[str, Any]
) -> None:
    session = make_session(prices={"v1-pro": 0.1}, **limits)
    with pytest.raises(BudgetExceeded, match="Nothing was sent"):
        session.sweep("a fox", duration=[5, 10], **call)
    assert submissions(fal) == 0
    assert session.jobs() == []


def test_the_money_of_a_sweep_is_held_until_it_has_ended(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger
) -> None:
    fal.script = Script((Queue(0), Run(), Hold(), Done()))
    session = make_session(prices={"v1-pro": 0.1}, daily_budget=2)
    planned = session.sweep("a wolf", duration=[5, 10], start=False)  # it would fit by now
    study = session.sweep("a fox", duration=[5, 10], concurrency=1)
    fal.wait_for(lambda: submissions(fal) == 1)
    with pytest.raises(
        BudgetExceeded, match=r"leaves \$0\.50 of \$2\.00 \(\$1\.00 of it reserved for a running sweep"
    ):
        planned.start()
    with pytest.raises(BudgetExceeded, match="Nothing was sent"):
        session.submit("a wolf", duration=10)
    assert not planned.started
    for number in range(2):
        fal.wait_for(lambda number=number: submissions(fal) > number)
        fal.jobs[number].release()
    study.wait(20)
    assert study.summary() == "2 of 2 ready"
    fal.script = Script()
    session.submit("a wolf").wait()  # what is left, to the cent
    assert sum(entry.reserved_usd or 0 for entry in ledger.entries()) == pytest.approx(2)


def test_what_a_sweep_does_not_begin_it_does_not_hold(make_session: MakeSession, fal: ScriptedFal) -> None:
    fal.script = Script((Queue(0), Run(), Hold(), Done()))
    session = make_session(prices={"v1-pro": 0.1}, budget=2)
    study = session.sweep(["a fox", "a wolf", "a cat"], concurrency=1)
    fal.wait_for(lambda: submissions(fal) == 1)
    with pytest.raises(BudgetExceeded):
        session.sweep(["a heron", "a stork"])
    study._spawn_interrupt().result(20)
    study = session.sweep(["a heron", "a stork"])
    fal.wait_for(lambda: submissions(fal) == 3)
    for job in fal.jobs:
        job.release()
    study.wait(20)


SWEEP = """
import kling_nb
kling_nb.configure(prices={"v1-pro": 0.1}, daily_budget=2)
study = kling_nb.sweep(["a fox", "a wolf", "a cat", "a heron"], concurrency=1)
print("started", flush=True)
study.wait()
"""


def test_a_sweep_whose_process_was_killed_is_completed_with_the_money_it_held(
    make_session: MakeSession, fal: ScriptedFal, run: Callable[[str], Any]
) -> None:
    fal.script = Script((Queue(0), Run(), Hold(), Done()))
    program = run(SWEEP)
    assert program.says() == "started"
    fal.wait_for(lambda: submissions(fal) == 1 and fal.open_streams)
    session = make_session(prices={"v1-pro": 0.1}, daily_budget=2)
    with pytest.raises(BudgetExceeded, match="reserved for a running sweep"):
        session.submit("a stork")
    program.process.kill()
    program.process.wait()
    study = session.sweep(["a fox", "a wolf", "a cat", "a heron"], start=False)
    assert study.price == "4 cells · 1 already running, no extra charge · 3 to make, about $1.50"
    study.start()
    for number in range(4):
        fal.wait_for(lambda number=number: submissions(fal) > number)
        fal.jobs[number].release()
    study.wait(20)
    assert submissions(fal) == 4


def test_a_limit_can_be_kept_or_lifted(make_session: MakeSession, fal: ScriptedFal) -> None:
    session = make_session(prices={"v1-pro": 0.1}, budget=1.5)
    session.sweep("a fox", duration=[5, 10], max_cost=1.5).wait()
    with pytest.raises(BudgetExceeded):
        session.sweep("a wolf", duration=[5, 10])
    session.sweep("a wolf", duration=[5, 10], max_cost="none").wait()
    assert submissions(fal) == 4


def test_a_limit_without_a_known_price_refuses(make_session: MakeSession, fal: ScriptedFal) -> None:
    with pytest.raises(BudgetExceeded, match="no price is known"):
        make_session().sweep("a fox", duration=[5, 10], max_cost=100)
    with pytest.raises(MissingKey):
        make_session(credentials=None).sweep("a fox", duration=[5, 10])
    assert submissions(fal) == 0


def test_cancelling_begins_nothing_more(session: Session, fal: ScriptedFal) -> None:
    fal.script = Script((Queue(3), Hold(), Done()))
    study = session.sweep([f"fox {number}" for number in range(4)], concurrency=1)
    fal.wait_for(lambda: submissions(fal) == 1)
    fal.wait_for(lambda: study[0].job is not None and study[0].job.request_id)
    assert study.cancel() == "3 not started, 1 asked to stop"
    with pytest.raises(SweepIncomplete, match=r"4 of 4 cells have no result\. The first error"):
        study.wait(20)
    assert [cell.state for cell in study] == ["CANCELLED", "SKIPPED", "SKIPPED", "SKIPPED"]
    assert submissions(fal) == 1


def test_a_session_that_is_closed_begins_nothing_more(
    make_session: MakeSession, fal: ScriptedFal, ledger: Ledger
) -> None:
    fal.script = Script((Queue(0), Run(), Hold(), Done()))
    session = make_session(prices={"v1-pro": 0.1}, daily_budget=2)
    study = session.sweep(["a fox", "a wolf", "a cat"], concurrency=1)
    fal.wait_for(lambda: submissions(fal) == 1 and fal.open_streams)
    session.close()
    study.wait(20, check=False)
    assert [cell.state for cell in study][1:] == ["SKIPPED", "SKIPPED"]
    assert submissions(fal) == 1
    assert len(ledger.entries()) == 1
    fal.jobs[0].release()
    assert make_session().resume()[0].wait(20)


def test_an_interrupt_reports_the_state_of_the_cells(session: Session, fal: ScriptedFal) -> None:
    fal.script = Script((Queue(0), Run(), Hold(), Done()))
    study = session.sweep(["a fox", "a wolf"], concurrency=1)
    fal.wait_for(lambda: study[0].state == "IN_PROGRESS")
    reported = study._spawn_interrupt().result(20)
    assert isinstance(reported, Interrupted)
    assert "1 not started, 0 cancelled in the queue, 1 still running" in str(reported)
    fal.jobs[0].release()
    study.wait(20, check=False)


def test_a_wait_that_runs_out(session: Session, fal: ScriptedFal) -> None:
    fal.script = Script((Queue(0), Run(), Hold(), Done()))
    study = session.sweep(["a fox"])
    with pytest.raises(WaitTimeout, match="0 of 1 ready, 1 to come"):
        study.wait(0.05)
    fal.wait_for(lambda: submissions(fal) == 1)
    fal.jobs[0].release()
    study.wait(20)


async def test_it_can_be_awaited(session: Session) -> None:
    study = await session.sweep(["a fox", "a wolf"])
    assert study.done
    assert len(study) == 2


def test_records_are_a_table(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    study = session.sweep(["a fox", "a wolf"], duration=[5, 10]).wait()
    records = study.records
    assert len({tuple(record) for record in records}) == 1
    assert records[3]["prompt"] == "a wolf"
    assert records[3]["duration"] == 10
    assert records[3]["state"] == "READY"
    assert records[3]["path"].endswith(".mp4")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="pandas is not installed"):
        study.to_pandas()
    # What stands in for pandas is no part of this project, and no dependency of it.
    monkeypatch.setitem(sys.modules, "pandas", types.SimpleNamespace(DataFrame=lambda rows: ("table", rows)))
    assert study.to_pandas() == ("table", records)


def test_the_ledger_has_a_row_for_each_submission(session: Session, ledger: Ledger) -> None:
    session.sweep(["a fox", "a wolf"], notebook="study.ipynb").wait()
    assert {(entry.prompt, entry.notebook, entry.state.value) for entry in ledger.entries()} == {
        ("a fox", "study.ipynb", "READY"),
        ("a wolf", "study.ipynb", "READY"),
    }


def test_in_a_terminal_it_is_text(session: Session) -> None:
    study = session.sweep(["a fox", "a wolf"])
    stream = io.StringIO()
    shown = TerminalSweep(study, stream)
    shown.wait(20)
    shown.finish()
    shown.finish()
    *progress, whole, first, second = stream.getvalue().splitlines()
    assert all(" of 2 ready" in line for line in progress)
    assert whole == "Sweep: 2 prompts · 2 of 2 ready"
    assert first.split()[:4] == ["1", "ready", "a", "fox"]
    assert second.endswith(".mp4")


def test_a_log_line_is_no_change_of_a_cell(session: Session, fal: ScriptedFal) -> None:
    def changes(lines: int) -> int:
        fal.script = Script([Run(), *(Log(f"line {number}") for number in range(lines)), Done()])
        sweep = session.sweep([f"a cat of {lines}"], start=False)
        found: list[SweepCell] = []
        sweep.subscribe(found.append)
        sweep.wait()
        assert sweep[0].job is not None
        assert len(sweep[0].job.lines) >= lines
        return len(found)

    assert changes(50) == changes(2)
