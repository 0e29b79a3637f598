"""Updates of what is shown, as VS Code takes them: it loses outputs when the metadata of one change."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel_environment import pointed_at
from running_kernel import Cell, RunningKernel
from scripted import Done, Fail, Hold, Log, Queue, Run, Script, ScriptedFal

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(120)]
REFUSED = {"loc": ["body", "prompt"], "msg": "too bold", "type": "content_policy_violation"}
MADE = Script([Queue(1), Run(), Log("Loading"), Log("Encoding"), Done()])


@pytest.fixture(params=["two outputs", "one output"])
def kernel(fal: ScriptedFal, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[RunningKernel]:
    """A kernel without the server extension, and one with it."""
    folder = tmp_path / "work"
    folder.mkdir()
    served = {"KLING_NB_SERVER_ROOT": str(folder)} if request.param == "one output" else {}
    with RunningKernel(folder, **pointed_at(fal, tmp_path / "home"), **served) as running:
        running.ok("%load_ext kling_nb\nimport kling_nb\nfrom IPython.display import update_display")
        yield running


def says(kernel: RunningKernel, cell: Cell, state: str) -> None:
    """Wait for the last update of a card."""
    kernel.wait_until(lambda: f' data-kling-state="{state}"' in cell.html())


def check(kernel: RunningKernel, *, updated: int) -> None:
    """See that no display changed its metadata, and that so many were brought up to date."""
    assert all("kling_nb" in text_shown[0] for text_shown in kernel.published.values())
    changed = {
        name: text_shown
        for name, text_shown in kernel.published.items()
        if any(one != text_shown[0] for one in text_shown)
    }
    assert changed == {}
    assert sum(len(text_shown) > 1 for text_shown in kernel.published.values()) >= updated


def test_a_job_that_ends_well_fails_or_is_cancelled(kernel: RunningKernel, fal: ScriptedFal) -> None:
    fal.scripts.queue.extend(
        [
            MADE,
            MADE,
            Script([Queue(1), Run(), Log("Loading"), Fail.refused(REFUSED)]),
            Script([Queue(3), Hold(), Run(), Done()]),
        ]
    )
    for number in range(2):  # the first job of a kernel shows its card before its widget
        says(kernel, kernel.ok(f"%%kling\na paper boat, number {number}"), "READY")
    failed = kernel.run("%%kling\na bold cat")
    assert not failed.ok
    says(kernel, failed, "FAILED")
    waiting = kernel.ok("%%kling kite --no-wait\na red kite")
    kernel.ok("kite.cancel()")
    says(kernel, waiting, "CANCELLED")
    says(kernel, kernel.ok("%%kling\na paper boat, number 0"), "READY")  # reused
    check(kernel, updated=4)


def test_a_sweep_and_a_storyboard(kernel: RunningKernel, fal: ScriptedFal) -> None:
    fal.scripts.queue.extend([MADE, Script([Queue(0), Fail.refused(REFUSED)]), MADE])
    grid = kernel.run("%%kling study --concurrency 1 --grid\na {fox|wolf|cat}")
    assert not grid.ok
    says(kernel, grid, "READY")
    assert grid.html().count("<video") == 2
    later = kernel.ok("later = kling_nb.sweep(['a swan', 'a crane'])\nlater")
    says(kernel, later, "IN_PROGRESS")
    kernel.ok("later.wait()")
    says(kernel, later, "READY")
    says(kernel, kernel.ok("kling_nb.Storyboard([video for video in study.videos if video])"), "READY")
    check(kernel, updated=2)


def test_what_users_bring_up_to_date_themselves(kernel: RunningKernel, fal: ScriptedFal) -> None:
    fal.scripts.queue.extend([Script([Queue(0), Run(), Hold(), Done()]), MADE])
    shown = kernel.ok("job = kling_nb.submit('a cat')\ndisplay(job, display_id='job')")
    assert "READY" not in shown.html()
    fal.wait_for(lambda: fal.jobs)
    fal.release()
    kernel.ok("video = job.wait()\nupdate_display(job, display_id='job')")
    says(kernel, shown, "READY")
    kernel.ok("display(video, display_id='video')\nupdate_display(video, display_id='video')")
    panel = kernel.ok("panel = kling_nb.Panel()\ndisplay(panel, display_id='panel')")
    before = panel.html()
    kernel.ok("panel.submit(prompt='a dog').wait()\nupdate_display(panel, display_id='panel')")
    kernel.wait_until(lambda: panel.html() != before)
    check(kernel, updated=3)
