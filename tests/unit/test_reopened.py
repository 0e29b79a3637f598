"""What becomes of a saved notebook when it is opened, as JSON: no server, no page."""

import asyncio
import copy
import json
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import nbformat
import pytest
from earlier_marks import as_saved_earlier

from kling_nb.events import State
from kling_nb.job.plan import GET_BACK, NO_RECORD
from kling_nb.ledger import Intent, Ledger
from kling_nb.notebook.card.grid import heading_row
from kling_nb.notebook.card.html import state_chip
from kling_nb.notebook.card.mark import BASE, ROOT, Mark, Part, served_url
from kling_nb.notebook.saved import server_extension
from kling_nb.notebook.saved.renewal import Renewal
from kling_nb.notebook.saved.reopening import STATE, VIEW, OutputContext, has_kling_outputs, update_outputs
from kling_nb.notebook.saved.server_extension import BoundedCards, alive_check, allows_widgets, update_on_read

JOB = "0123456789ab"
KERNEL = "00000000-0000-4000-8000-000000000000"


def output(mark: Mark | None, **data: Any) -> dict[str, Any]:
    """An output as it is saved today: the first tag of its card says what changes of its mark."""
    metadata = mark.to_metadata() if mark else {}
    if mark and "text/html" in data:
        data["text/html"] = framed(mark, data["text/html"])
    return {"output_type": "display_data", "data": data, "metadata": metadata}


def older(mark: Mark, **data: Any) -> dict[str, Any]:
    return as_saved_earlier(output(mark, **data))


def framed(mark: Mark, inside: str) -> str:
    return (
        f'<div class="kling-card mathjax_ignore" data-kling-card="{mark.job}"{mark.to_attributes()} '
        f'style="margin:0">{inside}</div>'
    )


def view(model: str = "a1") -> dict[str, Any]:
    return {VIEW: {"model_id": model, "version_major": 2, "version_minor": 0}, "text/plain": "Job"}


def notebook(*outputs: dict[str, Any], models: dict[str, Any] | None = None) -> dict[str, Any]:
    made: dict[str, Any] = nbformat.v4.new_notebook()
    cell = nbformat.v4.new_code_cell("%%kling")
    cell["outputs"] = list(outputs)
    made["cells"] = [nbformat.v4.new_markdown_cell("prose"), cell]
    if models is not None:
        made["metadata"]["widgets"] = {STATE: {"state": models, "version_major": 2, "version_minor": 0}}
    return made


def updated(found: dict[str, Any], folder: Path, *, runs: bool = False, new: Any = None) -> bool:
    return update_outputs(found, OutputContext(folder, lambda mark: runs, lambda mark, where: new))


def never(*_: Any) -> Any:
    """A look-up that must not be made."""
    pytest.fail("looked up")


def data_of(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [one["data"] for one in found["cells"][1]["outputs"]]


READY = Mark(JOB, KERNEL, state="READY")
SAVED = pytest.mark.parametrize("saved", [output, older])
SWEEP = Mark(
    "sweep-0123",
    KERNEL,
    state="IN_PROGRESS",
    parts=(Part("ab" * 32, 1, "a \"<fox>\" & 'cat'", "r-1"), Part("cd" * 32, None, "a wolf")),
)


@SAVED
@pytest.mark.parametrize("mark", [READY, Mark(JOB, KERNEL, 17, "FAILED", "ab" * 32, 'r-"1"'), SWEEP, Mark()])
def test_a_mark_is_read_from_the_output_that_carries_it(saved: Any, mark: Mark) -> None:
    made = saved(mark, **{"text/html": "card"})
    assert Mark.of(made) == mark
    made["data"]["text/html"] = made["data"]["text/html"].splitlines(keepends=True)  # as a file has it
    assert Mark.of(made) == mark


def test_a_number_that_a_browser_wrote_may_be_a_float() -> None:
    made = output(Mark(JOB, KERNEL, 17))
    made["metadata"]["kling_nb"] |= {"version": 1.0, "process": 17.0}
    assert Mark.of(made) == Mark(JOB, KERNEL, 17)
    made["metadata"]["kling_nb"]["process"] = float("inf")
    assert Mark.of(made) == Mark(JOB, KERNEL)


def test_metadata_do_not_change_with_the_job_and_where_a_card_differs_it_is_right() -> None:
    later = [replace(SWEEP, state="READY"), replace(SWEEP, request="r-2"), replace(SWEEP, parts=())]
    assert all(mark.to_metadata() == SWEEP.to_metadata() for mark in later)
    found = older(replace(READY, state="IN_QUEUE"))
    found["data"]["text/html"] = framed(READY, "card")
    assert Mark.of(found) == READY


@pytest.mark.parametrize(
    "parts", ["", "{", "[" * 100_000, "5", "[5, []]", '[["ab", 1]]', '[["ab", "1", ""]]', "1" * 5_000]
)
def test_parts_that_others_wrote_are_none(parts: str) -> None:
    found = output(READY)
    found["data"]["text/html"] = f'<div class="kling-card" data-kling-parts="{escape(parts)}">'
    assert (Mark.of(found) or pytest.fail("no mark")).parts == ()


@pytest.mark.parametrize(
    "html",
    [
        '<div data-kling-state="READY">',
        '<div><div class="kling-card" data-kling-state="READY"></div></div>',  # the latest take of a panel
        '<div class="kling-card" data-kling-card="x">data-kling-state="READY"',
        [],
        [5],
        5,
    ],
)
def test_only_the_first_tag_of_a_card_says_the_state(html: Any) -> None:
    found = output(Mark(JOB))
    found["data"]["text/html"] = html
    assert Mark.of(found) == Mark(JOB)


def test_an_image_that_moved_is_looked_for_too(tmp_path: Path) -> None:
    new = {"text/html": framed(READY, '<img src="kling_media/b.png">')}
    found = notebook(output(READY, **{"text/html": '<img src="data:image/jpeg;base64,AA"><img src="a.png">'}))
    (tmp_path / "kling_media").mkdir()
    (tmp_path / "kling_media" / "b.png").touch()
    assert updated(found, tmp_path, new=new)
    assert data_of(found)[0]["text/html"] == new["text/html"]
    poster = notebook(output(READY, **{"text/html": '<img src="data:image/jpeg;base64,AA">'}))
    assert not update_outputs(poster, OutputContext(tmp_path, lambda mark: False, never, never))


def test_a_file_behind_a_link_has_the_url_of_the_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a b.mp4").touch()
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "kling_media").symlink_to(tmp_path / "disk", target_is_directory=True)
    served = {ROOT: str(tmp_path / "root"), BASE: "/lab"}
    linked = tmp_path / "root" / "kling_media" / "a b.mp4"
    assert served_url(linked, served) == "/lab/files/kling_media/a%20b.mp4"
    assert served_url(linked.resolve(), served) is None


def test_a_file_without_a_sidecar_is_found_where_the_other_files_of_the_notebook_are(tmp_path: Path) -> None:
    """The film of `join`, in a notebook that papermill wrote into another folder."""
    for name in ("shot.mp4", "film & all.mp4"):
        (tmp_path / "there" / "kling_media").mkdir(parents=True, exist_ok=True)
        (tmp_path / "there" / "kling_media" / name).touch()
    (tmp_path / "here").mkdir()
    shot, film, url, gone = (
        output(
            replace(READY, job=f"job of {src}"),
            **{"text/html": f'<video src="{src}"></video><a href="{src}">'},
        )
        for src in (
            "kling_media/shot.mp4",
            "kling_media/film%20%26%20all.mp4",
            "https://x.invalid/a",
            "b.mp4",
        )
    )
    film["data"]["text/plain"] = "ready kling_media/film & all.mp4"
    found = notebook(film, shot, url, gone)
    new = {"text/html": framed(READY, '<video src="../there/kling_media/shot.mp4"></video>')}

    def draw(mark: Mark, _: Path) -> dict[str, Any] | None:
        return new if mark.job == "job of kling_media/shot.mp4" else None

    before = copy.deepcopy(url["data"])
    assert update_outputs(found, OutputContext(tmp_path / "here", lambda mark: False, draw))
    assert film["data"]["text/html"].count('"../there/kling_media/film%20%26%20all.mp4"') == 2
    assert film["data"]["text/plain"] == "ready ../there/kling_media/film & all.mp4"
    assert url["data"] == before
    assert f"b.mp4 is no longer in the folder of the notebook. {NO_RECORD}" in gone["data"]["text/html"]


def test_a_card_says_while_its_file_is_missing_and_what_to_do(tmp_path: Path) -> None:
    found = notebook(output(READY, **{"text/html": '<video src="take/a.mp4" controls loop></video>'}))
    html = data_of(found)[0]["text/html"]
    context = OutputContext(
        tmp_path, lambda mark: False, lambda *_: None, remedy=lambda mark, folder: f"What {mark.job} needs."
    )
    assert update_outputs(found, context)
    noted = data_of(found)[0]["text/html"]
    assert f"a.mp4 is no longer in take. What {READY.job} needs." in noted
    assert " controls" not in noted
    assert not update_outputs(found, context)  # it says so already
    (tmp_path / "take").mkdir()
    (tmp_path / "take" / "a.mp4").touch()
    assert update_outputs(found, context)
    assert data_of(found)[0]["text/html"] == html


def test_a_sweep_says_which_of_its_files_are_missing(tmp_path: Path) -> None:
    mark = replace(SWEEP, state="READY")
    chip = state_chip(State.READY, "ready")
    cells = "".join(
        f'<video src="{name}" data-kling-part="{part}" controls ></video>{chip}'
        for part, name in enumerate(("a.mp4", "b.mp4"))
    )
    (tmp_path / "a.mp4").touch()
    found = notebook(output(mark, **{"text/html": framed(mark, cells)}))
    assert updated(found, tmp_path)
    first, second = data_of(found)[0]["text/html"].split("b.mp4", 1)
    assert chip in first
    assert "no longer" not in first
    assert "b.mp4 is no longer in" in second
    assert state_chip(State.UNCERTAIN, "file missing") in second


@pytest.mark.parametrize("links", [False, True])
def test_the_head_of_a_sweep_counts_missing_files_and_says_what_to_do(tmp_path: Path, links: bool) -> None:
    mark = replace(SWEEP, state="READY")
    chip = state_chip(State.READY, "ready")
    head = heading_row(chip, "Kling", "2 of 2 ready", local=False)
    cells = "".join(
        f'<a href="{name}" data-kling-part="{part}">{name}</a>'
        if links
        else f'<video src="{name}" data-kling-part="{part}" controls ></video>{chip}'
        for part, name in enumerate(("a.mp4", "b.mp4"))
    )
    (tmp_path / "a.mp4").touch()
    found = notebook(output(mark, **{"text/html": framed(mark, head + cells)}))
    before = data_of(found)[0]["text/html"]
    context = OutputContext(tmp_path, lambda mark: False, lambda *_: None, remedy=lambda *_: "Free.")
    for _ in range(2):
        update_outputs(found, context)
        html = data_of(found)[0]["text/html"]
        assert re.sub("<[^>]*>", "", html).count("1 of 2 ready, 1 file missing. Free.") == 1
        assert html.count("Free.") == 1
        assert html.count("File missing") == 1 + (not links)
        assert html.count("· file missing") == links
    (tmp_path / "b.mp4").touch()
    assert update_outputs(found, context)
    assert data_of(found)[0]["text/html"] == before


@SAVED
def test_a_finished_card_that_plays_is_not_looked_up(saved: Any, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    whole = replace(SWEEP, state="READY")
    for mark in (READY, replace(READY, state="FAILED"), replace(READY, state="CANCELLED"), whole):
        found = notebook(saved(mark, **{"text/html": '<video src="a.mp4"></video>'}))
        before = copy.deepcopy(found)
        assert not update_outputs(found, OutputContext(tmp_path, lambda mark: False, never, never))
        assert found == before


@SAVED
def test_a_card_that_is_static_for_good_keeps_all_but_its_kernel(saved: Any, tmp_path: Path) -> None:
    mark = replace(SWEEP, state="READY", process=17)
    found = notebook(saved(mark, **{"text/html": "card"}))
    context = OutputContext(tmp_path, lambda mark: False, never, never, forget_kernels=True)
    assert update_outputs(found, context)
    (made,) = found["cells"][1]["outputs"]
    assert Mark.of(made) == replace(mark, kernel=None, process=None)
    assert not update_outputs(found, context)


def test_the_view_stays_while_its_kernel_runs_and_goes_with_it(tmp_path: Path) -> None:
    found = notebook(output(READY, **view(), **{"text/html": "card"}))
    assert not updated(found, tmp_path, runs=True)
    assert VIEW in data_of(found)[0]
    assert updated(found, tmp_path)
    assert data_of(found) == [{"text/plain": "Job", "text/html": framed(READY, "card")}]
    assert not updated(found, tmp_path)


@SAVED
@pytest.mark.parametrize("state", ["IN_QUEUE", "READY"])
def test_of_a_view_and_a_card_apart_the_card_is_left(saved: Any, state: str, tmp_path: Path) -> None:
    mark = replace(READY, state=state)
    found = notebook(
        saved(mark, **view()), saved(mark, **{"text/html": "card"}), output(None, **{"text/plain": "6"})
    )
    new = {"text/html": framed(READY, "card")}
    assert updated(found, tmp_path, new=new)
    first, rest = data_of(found)
    assert first == (saved(mark, **{"text/html": "card"})["data"] if state == "READY" else new)
    assert rest == {"text/plain": "6"}


@SAVED
def test_a_card_of_a_job_that_was_running_is_drawn_again_also_next_to_a_live_view(
    saved: Any, tmp_path: Path
) -> None:
    running = Mark(JOB, KERNEL, state="IN_QUEUE")
    new = {"text/html": framed(READY, "done"), "text/plain": "done"}
    found = notebook(saved(running, **view(), **{"text/html": "waiting"}))
    assert updated(found, tmp_path, runs=True, new=new)
    (made,) = found["cells"][1]["outputs"]
    assert made["data"]["text/html"] == new["text/html"]
    assert VIEW in made["data"]
    assert Mark.of(made) == READY
    assert made["metadata"] == READY.to_metadata()  # an older mark is of today's form now


def test_a_file_that_moved_is_looked_for(tmp_path: Path) -> None:
    (tmp_path / "a b.mp4").touch()
    new = {"text/html": "elsewhere"}
    for src, expected in (
        ("a%20b.mp4", "<video"),
        ("gone.mp4", "elsewhere"),
        ("https://x.invalid/a", "<video"),
    ):
        found = notebook(output(READY, **{"text/html": f'<video src="{src}"></video>'}))
        updated(found, tmp_path, new=new)
        assert expected.lower() in data_of(found)[0]["text/html"].lower()


def test_our_models_go_and_those_of_others_stay(tmp_path: Path) -> None:
    ours = {"state": {"_anywidget_id": "kling_nb.notebook.widgets.panel.Panel", "layout": "IPY_MODEL_l1"}}
    held = {"state": {"_anywidget_id": "kling_nb.notebook.widgets.job.JobWidget", "layout": "IPY_MODEL_l2"}}
    box = {"model_name": "HBoxModel", "state": {"children": ["IPY_MODEL_h"], "layout": "IPY_MODEL_l3"}}
    layout = {"model_name": "LayoutModel", "state": {}}
    models = {"o": ours, "h": held, "b": box, "l1": layout, "l2": layout, "l3": layout, "other": layout}
    found = notebook(models=copy.deepcopy(models))
    assert has_kling_outputs(found)
    assert updated(found, tmp_path, runs=True)
    assert set(found["metadata"]["widgets"][STATE]["state"]) == {"h", "b", "l2", "l3", "other"}
    alone = notebook(models={"o": copy.deepcopy(ours), "l1": layout})
    assert updated(alone, tmp_path)
    assert "widgets" not in alone["metadata"]


@pytest.mark.parametrize(
    "metadata", [None, 5, {"kling_nb": 5}, {"kling_nb": {"version": 2}}, {"kling_nb": {}}, {"other": {}}]
)
def test_what_others_wrote_is_no_mark(metadata: Any) -> None:
    assert Mark.of({"metadata": metadata, "data": {"text/html": framed(READY, "card")}}) is None


def test_a_notebook_of_others_is_left_as_it_is() -> None:
    found = notebook(
        {"output_type": "stream", "name": "stdout", "text": "1"}, output(None, **view()), models={}
    )
    assert not has_kling_outputs(found)


class Kernels:
    """What the extension asks of a kernel manager."""

    class Kernel:
        class provisioner:  # noqa: N801 -- an attribute there
            pid = 17

    def list_kernel_ids(self) -> list[str]:
        return [KERNEL]

    def get_kernel(self, kernel: str) -> type[Kernel]:
        return self.Kernel


def test_a_restarted_kernel_has_none_of_its_widgets() -> None:
    runs = alive_check(Kernels())
    assert runs(Mark(JOB, KERNEL))
    assert runs(Mark(JOB, KERNEL, process=17))
    assert not runs(Mark(JOB, KERNEL, process=2**22 + 17))  # above every process id of Linux
    assert not runs(Mark(JOB, "another"))
    assert not runs(Mark(JOB))


class Contents:
    """A contents manager with one notebook."""

    def __init__(self, content: Any) -> None:
        self.model = {"type": "notebook", "path": "sub/a.ipynb", "content": content}

    def get(self, path: str, content: bool = True) -> Any:
        return self.model


class AsyncContents(Contents):
    async def get(self, path: str, content: bool = True) -> Any:  # type: ignore[override]
        return self.model


def read(contents: Contents) -> Any:
    found = contents.get("sub/a.ipynb")
    return asyncio.run(found) if asyncio.iscoroutine(found) else found


@pytest.mark.parametrize(
    ("policy", "allowed"),
    [
        ("", True),
        ("frame-ancestors 'self'; report-uri /api/security/csp-report", True),
        ("default-src 'self'; script-src 'self' blob:", True),
        ("script-src 'nonce-a' 'strict-dynamic'", True),
        ("script-src 'self' 'unsafe-inline' 'unsafe-eval'", False),
        ("DEFAULT-SRC *", False),  # `*` means hosts
        ("script-src 'self'; script-src blob:", False),  # the first counts
        ("script-src blob:; script-src-elem 'self'", False),
    ],
)
def test_a_policy_that_forbids_widgets_is_known(policy: str, allowed: bool) -> None:
    assert allows_widgets(policy) is allowed


@pytest.mark.parametrize("kind", [Contents, AsyncContents])
def test_either_kind_of_contents_manager_is_watched(kind: type[Contents], tmp_path: Path, home: Path) -> None:
    contents = kind(notebook(output(Mark(JOB, "gone", state="READY"), **view(), **{"text/html": "card"})))
    update_on_read(contents, Kernels(), tmp_path)
    assert VIEW not in data_of(read(contents)["content"])[0]


@pytest.mark.parametrize("kind", [Contents, AsyncContents])
@pytest.mark.parametrize(
    "content", [None, {}, "text", {"cells": 5}, {"cells": [{"outputs": [{"metadata": []}]}]}]
)
def test_nothing_keeps_a_notebook_from_being_opened(
    kind: type[Contents], content: Any, tmp_path: Path
) -> None:
    contents = kind(copy.deepcopy(content))
    update_on_read(contents, Kernels(), tmp_path)
    assert read(contents)["content"] == content


def test_damaged_outputs_stay_as_they_were_saved(tmp_path: Path, home: Path) -> None:
    damaged = notebook({**output(READY), "data": 5}, output(READY, **view()))
    contents = Contents(damaged)
    before = json.dumps(damaged)
    update_on_read(contents, Kernels(), tmp_path)
    assert json.dumps(read(contents)["content"]) == before


@pytest.fixture
def ledger(home: Path) -> Iterator[Ledger]:
    with closing(Ledger(home / "ledger.sqlite3")) as ledger:
        yield ledger


@pytest.fixture
def renewal() -> Iterator[Renewal]:
    with closing(Renewal()) as renewal:
        yield renewal


@pytest.mark.parametrize("kind", [Contents, AsyncContents])
def test_a_server_says_what_it_costs_to_get_a_missing_file_back(
    kind: type[Contents], tmp_path: Path, ledger: Ledger
) -> None:
    asked = Intent("fal", "fal-ai/x", {"prompt": "a boat"}, "a boat", "ab" * 32, tmp_path / "kling_media")
    entry, _ = ledger.claim(asked)
    ledger.update(entry.id, state=State.READY, request_id="r-1")
    for job, remedy in ((entry.id, GET_BACK), ("0123456789ab", NO_RECORD)):
        mark = Mark(job, "gone", state="READY")
        contents = kind(notebook(output(mark, **{"text/html": '<video src="a.mp4" controls ></video>'})))
        update_on_read(contents, Kernels(), tmp_path)
        html = data_of(read(contents)["content"])[0]["text/html"]
        assert f"a.mp4 is no longer in the folder of the notebook. {remedy}" in html


def test_an_output_that_is_not_ready_in_time_is_shown_as_saved_and_current_the_next_time(
    tmp_path: Path, ledger: Ledger, renewal: Renewal
) -> None:
    asked = Intent("fal", "fal-ai/x", {"prompt": "a boat"}, "a boat", "ab" * 32, tmp_path / "kling_media")
    entry, _ = ledger.claim(asked)
    ledger.update(entry.id, state=State.CANCELLED)
    cards = BoundedCards(renewal)
    mark = Mark(entry.id, "gone", state="IN_QUEUE")
    for at_least, expected in ((0, "saved"), (0, "cancelled"), (1, "cancelled")):
        found = notebook(output(mark, **view(), **{"text/html": "saved"}))
        with cards.within(tmp_path, lambda mark: False, 0, at_least) as context:
            update_outputs(found, context)
        cards._thread.submit(str).result()  # what was late has been drawn
        assert expected.lower() in data_of(found)[0]["text/html"].lower()
        assert VIEW not in data_of(found)[0]


def test_a_card_that_was_drawn_for_the_next_opening_does_not_hide_a_later_end(
    tmp_path: Path, ledger: Ledger, renewal: Renewal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_extension, "SECONDS_KEPT", 0)
    asked = Intent("fal", "fal-ai/x", {"prompt": "a boat"}, "a boat", "ab" * 32, tmp_path / "kling_media")
    entry, _ = ledger.claim(asked)
    cards = BoundedCards(renewal)
    mark = Mark(entry.id, "gone", state="SUBMITTING")
    for at_least in (0, 1):
        with cards.within(tmp_path, lambda mark: False, 0, at_least) as context:
            drawn = context.draw_card(mark, tmp_path)
        cards._thread.submit(str).result()
        ledger.update(entry.id, state=State.CANCELLED)
    assert drawn is not None
    assert "cancelled" in drawn["text/plain"]


def test_links_of_a_large_sweep_that_moved_are_found(tmp_path: Path) -> None:
    link = '<a href="gone.mp4" data-kling-part="0">a fox</a>'
    found = notebook(output(replace(SWEEP, state="READY"), **{"text/html": link}))
    moved = tmp_path / "best" / "a fox.mp4"
    context = OutputContext(tmp_path, lambda mark: False, never, lambda part, folder: moved)
    assert update_outputs(found, context)
    assert 'href="best/a%20fox.mp4" data-kling-part="0"' in data_of(found)[0]["text/html"]
