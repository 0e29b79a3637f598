"""`kling-nb key set|forget`, as a person or a program runs it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

pytestmark = pytest.mark.program

KEY = "b2e0:0123456789abcdef"

FILE_RING = '''
"""A key ring that is a file, for processes that are to see the same one."""
import json, os, pathlib
from keyring.backend import KeyringBackend

FILE = pathlib.Path(os.environ["RING_FILE"])

class Ring(KeyringBackend):
    priority = 1
    name = "file ring"

    def _read(self):
        return json.loads(FILE.read_text()) if FILE.exists() else {}

    def get_password(self, service, username):
        return self._read().get(service + "/" + username)

    def set_password(self, service, username, password):
        FILE.write_text(json.dumps({**self._read(), service + "/" + username: password}))

    def delete_password(self, service, username):
        FILE.write_text(json.dumps({k: v for k, v in self._read().items() if k != service + "/" + username}))
'''

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "file_ring.py").write_text(FILE_RING)
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]),
        "PYTHON_KEYRING_BACKEND": "file_ring.Ring",
        "RING_FILE": str(tmp_path / "ring.json"),
        "KLING_NB_BACKEND": "auto",
        # So that doctor asks no host of fal:
        "KLING_NB_QUEUE_URL": "http://127.0.0.1:9",
        "KLING_NB_REST_URL": "http://127.0.0.1:9",
        "KLING_NB_API_URL": "http://127.0.0.1:9",
    }


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path) -> Run:
    def run(*words: str, stdin: str = "", before: str = "") -> subprocess.CompletedProcess[str]:
        program = f"{before}\nimport sys; from kling_nb.cli import main; sys.exit(main(sys.argv[1:]))"
        return subprocess.run(
            [sys.executable, "-c", program, *words],
            input=stdin,
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_a_key_from_standard_input_is_kept_found_and_forgotten(run: Run, tmp_path: Path) -> None:
    kept = run("key", "set", stdin=f"{KEY}\n")
    assert (kept.returncode, kept.stderr) == (0, "")
    assert "file ring" in kept.stdout
    assert KEY in (tmp_path / "ring.json").read_text()

    doctor = run("doctor")
    assert "key ring of the system" in doctor.stdout

    gone = run("key", "forget")
    assert (gone.returncode, gone.stdout) == (0, "The key is removed.\n")
    again = run("key", "forget")
    assert (again.returncode, again.stdout) == (0, "The key ring has no key.\n")
    after = run("doctor")
    assert "key ring" not in after.stdout
    for done in (kept, doctor, gone, again, after):
        assert not any(part in done.stdout + done.stderr for part in KEY.split(":"))


@pytest.mark.parametrize("text", ["", "\n", "a b\n", "schlüssel\n"])
def test_what_cannot_be_a_key_is_not_kept(run: Run, tmp_path: Path, text: str) -> None:
    done = run("key", "set", stdin=text)
    assert done.returncode == 2
    assert "standard input" in done.stderr
    assert len(done.stderr.splitlines()) <= 4
    assert not (tmp_path / "ring.json").exists()


@pytest.mark.parametrize("word", ["set", "forget"])
def test_without_the_extra(run: Run, word: str) -> None:
    done = run("key", word, stdin=f"{KEY}\n", before="import sys; sys.modules['keyring'] = None")
    assert done.returncode == 2
    assert "pip install 'kling_nb[keyring]'" in done.stderr


def test_other_words_are_refused(run: Run) -> None:
    assert run("key").returncode == 2
    assert run("key", "show").returncode == 2


@pytest.fixture
def terminal(environment: dict[str, str], tmp_path: Path):
    arguments = ["-c", "import sys; from kling_nb.cli import main; sys.exit(main(['key', 'set']))"]
    child = pexpect.spawn(
        sys.executable, arguments, env=environment, cwd=str(tmp_path), timeout=30, encoding="utf-8"
    )
    yield child
    child.close(force=True)


def test_the_prompt_does_not_show_the_key(terminal: pexpect.spawn, tmp_path: Path) -> None:
    terminal.expect("not shown: ")
    terminal.sendline(KEY)
    terminal.expect(pexpect.EOF)
    assert "file ring" in terminal.before
    assert KEY not in terminal.before
    assert KEY in (tmp_path / "ring.json").read_text()


def test_an_interrupted_prompt_keeps_nothing(terminal: pexpect.spawn, tmp_path: Path) -> None:
    terminal.expect("not shown: ")
    terminal.sendcontrol("c")
    terminal.expect("Nothing was stored")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 130
    assert not (tmp_path / "ring.json").exists()
