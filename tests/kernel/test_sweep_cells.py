"""`%%kling --grid`, `sweep` and storyboards in a real kernel, and what is shown of them."""

import json
from pathlib import Path
from typing import Any

import pytest
from kernel_environment import pointed_at
from running_kernel import RunningKernel
from scripted import Done, Fail, Hold, Queue, Run, Script, ScriptedFal

from kling_nb.notebook.saved.renewal import freeze_notebook

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(120)]
WIDGET = "application/vnd.jupyter.widget-view+json"


def test_a_grid_says_its_price_shows_itself_and_is_handed_over(
    kernel: RunningKernel, fal: ScriptedFal
) -> None:
    kernel.ok('place = "Tokyo"\nimport kling_nb\nkling_nb.configure(prices={"v1-pro": 0.1})')
    cell = kernel.ok("%%kling study --grid duration=5,10\na {fox|wolf} in {place}")
    assert cell.text == "4 cells · 4 to make, about $3.00\n"
    live, card = cell.displays
    assert WIDGET in live
    assert card["text/html"].count("<video") == 4  # brought up to date before the cell ended
    assert "4 of 4 ready" in card["text/plain"]
    assert cell.metadata[1]["kling_nb"]["job"] == kernel.value("study.id")
    assert ' data-kling-state="READY"' in card["text/html"]
    sent = {(sent.input["prompt"], sent.input["duration"]) for sent in fal.accepted}
    assert sent == {(f"a {who} in Tokyo", length) for who in ("fox", "wolf") for length in ("5", "10")}
    assert kernel.value("[type(cell.video).__name__ for cell in study]") == str(["Video"] * 4)

    again = kernel.ok("%%kling study --grid duration=5,10\na {fox|wolf} in {place}")
    assert again.text == "4 cells · 4 already made, free\n"
    assert len(fal.accepted) == 4
    kernel.ok("kling_nb.configure(prices=None)")


def test_a_page_that_is_not_answered_gets_the_whole_grid_while_the_cell_waits(
    kernel: RunningKernel, fal: ScriptedFal
) -> None:
    fal.script = Script([Queue(1), Run(), Hold(), Done()])

    def grids() -> list[dict[str, Any]]:
        updates = [one["content"] for _, one in kernel.comm_messages if one["method"] == "custom"]
        return [one["msg"] for one in updates if "captions" in one.get("msg", {})]

    cell = kernel.start("%%kling --grid duration=5,10\na fox")
    kernel.wait_until(lambda: any(one["state"] == "IN_PROGRESS" for grid in grids() for one in grid["cells"]))
    assert not cell.done
    assert grids()[-1]["captions"] == ["Duration 5 s", "Duration 10 s"]
    assert len(grids()[-1]["cells"]) == 2
    for job in fal.jobs:
        job.release()
    assert kernel.finish(cell).ok, cell.message


def test_a_table_is_a_batch_whose_columns_fill_in_the_prompt(kernel: RunningKernel, fal: ScriptedFal) -> None:
    kernel.ok('open("shots.csv", "w").write("name,who,duration\\nopening,a fox,5\\nchase,a wolf,10\\n")')
    kernel.ok('who = "no column of the table"')
    cell = kernel.ok("%%kling shots --table shots.csv --aspect-ratio 1:1\n{who} runs")
    assert cell.text == "2 rows · 2 to make, no price on record for v1-pro\n"
    assert "2 of 2 ready" in cell.displays[1]["text/plain"]
    assert cell.displays[1]["text/html"].count("<video") == 2
    sent = {(one.input["prompt"], one.input["duration"], one.input["aspect_ratio"]) for one in fal.accepted}
    assert sent == {("a fox runs", "5", "1:1"), ("a wolf runs", "10", "1:1")}
    assert kernel.value('type(shots).__name__, shots["chase"].state') == "Batch READY"
    again = kernel.ok('%kling batch shots.csv --prompt "{who} runs" --aspect-ratio 1:1')
    assert again.text.startswith("2 rows · 2 already made, free\n")
    assert len(fal.accepted) == 2
    gone = kernel.run("%%kling --table table.csv\na fox")
    assert "--table.csv" not in gone.message
    assert "table.csv cannot be read" in gone.message
    wrong = kernel.run("%%kling --table shots.csv\n{whom} runs")
    assert wrong.message.splitlines()[0] == (
        "UsageError: The prompt has {whom}, and shots.csv has no column of that name. Nothing was sent."
    )


def test_a_dry_run_sends_nothing(kernel: RunningKernel, fal: ScriptedFal) -> None:
    cell = kernel.ok("%%kling --dry-run --grid aspect_ratio=16:9,1:1\na {fox|wolf}")
    assert cell.text.startswith("4 cells · 4 to make, no price on record for v1-pro\n")
    assert "to make  choice wolf · aspect_ratio 1:1" in cell.text
    assert cell.text.endswith("Nothing was sent.\n")
    assert not fal.accepted


def test_a_failing_cell_fails_at_the_end_and_the_rest_is_kept(
    kernel: RunningKernel, fal: ScriptedFal
) -> None:
    detail = {"loc": ["body", "prompt"], "msg": "too bold", "type": "content_policy_violation"}
    fal.scripts.queue.extend([Script(), Script((Queue(0), Fail.refused(detail)))])
    cell = kernel.run("%%kling study --concurrency 1 --grid\na {fox|wolf|cat}")
    assert not cell.ok
    assert cell.message.startswith("SweepIncomplete: 1 of 3 cells have no result. The others are kept")
    assert len(cell.message.splitlines()) <= 4
    assert cell.displays[1]["text/html"].count("<video") == 2
    assert kernel.value("[bool(video) for video in study.videos]") == "[True, False, True]"


def test_a_mistake_is_answered_before_anything_is_sent(kernel: RunningKernel, fal: ScriptedFal) -> None:
    for line, output in (
        ("--grid lenght=5,10", "lenght"),
        ("--grid duration=5,10 --duration 5", "given twice"),
        ("--grid duration=7,10", "duration"),
        ("--grid", "needs values to vary"),
    ):
        cell = kernel.run(f"%%kling {line}\na fox")
        assert output in cell.message
    assert not fal.accepted


def test_an_interrupt_begins_nothing_more(kernel: RunningKernel, fal: ScriptedFal) -> None:
    fal.script = Script((Queue(0), Run(), Hold()))
    waiting = kernel.start("%%kling study --concurrency 1 --grid\na {fox|wolf|cat}")
    kernel.wait_until(lambda: len(fal.accepted) == 1 and fal.open_streams)
    kernel.wait_until(lambda: any("IN_PROGRESS" in str(data) for _, data in kernel.comm_messages))
    kernel.interrupt()
    cell = kernel.finish(waiting)
    assert not cell.ok
    assert "2 not started" in cell.message
    assert len(fal.accepted) == 1


def test_a_sweep_that_ended_without_a_kernel_is_drawn_when_its_notebook_is_opened(
    kernel: RunningKernel, fal: ScriptedFal, tmp_path: Path
) -> None:
    folder = tmp_path / "work"
    fal.script = Script((Queue(0), Run(), Hold(), Done()))
    waiting = kernel.start("%%kling study --concurrency 1 --grid\na {fox|wolf}")
    kernel.wait_until(lambda: len(fal.accepted) == 1 and len(waiting.displays) == 2)
    outputs = [
        {"output_type": "display_data", "data": data, "metadata": metadata}
        for data, metadata in zip(waiting.displays, waiting.metadata, strict=True)
    ]
    saved = json.dumps({"cells": [{"cell_type": "code", "outputs": outputs}], "metadata": {}})
    for number in (1, 2):
        kernel.wait_until(lambda number=number: len(fal.accepted) == number)
        fal.jobs[-1].release()
        kernel.wait_until(lambda number=number: len(list(folder.glob("kling_media/*.json"))) == number)
        opened = json.loads(saved)
        assert freeze_notebook(opened, folder)
        (card,) = opened["cells"][0]["outputs"]
        assert card["data"]["text/html"].count("<video") == number
        assert f"{number} of 2 ready" in card["data"]["text/html"]
        assert ("Run the cell again" in card["data"]["text/html"]) == (number == 1)
        assert f"{number} of 2 ready" in card["data"]["text/plain"]
        assert (' data-kling-state="READY"' in card["data"]["text/html"]) == (number == 2)
    assert kernel.finish(waiting).ok


def test_the_last_frame_of_a_video_begins_the_next(kernel: RunningKernel, fal: ScriptedFal) -> None:
    kernel.ok("%%kling --quiet one\na fox")
    kernel.ok("%%kling --quiet two --image one.last_frame\nit runs")
    kernel.ok("%%kling --quiet three --image {one.last_frame}\nit runs")
    assert kernel.value("three.path == two.path") == "True"  # the same picture, so the same request
    assert fal.accepted[1].endpoint_id.endswith("image-to-video")
    assert len(fal.accepted) == 2
    kernel.ok("%%kling --quiet four --grid image={one.last_frame},{two.last_frame}\nit runs")
    assert kernel.value("[video.path == two.path for video in four.videos]") == "[True, True]"
    assert len(fal.accepted) == 2  # all these frames are alike


def test_a_sweep_from_python_and_a_storyboard_show_themselves(kernel: RunningKernel) -> None:
    cell = kernel.ok('import kling_nb\nstudy = kling_nb.sweep(["a fox", "a wolf"])\nstudy')
    assert cell.text == "2 cells · 2 to make, no price on record for v1-pro\n"
    assert WIDGET in cell.displays[0]
    kernel.ok("await study")
    kernel.wait_until(lambda: cell.displays[1]["text/html"].count("<video") == 2)
    board = kernel.ok("kling_nb.Storyboard(study.videos)")
    assert WIDGET in board.displays[0]
    assert board.displays[1]["text/html"].count("<video") == 2
    assert board.metadata[1]["kling_nb"]["version"] == 1
    film = kernel.ok("film = kling_nb.join(study.videos, 'film.mp4')\nfilm")
    assert "film.mp4" in film.displays[0]["text/html"]
    assert Path(kernel.value("film.path")).is_file()


def test_with_the_server_extension_a_view_and_its_card_are_one_output_without_it_two(
    kernel: RunningKernel, fal: ScriptedFal, tmp_path: Path
) -> None:
    sweep, strip = "%%kling study --grid\na {fox|wolf}", "import kling_nb\nkling_nb.Storyboard(study.videos)"
    for cell, output in ((kernel.ok(sweep), "Sweep: 2 choices"), (kernel.ok(strip), "Storyboard: 2 shots, ")):
        view, card = cell.displays
        assert set(view) == {WIDGET, "text/plain"}
        assert view["text/plain"].startswith(output)
        assert "to come" not in view["text/plain"]  # nothing that the end makes untrue
        assert set(card) == {"text/html", "text/plain"}
    root = tmp_path / "work"
    with RunningKernel(root, **pointed_at(fal, tmp_path / "home"), KLING_NB_SERVER_ROOT=str(root)) as served:
        served.ok("%load_ext kling_nb")
        for source in (sweep.replace("wolf", "cat"), strip):
            cell = served.ok(source)
            (both,) = cell.displays
            assert set(both) == {WIDGET, "text/html", "text/plain"}
            assert both["text/html"].count("<video") == 2
            assert ' data-kling-state="READY"' in both["text/html"]
