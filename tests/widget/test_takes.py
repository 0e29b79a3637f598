"""Several takes in one widget: found, made from it, chosen, resumed."""

import io
from pathlib import Path
from types import SimpleNamespace

import ipywidgets
import numpy as np
import pytest
from clips import colourful, make_clip
from PIL import Image
from widget.memory_job import MemoryJob, ready, widget_of

from kling_nb import Session, configure
from kling_nb.catalog.shipped import endpoint
from kling_nb.errors import (
    InputError,
    InputRefused,
    MissingKey,
    PlatformError,
    RateLimited,
    SubmissionUncertain,
)
from kling_nb.events import Cancelled, Failed, Logged, Running, Submitted, Unclear
from kling_nb.job.plan import Outcome
from kling_nb.notebook.card import mark as served
from kling_nb.notebook.card.job import with_earlier
from kling_nb.notebook.widgets import takes
from kling_nb.notebook.widgets.takes import (
    StripTake,
    cell_of,
    next_request,
    progress_of,
    submit,
)
from kling_nb.request.request import VideoRequest, shape_of
from kling_nb.video import Video

URL = "https://pictures.invalid/heron.png"


@pytest.fixture(autouse=True)
def no_widgets_left():
    yield
    ipywidgets.Widget.close_all()


class Maker:
    """A session that records its calls, and returns the jobs that it was given."""

    def __init__(self, *jobs, found=(), price=None):
        self.jobs = list(jobs)
        self.found = list(found)
        self.asked = []
        self.known = {}

    def takes_of(self, *_):
        return self.found

    def plan(self, **values):
        self.asked.append(values)
        settings = SimpleNamespace(backend="local")
        return SimpleNamespace(
            outcome=Outcome.SUBMIT, submits=True, words="", notices=(), refusal=None, settings=settings
        )

    def submit(self, **values):
        self.asked.append(values)
        job = self.jobs.pop(0)
        job.maker = self
        return job

    def get_job(self, job_id):
        return self.known[job_id]


def finished(path, number, **values):
    job = MemoryJob(**values)
    job.id = f"job-{path.stem}"
    path.write_bytes(b"0" * 100)
    ready(job, path, take=number)
    return job


def test_earlier_takes_stand_next_to_in_order(tmp_path):
    found = [finished(tmp_path / f"{number}.mp4", number) for number in (1, 2, 3)]
    job = finished(tmp_path / "2.mp4", 2)
    job.maker = Maker(found=found)
    widget, comm = widget_of(job)
    assert (widget.take, widget.takes) == (2, 3)
    assert widget.value == str(tmp_path / "2.mp4")
    entries = comm.ask("snapshot")[0]["msg"]["takes"]
    assert [entry["number"] for entry in entries] == [1, 2, 3]


def test_a_take_that_was_found_again_is_there_once(tmp_path):
    job = finished(tmp_path / "1.mp4", 1)
    job.maker = Maker(found=[finished(tmp_path / "1.mp4", 1)])
    widget, _ = widget_of(job)
    assert widget.takes == 1


def test_a_folder_that_cannot_be_read_leaves_the_job_alone(tmp_path):
    job = finished(tmp_path / "1.mp4", 1)
    job.maker = Maker()
    job.maker.takes_of = lambda *_: (_ for _ in ()).throw(PermissionError("no"))
    widget, _ = widget_of(job)
    assert widget.takes == 1


def test_setting_take_shows_another_and_can_be_observed(tmp_path):
    found = [finished(tmp_path / "1.mp4", 1, prompt="one"), finished(tmp_path / "2.mp4", 2, prompt="two")]
    job = MemoryJob(prompt="three")
    job.maker = Maker(found=found)
    widget, _ = widget_of(job)
    assert (widget.take, widget.value, widget.state) == (3, "", "SUBMITTING")
    seen = []
    widget.observe(lambda change: seen.append(change.new), "value")
    widget.take = 2
    assert widget.prompt == "two"
    assert widget.state == "READY"
    assert widget.video is found[1].video
    assert seen == [str(tmp_path / "2.mp4")]
    widget.take = 99
    assert widget.take == 3
    widget.take = -1
    assert widget.take == 1


def test_a_job_that_is_not_shown_goes_on_and_is_reported(tmp_path):
    job = MemoryJob()
    job.maker = Maker(found=[finished(tmp_path / "1.mp4", 1)])
    widget, comm = widget_of(job)
    widget.take = 1
    ready(job, tmp_path / "1.mp4", take=2)
    comm.wait_for(lambda: any(u["state"] == "READY" and u["key"] == 2 for u in comm.updates()))
    assert widget.state == "READY"
    assert widget.take == 1


def test_generate_starts_a_job_in_place(tmp_path):
    job = finished(tmp_path / "1.mp4", 1, duration=10)
    made = MemoryJob(duration=5)
    made.id = "job-2"
    job.maker = Maker(made)
    widget, comm = widget_of(job)
    changes = {"aspect_ratio": "9:16", "duration": None}
    reply, _ = comm.ask("generate", {"key": 1, "changes": changes, "backend": "local"})
    assert reply["msg"] == {"key": 2}
    (asked,) = job.maker.asked
    assert asked == {
        "endpoint": "fal-ai/kling-video/v1/pro/text-to-video",
        "prompt": job.request.prompt,
        "aspect_ratio": "9:16",
        "new": False,
        "backend": "local",
        "made_from": None,
    }
    assert (widget.take, widget.takes, widget.job_id) == (2, 2, "job-2")
    made._apply(Submitted("r-2"))
    comm.wait_for(lambda: comm.traits().get("request_id") == "r-2")


def test_the_same_again_is_a_new_take_once_there_is_one(tmp_path):
    job = finished(tmp_path / "1.mp4", 1)
    job.maker = Maker(MemoryJob())
    _, comm = widget_of(job)
    comm.ask("generate", {"key": 1, "changes": {"duration": "5"}})  # the default, spelled out
    assert job.maker.asked[0]["new"] is True


def test_several_takes_start_at_once_and_the_first_one_is_shown(tmp_path):
    job = finished(tmp_path / "1.mp4", 1)
    made = [MemoryJob(duration=10) for _ in range(3)]
    job.maker = Maker(*made)
    widget, comm = widget_of(job)
    reply, _ = comm.ask("generate", {"key": 1, "changes": {"duration": "10"}, "count": 3})
    assert reply["msg"] == {"key": 2}
    assert (widget.take, widget.takes) == (2, 4)
    assert [asked["new"] for asked in job.maker.asked] == [False, True, True]
    assert len(made[2].listeners) == 1  # the strip follows it
    assert "from 1 to 8" in comm.ask("generate", {"key": 1, "count": 9}, number=2)[0]["msg"]["error"]


def test_takes_that_were_not_started_are_counted(tmp_path):
    job = finished(tmp_path / "1.mp4", 1)
    job.maker = Maker(MemoryJob())
    submit_first = job.maker.submit

    def submit_one(**values):
        if not job.maker.jobs:
            raise MissingKey
        return submit_first(**values)

    job.maker.submit = submit_one
    widget, comm = widget_of(job)
    reply, _ = comm.ask("generate", {"key": 1, "count": 2})
    assert reply["msg"]["error"].startswith("1 of 2 takes were started. ")
    assert widget.takes == 2


def test_the_same_again_while_it_runs_is_not_bought_again_but_two_make_one_more():
    job = MemoryJob()
    job.maker = Maker(MemoryJob(), MemoryJob())
    _, comm = widget_of(job)
    comm.ask("generate", {"key": 1, "changes": {}, "count": 2})
    assert [asked["new"] for asked in job.maker.asked] == [False, True]


def test_the_shape_of_a_video_is_known_before_it_is_made(tmp_path):
    assert shape_of(MemoryJob(aspect_ratio="9:16").request) == pytest.approx(9 / 16, abs=1e-3)
    Image.new("RGB", (300, 600)).save(tmp_path / "tall.png")
    image = {"prompt": "x", "start_image_url": str(tmp_path / "tall.png")}
    assert shape_of(VideoRequest.build(endpoint("v3-pro-image"), image)) == 0.5
    assert shape_of(VideoRequest.build(endpoint("v3-pro-image"), {**image, "start_image_url": URL})) == 0.0


def test_an_image_of_a_request_is_shown_kept_and_replaced(tmp_path):
    for name, size in (("one", (300, 600)), ("two", (400, 400))):
        Image.new("RGB", size).save(tmp_path / f"{name}.png")
    given = {"prompt": "x", "start_image_url": str(tmp_path / "one.png")}
    job = finished(tmp_path / "1.mp4", 1)
    job.request = VideoRequest.build(endpoint("v3-pro-image"), given)
    job.maker = Maker(MemoryJob(), MemoryJob())
    _, comm = widget_of(job)
    mark = comm.ask("snapshot")[0]["msg"]["takes"][0]["input"]["start_image_url"]
    assert (mark["name"], mark["type"]) == ("one.png", "image/png")
    _, (small,) = comm.ask("preview", {"file": mark["file"]}, number=2)
    assert bytes(small[:3]) == b"\xff\xd8\xff"
    comm.ask("generate", {"key": 1, "changes": {"start_image_url": mark}}, number=3)
    assert job.maker.asked[0]["new"] is True  # the same file: one more take
    data = (tmp_path / "two.png").read_bytes()
    piece = {"upload": "u", "offset": 0, "total": len(data), "name": "two.png", "type": "image/png"}
    content = {"id": 4, "kind": "attach", "msg": piece}
    comm.handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": [data]})
    other = comm.reply(4)[0]["msg"]["file"]
    comm.ask("generate", {"key": 1, "changes": {"start_image_url": other}}, number=5)
    assert job.maker.asked[1]["start_image_url"] == data


def test_progress_is_what_the_log_says_while_the_job_runs():
    job = MemoryJob()
    job._apply(Submitted("r"), Logged("Sampling 12%"))
    assert progress_of(job) is None  # it waits
    job._apply(Running(), Logged("step 10 of 40: 37.5 %"), Logged("memory is low"))
    assert progress_of(job) == 0.375


def test_a_gif_is_made_once_and_sent_in_pieces(tmp_path):
    job = MemoryJob()
    ready(job, make_clip(tmp_path / "clip.mp4", size=(64, 36), paint=colourful))
    widget, comm = widget_of(job)
    reply, (first,) = comm.ask("gif", {"key": 1, "offset": 0, "length": 100})
    assert bytes(first[:4]) == b"GIF8"
    assert (reply["msg"]["name"], reply["msg"]["content_type"]) == ("clip.gif", "image/gif")
    reply, _ = comm.ask("gif", {"key": 1, "offset": 100, "length": 10}, number=2)
    assert reply["msg"]["offset"] == 100
    made = Path(widget._takes._gifs._folder.name)
    widget.close()
    assert not made.exists()


def test_the_same_again_after_a_failure_is_not_forced():
    job = MemoryJob()
    job._apply(Failed(RuntimeError("out of memory")))
    job.maker = Maker(MemoryJob())
    _, comm = widget_of(job)
    comm.ask("generate", {"key": 1, "changes": {}})
    assert job.maker.asked[0]["new"] is False


def test_a_take_that_exists_is_shown_where_it_stands(tmp_path):
    one, two = finished(tmp_path / "1.mp4", 1), finished(tmp_path / "2.mp4", 2)
    one.maker = Maker(finished(tmp_path / "2.mp4", 2), found=[two])
    widget, comm = widget_of(one)
    comm.ask("generate", {"key": 1, "changes": {"duration": "10"}})
    assert (widget.take, widget.takes) == (2, 2)


@pytest.mark.parametrize(
    ("msg", "word"),
    [
        ({"key": 1, "changes": {"duration": 99}}, "duration"),
        ({"key": 1, "changes": {"colour": "red"}}, "colour"),
        ({"key": 7, "changes": {}}, "no longer shown here"),
        ({"key": 1, "changes": "much"}, "changes"),
    ],
)
@pytest.mark.parametrize("kind", ["quote", "generate"])
def test_what_makes_no_sense_is_refused_before_anything_is_sent(tmp_path, kind, msg, word):
    job = finished(tmp_path / "1.mp4", 1)
    job.maker = Maker()
    widget, comm = widget_of(job)
    reply, _ = comm.ask(kind, msg)
    assert reply["ok"] is False
    assert word in reply["msg"]["error"]
    assert job.maker.asked == []
    assert widget.takes == 1


def test_a_job_of_no_session_cannot_make_another(tmp_path):
    _, comm = widget_of(finished(tmp_path / "1.mp4", 1))
    for kind in ("quote", "generate", "resume"):
        reply, _ = comm.ask(kind, {"key": 1, "changes": {}})
        assert "session" in reply["msg"]["error"]


def test_a_quote_of_a_real_session_says_what_would_happen(home, tmp_cwd, monkeypatch):
    with Session(backend="local", local_speed=float("inf")) as session:
        job = session.submit("a heron", endpoint="v3-pro")
        job.wait(30)
        _, comm = widget_of(job)

        def quote(number, **changes):
            return comm.ask("quote", {"key": 1, "changes": changes}, number=number)[0]["msg"]

        quoted = {"words": "Free preview (about $0.84 on fal).", "outcome": "SUBMIT", "backend": "local"}
        assert quote(1).items() >= {**quoted, "refusal": None}.items()
        session.submit("a heron", endpoint="v3-pro", duration=10).wait(30)
        assert quote(2, duration="10")["words"] == "Already made, free."
        monkeypatch.setenv("KLING_NB_BACKEND", "fal")
    with Session(backend="fal") as session:
        job.maker = session
        reported = quote(3, duration="10")
        assert reported["backend"] == "fal"
        assert reported["outcome"] == "SUBMIT"
        assert reported["words"].startswith("About $")
        assert reported["refusal"] == str(MissingKey())
        reply, _ = comm.ask("generate", {"key": 1, "changes": {}, "backend": "fal"}, number=4)
        assert reply["msg"]["error"] == str(MissingKey())


def test_resume_goes_on_in_the_same_place():
    job = MemoryJob()
    job._apply(Unclear(SubmissionUncertain("No answer came.")))
    again = MemoryJob()
    job.maker = again.maker = Maker()
    job.maker.known[job.id] = again
    widget, comm = widget_of(job)
    assert comm.ask("snapshot", number=1)[0]["msg"]["steps"] == ["resume", "edit"]
    reply, _ = comm.ask("resume", {"key": 1}, number=2)
    assert reply["msg"] == {"key": 2}
    assert (widget.take, widget.takes, widget.state) == (1, 1, "SUBMITTING")
    again._apply(Submitted("r-9", resumed=True))
    comm.wait_for(lambda: comm.traits().get("request_id") == "r-9")


@pytest.mark.parametrize(
    ("fault", "steps"),
    [
        (RateLimited("slow down", status_code=429), ["resume", "edit"]),
        (InputRefused("no", status_code=422), ["edit"]),
        (RuntimeError("out of memory"), ["retry", "edit"]),
    ],
)
def test_what_can_be_done_next_depends_on_the_reason(fault, steps):
    job = MemoryJob()
    job.maker = Maker()
    job._apply(Submitted("r-1"), Failed(fault))
    _, comm = widget_of(job)
    assert comm.ask("snapshot")[0]["msg"]["steps"] == steps


def test_a_poster_is_a_small_jpeg(tmp_path):
    job = MemoryJob()
    ready(job, make_clip(tmp_path / "clip.mp4", size=(640, 360), paint=colourful))
    _, comm = widget_of(job)
    reply, (jpeg,) = comm.ask("poster", {"key": 1})
    assert reply["ok"] is True
    assert bytes(jpeg[:3]) == b"\xff\xd8\xff"
    assert len(jpeg) < 20_000


def test_long_inputs_are_not_sent_whole(tmp_path):
    picture = "data:image/png;base64," + "A" * 9000
    job = MemoryJob()
    job.request = SimpleNamespace(
        endpoint=job.request.endpoint,
        prompt="x",
        input={"prompt": "x", "image_url": picture, "photo": {"sha256": "0" * 64, "name": "cat.png"}},
        resolved={},
        files={},
    )
    job.request.endpoint.parameter("prompt")
    widget = widget_of(job)[0]
    (entry,) = widget._takes._list()
    assert len(entry["input"]["image_url"]) <= 4000
    assert entry["input"]["photo"] == "cat.png"


def test_a_file_within_the_served_folder_has_a_url(tmp_path):
    environment = {served.ROOT: str(tmp_path), served.BASE: "/user/me/"}
    path = tmp_path / "kling_media" / "a b#1.mp4"
    assert served.served_url(path, environment) == "/user/me/files/kling_media/a%20b%231.mp4"
    assert served.served_url(path, {served.ROOT: str(tmp_path)}) == "/files/kling_media/a%20b%231.mp4"
    assert served.served_url(path, {}) is None
    assert served.served_url(tmp_path.parent / "x.mp4", environment) is None
    assert served.served_url(tmp_path / ".hidden" / "x.mp4", environment) is None


def test_copy_as_cell_keeps_the_variable_of_the_cell_and_leaves_out_the_usual_endpoint(
    tmp_path,
):
    first, earlier, another = (finished(tmp_path / f"{name}.mp4", 1, prompt="a boat") for name in "abc")
    first.variable = "boat"
    first.maker = Maker(another, found=[earlier])
    assert StripTake(0, first).fields()["cell"] == "%%kling boat\na boat"
    assert [cell_of(take) for take in with_earlier(first)[:-1]] == ["%%kling boat\na boat"]
    assert cell_of(submit(first, {})) == "%%kling boat\na boat"
    configure(endpoint="v3-pro")
    try:
        assert cell_of(first) == "%%kling boat --endpoint v1-pro\na boat"
    finally:
        configure(endpoint=None)


@pytest.mark.parametrize(
    ("draft", "final"),
    [
        ("v3-standard", "v3-pro"),
        ("v3-turbo-standard-image", "v3-pro-image"),
        ("v3-turbo-pro", "v3-pro"),
        ("v2.5-turbo-standard-image", "v2.5-turbo-pro-image"),
        ("v1-standard-avatar", "v1-pro-avatar"),
        ("o1-standard-image", "o1-image"),
        ("v3-pro", None),
        ("tts", None),
    ],
)
def test_a_draft_of_fal_has_a_sister_of_full_quality(draft, final):
    found = takes._sister(endpoint(draft))
    assert (found and found.short_name) == final


def test_there_is_no_final_without_a_key_a_result_or_the_same_input(tmp_path, home, tmp_cwd):
    with Session(backend="local") as session:
        job = finished(tmp_path / "1.mp4", 1)
        job.maker = session
        assert takes.finals(job) == []
        job.maker = Session(backend="local", credentials="id:secret")
        (final,) = takes.finals(job)
        assert (final["label"], final["words"]) == ("Make it with Kling", "no price on record for v1-pro")
        running = MemoryJob()
        running.maker = job.maker
        assert takes.finals(running) == []
        job.backend = "fal"
        assert takes.finals(job) == []  # v1-pro has no sister
        job.maker.close()


@pytest.mark.parametrize(
    ("end", "offered"),
    [
        (Cancelled(), True),
        (Failed(PlatformError("The runner failed.", status_code=500)), True),
        (Failed(InputRefused("duration is wrong.", status_code=422)), False),
        (Failed(InputError("prompt is empty.")), False),
        (Unclear(SubmissionUncertain("No answer came.")), False),
    ],
)
def test_what_ended_without_a_result_can_be_tried_again_at_its_price_unless_the_input_was_refused(
    home, tmp_cwd, end, offered
):
    job = MemoryJob()
    job.backend = "fal"
    job._apply(end)
    with Session(backend="fal", credentials="id:secret") as session:
        job.maker = session
        found = [(one["label"], one["words"], one["endpoint"]) for one in takes.finals(job)]
    assert found == [("Retry", "no price on record for v1-pro", None)] * offered


def test_a_frame_of_a_take_is_sent_whole_and_begins_the_next_shot(tmp_path, home, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = make_clip(tmp_path / "boat.mp4", paint=colourful)
    job = MemoryJob("a boat", duration="10")
    job.variable = "boat_7"
    ready(job, path)
    job.video = job.result = Video.from_file(path)
    _, comm = widget_of(job)
    reply, (png,) = comm.ask("frame", {"key": 1, "frame": 3})
    assert reply["msg"] == {"name": "boat-frame-4.png", "type": "image/png"}
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), list(job.video.frames())[3])
    reply, _ = comm.ask("continue", {"key": 1, "frame": 3}, 2)
    assert reply["msg"]["endpoint"].endswith("/v1/pro/image-to-video")
    assert (reply["msg"]["start"], reply["msg"]["values"]) == ("image_url", {"duration": "10"})
    reply, _ = comm.ask("continue", {"key": 1, "frame": 3, "cell": True}, 3)
    line = "%%kling boat_8 --endpoint v1-pro-image --image-url boat-frame-4.png --duration 10"
    assert reply["msg"]["cell"] == f"{line}\n"
    assert (tmp_path / "boat-frame-4.png").read_bytes() == png
    for number, wrong in enumerate((-1, 99, True, "3"), 4):
        reply, _ = comm.ask("frame", {"key": 1, "frame": wrong}, number)
        assert "must be a whole number" in reply["msg"]["error"]
    reply, _ = comm.ask("decide", {"key": 1, "rating": 4}, 9)
    assert "has no sidecar" in reply["msg"]["error"]  # a file of the user


@pytest.mark.parametrize("name", ["o1-edit", "lipsync-text", "tts", "v1.6-pro-elements"])
def test_a_shot_after_any_endpoint_is_made_from_an_image(home, name):
    job = SimpleNamespace(request=SimpleNamespace(endpoint=endpoint(name), input={"duration": "5"}))
    chosen, start, _ = next_request(job)
    assert (chosen.short_name, start) == ("v1-pro-image", "image_url")


def test_a_request_with_a_parameter_that_no_longer_exists_is_shown():
    """An old row of the ledger has what its endpoint had then."""
    job = MemoryJob()
    job.request = VideoRequest(job.request.endpoint, {**job.request.input, "cinema": True}, {})
    fields = StripTake(1, job).fields()
    assert fields["cell"] == ""
    assert "cinema" in fields["no_cell"]
