"""Jobs at fal that fail, are never answered, or outlive their kernel: in JupyterLab and Notebook 7."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel_environment import pointed_at
from notebook_page import NotebookPage, in_one
from playwright.sync_api import Locator, Page, expect
from scripted import Fail, Hold, Log, Queue, Run, Script, ScriptedFal
from scripted.script import instant

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
REFUSED = {"loc": ["body", "prompt"], "msg": "The prompt names a brand", "type": "content_policy_violation"}


@pytest.fixture
def fal() -> Iterator[ScriptedFal]:
    with ScriptedFal() as server:
        yield server


@pytest.fixture
def environment(fal: ScriptedFal, home: Path) -> dict[str, str]:
    """Kernels that take the scripted server for fal."""
    return pointed_at(fal, home)


@in_one("jupyterlab")
def test_what_failed_says_why_and_can_be_tried_again(
    notebook: NotebookPage, fal: ScriptedFal, complaints: list[str]
) -> None:
    fal.script = Script([Queue(0), Run(), Log("Checking"), Fail.refused(REFUSED, units="0")])
    notebook.run("%load_ext kling_nb", "%%kling\na soft drink")
    job = notebook.jobs().first
    expect(job.get_by_text("The prompt names a brand")).to_be_visible()
    expect(job.get_by_text("not charged")).to_be_visible()
    expect(job.get_by_text("Failed").first).to_be_visible()
    notebook.settle()
    expect(job.get_by_text("price unknown", exact=True)).to_be_visible()
    fal.script = Script(instant())
    job.get_by_role("button", name="Try again").click()
    expect(job.get_by_role("group", name="Video player")).to_be_visible()
    expect(job.get_by_role("button", name="Take 1, Failed")).to_be_visible()
    expect(job.get_by_text("5 billable units")).to_be_visible()
    assert len(fal.accepted) == 2
    assert not complaints


@in_one("jupyterlab")
def test_what_was_never_answered_is_asked_for_and_not_sent_twice(
    notebook: NotebookPage, fal: ScriptedFal, complaints: list[str]
) -> None:
    fal.fault("submit", "reset", handled=True)
    fal.fault("lookup", "no_items")
    notebook.run("%load_ext kling_nb", "%%kling\na lighthouse")
    job = notebook.jobs().first
    expect(job.get_by_text("Uncertain").first).to_be_visible()
    notebook.settle()
    ask = job.get_by_role("button", name="Ask fal for the result")
    ask.click()
    expect(job.get_by_text("fal lists no such request yet")).to_be_visible()
    ask.click()
    expect(job.get_by_role("group", name="Video player")).to_be_visible()
    expect(job.get_by_text("picked up again")).to_be_visible()
    assert fal.count("submit") == 1
    assert not complaints


def job_beside_a_panel(page: Page, notebook: NotebookPage, fal: ScriptedFal) -> tuple[Locator, Locator, int]:
    """A job that fal goes on with until it is released, a panel, and the id of the kernel's process."""
    fal.script = Script([Queue(0), Run(), Log("Loading"), Hold(), *instant()[-1:]])
    notebook.open(
        "%load_ext kling_nb",
        "import os, kling_nb\nprint('process', os.getpid())\nkling_nb.Panel()",
        "%%kling boat\na paper boat",
    )
    page.locator(".jp-Notebook .jp-Cell").first.click()
    notebook.menu("Run", "Run All Cells")
    job, panel = notebook.jobs().first, notebook.panel()
    expect(job.get_by_text("Loading")).to_be_visible()
    return job, panel, int(page.get_by_text("process ").last.inner_text().split()[-1])


@in_one("notebook")
def test_a_kernel_that_is_stopped_interrupted_or_restarted_hides_no_paid_job(
    page: Page, notebook: NotebookPage, fal: ScriptedFal
) -> None:
    job, panel, process = job_beside_a_panel(page, notebook, fal)

    os.kill(process, signal.SIGSTOP)  # as one that swaps, or computes without a pause
    panel.get_by_role("textbox", name="Prompt", exact=True).fill("a heron")
    expect(panel.get_by_text("The kernel is busy")).to_be_visible()
    os.kill(process, signal.SIGCONT)
    expect(panel.get_by_role("button", name="Generate · price unknown")).to_be_visible()
    expect(panel.get_by_text("The kernel is busy")).to_be_hidden()

    notebook.menu("Kernel", "Interrupt Kernel")
    notebook.settle()
    expect(page.get_by_text("JobInterrupted").or_(page.get_by_text("goes on")).first).to_be_visible()
    expect(job.get_by_role("button", name="Cancel")).to_be_visible()  # it runs, and is still shown

    notebook.menu("Kernel", "Restart Kernel…")
    page.get_by_role("dialog").get_by_text("Restart", exact=True).click()
    expect(job.get_by_text("It is not paid for twice.")).to_be_visible()
    expect(job.get_by_role("button", name="Cancel")).to_be_hidden()
    expect(panel.get_by_text("The kernel was restarted or shut down.")).to_be_visible()
    panel.get_by_role("button", name="Look again").click()
    expect(panel.get_by_text("The kernel went away.")).to_be_visible()

    page.locator(".jp-Notebook .jp-Cell").first.click()
    notebook.menu("Run", "Run All Cells")
    expect(job.get_by_text("picked up again")).to_be_visible()
    fal.release()
    notebook.ready()
    expect(job.get_by_text("5 billable units")).to_be_visible()
    assert len(fal.accepted) == 1


@in_one("jupyterlab")
def test_widgets_say_that_their_kernel_died_or_was_shut_down(
    page: Page, notebook: NotebookPage, fal: ScriptedFal
) -> None:
    job, panel, process = job_beside_a_panel(page, notebook, fal)
    os.kill(process, signal.SIGKILL)
    page.get_by_role("dialog").get_by_role("button", name="Ok").click()
    expect(job.get_by_text("It is not paid for twice.")).to_be_visible()
    expect(job.get_by_role("button", name="Cancel")).to_be_hidden()
    expect(panel.get_by_text("The kernel was restarted or shut down.")).to_be_visible()

    page.locator(".jp-Notebook .jp-Cell").first.click()
    notebook.menu("Run", "Run All Cells")
    expect(job.get_by_text("picked up again")).to_be_visible()
    expect(job.get_by_text("It is not paid for twice.")).to_be_hidden()
    notebook.menu("Kernel", "Shut Down Kernel")
    expect(job.get_by_text("It is not paid for twice.")).to_be_visible()
    expect(panel.get_by_text("The kernel was restarted or shut down.")).to_be_visible()
    assert len(fal.accepted) == 1
