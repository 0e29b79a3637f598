"""Rules of the house that no other tool checks."""

import inspect
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from guard import loopback_only

import kling_nb
from scripts import plain_words

ROOT = Path(__file__).resolve().parents[2]
MADE = {"node_modules", "build", "demo", "dist", "static", "kling_media", "__pycache__"}
PIN = re.compile(r"[a-z0-9][a-z0-9-]*==[\w.!+]+")
REGISTRY = re.compile(
    r'"resolved"\s*:|registry\s*=|--(extra-)?index-url|--find-links|--trusted-host|file:/|/simple\b'
)
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b")
HTML_SINKS = re.compile(r"\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextual\w+)\b")


def house_files():
    """The files under version control or about to be; of a copy without git, all but what is made."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    if (ROOT / ".git").exists() and shutil.which("git"):
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if listed.returncode == 0:
            return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]
    return [path for path in ROOT.rglob("*") if path.is_file() and is_ours(path.relative_to(ROOT).parts[:-1])]


def is_ours(folders):
    """Whether files in these folders are source: not made by a command, not a tool's cache."""
    hidden = {folder for folder in folders if folder.startswith(".")} - {".ci"}
    return not hidden and not MADE & set(folders)


def text_of(path):
    """The file's text; empty for pictures, videos and other bytes."""
    data = path.read_bytes()
    return "" if b"\0" in data[:8000] else data.decode("utf-8")


def lines_with(pattern, paths):
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in paths
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if pattern.search(line)
    ]


def test_lock_and_constraint_files_name_no_registry():
    kinds = ("constraints*.txt", "requirements*.txt", "package-lock.json", "*.lock", ".npmrc", "pip.conf")
    locks = [path for path in house_files() if any(path.match(kind) for kind in kinds)]
    assert {"constraints.txt", "package-lock.json"} <= {path.name for path in locks}
    assert lines_with(REGISTRY, locks) == []


def test_constraints_are_names_and_versions_only():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#") and not PIN.fullmatch(line)] == []


@pytest.mark.parametrize("name", kling_nb.__all__)
def test_public_name_and_its_methods_have_docstrings(name):
    value = getattr(kling_nb, name)
    assert inspect.getdoc(value), name
    if inspect.isclass(value):
        members = {key: member for key, member in vars(value).items() if not key.startswith("_")}
        documented = {
            key: inspect.getdoc(getattr(value, key)) for key in members if is_behaviour(members[key])
        }
        assert [key for key, doc in documented.items() if not doc] == []


def is_behaviour(member):
    return inspect.isfunction(member) or isinstance(member, property | classmethod | staticmethod)


def test_front_end_puts_no_text_into_html():
    sources = [path for path in house_files() if path.suffix in {".js", ".mjs", ".ts"}]
    assert lines_with(HTML_SINKS, sources) == []


def test_nothing_is_left_unfinished():
    assert lines_with(UNFINISHED, [path for path in house_files() if path != Path(__file__)]) == []


def test_words_that_are_to_go_are_found_in_names_and_sentences_and_not_where_they_are_right():
    text = "He said so. def _told(): ... The loopback address, https://fal.ai; saidst, allSettled, an Address"
    assert [name for name, _ in plain_words.words_in(text)] == ["said", "told", "address"]
    assert {
        "README.md",
        "docs/magic.md",
        "kling_nb/errors.py",
        "js/result/view.js",
        "notebooks/quickstart.ipynb",
    } <= {path.relative_to(ROOT).as_posix() for path, _ in plain_words.texts()}


def test_make_removes_keys_and_chooses_the_local_backend():
    show = "--eval=show:; @env"
    variables = {
        **os.environ,
        "FAL_KEY": "from-environment",
        "FAL_KEY_ID": "a",
        "FAL_KEY_SECRET": "b",
        "FAL_KEY_STUDIO": "from-environment",
    }
    for extra in ([], ["FAL_KEY=from-command-line", "FAL_KEY_STUDIO=from-command-line"]):
        done = subprocess.run(
            ["make", "--no-print-directory", show, "show", *extra],
            cwd=ROOT,
            env=variables,
            capture_output=True,
            text=True,
            check=True,
        )
        names = {line.partition("=")[0] for line in done.stdout.splitlines()}
        assert not [name for name in names if name.startswith("FAL_KEY")]
        assert "KLING_NB_BACKEND=local" in done.stdout.splitlines()
        assert "from-" not in done.stdout


def test_the_session_has_no_key_and_the_local_backend():
    assert not [name for name in os.environ if name.startswith("FAL_KEY")]
    assert os.environ["KLING_NB_BACKEND"] == "local"


ATTEMPTS = {
    "an address": "socket.create_connection(('192.0.2.1', 443), timeout=5)",
    "an IPv6 address": "socket.socket(socket.AF_INET6).connect(('2001:db8::1', 443))",
    "a datagram": "socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('192.0.2.1', 53))",
    "a name": "socket.getaddrinfo('queue.example.org', 443)",
}


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
def test_guard_stops_a_child_that_leaves_loopback(tmp_path, attempt):
    done, leaks = in_a_child(tmp_path, attempt)
    assert "LeftLoopback" in done.stderr
    assert len(leaks) == 1


def test_guard_lets_a_child_talk_to_this_machine(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        program = (
            f"socket.create_connection(('127.0.0.1', {port})); socket.getaddrinfo('localhost', {port}); "
        )
        done, leaks = in_a_child(tmp_path, program + "socket.socketpair()")
    assert (done.returncode, leaks) == (0, []), done.stderr


def test_guard_answers_names_that_never_exist_without_asking(tmp_path):
    done, leaks = in_a_child(tmp_path, "socket.getaddrinfo('queue.invalid', 443)")
    assert "gaierror" in done.stderr
    assert leaks == []


def in_a_child(tmp_path, statement):
    """Run a statement in a Python of its own, its leaks written where the session does not look."""
    leaks = tmp_path / "leaks"
    leaks.touch()
    done = subprocess.run(
        [sys.executable, "-c", f"import socket; {statement}"],
        env={**os.environ, loopback_only.LEAKS: str(leaks)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done, leaks.read_text(encoding="utf-8").splitlines()
