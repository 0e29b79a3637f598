"""What every test uses: no key, the local preview server, a home of its own, no way off this machine.

A developer's own key must never be billed by a test, so the key variables are removed
before anything is imported, and a request that leaves loopback fails the test that made it.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from guard import loopback_only
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from scripted import ScriptedFal
    from studio import Studio

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
ONE_BROWSER = {"tests/browser", "tests/hosts", "tests/views"}
"""Folders of tests that share a browser and servers."""

KEPT = {"KLING_NB_CHROMIUM", "KLING_NB_SLOW", loopback_only.LEAKS}
SCALE = "0.2"
"""Of previews, the smallest: 192 × 108. Tests that judge the picture draw it in its usual size."""

# How long an input takes says more of the machine's other work than of the code.
settings.register_profile("kling_nb", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kling_nb")
session_folder = pytest.StashKey[Path]()
leaks_file = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Set the environment that the tests, and all processes they start, see."""
    folder = Path(tempfile.mkdtemp(prefix="kling_nb-tests-"))
    config.stash[session_folder] = folder
    for name in list(os.environ):
        ours = name.startswith("FAL_KEY") or (name.startswith("KLING_NB_") and name not in KEPT)
        if ours or name.lower().endswith("_proxy"):
            del os.environ[name]
    # Processes that share the work (pytest-xdist) share the list of leaks too: the first of them reads it.
    known = os.environ.get(loopback_only.LEAKS) if "PYTEST_XDIST_WORKER" in os.environ else None
    leaks = Path(known) if known else folder / "leaks"
    leaks.touch()
    config.stash[leaks_file] = leaks
    os.environ.update(
        {
            "KLING_NB_BACKEND": "local",
            "KLING_NB_LOCAL_SCALE": SCALE,
            "KLING_NB_SCHEMA_URL": "https://schemas.invalid",
            "KLING_NB_HOME": str(folder / "home"),
            loopback_only.LEAKS: str(leaks),
            # A developer's own start-up files, kernels and key ring are not part of a test.
            "IPYTHONDIR": str(folder / "ipython"),
            "JUPYTER_CONFIG_DIR": str(folder / "jupyter-config"),
            "JUPYTER_DATA_DIR": str(folder / "jupyter-data"),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
            "PYTHONPATH": os.pathsep.join([str(TESTS / "guard"), *python_path()]),
        }
    )
    loopback_only.install()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # So does a shell that starts the tests with `&`.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]  # As in guard/sitecustomize.py.


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, browsers and then kernels, so that no process waits for it in the end."""
    items.sort(
        key=lambda item: (not item.get_closest_marker("browser"), not item.get_closest_marker("kernel"))
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each process whole files, and all files that share a browser to one."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            folder = nodeid.rpartition("/")[0]
            return folder if folder in ONE_BROWSER else super()._split_scope(nodeid)

    return Scheduling(config, log) if config.getoption("dist") == "loadfile" else None


def python_path() -> list[str]:
    return [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.stash[session_folder], ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail the test during which something, in this process or another, left loopback."""
    before = leaks(item.config)
    try:
        return (yield)
    finally:
        new = leaks(item.config)[len(before) :]
        if new:
            pytest.fail("left loopback:\n" + "\n".join(new), pytrace=False)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A leak outside any test (a fixture, a process that lived on) fails the session."""
    if leaks(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in leaks(config):
        terminalreporter.write_line(f"left loopback: {line}", red=True)


def leaks(config: pytest.Config) -> list[str]:
    return config.stash[leaks_file].read_text(encoding="utf-8").splitlines()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `KLING_NB_HOME` (ledger and caches) for this test alone."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("KLING_NB_HOME", str(folder))
    return folder


@pytest.fixture
def tmp_cwd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, empty: where `kling_media/` goes."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def fal() -> Iterator["ScriptedFal"]:
    """A scripted fal for this test alone."""
    from scripted import ScriptedFal  # most tests do without

    with ScriptedFal() as server:
        yield server


@pytest.fixture(scope="session")
def object_store() -> Iterator["Studio"]:
    """A studio's object store, one for all tests."""
    from studio import Studio  # moto takes a second

    server = Studio()
    yield server
    server.close()


@pytest.fixture
def s3(object_store: "Studio", monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a new bucket."""
    return object_store.new_library(monkeypatch)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter. Those of pytest are closed by each run of it that begins."""
    with tempfile.TemporaryDirectory(prefix="kling_nb-open-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """A Chromium that starts. Where there is none the test fails: a missing browser hides nothing."""
    search = [sys.executable, str(ROOT / "scripts" / "find_chromium.py")]
    found = subprocess.run(search, capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.fail(found.stderr.strip(), pytrace=False)
    return found.stdout.strip()


@pytest.fixture(scope="session")
def chromium_args() -> list[str]:
    """Flags for a browser that works in a container and asks no host but this one."""
    return [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
    ]
