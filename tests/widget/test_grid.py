"""The grid widget and its static forms: of a sweep in any state, and of a storyboard."""

import json
import re
from concurrent.futures import Future
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import ipywidgets
import pytest
from clips import colourful, make_clip
from hostile import HOSTILE
from widget.memory_job import KeptComm, kinds_sent

from kling_nb import Storyboard, Sweep, Video
from kling_nb.background import BackgroundThread
from kling_nb.catalog.shipped import endpoint
from kling_nb.errors import (
    BudgetExceeded,
    InputRefused,
    Interrupted,
    KlingError,
    MediaError,
    RateLimited,
    SubmissionUncertain,
    UsageError,
)
from kling_nb.events import Cancelled, Failed, JobState, Queued, State, Submitted, Unclear
from kling_nb.job.job import Job
from kling_nb.notebook.card import grid as grid_card
from kling_nb.notebook.card.grid import layout_of
from kling_nb.notebook.card.mark import Mark
from kling_nb.notebook.widgets import base
from kling_nb.notebook.widgets import grid as grid_widget
from kling_nb.notebook.widgets.feed import BEAT, Feed
from kling_nb.notebook.widgets.grid import GridWidget, StoryboardSource, SweepSource, Wholes
from kling_nb.notebook.widgets.takes import StripTake
from kling_nb.request.request import VideoRequest
from kling_nb.session import Plan
from kling_nb.settings import resolve
from kling_nb.sweeps.axes import Axis, combinations
from kling_nb.sweeps.sweep import SweepCell

ROOT = Path(__file__).resolve().parents[2]
PROTOCOL = (ROOT / "js" / "grid" / "protocol.js").read_text(encoding="utf-8")


def plan_of(prompt, **values):
    settings = resolve({"backend": "local"}, environ={})
    return Plan(VideoRequest.build(endpoint("v1-pro"), {"prompt": prompt, **values}), settings, None, None)


def study_of(prompts=("a fox", "a wolf"), durations=(5, 10)):
    """A sweep that is not started: the test changes its cells itself."""
    axes = [Axis.of("prompt", prompts), Axis.of("duration", durations)]
    cells = []
    for index, place in enumerate(combinations(axes)):
        values = {axis.name: axis.values[at] for axis, at in zip(axes, place, strict=True)}
        cells.append(SweepCell(index, place, values, plan_of(**values)))
    return Sweep(axes, cells, payment=None, background=BackgroundThread.get_shared())


def begin(cell, *events):
    cell.job = Job(
        f"job{cell.index}", request=cell.request, backend="local", background=BackgroundThread.get_shared()
    )
    for event in events:
        cell.job._apply(event)
    return cell.job


def finish(cell, path):
    job = begin(cell)
    job.video = job.result = Video.from_file(path, take=1, backend="local")
    job.file = path
    job._restore(JobState(state=State.READY, request_id=f"r-{cell.index}"))


@pytest.fixture
def clip(tmp_path):
    return make_clip(tmp_path / "a fox #1.mp4", paint=colourful)


@pytest.fixture
def study(clip):
    study = study_of()
    finish(study[0], clip)
    begin(study[1], Submitted("r-1"), Queued(2))
    study[2].error = KlingError("It was refused.", remedy="Change it.")
    for cell in study:
        study._notify(cell)
    return study


@pytest.fixture
def pair(study):
    widget = GridWidget(SweepSource(study), feed=Feed())
    widget.comm = KeptComm()
    yield widget, widget.comm
    ipywidgets.Widget.close_all()


def js_list(name):
    found = re.search(rf"export const {name} = .*?(\[.*?\])", PROTOCOL, re.DOTALL)
    return json.loads(re.sub(r",\s*\]", "]", found[1]))


def js_typedef(name):
    blocks = re.findall(r"/\*\*.*?\*/", PROTOCOL, re.DOTALL)
    block = next(block for block in blocks if f"@typedef {{object}} {name}" in block)
    return re.findall(r"@property \{.*?\} (\w+)", block)


# -- both ends agree -------------------------------------------------------------------


def test_commands(pair):
    assert set(js_list("COMMANDS")) == set(pair[0]._handlers(()))


def test_the_kernel_sends_only_notices_that_are_listed():
    assert kinds_sent(grid_widget, base) | {"result"} == set(js_list("NOTICES"))  # `strip.py` sends results


def test_fields(pair):
    _, comm = pair
    snapshot, _ = comm.ask("snapshot")
    assert set(snapshot["msg"]) == set(js_typedef("Snapshot"))
    assert js_list("CELL_FIELDS") == js_typedef("Cell")
    assert all(set(cell) == set(js_list("CELL_FIELDS")) for cell in snapshot["msg"]["cells"])
    assert set(js_list("TRAITS")) == {"sweep_id", "count", "summary"} == set(js_typedef("GridModel"))


def test_a_storyboard_speaks_the_same(clip):
    sheet = StoryboardSource(Storyboard([clip, clip]))
    assert set(sheet.cell(0)) == set(js_list("CELL_FIELDS"))
    added = {"now", "beat", "revision", "done", "started", "summary", "money", "board", "cells"}
    assert set(sheet.describe()) == set(js_typedef("Snapshot")) - added


# -- the kernel's side --------------------------------------------------------------------


def test_the_snapshot_says_where_each_cell_stands(pair):
    _, comm = pair
    msg = comm.ask("snapshot")[0]["msg"]
    assert (msg["rows"], msg["columns"]) == (["a fox", "a wolf"], ["Duration 5 s", "Duration 10 s"])
    assert msg["places"] == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert [cell["state"] for cell in msg["cells"]] == ["READY", "IN_QUEUE", "FAILED", "WAITING"]
    assert msg["cells"][1]["queue_position"] == 2
    assert "refused" in msg["cells"][2]["message"]
    assert msg["summary"] == "1 of 4 ready, 1 without a result, 2 to come"
    json.dumps(msg)


def test_what_could_not_be_sent_is_sent_later(pair, study):
    _, comm = pair
    comm.ask("snapshot")
    begin(study[3], Submitted("r-3"))
    with comm.cut():
        study._notify(study[3])
    comm.wait_for(lambda: any(cell["state"] == "IN_QUEUE" for m in comm.updates() for cell in m["cells"][3:]))


def test_changes_are_reported(pair, study):
    _, comm = pair
    before = comm.ask("snapshot")[0]["msg"]["revision"]
    begin(study[3], Submitted("r-3"))
    study._notify(study[3])

    def reported():
        return [
            m for m in comm.updates() if m["revision"] > before and any(c["cell"] == 3 for c in m["cells"])
        ]

    comm.wait_for(reported)
    assert next(cell for cell in reported()[-1]["cells"] if cell["cell"] == 3)["state"] == "IN_QUEUE"


def test_a_page_that_gets_no_answer_is_sent_everything_again_and_again(pair):
    _, comm = pair
    comm.wait_for(lambda: sum("mode" in update for update in comm.updates()) == 2)
    comm.ask("snapshot")
    whole = next(update for update in comm.updates() if "mode" in update)
    assert set(whole) == set(js_typedef("Snapshot"))
    assert [cell["state"] for cell in whole["cells"]] == ["READY", "IN_QUEUE", "FAILED", "WAITING"]


def test_everything_is_sent_ever_more_rarely_and_not_after_an_answer():
    now, sent = 0.0, []
    wholes = Wholes(lambda: now)
    while now < 3600:
        if wholes.take():
            sent.append(now)
        now += wholes.delay()
    assert sent[:4] == [0.5, 1.5, 3.5, 7.5]
    assert len(sent) == 12
    wholes.answered()
    assert wholes.delay() is None
    assert not wholes.take()


def test_while_a_cell_runs_a_beat_comes_where_nothing_is_new(pair, study):
    """As in the view of a job: so a page can tell a grid that waits from a kernel that is gone."""
    widget, comm = pair

    def beats():
        return [content for content, _ in comm.custom() if content["kind"] == "beat"]

    assert comm.ask("snapshot")[0]["msg"]["beat"] == BEAT
    widget._send_updates()  # all that is new
    study._running = Future()  # it has started
    widget._send_updates()
    assert {"kind": "beat"} in beats()
    assert widget._channel.due is not None  # the next one
    study._done.set_result(None)
    before = beats()
    widget._send_updates()
    assert beats() == before


def test_an_observer_that_fails_is_shown_and_stops_no_update(pair, study):
    widget, comm = pair

    def broken(change):
        raise ValueError("not mine")

    widget.observe(broken, "summary")
    begin(study[3], Submitted("r-3"))
    study[3].error = KlingError("No.")
    study._notify(study[3])
    comm.wait_for(lambda: any(content["kind"] == "fault" for content, _ in comm.custom()))
    fault = next(content for content, _ in comm.custom() if content["kind"] == "fault")
    assert "`summary` raised ValueError: not mine" in fault["msg"]["error"]


def test_a_page_that_was_answered_gets_changes_only(pair, study):
    _, comm = pair
    before = comm.ask("snapshot")[0]["msg"]["revision"]
    begin(study[3], Submitted("r-3"))
    study._notify(study[3])
    comm.wait_for(lambda: any(update["revision"] > before for update in comm.updates()))
    assert all("mode" not in update for update in comm.updates() if update["revision"] > before)


def test_what_a_cell_without_a_result_says_of_its_cost(study):
    study[3].error = Interrupted("This cell of the sweep was not started. Nothing was sent.")
    begin(study[1], Submitted("r-1"), Queued(2), Cancelled())
    study[1].job.backend = "fal"
    shown = SweepSource(study)
    assert [shown.cell(at)["cost"] for at in (1, 3)] == ["not charged", "not submitted, not charged"]


@pytest.mark.parametrize(
    ("fault", "steps"),
    [
        (KlingError("It broke."), ("retry", "edit")),
        (InputRefused("no", status_code=422), ("edit",)),
        (RateLimited("slow down", status_code=429), ("resume", "edit")),
        (SubmissionUncertain("No answer."), ("resume", "edit")),
        (None, ("start",)),
    ],
)
def test_a_cell_has_the_next_steps_of_a_job_with_the_same_end(study, fault, steps):
    if fault is None:
        study[3].error = BudgetExceeded("Too much. Nothing was sent.")
    else:
        end = Unclear if isinstance(fault, SubmissionUncertain) else Failed
        job = begin(study[3], Submitted("r-3"), end(fault))
        job.maker, study[3].error = object(), fault
        assert StripTake(1, job).fields()["steps"] == [*steps]
    assert SweepSource(study).cell(3)["steps"] == steps


def sweep_of(*plans):
    """A sweep that is not started, of these plans."""
    cells = [SweepCell(index, (index,), {}, plan) for index, plan in enumerate(plans)]
    axes = [Axis.of("prompt", [f"{index}" for index in range(len(plans))])]
    return Sweep(axes, cells, payment=None, background=BackgroundThread.get_shared())


@pytest.mark.parametrize(("asked", "shape"), [("16:9", 16 / 9), ("1:1", 1.0), ("9:16", 9 / 16)])
def test_a_cell_without_a_video_says_the_shape_that_it_will_have(asked, shape):
    cell = SweepSource(sweep_of(plan_of("a fox", aspect_ratio=asked))).cell(0)
    assert cell["shape"] == pytest.approx(shape, abs=1e-3)
    assert cell["state"] == "WAITING"
    assert cell["created_at"] is None


def test_a_cell_of_a_plan_says_what_a_start_does_with_it():
    found = replace(plan_of("a wolf"), elsewhere=object())
    shown = SweepSource(sweep_of(plan_of("a fox"), plan_of("a fox"), found))
    price, alike, made = (shown.cell(at)["plan"] for at in range(3))
    assert price.startswith("free preview")
    assert (alike, made) == ("the same as another", "copied from another folder, free")


def test_a_cell_that_was_left_out_says_that_nothing_was_sent(study):
    study[3].error = Interrupted("This cell of the sweep was not started. Nothing was sent.")
    assert SweepSource(study).cell(3)["state"] == "SKIPPED"
    assert "Nothing was sent." in SweepSource(study).cell(3)["message"]


@pytest.mark.parametrize("end", [Unclear(KlingError("No answer.")), Failed(MediaError("The disk is full."))])
def test_what_fal_may_have_is_not_sent_again(study, end):
    begin(study[3], Submitted("r-3"), end)
    study[3].error = study[3].job.error
    shown = SweepSource(study)
    assert shown.cell(3)["steps"] == ("resume", "edit")
    with pytest.raises(UsageError, match="Nothing was sent"):
        shown.retry(3)


def test_pieces_and_posters(pair, clip):
    _, comm = pair
    reply, (piece,) = comm.ask("chunk", {"cell": 0, "offset": 0, "length": 100}, 2)
    assert bytes(piece) == clip.read_bytes()[:100]
    assert reply["msg"]["total"] == clip.stat().st_size
    _, (jpeg,) = comm.ask("poster", {"cell": 0}, 3)
    assert bytes(jpeg).startswith(b"\xff\xd8")


@pytest.mark.parametrize(
    ("kind", "msg", "shown"),
    [
        ("poster", {"cell": 3}, "no video"),
        ("chunk", {"cell": 9, "offset": 0, "length": 1}, "from 0 to 3"),
        ("chunk", {"cell": True}, "from 0 to 3"),
        ("cancel", {"cell": 3}, "has not started"),
        ("retry", {"cell": 0}, "Nothing was sent"),
        ("retry", {}, "from 0 to 3"),
        ("dance", {}, "Unknown command"),
    ],
)
def test_every_command_is_answered(pair, kind, msg, shown):
    _, comm = pair
    reply, _ = comm.ask(kind, msg, 5)
    assert reply["ok"] is False
    assert shown in reply["msg"]["error"]


# -- layout and static forms -----------------------------------------------------------------


def test_one_axis_flows_and_long_labels_are_rows():
    one = study_of(("a fox", "a wolf"), (5,))
    assert layout_of(one).places is None
    assert layout_of(one).captions == ("a fox", "a wolf")
    long = study_of(("a fox", "a wolf"), (5, 10))
    assert layout_of(long).row_axis == "prompt"


class Reader(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.tags = []
        self.texts = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_card_is_a_table_that_plays(study, monkeypatch, clip):
    monkeypatch.chdir(clip.parent)
    page = Reader(grid_card.sweep_html(study))
    assert [th.get("scope") for th in page.all("th")].count("rowgroup") == 2
    (video,) = page.all("video")
    assert video["src"] == "a%20fox%20%231.mp4"
    assert page.all("img")[0]["src"].startswith("data:image/jpeg")
    assert page.all("style") == page.all("script") == []
    assert "LOCAL PREVIEW" in grid_card.sweep_html(study)
    assert "It was refused." in " ".join(page.texts)
    assert len(grid_card.sweep_html(study)) < 20_000
    assert "<video" not in grid_card.sweep_html(study, players=False)


def test_the_card_of_a_plan_plays_the_takes_that_exist(monkeypatch, clip):
    monkeypatch.chdir(clip.parent)
    plan = study_of()
    video = Video.from_file(clip, take=1, backend="local")
    found = SimpleNamespace(result=lambda: video)
    plan[1].plan = replace(plan[1].plan, found=found)
    page = Reader(grid_card.sweep_html(plan, players=False))
    (player,) = page.all("video")
    assert (player["src"], player["data-kling-part"]) == ("a%20fox%20%231.mp4", "1")
    dashed = [one for one in page.all("div") if "dashed" in one["style"] and "height:96px" in one["style"]]
    assert len(dashed) == len(plan) - 1  # those without a take look like a plan
    shown = " ".join(page.texts)
    assert shown.count("Not started") == len(plan)  # the whole, and the cells without a take
    assert "not started" not in shown
    assert "Ready Already made, free" in " ".join(shown.split())


@pytest.mark.parametrize(
    ("states", "words"),
    [
        (("READY", "READY"), "Ready"),
        (("READY", "FAILED"), "Incomplete"),
        (("FAILED", "FAILED"), "Failed"),
        (("READY", "IN_QUEUE", "IN_PROGRESS", "WAITING"), "Generating"),
        (("READY", "WAITING"), "Waiting"),  # the next one is about to start
        (("SKIPPED", "SKIPPED"), "Not started"),
        (("READY", "SKIPPED"), "Incomplete"),
    ],
)
def test_the_head_of_a_card_has_the_state_of_the_whole(states, words):
    cells = [(state, False) for state in states]
    assert grid_card.whole_chip(cells).endswith(f"</span>{words}</span>")
    assert "Not started" in grid_card.whole_chip([("WAITING", False)], started=False)


def test_the_head_of_a_card_says_waiting_if_fal_accepts_none_of_its_requests():
    held = [("READY", False), ("SUBMITTING", True)]
    assert "Waiting" in grid_card.whole_chip(held)
    assert "Submitting" in grid_card.whole_chip([*held, ("SUBMITTING", False)])


def test_a_sweep_without_its_kernel_says_what_the_ledger_knows_of_its_cells(clip):
    video = Video.from_file(clip)
    shots = [("one", video), ("two", None), ("three", None), ("four", None)]
    states = [None, State.READY, State.FAILED, None]
    shown = " ".join(Reader(grid_card.html_of_takes(Mark("sweep"), shots, clip.parent, states)).texts)
    assert "1 of 4 ready, 1 file missing. Run its cell again to get it back" in shown
    order = ("Incomplete", "Sweep", "one Ready", "two File missing", "three Failed", "four No video here")
    assert [shown.index(one) for one in order] == sorted(shown.index(one) for one in order)


@pytest.mark.parametrize("durations", [(5,), (5, 10)])
def test_the_card_of_a_large_sweep_plays_the_first_videos_and_links_to_the_others(
    monkeypatch, clip, durations
):
    monkeypatch.chdir(clip.parent)
    large = study_of([f"a fox, number {number}" for number in range(500 // len(durations))], durations)
    finish(large[0], clip)
    for cell in large[1:]:
        cell.job = large[0].job
    html = grid_card.sweep_html(large)
    page = Reader(html)
    assert len(html) < 300_000
    assert len(page.all("video")) == 12
    assert [link["data-kling-part"] for link in page.all("a")] == [str(part) for part in range(12, 500)]
    assert {link["href"] for link in page.all("a")} == {"a%20fox%20%231.mp4"}
    assert "The first 12 of 500 play here" in html
    again = grid_card.html_of_takes(Mark("sweep"), [("a fox", large[0].video)] * 500, clip.parent)
    assert len(Reader(again).all("video")) == 12
    assert len(Reader(again).all("a")) == 488
    assert "The first 12 of 500 play here" in again


def test_the_text_has_a_line_for_each_cell(study):
    lines = grid_card.sweep_text(study).splitlines()
    assert len(lines) == 5
    assert "2 prompts × 2 durations" in lines[0]
    assert "a fox · Duration 5 s" in lines[1]
    assert "refused" in lines[3]


def test_a_storyboard_card_shows_shots_in_order(clip, monkeypatch):
    monkeypatch.chdir(clip.parent)
    board = Storyboard([clip, clip], [None, (0.5, None)])
    page = Reader(grid_card.storyboard_html(board))
    assert len(page.all("video")) == 2
    shown = " ".join(page.texts)
    assert "2 shots, 3.5 s" in shown
    assert "1 · a fox #1.mp4 2 s 2 · a fox #1.mp4 0.5–2 s" in shown  # as in the live view
    assert grid_card.storyboard_text(board).splitlines()[1:] == [
        "  1 · a fox #1.mp4  2 s  a fox #1.mp4",
        "  2 · a fox #1.mp4  0.5–2 s  a fox #1.mp4",
    ]


@pytest.mark.parametrize("text", HOSTILE)
def test_text_from_outside_is_text(text):
    study = study_of((text, "a wolf"), (5, 10))
    study[0].error = KlingError(text)
    page = Reader(grid_card.sweep_html(study))
    assert {tag for tag, _ in page.tags} <= {
        "div",
        "strong",
        "span",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    }
    json.dumps(SweepSource(study).describe())


def test_a_failed_job_says_why(study):
    study[1].job._apply(Failed(KlingError("The runner failed.")))
    study[1].error = study[1].job.error
    assert SweepSource(study).cell(1)["message"] == "The runner failed."
