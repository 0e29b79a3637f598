"""The Python side of the job widget, against a job in memory and a comm that keeps what is sent."""

import json
import threading

import ipywidgets
import pytest
from widget.memory_job import MemoryJob, ready, widget_of

from kling_nb.background import BackgroundThread
from kling_nb.errors import SubmissionUncertain
from kling_nb.events import (
    Cancelled,
    Downloading,
    Failed,
    Held,
    Logged,
    Queued,
    Running,
    State,
    Submitted,
    Unclear,
    Uploading,
)
from kling_nb.job.job import Job
from kling_nb.notebook.widgets.base import CHUNK_LIMIT
from kling_nb.notebook.widgets.feed import BEAT
from kling_nb.notebook.widgets.job import JobWidget
from kling_nb.notebook.widgets.strip import LINES_KEPT


@pytest.fixture(autouse=True)
def no_widgets_left():
    yield
    ipywidgets.Widget.close_all()


@pytest.fixture
def job():
    return MemoryJob(duration=10)


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "heron 1.mp4"
    path.write_bytes(bytes(range(256)) * 40)
    return path


def test_traits_say_what_may_be_saved(job):
    widget = JobWidget(job)
    assert widget.job_id == "job-1"
    assert widget.state == "SUBMITTING"
    assert widget.endpoint == "fal-ai/kling-video/v1/pro/text-to-video"
    assert widget.title == job.request.endpoint.title
    assert widget.prompt == "a heron lands on a frozen lake"
    assert widget.backend == "local"
    assert widget.created_at == job.created_at


def test_unknown_keywords_raise(job):
    with pytest.raises(TypeError, match="colour"):
        JobWidget(job, colour="red")


def test_long_prompts_are_clipped():
    widget = JobWidget(MemoryJob(prompt="x" * 2400))
    assert len(widget.prompt) == 2000
    assert widget.prompt.endswith("…")


def test_saved_state_holds_no_lines_and_no_bytes(job, clip):
    widget, _ = widget_of(job)
    job._apply(Submitted("r-1"), Logged("SECRET LINE"))
    ready(job, clip)
    state = {name: value for name, value in widget.get_state().items() if name not in {"_esm", "_css"}}
    text = json.dumps(state, default=str)
    assert "SECRET LINE" not in text
    assert len(text) < 3000 + len(str(clip))


def test_events_reach_views_and_traits(job):
    widget, comm = widget_of(job)
    job._apply(Uploading(5, 40))
    comm.wait_for(lambda: comm.updates() and comm.updates()[-1]["total"] == 40)
    assert comm.updates()[-1]["received"] == 5
    job._apply(Held())
    comm.wait_for(lambda: comm.updates()[-1]["held"])
    assert comm.updates()[-1]["state"] == "SUBMITTING"  # shown as waiting
    job._apply(Submitted("r-1"), Queued(3))
    comm.wait_for(lambda: comm.updates()[-1]["queue_position"] == 3)
    assert comm.updates()[-1]["request_id"] == "r-1"
    job._apply(Running(), Downloading(10, 20))
    comm.wait_for(lambda: comm.updates()[-1]["received"] == 10)
    comm.wait_for(lambda: comm.traits().get("state") == "DOWNLOADING")
    assert widget.request_id == "r-1"
    revisions = [update["revision"] for update in comm.updates()]
    assert revisions == sorted(set(revisions))


def test_a_line_costs_one_turn_and_leaves_the_next_one_free(job):
    widget, _ = widget_of(job)
    widget._channel.close()  # the turns are taken here
    job._apply(Submitted("r-1"), Running())
    while widget._send_updates():
        pass
    job._apply(Logged("a line"))
    assert widget._send_updates() is False


def test_all_lines_arrive_once_in_order_and_merged(job):
    _, comm = widget_of(job)
    for number in range(500):
        job._apply(Logged(f"line {number}", "2026-01-01T00:00:00Z", "INFO"))
    comm.wait_for(lambda: sum(len(update["lines"]) for update in comm.updates()) == 500)
    seen = []
    for update in comm.updates():
        assert update["first_line"] == len(seen)
        seen += update["lines"]
    assert seen[7] == ["2026-01-01T00:00:00Z", "line 7", "INFO"]
    assert [line[1] for line in seen] == [f"line {number}" for number in range(500)]
    assert len(comm.updates()) < 100


@pytest.mark.parametrize(
    ("event", "state", "message"),
    [
        (Failed(RuntimeError("out of memory")), State.FAILED, "RuntimeError: out of memory"),
        (Cancelled(), State.CANCELLED, "Cancelled. There is no result."),
        (
            Unclear(SubmissionUncertain("No answer came.", remedy="%kling resume")),
            State.UNCERTAIN,
            "No answer came.\n%kling resume",
        ),
    ],
)
def test_every_end_is_reported_and_saved(job, event, state, message):
    widget, comm = widget_of(job)
    job._apply(Running(), event)
    reported = {"state": state, "message": message, "finished_at": job.finished_at}
    comm.wait_for(lambda: reported.items() <= comm.updates()[-1].items() if comm.updates() else False)
    comm.wait_for(lambda: comm.traits().get("finished_at") == job.finished_at)
    assert (widget.state, widget.message, widget.finished_at) == (state, message, job.finished_at)
    assert not job.listeners


def test_a_real_job_is_shown():
    real = Job("0a1b2c", request=MemoryJob().request, backend="local", background=BackgroundThread())
    _, comm = widget_of(real)
    real._apply(Submitted("r-1"))
    real._apply(Logged("loading"))
    comm.wait_for(lambda: comm.updates() and comm.updates()[-1]["request_id"] == "r-1")
    real._apply(Failed(RuntimeError("out of memory")))
    comm.wait_for(lambda: comm.updates()[-1]["finished_at"] == real.finished_at)
    assert comm.updates()[-1]["message"] == "RuntimeError: out of memory"
    assert comm.ask("snapshot")[0]["msg"]["lines"] == [[None, "loading", None]]


def test_ready_says_what_the_video_is(job, clip):
    widget, comm = widget_of(job)
    ready(job, clip)
    comm.wait_for(lambda: comm.traits().get("state") == "READY")
    assert (widget.width, widget.height, widget.duration) == (1280, 720, 5.0)


def test_a_job_that_is_over_needs_no_feed(job, clip):
    ready(job, clip)
    widget, comm = widget_of(job)
    assert widget.state == "READY"
    assert not job.listeners
    assert comm.ask("snapshot")[0]["msg"]["state"] == "READY"


def test_a_closed_widget_listens_no_more(job):
    widget, comm = widget_of(job)
    widget.close()
    job._apply(Running())
    assert not job.listeners
    assert comm.updates() == []


def test_snapshot_has_everything(job):
    _, comm = widget_of(job)
    job._apply(Submitted("r-1", resumed=True), Logged("one"), Logged("two"))
    reply, _ = comm.ask("snapshot", number=77)
    assert reply["ok"] is True
    msg = reply["msg"]
    assert msg["resumed"] is True
    assert msg["lines"] == [[None, "one", None], [None, "two", None]]
    assert msg["first_line"] == 0
    assert [take["key"] for take in msg["takes"]] == [msg["key"]]
    assert msg["takes"][0]["input"] == {"prompt": job.request.prompt, "duration": "10"}
    assert [control["name"] for control in msg["controls"]] == ["prompt", "duration", "aspect_ratio"]
    assert msg["now"] >= job.created_at


def test_snapshot_leaves_out_old_lines_and_says_how_many(job):
    _, comm = widget_of(job)
    job._apply(*(Logged(str(number)) for number in range(LINES_KEPT + 50)))
    msg = comm.ask("snapshot")[0]["msg"]
    assert msg["first_line"] == 50
    assert len(msg["lines"]) == LINES_KEPT
    assert msg["lines"][-1][1] == str(LINES_KEPT + 49)


def test_cancel_answers_when_the_outcome_is_there(job):
    _, comm = widget_of(job)
    content = {"id": 5, "kind": "cancel", "msg": {"key": 1}}
    comm.handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})
    assert [kind for kind in comm.custom() if kind[0]["kind"] == "reply"] == []
    answering = threading.Thread(target=lambda: job.cancels[0].set_result("cancelled in the queue"))
    answering.start()
    assert comm.reply(5)[0]["msg"] == {"outcome": "cancelled in the queue"}
    answering.join()


@pytest.mark.parametrize("end", ["fault", "cancelled"])
def test_cancel_that_fails_is_answered_too(job, end):
    _, comm = widget_of(job)
    content = {"id": 5, "kind": "cancel", "msg": {"key": 1}}
    comm.handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})
    if end == "fault":
        job.cancels[0].set_exception(ConnectionError("no route"))
    else:
        job.cancels[0].cancel()
    reply, _ = comm.reply(5)
    assert reply["ok"] is False
    assert reply["msg"]["error"]


def test_chunks_make_up_the_file(job, clip):
    _, comm = widget_of(job)
    ready(job, clip)
    data = clip.read_bytes()
    got = b""
    while len(got) < len(data):
        reply, (piece,) = comm.ask(
            "chunk", {"key": 1, "offset": len(got), "length": 3000}, number=len(got) + 1
        )
        assert reply["msg"] == {
            "offset": len(got),
            "total": len(data),
            "content_type": "video/mp4",
            "name": "heron 1.mp4",
        }
        got += piece
    assert got == data


@pytest.mark.parametrize(
    ("msg", "word"),
    [
        ({}, "offset"),
        ({"offset": -1, "length": 5}, "offset"),
        ({"offset": 0, "length": 0}, "length"),
        ({"offset": True, "length": 5}, "offset"),
        ({"offset": 0, "length": CHUNK_LIMIT + 1}, "at most"),
        ({"offset": 0, "length": "5"}, "length"),
    ],
)
def test_a_chunk_that_makes_no_sense_is_refused(job, clip, msg, word):
    _, comm = widget_of(job)
    ready(job, clip)
    reply, buffers = comm.ask("chunk", {"key": 1, **msg})
    assert reply["ok"] is False
    assert word in reply["msg"]["error"]
    assert buffers == []


def test_a_file_that_is_gone_is_reported(job, clip):
    _, comm = widget_of(job)
    ready(job, clip)
    clip.unlink()
    reply, _ = comm.ask("chunk", {"key": 1, "offset": 0, "length": 10})
    assert reply["msg"]["error"] == "heron 1.mp4 cannot be read: No such file or directory."


def test_a_chunk_before_there_is_a_video_is_refused(job):
    _, comm = widget_of(job)
    assert comm.ask("chunk", {"key": 1, "offset": 0, "length": 10})[0]["ok"] is False


@pytest.mark.parametrize("content", [{"id": 1, "kind": "explode", "msg": {}}, {"id": 1}, "text", None, []])
def test_whatever_is_asked_is_answered(job, content):
    _, comm = widget_of(job)
    comm.handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})
    number = 1 if isinstance(content, dict) else None
    reply, _ = comm.reply(number)
    assert reply["ok"] is False
    assert "snapshot, cancel, chunk, poster" in reply["msg"]["error"]


def test_commands_are_safe_on_any_thread(job):
    _, comm = widget_of(job)
    threads = [threading.Thread(target=comm.ask, args=("snapshot", {}, number)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    job._apply(*(Logged(str(number)) for number in range(200)))
    for thread in threads:
        thread.join()
    revisions = [comm.reply(number)[0]["msg"]["revision"] for number in range(1, 9)]
    assert len(set(revisions)) == 8


def test_while_a_job_runs_a_beat_comes_where_nothing_is_new():
    """So a page can tell a job that waits from a kernel that is gone."""
    job = MemoryJob()
    widget, comm = widget_of(job)

    def beats():
        return [content for content, _ in comm.custom() if content["kind"] == "beat"]

    assert comm.ask("snapshot")[0]["msg"]["beat"] == BEAT
    assert widget._channel.due is not None  # the first one is due, though nothing has happened yet
    for _ in range(3):  # what is new comes first
        widget._send_updates()
    assert {"kind": "beat"} in beats()
    job._apply(Cancelled())
    comm.wait_for(lambda: comm.updates() and widget.state == "CANCELLED")
    before = beats()
    widget._send_updates()
    assert beats() == before


def test_what_could_not_be_sent_is_sent_later(job, clip):
    widget, comm = widget_of(job)
    with comm.cut():
        job._apply(Logged("one"))
    with comm.cut():
        ready(job, clip)

    def arrived():
        return any(
            take["state"] == "READY"
            for content, _ in comm.custom()
            if content["kind"] == "takes"
            for take in content["msg"]["takes"]
        )

    comm.wait_for(arrived)
    comm.wait_for(lambda: comm.traits().get("state") == "READY")
    job.finished_at += 1
    widget._takes.refresh()
    comm.wait_for(comm.updates)
    assert [line[1] for update in comm.updates() for line in update["lines"]] == ["one"]
