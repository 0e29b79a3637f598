"""`kling-nb`, as a shell runs it."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scripted import Done, Fail, Hold, Log, Queue, Run, Script, ScriptedFal

import kling_nb
from kling_nb.catalog.shipped import endpoint
from kling_nb.cli import main
from kling_nb.events import State
from kling_nb.ledger import Ledger
from kling_nb.notebook.output.terminal import Outputs
from kling_nb.request.request import VideoRequest

pytestmark = pytest.mark.program

COMMAND = str(Path(sys.executable).with_name("kling-nb"))
Shell = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "home" / "ledger.sqlite3")
    yield ledger
    ledger.close()


@pytest.fixture
def environment(fal: ScriptedFal, tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "KLING_NB_BACKEND": "fal",
        "KLING_NB_QUEUE_URL": fal.url,
        "KLING_NB_REST_URL": fal.url,
        "KLING_NB_API_URL": fal.url,
        "KLING_NB_HOME": str(tmp_path / "home"),
        "FAL_KEY": fal.key,
    }


@pytest.fixture
def shell(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Run a command in this process, which takes a tenth of the time of a process for each."""

    def call(*words: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        streams = {name: io.TextIOWrapper(io.BytesIO(), "utf-8") for name in ("stdout", "stderr")}
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path)
            for name, value in {**environment, **more}.items():
                patch.setenv(name, value)
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), "utf-8"))
            for name, stream in streams.items():
                patch.setattr(sys, name, stream)
            try:
                code = main(words)
            except SystemExit as end:  # argparse ends so.
                code = end.code if isinstance(end.code, int) else 1
        for stream in streams.values():
            stream.flush()
        output, errors = (stream.buffer.getvalue().decode() for stream in streams.values())
        return subprocess.CompletedProcess(words, code, output, errors)

    return call


@pytest.fixture
def process(environment: dict[str, str], tmp_path: Path) -> Shell:
    """Run a command in a process of its own, as a shell does."""

    def call(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, *words],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**environment, **more},
            check=False,
        )

    return call


def test_generate_prints_the_file_and_nothing_else(shell: Shell, fal: ScriptedFal, tmp_path: Path) -> None:
    done = shell("generate", "--duration", "10", "a cat", "--aspect-ratio", "9:16")
    assert done.returncode == 0
    path = Path(done.stdout.strip())
    assert path.parent == tmp_path / "kling_media"
    assert path.exists()
    assert "Sampling 60%" in done.stderr
    assert fal.accepted[0].input == {"prompt": "a cat", "duration": "10", "aspect_ratio": "9:16"}
    assert fal.key not in done.stdout + done.stderr

    again = shell("generate", "a cat", "--duration=10", "--aspect-ratio=9:16", "--quiet")
    assert (again.stdout, again.stderr) == (done.stdout, "")
    assert len(fal.accepted) == 1


@pytest.mark.parametrize("more", [(), ("--no-wait",)])
def test_another_endpoint_than_the_named_one_is_shown(
    shell: Shell, fal: ScriptedFal, more: tuple[str, ...]
) -> None:
    done = shell("generate", "it turns", "--image", "https://example.com/cat.png", *more)
    assert done.returncode == 0
    assert done.stderr.count("v1-pro takes no image; v1-pro-image is used instead.") == 1
    assert shell("generate", "it turns", "--image", "https://example.com/cat.png", "--quiet").stderr == ""


def test_generate_from_standard_input(shell: Shell, fal: ScriptedFal) -> None:
    assert shell("generate", "-", "--quiet", stdin="a cat\non two lines\n").returncode == 0
    assert fal.accepted[0].input["prompt"] == "a cat\non two lines"


def test_generate_without_waiting_waits_for_the_request_id(
    shell: Shell, fal: ScriptedFal, tmp_path: Path
) -> None:
    fal.script = Script([Queue(2), Hold(), Run(), Done()])
    done = shell("generate", "a cat", "--no-wait")
    assert done.returncode == 0
    ledger = Ledger(tmp_path / "home" / "ledger.sqlite3")
    (entry,) = ledger.entries()
    ledger.close()
    assert done.stdout == f"{entry.id}\n"
    assert entry.request_id == fal.job().request_id
    assert done.stderr == ""


def test_a_submission_that_is_refused_is_reported_without_waiting_too(shell: Shell, fal: ScriptedFal) -> None:
    fal.fault("submit", "no_money")
    done = shell("generate", "a cat", "--no-wait")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Exhausted balance" in done.stderr


def test_a_dry_run_sends_nothing(shell: Shell, fal: ScriptedFal, tmp_path: Path) -> None:
    done = shell("generate", "a cat", "--dry-run", "--duration", "10")
    assert done.returncode == 0
    assert f"POST {fal.url}/fal-ai/kling-video/v1/pro/text-to-video" in done.stdout
    assert '"duration": "10"' in done.stdout
    assert "Nothing was sent" in done.stdout
    assert not fal.requests
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("words", "code", "shown"),
    [
        (("generate", "a cat", "--nonsense"), 2, "has no flag --nonsense"),
        (("generate", "a", "cat"), 2, "in quotes"),
        (("generate", "a cat", "--duration", "7"), 1, "--duration must be"),
        (("generate", "a cat", "--endpoint", "v1-prro"), 1, "v1-prro"),
        (("generate",), 1, "prompt"),
        (("generate", "a cat", "--take", "2", "--new"), 2, "contradict"),
        (("generate", "a cat", "--image", "missing.png"), 1, '--image: no such file "missing.png"'),
        (("nonsense",), 2, "nonsense"),
        ((), 2, "COMMAND"),
        (("jobs", "--nonsense"), 2, "--nonsense"),
        (("generate", "a cat", "--take", "x"), 2, "kling-nb generate: argument --take"),
        (("generate", "a cat", "--endpoint", "v9"), 1, "kling-nb endpoints lists all"),
        (("endpoints", "zebra"), 2, "kling-nb endpoints lists all"),
        (("resume", "abc"), 2, "kling-nb resume REQUEST_ID --endpoint NAME"),
        (("generate", "a cat", "--frozen"), 1, "no take"),
        (("freeze", "missing.ipynb"), 2, "missing.ipynb cannot be read: No such file"),
        (("verify", "missing.ipynb"), 2, "missing.ipynb cannot be read: No such file"),
        (("generate", "--endpoint", "lipsync-audio"), 1, "\n--audio-url is missing."),
        (("generate", "a cat", "--duration", "7", "--aspect-ratio", "3:1"), 1, "\n--aspect-ratio must be"),
        (("jobs", "-n", "0"), 2, "'0' is not a whole number from 1"),
        (("media", "status", "missing"), 2, "There is no folder missing."),
        (("media", "prune", "missing", "--unrated"), 2, "There is no folder missing."),
        (("ledger", "check", "missing"), 2, "There is no folder missing."),
        (("ledger", "rebuild", "missing"), 2, "There is no folder missing."),
        (("local", "--port", "99999"), 2, "'99999' is not a port from 0 to 65535"),
        (("local", "--speed", "fast"), 2, "'fast' is not a number above 0"),
    ],
)
def test_what_cannot_be_done(
    shell: Shell, fal: ScriptedFal, words: tuple[str, ...], code: int, shown: str
) -> None:
    done = shell(*words)
    assert done.returncode == code
    assert shown in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "%kling" not in done.stderr
    assert "kling-nb: kling-nb" not in done.stderr
    assert not fal.requests


def test_the_version_and_the_endpoints(shell: Shell, fal: ScriptedFal) -> None:
    assert shell("--version").stdout == f"kling-nb {kling_nb.__version__}\n"
    few, many = shell("endpoints", "v3-pro").stdout, shell("endpoints").stdout
    assert "v3-pro-image" in few
    assert "v1-pro" not in few
    assert "v1-pro" in many
    assert "%kling" not in few + many
    assert not fal.requests


def test_without_a_connection_it_says_that_nothing_was_sent(shell: Shell) -> None:
    done = shell("generate", "a cat", KLING_NB_QUEUE_URL="http://127.0.0.1:9")
    assert done.returncode == 1
    assert done.stderr.count("Nothing was sent.") == 1


def test_a_key_is_asked_for_in_the_words_of_a_shell(shell: Shell) -> None:
    done = shell("generate", "a cat", FAL_KEY="")
    assert "Set FAL_KEY in the environment." in done.stderr
    assert "KLING_NB_BACKEND=local makes free previews" in done.stderr
    assert "%kling" not in done.stderr


def test_a_failure_is_reported_in_a_few_lines(shell: Shell, fal: ScriptedFal) -> None:
    detail = {"loc": ["body", "prompt"], "msg": "too odd", "type": "value_error"}
    fal.script = Script([Queue(0), Run(), Log("\x1b[2JLoading"), Fail.refused(detail)])
    done = shell("generate", "a cat")
    assert done.returncode == 1
    assert "kling-nb: prompt: too odd" in done.stderr
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stderr
    assert done.stdout == ""


def test_without_a_key(shell: Shell, fal: ScriptedFal) -> None:
    done = shell("generate", "a cat", FAL_KEY="")
    assert done.returncode == 1
    assert "FAL_KEY" in done.stderr
    assert not fal.requests


def test_an_interrupt(environment: dict[str, str], fal: ScriptedFal, tmp_path: Path) -> None:
    fal.script = Script([Queue(3), Hold(), Run(), Done()])
    process = subprocess.Popen(
        [COMMAND, "generate", "a cat"], env=environment, cwd=tmp_path, stdout=-1, stderr=-1, text=True
    )
    fal.wait_for("stream")
    process.send_signal(signal.SIGINT)
    out, shown = process.communicate()
    assert process.returncode == 130
    assert out == ""
    assert "Not charged" in shown
    assert "Traceback" not in shown
    assert fal.count("cancel") == 1


def test_a_wait_that_runs_out(shell: Shell, fal: ScriptedFal, tmp_path: Path) -> None:
    fal.script = Script([Run(), Hold(), Done()])
    done = shell("generate", "a cat", "--timeout", "0.3", "--quiet")
    assert done.returncode == 1
    assert "the job goes on" in done.stderr
    fal.release()
    assert shell("generate", "a cat", "--quiet").returncode == 0
    assert len(fal.accepted) == 1


def test_jobs(shell: Shell, fal: ScriptedFal, tmp_path: Path) -> None:
    assert shell("jobs").stdout == "No jobs yet.\n"
    shell("generate", "a cat", "--quiet")
    fal.script = Script([Run(), Hold()])
    shell("generate", "a dog", "--no-wait")
    shown = shell("jobs").stdout
    assert "a cat" in shown
    assert "a dog" in shown
    assert State.READY.value in shown
    assert "a cat" not in shell("jobs", "--unfinished").stdout
    assert "a cat" not in shell("jobs", "-n", "1").stdout


def test_spend_and_reconcile(shell: Shell, fal: ScriptedFal) -> None:
    shell("generate", "a cat", "--quiet")
    assert "JOBS" in shell("spend", "endpoint").stdout
    fal.platform.prices = {}
    done = shell("spend", "--reconcile", "--days", "7")
    assert (done.returncode, "In the last 7 days" in done.stdout) == (0, True)
    fal.platform.admin = False
    refused = shell("spend", "--reconcile")
    assert refused.returncode == 1
    assert "ADMIN scope" in refused.stderr


def test_doctor_never_shows_the_key(shell: Shell, fal: ScriptedFal) -> None:
    done = shell("doctor")
    assert done.returncode == 0
    assert "environment variable FAL_KEY" in done.stdout
    for part in fal.key.split(":"):
        assert part not in done.stdout + done.stderr
    assert not fal.accepted
    with fal.refusing():
        assert shell("doctor").returncode == 1


def test_help(capsys: pytest.CaptureFixture[str], monkeypatch: Any, home: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    for command in ("generate", "jobs", "doctor", "local"):
        assert command in shown
    assert main(["generate", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--aspect-ratio" in shown
    assert "PROMPT" in shown
    assert main(["generate", "--endpoint", "tts", "--help"]) == 0
    assert "--voice-id" in capsys.readouterr().out


def test_resume_brings_what_is_unfinished(
    shell: Shell, process: Shell, fal: ScriptedFal, tmp_path: Path, ledger: Ledger
) -> None:
    assert shell("resume").stderr == "No unfinished jobs.\n"
    ends = [Done(), Done(), Fail.platform("runner_disconnected", 503, "The runner failed")]
    fal.scripts.queue.extend(Script([Queue(0), Run(), Hold(), end]) for end in ends)
    job_ids = [process("generate", "--no-wait", f"cat {number}").stdout.strip() for number in range(3)]
    lost = job_ids[2]
    for job in fal.jobs:
        job.release()
    done = shell("resume")
    assert done.returncode == 1
    files = [Path(line) for line in done.stdout.splitlines()]
    assert len(files) == 2
    assert all(path.exists() and path.parent == tmp_path / "kling_media" for path in files)
    assert f"{lost}: " in done.stderr
    assert "The runner failed" in done.stderr
    assert len(fal.accepted) == 3
    assert fal.key not in done.stdout + done.stderr
    assert shell("resume").stderr == "No unfinished jobs.\n"
    assert {entry.state for entry in ledger.entries()} == {State.READY, State.FAILED}
    assert shell("resume", job_ids[0]).stdout.strip() in done.stdout.splitlines()


def test_an_interrupt_of_resume_cancels_nothing(
    process: Shell, environment: dict[str, str], fal: ScriptedFal, tmp_path: Path, ledger: Ledger
) -> None:
    fal.script = Script([Queue(0), Hold(), Run(), Done()])
    job_id = process("generate", "--no-wait", "a cat").stdout.strip()
    streams = fal.count("stream")
    resume = subprocess.Popen(
        [COMMAND, "resume", job_id],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        cwd=tmp_path,
    )
    fal.wait_for("stream", streams + 1)
    resume.send_signal(signal.SIGINT)
    _, shown = resume.communicate(timeout=20)
    assert resume.returncode == 130
    assert b"kling-nb resume" in shown
    assert fal.count("cancel") == 0
    assert ledger.entries()[0].state is State.IN_QUEUE


def test_ledger_check_and_rebuild(shell: Shell, process: Shell, tmp_path: Path, ledger: Ledger) -> None:
    shown = shell("ledger", "check")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "not there yet" in shown.stdout
    path = Path(process("generate", "a cat", "--quiet").stdout.strip())
    (entry,) = ledger.entries()
    shown = shell("ledger", "check")
    assert "in order" in shown.stdout
    assert "1, 0 unfinished" in shown.stdout
    path.rename(tmp_path / "elsewhere.mp4")
    assert f"No file     {entry.id}" in shell("ledger", "check").stdout
    (tmp_path / "elsewhere.mp4").rename(path)

    ledger.close()
    ledger.path.write_bytes(b"not a ledger any more " * 200)
    shown = shell("ledger", "check")
    assert shown.returncode == 1
    assert "DAMAGED" in shown.stdout
    assert f"No row      {path}" in shown.stdout
    shown = shell("ledger", "rebuild")
    assert shown.returncode == 0
    assert "now has 1 job." in shown.stdout
    assert "set-aside" in shown.stdout
    assert [one.request_id for one in ledger.entries()] == [entry.request_id]
    assert shell("ledger", "check").returncode == 0


def test_a_reader_that_has_seen_enough_makes_no_traceback(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    cells = [{"cell_type": "code", "source": f"%%kling\nboat {number}"} for number in range(40)]
    (tmp_path / "boats.ipynb").write_text(json.dumps({"nbformat": 4, "cells": cells}))
    with subprocess.Popen(
        [COMMAND, "verify", "boats.ipynb"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as verify:
        assert verify.stdout is not None
        assert verify.stderr is not None
        verify.stdout.close()  # before anything is written, as `head` does it afterwards
        assert verify.stderr.read() == b""
    assert verify.returncode == 141


# -- Streams that cannot take what is printed, and what comes on standard input.


Here = Callable[..., int]


@pytest.fixture
def here(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    """Runs a command in this process, with these streams."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)

    def call(*words: str, **streams: Any) -> int:
        for name, stream in streams.items():
            monkeypatch.setattr(sys, name, stream)
        return main(words)

    return call


class Unwritable:
    """A stream to a full disk, or to a pipe without a reader."""

    encoding = "utf-8"

    def __init__(self, *reason: Any) -> None:
        self.reason = reason

    def write(self, text: str) -> int:
        raise OSError(*self.reason)

    def flush(self) -> None:
        raise OSError(*self.reason)

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        raise OSError("there is no file")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_what_a_stream_cannot_encode_does_not_end_a_paid_job(
    here: Here, fal: ScriptedFal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    monkeypatch.setenv("KLING_NB_MEDIA", str(tmp_path / "Łódź"))
    fal.script = Script([Queue(0), Run(), Log("→ 100 %"), Done()])
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    assert here("generate", "eine Katze 🐈", stdout=out, stderr=err) == 0
    assert b"-1.mp4\n" in out.buffer.getvalue()  # type: ignore[attr-defined]
    assert b"\\u2192 100 %" in err.buffer.getvalue()  # type: ignore[attr-defined]
    assert len(list((tmp_path / "Łódź").glob("*.mp4"))) == 1


@pytest.mark.parametrize("reason", [(errno.ENOSPC, "No space left on device"), (errno.EPIPE, "Broken pipe")])
def test_streams_that_take_nothing_do_not_end_a_paid_job(
    here: Here, fal: ScriptedFal, tmp_path: Path, reason: tuple[int, str]
) -> None:
    assert here("generate", "a cat", stdout=Unwritable(*reason), stderr=Unwritable(*reason)) == 0
    assert here("generate", "a dog", stdout=None, stderr=None) == 0
    assert len(list((tmp_path / "kling_media").glob("*.mp4"))) == 2
    fal.script = Script([Run(), Hold(), Done()])
    assert here("generate", "a cow", "--no-wait") == 0
    fal.jobs[-1].release()
    assert here("resume", stdout=Unwritable(*reason), stderr=Unwritable(*reason)) == 0
    assert len(list((tmp_path / "kling_media").glob("*.mp4"))) == 3


def test_a_full_disk_under_standard_output_ends_with_code_0(
    environment: dict[str, str], fal: ScriptedFal, tmp_path: Path
) -> None:
    """Python itself flushes once more at exit, and would exit with 120."""
    command = f"{COMMAND} generate 'a cat' >/dev/full 2>/dev/full"
    assert subprocess.run(command, shell=True, cwd=tmp_path, env=environment, check=False).returncode == 0
    assert len(list((tmp_path / "kling_media").glob("*.mp4"))) == 1


def typed(data: bytes, encoding: str = "utf-8") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(data), encoding=encoding, newline="\n")


def test_a_byte_order_mark_and_line_ends_of_windows_make_no_other_request(
    here: Here, fal: ScriptedFal, capsys: pytest.CaptureFixture[str]
) -> None:
    prompt = "a cat\non two lines\n"
    for text in (prompt, "\ufeff" + prompt, prompt.replace("\n", "\r\n"), prompt.replace("\n", "\r")):
        assert here("generate", "-", "--quiet", stdin=typed(text.encode())) == 0
    assert here("generate", "-", "--quiet", stdin=typed(prompt.encode("utf-16"))) == 0
    assert [one.input["prompt"] for one in fal.accepted] == ["a cat\non two lines"]
    assert len(set(capsys.readouterr().out.split())) == 1


def test_what_was_paid_for_with_a_byte_order_mark_is_not_bought_again(
    here: Here, fal: ScriptedFal, capsys: pytest.CaptureFixture[str]
) -> None:
    old = VideoRequest(endpoint("v1-pro"), {"prompt": "\ufeffa cat\non two lines"}, {})
    with closing(kling_nb.Session()) as session:
        file = session._launch(replace(session.plan("x"), request=old)).wait().path
    written = "\ufeffa cat\r\non two lines\r\n".encode()
    assert here("generate", "-", stdin=typed(written)) == 0
    out, err = capsys.readouterr()
    assert out == f"{file}\n"
    assert "earlier version" in err
    assert len(fal.accepted) == 1
    assert here("generate", "-", "--new", "--quiet", stdin=typed(written)) == 0
    assert fal.accepted[1].input["prompt"] == "a cat\non two lines"


def test_a_byte_order_mark_of_utf_8_counts_more_than_the_encoding_of_windows(
    here: Here, fal: ScriptedFal, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = "\ufeffä fox".encode(), "\ufeffä cat".encode()
    kling_nb.generate(old.decode("cp1252"))  # as version 0.1.0 read it
    assert here("generate", "-", stdin=typed(old, "cp1252")) == 0
    assert "earlier version" in capsys.readouterr().err
    assert here("generate", "-", "--quiet", stdin=typed(new, "cp1252")) == 0
    assert [one.input["prompt"] for one in fal.accepted[1:]] == ["ä cat"]


@pytest.mark.parametrize(("stdin", "words"), [(typed(b"\xffa cat"), "UTF-8"), (None, "closed")])
def test_standard_input_without_text(
    here: Here, fal: ScriptedFal, capsys: pytest.CaptureFixture[str], stdin: Any, words: str
) -> None:
    assert here("generate", "-", stdin=stdin) == 2
    assert words in capsys.readouterr().err
    assert not fal.requests


def test_the_outputs_of_a_terminal_take_any_stream_too(capsys: pytest.CaptureFixture[str]) -> None:
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    Outputs(narrow).text("→ 🐈")
    narrow.flush()
    assert narrow.buffer.getvalue() == b"\\u2192 \\U0001f408\n"  # type: ignore[attr-defined]
    closed = io.StringIO()
    closed.close()
    Outputs(closed).text("a cat")
    assert capsys.readouterr().out == ""


def test_batch_makes_a_video_for_each_row_and_prints_their_files(
    shell: Shell, fal: ScriptedFal, tmp_path: Path
) -> None:
    (tmp_path / "shots.csv").write_text("prompt,duration\na fox,5\na wolf,10\n")
    planned = shell("batch", "shots.csv", "--dry-run")
    assert (planned.returncode, len(fal.accepted)) == (0, 0)
    assert planned.stdout.startswith("2 rows · 2 to make")
    done = shell("batch", "shots.csv", "--concurrency", "1")
    assert done.returncode == 0, done.stderr
    assert [Path(line).suffix for line in done.stdout.splitlines()] == [".mp4", ".mp4"]
    assert "2 of 2 ready" in done.stderr
    wrong = shell("batch", "shots.csv", "--prompt", "{who}")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "no column of that name" in wrong.stderr
    assert shell("batch").returncode == 2
    assert "--prompt" in shell("batch", "--help").stdout
