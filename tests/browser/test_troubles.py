"""A job at fal that outlives its kernel, in JupyterLab and Notebook 7."""

import os
import signal
from pathlib import Path

import pytest
from kernel_environment import pointed_at
from notebook_page import NotebookPage, in_one
from playwright.sync_api import Locator, Page, expect
from scripted import Hold, Log, Queue, Run, Script, ScriptedFal
from scripted.script import instant

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


@pytest.fixture
def environment(fal: ScriptedFal, home: Path) -> dict[str, str]:
    """Kernels that take the scripted server for fal."""
    return pointed_at(fal, home)


def run_all(page: Page, notebook: NotebookPage) -> None:
    page.locator(".jp-Notebook .jp-Cell").first.click()
    notebook.menu("Run", "Run All Cells")


def job_next_to_a_panel(page: Page, notebook: NotebookPage, fal: ScriptedFal) -> tuple[Locator, Locator]:
    """A job that runs at fal until the test releases it, and a panel."""
    fal.script = Script([Queue(0), Run(), Log("Loading"), Hold(), *instant()[-1:]])
    notebook.open(
        "%load_ext kling_nb",
        "import os, kling_nb\nprint('process', os.getpid())\nkling_nb.Panel()",
        "%%kling boat\na paper boat",
    )
    run_all(page, notebook)
    job, panel = notebook.jobs().first, notebook.panel()
    expect(job.get_by_text("Log · 1 line")).to_be_visible()
    return job, panel


def process_of(page: Page) -> int:
    """The id of the kernel's process."""
    return int(page.get_by_text("process ").last.inner_text().split()[-1])


def kernel_is_gone(job: Locator, panel: Locator) -> None:
    """Both say so, and what to do."""
    expect(job.get_by_text("Run the cell again to follow it, free.")).to_be_visible()
    expect(job.get_by_role("button", name="Cancel")).to_be_hidden()
    expect(panel.get_by_text("The kernel was restarted or shut down.")).to_be_visible()


@in_one("jupyterlab")
def test_a_kernel_that_is_stopped_interrupted_restarted_or_killed_hides_no_paid_job(
    page: Page, notebook: NotebookPage, fal: ScriptedFal
) -> None:
    job, panel = job_next_to_a_panel(page, notebook, fal)

    process = process_of(page)
    os.kill(process, signal.SIGSTOP)  # as one that swaps, or computes without a pause
    panel.get_by_role("textbox", name="Prompt", exact=True).fill("a heron")
    expect(panel.get_by_text("The kernel is busy")).to_be_visible()
    os.kill(process, signal.SIGCONT)
    expect(panel.get_by_role("button", name="Generate · no price on record for v1-pro")).to_be_visible()
    expect(panel.get_by_text("The kernel is busy")).to_be_hidden()

    notebook.menu("Kernel", "Interrupt Kernel")
    notebook.wait_until_idle()
    expect(
        page.get_by_text("JobInterrupted").or_(page.get_by_text("keeps running at fal")).first
    ).to_be_visible()
    expect(job.get_by_role("button", name="Cancel")).to_be_visible()  # it runs, and is still shown

    notebook.menu("Kernel", "Restart Kernel…")
    page.get_by_role("dialog").get_by_text("Restart", exact=True).click()
    kernel_is_gone(job, panel)
    run_all(page, notebook)
    expect(job.get_by_text("already running, no extra charge")).to_be_visible()
    expect(job.get_by_text("Run the cell again to follow it, free.")).to_be_hidden()

    os.kill(process_of(page), signal.SIGKILL)
    page.get_by_role("dialog").get_by_role("button", name="Ok").click()
    kernel_is_gone(job, panel)
    run_all(page, notebook)
    expect(job.get_by_text("already running, no extra charge")).to_be_visible()
    fal.release()
    notebook.ready()
    expect(job.get_by_text("5 billable units")).to_be_visible()
    assert len(fal.accepted) == 1


@pytest.mark.slow
@in_one("notebook")
def test_a_kernel_that_is_shut_down_hides_no_paid_job(
    page: Page, notebook: NotebookPage, fal: ScriptedFal
) -> None:
    job, panel = job_next_to_a_panel(page, notebook, fal)
    notebook.menu("Kernel", "Shut Down Kernel")
    kernel_is_gone(job, panel)
    assert len(fal.accepted) == 1
