"""A job that lives in memory only, and a comm that keeps what is sent: the two ends of a widget."""

import ast
import threading
import time
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

from comm.base_comm import BaseComm

from kling_nb.catalog.shipped import endpoint
from kling_nb.events import JobState, Logged, State, fold
from kling_nb.notebook.widgets.feed import Feed
from kling_nb.notebook.widgets.job import JobWidget
from kling_nb.request.request import VideoRequest

PATIENCE = 20


class MemoryJob:
    """Takes events as a real job does, and tells its listeners on the caller's thread."""

    id = "job-1"
    backend = "local"

    def __init__(self, prompt="a heron lands on a frozen lake", **values):
        self.request = VideoRequest.build(endpoint("v1-pro"), {"prompt": prompt, **values})
        self.created_at = time.time()
        self.finished_at = None
        self.state = JobState()
        self.lines = []
        self.video = self.result = None
        self.file = None
        self.reused = False
        self.made_on = ""
        self.outcome = None
        self.expected_seconds = None
        self.maker = None
        self.notices = ()
        self.variable = None
        self.result = None
        self.made_from = None
        self.cell = None
        self.listeners = {}
        self.cancels = []

    @property
    def done(self):
        return self.state.state.finished

    @property
    def error(self):
        return self.state.error

    def subscribe(self, listener):
        key = object()
        self.listeners[key] = listener
        return lambda: self.listeners.pop(key, None) and None

    def cancel_soon(self):
        self.cancels.append(Future())
        return self.cancels[-1]

    def _apply(self, *events):
        for event in events:
            if isinstance(event, Logged):
                self.lines.append(event)
            self.state = fold(self.state, event)
            if self.state.state.finished:
                self.finished_at = time.time()
            for listener in list(self.listeners.values()):
                listener(event, self.state)


class KeptComm(BaseComm):
    """A comm whose messages can be waited for."""

    def __init__(self):
        self.sent = []
        self.arrived = threading.Condition()
        self.fails = None
        super().__init__(target_name="jupyter.widget")

    def publish_msg(self, msg_type, data=None, metadata=None, buffers=None, **keys):
        with self.arrived:
            if self.fails is not None:
                self.fails += 1
                self.arrived.notify_all()
                raise OSError("the connection is cut")
            self.sent.append((data or {}, list(buffers or ())))
            self.arrived.notify_all()

    @contextmanager
    def cut(self):
        """Let nothing through until a message was lost in the block and after it."""
        self.fails = 0
        yield
        self.wait_for(lambda: self.fails)
        self.fails = None

    def custom(self):
        """Custom messages so far, each with its buffers."""
        return [(data["content"], buffers) for data, buffers in self.sent if data.get("method") == "custom"]

    def updates(self):
        return [content["msg"] for content, _ in self.custom() if content["kind"] == "update"]

    def traits(self):
        """Traits as a front end has them now."""
        merged = {}
        for data, _ in self.sent:
            merged |= data.get("state", {})
        return merged

    def wait_for(self, condition):
        with self.arrived:
            assert self.arrived.wait_for(condition, PATIENCE), self.sent[-5:]

    def ask(self, kind, msg=None, number=1):
        """Send a command as a view does, and give the reply and its buffers."""
        content = {"id": number, "kind": kind, "msg": msg or {}}
        self.handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})
        return self.reply(number)

    def reply(self, number=1):
        found = []

        def arrived():
            found[:] = [(c, b) for c, b in self.custom() if c["kind"] == "reply" and c["id"] == number]
            return found

        self.wait_for(arrived)
        return found[-1]


def widget_of(job):
    """A widget with a kept comm, on a feed of its own."""
    widget = JobWidget(job, feed=Feed())
    widget.comm = KeptComm()
    return widget, widget.comm


def ready(job, path, *, width=1280, height=720, take=1):
    """Give the job its video: bytes in a file."""
    from kling_nb.events import Ready
    from kling_nb.video import Video

    job.video = job.result = Video(
        path=path, width=width, height=height, fps=24.0, duration=5.0, frame_count=120, take=take
    )
    job.file = path
    job._apply(Ready())
    assert job.state.state is State.READY


def kinds_sent(*modules):
    """The kinds of message in the source of modules."""
    trees = [ast.parse(Path(one.__file__).read_text(encoding="utf-8")) for one in modules]
    return {
        value.value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and key.value == "kind" and isinstance(value, ast.Constant)
    }
