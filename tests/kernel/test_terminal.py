"""IPython in a terminal: the same information as text, and Ctrl-C."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from kernel_environment import pointed_at
from scripted import Done, Hold, Log, Queue, Run, Script, ScriptedFal

pytestmark = pytest.mark.kernel
PROMPT = r"In \[\d+\]: "


@pytest.fixture
def terminal(fal: ScriptedFal, tmp_path: Path) -> Iterator[pexpect.spawn]:
    import os

    child = pexpect.spawn(
        sys.executable,
        ["-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor"],
        cwd=str(tmp_path),
        env={**os.environ, **pointed_at(fal, tmp_path / "home"), "TERM": "xterm"},
        timeout=40,
        encoding="utf-8",
        dimensions=(40, 160),
    )
    child.expect(PROMPT)
    child.sendline("%load_ext kling_nb")
    child.expect(PROMPT)
    yield child
    child.close(force=True)


def send_cell(terminal: pexpect.spawn, code: str) -> None:
    terminal.sendline(f"get_ipython().run_cell({code!r});")


def test_progress_log_lines_and_result_as_text(terminal: pexpect.spawn, fal: ScriptedFal) -> None:
    fal.script = Script([Queue(2), Run(), Log("Sampling 10%"), Hold(), Done()])
    send_cell(terminal, "%%kling cat\na cat on a roof")
    terminal.expect("Sampling 10%")
    terminal.expect("in progress")
    fal.release()
    terminal.expect(r"kling_media/a-cat-on-a-roof-\w+-1\.mp4")
    terminal.expect(PROMPT)
    terminal.sendline("cat.width")
    terminal.expect("64")


def test_control_c_in_the_queue_cancels(terminal: pexpect.spawn, fal: ScriptedFal) -> None:
    fal.script = Script([Queue(2), Hold(), Done()])
    send_cell(terminal, "%%kling cat\na cat on a roof")
    terminal.expect("in queue, 2 ahead")
    fal.wait_for("stream")
    terminal.sendintr()
    terminal.expect("Stopped waiting for job .*Not charged")
    terminal.expect(PROMPT)
    assert fal.count("cancel") == 1


def test_a_mistake_is_a_message(terminal: pexpect.spawn, fal: ScriptedFal) -> None:
    send_cell(terminal, "%%kling --aspekt 1:1\na cat")
    terminal.expect("no flag --aspekt")
    terminal.expect(PROMPT)
    assert not fal.requests


def test_line_magics_print_tables(terminal: pexpect.spawn) -> None:
    terminal.sendline("%kling endpoints v3-pro")
    terminal.expect("v3-pro-image")
    terminal.sendline("%kling")
    terminal.expect("Backend   fal")


def test_a_panel_is_shown_to_need_a_notebook(terminal: pexpect.spawn) -> None:
    terminal.sendline("import kling_nb")
    terminal.expect(PROMPT)
    for line in ("%kling panel", "kling_nb.Panel()"):
        terminal.sendline(line)
        terminal.expect(PROMPT)
        assert "panel" in terminal.before.splitlines()[1]
        assert "Traceback" not in terminal.before
