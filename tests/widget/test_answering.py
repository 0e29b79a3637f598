"""Errors of commands and observers in Python reach the views. Unfinished uploads are dropped."""

import threading
from concurrent.futures import Future
from contextvars import ContextVar, copy_context
from types import SimpleNamespace

import ipywidgets
import pytest
from widget.memory_job import KeptComm, MemoryJob, ready, widget_of

from kling_nb import Panel, Session
from kling_nb.errors import UsageError
from kling_nb.events import Running, State
from kling_nb.notebook.widgets.base import reply
from kling_nb.notebook.widgets.compose import PATIENCE, Attachments
from kling_nb.notebook.widgets.feed import Feed
from kling_nb.video import Video


@pytest.fixture(autouse=True)
def no_widgets_left():
    yield
    ipywidgets.Widget.close_all()


@pytest.fixture
def sent():
    return []


@pytest.fixture
def send(sent):
    return lambda content, buffers=(): sent.append(content)


@pytest.fixture
def panel(home, tmp_cwd):
    with Session(backend="local", local_speed=float("inf")) as session:
        made = Panel(session, feed=Feed())
        made.comm = KeptComm()
        yield made


def test_an_interrupted_command_is_answered_and_the_interrupt_goes_on(send, sent):
    def at_work():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reply(send, 7, at_work)
    assert (sent[0]["id"], sent[0]["ok"]) == (7, False)
    assert "interrupted" in sent[0]["msg"]["error"]


def test_a_later_answer_is_sent_in_the_context_of_its_command():
    """Some versions of ipykernel can send nothing from a thread without it."""
    cell, later, seen = ContextVar("shell_parent"), Future(), []
    command = copy_context()
    command.run(cell.set, "the cell")
    command.run(reply, lambda content, _buffers: seen.append((cell.get(), content["ok"])), 7, lambda: later)
    thread = threading.Thread(target=later.set_result, args=["cancelled"])
    thread.start()
    thread.join()
    assert seen == [("the cell", True)]


@pytest.mark.parametrize("end", ["fault", "cancelled"])
def test_a_later_answer_that_never_comes_is_answered(send, sent, end):
    later = Future()
    reply(send, 7, lambda: later)
    assert sent == []
    if end == "fault":
        later.set_exception(UsageError("no route"))
    else:
        later.cancel()
    (reported,) = sent
    assert reported["ok"] is False
    assert reported["msg"]["error"]


def test_a_panel_answers_a_cancel_that_was_itself_cancelled(panel):
    """As the engine does with its tasks when the kernel shuts down."""
    asked = Future()
    job = SimpleNamespace(cancel_soon=lambda: asked)
    panel._desk.queue._jobs["one"] = job
    content = {"id": 3, "kind": "cancel", "msg": {"job": "one"}}
    panel.comm.handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})
    asked.cancel()
    assert panel.comm.reply(3)[0]["ok"] is False


def divide(change):
    raise ZeroDivisionError("division by zero")


def test_what_an_observer_raises_is_shown_and_keeps_nothing_from_being_set(tmp_path):
    job = MemoryJob()
    widget, comm = widget_of(job)
    widget.observe(divide, "value")
    job._apply(Running())
    (tmp_path / "1.mp4").write_bytes(b"0" * 100)
    ready(job, tmp_path / "1.mp4")
    fault = "An observer of `value` raised ZeroDivisionError: division by zero"
    comm.wait_for(lambda: comm.updates() and comm.updates()[-1]["message"] == fault)
    assert widget.state == State.READY.value  # it comes after `value`
    assert widget.message == ""
    assert comm.traits()["duration"] == 5.0


def test_who_sets_a_trait_gets_the_exception_too(tmp_path):
    job = MemoryJob()
    widget, comm = widget_of(job)
    widget.observe(divide, "take")
    widget.takes = 2
    widget._takes._append(MemoryJob())
    with pytest.raises(ZeroDivisionError):
        widget.take = 2
    comm.wait_for(lambda: comm.updates() and "`take`" in comm.updates()[-1]["message"])


def faults(panel):
    return [content["msg"]["error"] for content, _ in panel.comm.custom() if content["kind"] == "fault"]


def test_a_panel_shows_what_its_observers_raise_and_goes_on(panel, tmp_path):
    panel.observe(divide, "value")
    panel.observe(divide, "request")
    values = {"prompt": "a heron"}
    reply, _ = panel.comm.ask("compose", {"endpoint": "v1-pro", "values": values})
    assert reply["msg"]["quote"]["problem"] is None  # the observer's fault is not the reader's
    job = panel.submit()
    job.wait(30)
    panel.comm.wait_for(lambda: len(faults(panel)) == 2)
    assert isinstance(panel.value, Video)
    assert ["`request`" in faults(panel)[0], "`value`" in faults(panel)[1]] == [True, True]


def test_abandoned_uploads_are_dropped():
    now = [0.0]
    files = Attachments(clock=lambda: now[0])
    about = {"total": 10, "name": "a.png", "type": "image/png"}

    def piece(upload, offset, data):
        return files.attach({"upload": upload, "offset": offset, **about}, [data])

    piece("left", 0, b"12345")
    now[0] = PATIENCE
    piece("slow", 0, b"12345")
    now[0] += 1
    piece("new", 0, b"123")
    assert sum(len(one.data) for one in files._uploads.values()) == 8
    assert piece("slow", 5, b"67890")["file"]["size"] == 10
    with pytest.raises(UsageError, match="was lost"):
        piece("left", 5, b"67890")


def test_the_same_bytes_under_another_name_have_that_name():
    files = Attachments()
    about = {"offset": 0, "total": 3, "type": "image/png"}
    for name in ("a.png", "b.png"):
        file = files.attach({"upload": name, "name": name, **about}, [b"123"])["file"]
        assert file["name"] == name
