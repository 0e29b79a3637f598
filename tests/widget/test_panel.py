"""The Python side of the panel: a session with local previews, and a comm that keeps what is sent."""

import io
import json
import socket
import subprocess
import sys
from itertools import count
from pathlib import Path

import ipywidgets
import pytest
from PIL import Image
from widget.memory_job import KeptComm

from kling_nb import Panel, Session, VideoRequest
from kling_nb.catalog.shipped import endpoint
from kling_nb.errors import InputError, UnknownEndpoint, UsageError
from kling_nb.events import State
from kling_nb.job.plan import GET_BACK, PREVIEW_AGAIN
from kling_nb.ledger import Intent
from kling_nb.notebook.widgets.feed import Feed
from kling_nb.notebook.widgets.library import PAGE, RECOMMENDED
from kling_nb.notebook.widgets.takes import StripTake

TEXT = "fal-ai/kling-video/v1/pro/text-to-video"
IMAGE = "fal-ai/kling-video/v1/pro/image-to-video"
PROMPT = "a heron lands on a frozen lake"
COMPLETE = {"endpoint": TEXT, "values": {"prompt": PROMPT}, "author": 7}


class Page:
    """A page that shows the panel: sends commands, keeps what comes."""

    def __init__(self, panel):
        self.comm = panel.comm = KeptComm()
        self._numbers = count(1)

    def send(self, kind, buffers=(), /, **msg):
        number = next(self._numbers)
        content = {"id": number, "kind": kind, "msg": msg}
        data = {"method": "custom", "content": content}
        self.comm.handle_msg({"content": {"data": data}, "buffers": list(buffers)})
        return self.comm.reply(number)

    def ask(self, kind, buffers=(), /, **msg):
        reply, _ = self.send(kind, buffers, **msg)
        assert reply["ok"], reply
        return reply["msg"]

    def refusal(self, kind, buffers=(), /, **msg):
        reply, _ = self.send(kind, buffers, **msg)
        assert not reply["ok"]
        return reply["msg"]["error"]

    def attach(self, data, name="cat.png", upload="u1"):
        half = len(data) // 2
        about = {"upload": upload, "total": len(data), "name": name, "type": "image/png"}
        assert self.ask("attach", [data[:half]], offset=0, **about) == {"file": None}
        return self.ask("attach", [memoryview(data)[half:]], offset=half, **about)["file"]

    def wait_ready(self, job_id):
        def is_ready():
            rows = [row for update in self.comm.updates() for row in update["jobs"]]
            return any(row["id"] == job_id and row["state"] == "READY" for row in rows)

        self.comm.wait_for(is_ready)

    def drafts(self):
        return [content["msg"] for content, _ in self.comm.custom() if content["kind"] == "draft"]


@pytest.fixture
def session(home, tmp_cwd):
    with Session(backend="local", local_speed=float("inf")) as made:
        yield made


@pytest.fixture
def panel(session):
    yield Panel(session, feed=Feed())
    ipywidgets.Widget.close_all()


@pytest.fixture
def page(panel):
    return Page(panel)


def picture():
    buffer = io.BytesIO()
    Image.new("RGB", (400, 400), "teal").save(buffer, "PNG")
    return buffer.getvalue()


def note(session, prompt, **columns):
    """A submission in the ledger, as an earlier kernel left it."""
    intent = Intent(
        backend="local",
        endpoint=columns.pop("endpoint", TEXT),
        input={"prompt": prompt, **columns.pop("input", {})},
        prompt=prompt,
        fingerprint=prompt,
        folder=Path("kling_media").absolute(),
        new=True,
    )
    entry, _ = session.ledger.claim(intent)
    if columns:
        session.ledger.update(entry.id, **columns)
    return entry.id


def test_a_panel_begins_with_all_a_page_needs(page):
    snapshot = page.ask("snapshot")
    assert len(snapshot["catalogue"]) >= 72
    assert {short for _, short, *_, recommended in snapshot["catalogue"] if recommended} == set(RECOMMENDED)
    assert snapshot["draft"]["endpoint"] == TEXT
    assert snapshot["controls"][0]["name"] == "prompt"
    assert snapshot["quote"]["backend"] == "local"
    assert (snapshot["jobs"], snapshot["history"]["total"]) == ([], 0)


def test_endpoint_and_unknown_arguments(session):
    assert Panel(session, endpoint="v1-pro-image").submit.__doc__
    with pytest.raises(UnknownEndpoint):
        Panel(session, endpoint="sora")
    with pytest.raises(TypeError, match="colour"):
        Panel(session, colour="red")


def test_composing_makes_the_request_and_tells_other_pages(panel, page):
    seen = []
    panel.observe(lambda change: seen.append(change.new), "request")
    answer = page.ask("compose", **COMPLETE)
    assert isinstance(panel.request, VideoRequest)
    assert panel.request.input == {"prompt": PROMPT}
    assert answer["quote"]["problem"] is None
    (draft,) = page.drafts()
    assert (draft["author"], draft["revision"], draft["values"]) == (
        7,
        answer["revision"],
        {"prompt": PROMPT},
    )
    assert page.ask("snapshot")["draft"]["values"] == {"prompt": PROMPT}
    answer = page.ask("compose", endpoint=TEXT, values={"prompt": PROMPT, "duration": "7"})
    assert "duration" in answer["quote"]["problem"]
    assert answer["quote"]["parameter"] == "duration"
    assert panel.request is None
    assert len(seen) == 2


def test_every_endpoint_has_the_price_of_what_is_composed(page):
    prices = page.ask("prices", values={"duration": "10", "prompt": 3, "multi_prompt": [7]})["prices"]
    assert prices[endpoint("v2.5-turbo-pro").id] == "about $0.70"
    assert prices[TEXT] == ""


def test_a_job_goes_from_compose_to_a_video_and_another_take(panel, page):
    values = []
    panel.observe(lambda change: values.append(change.new), "value")
    page.ask("compose", **COMPLETE)
    row = page.ask("submit", backend="local", **COMPLETE)["job"]
    page.wait_ready(row["id"])
    page.comm.wait_for(lambda: panel.value is not None)
    assert panel.value.request["input"]["prompt"] == PROMPT
    opened = page.ask("open", job=row["id"])
    assert opened["row"]["state"] == "READY"
    assert opened["resumable"] is False
    shown = page.ask("result", of=row["id"], kind="snapshot")
    assert shown["width"] * shown["fps"] > 0
    assert "Unknown command" in page.refusal("result", of=row["id"], kind="dance")
    inner = {"key": shown["key"], "offset": 0, "length": 100}
    reply, (piece,) = page.send("result", of=row["id"], kind="chunk", msg=inner)
    assert piece == panel.value.path.read_bytes()[:100]
    assert reply["msg"]["total"] == panel.value.path.stat().st_size
    reply, (poster,) = page.send("poster", job=row["id"])
    assert poster.startswith(b"\xff\xd8")
    assert page.ask("compose", **COMPLETE)["quote"]["take"] == 1
    shown = page.ask("submit", **COMPLETE)["job"]
    assert (shown["reused"], shown["state"]) == (True, "READY")
    another = page.ask("submit", new=True, **COMPLETE)["job"]
    page.wait_ready(another["id"])
    page.comm.wait_for(lambda: panel.value.take == 2)
    assert page.ask("history")["total"] == 2


def test_submit_from_python(panel, page):
    page.ask("compose", endpoint=TEXT, values={"prompt": PROMPT, "aspect_ratio": "1:1"})
    job = panel.submit(duration=10)
    assert job.request.input == {"prompt": PROMPT, "aspect_ratio": "1:1", "duration": "10"}
    page.wait_ready(job.id)
    assert page.ask("history")["rows"][0]["id"] == job.id
    with pytest.raises(InputError, match="image_url"):
        panel.submit(endpoint="v1-pro-image")


def test_a_dropped_image_arrives_whole_and_is_used(panel, page):
    data = picture()
    mark = page.attach(data)
    assert (mark["name"], mark["type"], mark["size"]) == ("cat.png", "image/png", len(data))
    values = {"prompt": PROMPT, "image_url": mark}
    assert page.ask("compose", endpoint=IMAGE, values=values)["quote"]["problem"] is None
    (file,) = panel.request.files.values()
    assert (file.read(), file.content_type) == (data, "image/png")
    _, (small,) = page.send("preview", file=mark["file"])
    with Image.open(io.BytesIO(small)) as preview:
        assert max(preview.size) <= 192
    assert page.ask("snapshot")["draft"]["files"] == {mark["file"]: mark}
    row = page.ask("submit", endpoint=IMAGE, values=values)["job"]
    page.wait_ready(row["id"])
    again = page.ask("reuse", job=row["id"])
    assert (again["endpoint"], again["missing"]) == (IMAGE, [])
    assert again["values"]["image_url"]["file"] == mark["file"]
    assert "bytes" in page.refusal("code", job=row["id"])


def test_pieces_out_of_order_are_refused(page):
    about = {"upload": "u", "total": 10, "name": "a.png", "type": "image/png"}
    assert "was lost" in page.refusal("attach", [b"abc"], offset=3, **about)
    page.ask("attach", [b"abc"], offset=0, **about)
    assert "was lost" in page.refusal("attach", [b"abc"], offset=4, **about)
    assert "was lost" in page.refusal("attach", [b"abcdefghijk"], offset=0, **about)
    assert "512 MiB" in page.refusal("attach", [b"a"], offset=0, **{**about, "total": 2**40})
    assert "Choose the file again" in page.refusal("preview", file="0" * 64)


def test_what_could_not_be_sent_is_sent_later(panel, page):
    with page.comm.cut():
        job = panel.submit(prompt=PROMPT)
    page.wait_ready(job.id)


def test_history_searches_filters_and_pages(session, page):
    for number in range(PAGE + 5):
        note(session, f"fox number {number}", state=State.READY if number % 2 else State.FAILED)
    note(session, "a cow", endpoint=IMAGE, state=State.CANCELLED)
    first = page.ask("history")
    assert (first["total"], len(first["rows"])) == (PAGE + 6, PAGE)
    assert first["rows"][0]["prompt"] == "a cow"
    assert first["endpoints"] == {TEXT: PAGE + 5, IMAGE: 1}
    assert first["states"]["CANCELLED"] == 1
    assert len(page.ask("history", page=1)["rows"]) == 6
    assert page.ask("history", search="NUMBER 12")["total"] == 1
    assert page.ask("history", endpoint=IMAGE)["total"] == 1
    assert page.ask("history", state="FAILED", search="fox")["total"] == (PAGE + 5 + 1) // 2
    assert "whole number" in page.refusal("history", page=-1)
    assert "ASLEEP" in page.refusal("history", state="ASLEEP")


def test_what_is_started_in_a_result_is_followed_in_the_panel(panel, page):
    row = page.ask("submit", backend="local", **COMPLETE)["job"]
    page.wait_ready(row["id"])
    shown = page.ask("result", of=row["id"], kind="snapshot")
    again = {"key": shown["key"], "changes": {}, "backend": "local"}
    assert page.ask("result", of=row["id"], kind="generate", msg=again) == {"key": 2}
    page.comm.wait_for(lambda: panel.value is not None and panel.value.take == 2)
    notices = [content["msg"] for content, _ in page.comm.custom() if content["kind"] == "result"]
    assert {"of": row["id"], "kind": "show", "msg": {"take": 2}} in notices
    assert page.ask("history")["total"] == 2


def test_history_of_a_thousand_is_small_on_the_wire(session, page):
    for number in range(1000):
        note(session, f"{number} " + "a long prompt about a fox " * 20, state=State.READY)
    snapshot = page.ask("snapshot")
    assert snapshot["history"]["total"] == 1000
    assert len(json.dumps(snapshot)) < 60_000


def test_what_is_unfinished_elsewhere_is_not_touched_by_looking_at_it(session, page):
    job_id = note(session, "left behind", owner="elsewhere:1:abcd", state=State.IN_QUEUE)
    opened = page.ask("open", job=job_id)
    assert (opened["resumable"], opened["row"]["state"]) == (True, "IN_QUEUE")
    assert "Resume it first" in page.refusal("result", of=job_id, kind="snapshot")
    assert session.ledger.get(job_id).owner == "elsewhere:1:abcd"


def test_a_preview_of_an_ended_kernel_is_listed_as_failed_and_says_so_when_it_is_opened(session, page):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    owner = f"{socket.gethostname()}:{process.pid}:deadbeef"
    sent = {"request_id": "r-1", "status_url": "http://127.0.0.1:9/requests/r-1/status"}
    job_id = note(session, "left behind", owner=owner, state=State.IN_PROGRESS, **sent)
    (row,) = page.ask("history")["rows"]
    assert (row["state"], row["message"]) == ("FAILED", "The preview ended with its kernel. Not charged.")
    assert page.ask("open", job=job_id)["resumable"] is False

    about = {"of": job_id, "kind": "snapshot"}
    page.comm.wait_for(
        lambda: "ended with its local preview server" in page.ask("result", **about)["message"]
    )


def test_reuse_names_files_that_are_not_kept(session, page):
    job_id = note(
        session,
        PROMPT,
        endpoint=IMAGE,
        input={"image_url": {"sha256": "0" * 64, "name": "cat.png"}, "duration": "10"},
        state=State.FAILED,
    )
    again = page.ask("reuse", job=job_id)
    assert (again["values"], again["missing"]) == ({"prompt": PROMPT, "duration": "10"}, ["image_url"])


def test_the_view_of_a_job_says_that_another_endpoint_is_used(session, tmp_cwd):
    Image.new("RGB", (512, 512), "teal").save("pond.png")
    job = session.submit("a heron", image="pond.png", endpoint="v1-pro", aspect_ratio="9:16")
    assert StripTake(1, job).describe({})["notices"].splitlines() == [
        "v1-pro takes no image; v1-pro-image is used instead.",
        "The video has the shape of the image, so aspect_ratio 9:16 may have no effect.",
    ]


def test_a_cell_of_the_draft_and_of_a_job(session, page):
    page.ask("compose", endpoint=TEXT, values={"prompt": PROMPT, "duration": "10"})
    assert page.ask("code")["text"] == f"%%kling --duration 10\n{PROMPT}"
    job_id = note(session, "an old one", state=State.FAILED)
    assert page.ask("code", job=job_id)["text"] == "%%kling\nan old one"


def test_cancel_is_answered_with_what_came_of_it(session, page):
    with Session(backend="local", local_speed=0.01) as slow:
        panel = Panel(slow, feed=Feed())
        other = Page(panel)
        row = other.ask("submit", **COMPLETE)["job"]
        assert other.ask("cancel", job=row["id"])["outcome"]
    assert "not in the panel's queue" in page.refusal("cancel", job="nothing")


def test_a_job_that_runs_is_not_listed_in_the_library_too(home, tmp_cwd):
    with Session(backend="local", local_speed=0.05) as slow:
        panel = Panel(slow, feed=Feed())
        page = Page(panel)
        row = page.ask("submit", **COMPLETE)["job"]
        assert row["facts"] == "5 s · 16:9"
        assert ([one["id"] for one in page.ask("snapshot")["jobs"]], page.ask("history")["rows"]) == (
            [row["id"]],
            [],
        )
        page.ask("cancel", job=row["id"])
        page.comm.wait_for(lambda: page.ask("history")["total"] == 1)
        assert page.ask("history")["rows"][0]["facts"] == "5 s · 16:9"
        assert page.ask("snapshot")["jobs"] == []


def test_every_command_is_answered(page):
    assert "Unknown command" in page.refusal("dance")
    page.comm.handle_msg({"content": {"data": {"method": "custom", "content": "noise"}}, "buffers": []})
    assert page.comm.custom()[-1][0]["ok"] is False
    assert "parameters by name" in page.refusal("compose", endpoint=TEXT, values=[1])
    assert page.refusal("open", job="0123456789ab")


def test_nothing_but_the_switch_is_saved(panel, page):
    page.ask("compose", **COMPLETE)
    state = {name: value for name, value in panel.get_state().items() if name not in {"_esm", "_css"}}
    assert state["notices"] is False
    assert PROMPT not in json.dumps(state, default=str)
    assert repr(panel) == "<Panel v1-pro>"


def test_a_file_that_is_gone_is_shown(session, page):
    job_id = note(session, "lost", state=State.READY, media_path="kling_media/lost.mp4")
    opened = page.ask("open", job=job_id)
    assert opened["row"]["state"] == "FAILED"
    assert "is no longer in" in opened["row"]["message"]
    assert opened["row"]["message"].endswith((GET_BACK, PREVIEW_AGAIN))
    assert page.send("poster", job=job_id)[0]["msg"] == {"found": False}


def test_an_endpoint_is_not_taken_for_a_session() -> None:
    with pytest.raises(UsageError, match=r"session must be a Session, not 'v3-pro'"):
        Panel("v3-pro")  # type: ignore[arg-type] -- a user's mistake
