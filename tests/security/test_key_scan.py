"""The key is in nothing that a kernel writes, shows, logs or starts: everything is searched for it."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest
from kernel_environment import pointed_at
from running_kernel import Cell, RunningKernel
from scripted import ScriptedFal

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(120)]

LOGGING = """
import logging
logging.basicConfig(filename="debug.log", level=logging.DEBUG, force=True)
"""
SHOWN = """
session = kling_nb.Session()
job = kling_nb.submit("a cat", new=True)
video = job.wait()
print(repr(session), repr(session.settings()), repr(session.settings().key), vars(job), job, video)
print(kling_nb.jobs(), session.client, kling_nb.endpoints()[:1])
"""
UNTYPED = """
try:
    kling_nb.generate("a dog with a traceback")
except Exception as error:
    import traceback
    traceback.print_exception(error)
    raise RuntimeError("of the user's own") from error
"""
LOCAL = """
%kling local
kling_nb.generate("a preview", duration=5)
print(kling_nb.jobs(limit=1)[0].backend)
"""


class Searched:
    """The forms in which a key could be found."""

    def __init__(self, key: str) -> None:
        key_id, secret = key.split(":")
        forms = [key, secret, key_id, quote(key, safe=""), f"Key {key}"]
        self._forms = [form.encode() for form in forms]
        self._forms += [base64.b64encode(form)[:-4] for form in self._forms]

    def none_in(self, data: bytes | str, where: object) -> None:
        raw = data if isinstance(data, bytes) else data.encode()
        for form in self._forms:
            assert form not in raw, f"the key is in {where}"


@pytest.fixture
def kernel(fal: ScriptedFal, tmp_path: Path) -> Iterator[RunningKernel]:
    work = tmp_path / "work"
    work.mkdir()
    # the key that is searched for stands in the kernel's own environment, from where it is used
    with RunningKernel(work, **pointed_at(fal, tmp_path / "home"), KLING_NB_LOCAL_SPEED="inf") as running:
        running.ok(f"import kling_nb\n{LOGGING}")
        running.ok("%load_ext kling_nb")
        yield running


def test_it_is_nowhere(kernel: RunningKernel, fal: ScriptedFal, tmp_path: Path) -> None:
    search = Searched(fal.key)
    search_works = Searched("id:secret")
    with pytest.raises(AssertionError):
        search_works.none_in(b"... Key id:secret ...", "a sentence that has it")

    cells = [kernel.ok("%%kling cat\na cat on a roof"), kernel.ok(SHOWN), kernel.ok("%kling jobs")]
    cells += failing(kernel, fal)
    cells.append(kernel.ok("%kling panel"))
    cells.append(kernel.ok(LOCAL))

    for cell in cells:
        search.none_in(json.dumps(vars(cell), default=repr), f"the outputs of {cell.id}")
    search.none_in(json.dumps([kernel.comms, kernel.comm_messages], default=repr), "a widget's state")
    assert kernel.comms
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".log", ".sqlite3", ".json", ".mp4"}
    for path in files:
        search.none_in(path.read_bytes(), path)
    assert b"DEBUG:kling_nb.fal.lanes:GET http" in (tmp_path / "work" / "debug.log").read_bytes()
    not_in_processes(kernel, search)
    assert not fal.stray_keys


def failing(kernel: RunningKernel, fal: ScriptedFal) -> list[Cell]:
    """Cells that end in errors, with the tracebacks that go with them."""
    cells = []
    fal.fault("submit", "status", status=401, body={"detail": "Invalid key credentials"})
    cells.append(kernel.run("%%kling dog\na dog"))
    fal.fault("submit", "reset")
    cells.append(kernel.run("%%kling\na bird"))
    fal.fault("submit", "foreign_urls")
    cells.append(kernel.run("kling_nb.generate('a fish')"))
    fal.fault("submit", "status", status=500)
    cells.append(kernel.run(UNTYPED))
    kernel.ok("%xmode Verbose")
    fal.fault("submit", "reset")
    cells.append(kernel.run(UNTYPED.replace("a dog", "a cow")))
    kernel.ok("%xmode Context")
    fal.clear_faults()
    assert [cell.ok for cell in cells] == [False, False, True, False, False]
    assert "of the user's own" in cells[-1].message
    return cells


def not_in_processes(kernel: RunningKernel, search: Searched) -> None:
    """The key is not in the command line of the kernel or a child process, nor in a child's environment."""
    process = psutil.Process(kernel.pid)
    search.none_in("\0".join(process.cmdline()), "the kernel's command line")
    engines = [child for child in process.children(recursive=True) if "kling_nb.local" in child.cmdline()]
    assert engines
    for child in process.children(recursive=True):
        search.none_in("\0".join(child.cmdline()), f"the command line of {child}")
        environment = child.environ()
        assert environment
        search.none_in(json.dumps(environment), f"the environment of {child}")
