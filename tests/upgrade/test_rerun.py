"""A project that the code of 21fcdc9 left is run again by the code of today: nothing is paid a second time.

`make.py` says what is in the project, and how it came to be. Where a test here fails, a user would pay again
for what they have, or not find it: the change at hand is at fault, and the project stays as it is.
"""

import hashlib
import importlib
import json
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import chdir
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jupyter_server.services.contents.largefilemanager import LargeFileManager
from kernel_environment import pointed_at
from running_kernel import RunningKernel
from scripted import Done, Log, Record, Run, Script, ScriptedFal, Submission
from scripted.cdn import File

import kling_nb

from .outputs import mark_of, read_outputs, text_of

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(120)]

LEFT = Path(__file__).with_name("project-21fcdc9")
EXPECTED = json.loads((LEFT / "expected.json").read_text("utf-8"))
FETCHED: Mapping[str, str] = EXPECTED["fetched"]
"""By request id the clip of each request that has no file: deleted, under way, or never answered."""

RERUN = ("film.ipynb", "previews.ipynb", "calls.ipynb")
"""The notebooks that are run again; a job that failed or was cancelled is sent again when its cell is run."""

LETTER = "a letter that never arrived"
REEL = "someone/reel/text-to-video"
VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"

END = """
def end(name):
    job = kling_nb.get_job(name)
    try:
        job.wait()
    except kling_nb.errors.KlingError as error:
        return job.state.state.value, type(error).__name__, str(error)
""".strip()


@dataclass
class Project:
    """A copy of the project, and the fal that it was made with.

    Attributes:
        folder: Of the notebooks.
        fal: Knows the requests that had not ended.
    """

    folder: Path
    fal: ScriptedFal

    @classmethod
    def copy(cls, folder: Path, fal: ScriptedFal) -> "Project":
        """Return a copy that is at home in `folder`."""
        shutil.copytree(
            LEFT, folder, ignore=shutil.ignore_patterns("cdn", "expected.json", "fal.json", "*.sql")
        )
        project = cls(folder, fal)
        for path in folder.glob("*.ipynb"):
            path.write_bytes(project.place(path.read_bytes()))
        db = sqlite3.connect(folder / "home" / "ledger.sqlite3")
        db.executescript(project.place((LEFT / "home" / "ledger.sql").read_bytes()).decode())
        db.close()
        project._tell_fal()
        return project

    def place(self, text: bytes) -> bytes:
        """Return a text of the project with real places in it."""
        places = {
            "@PROJECT@": str(self.folder),
            "@FAL@": self.fal.url,
            "@CDN@": self.fal.media_url,
            "@OWNER@": f"{socket.gethostname()}:{dead_process()}",
        }
        for word, place in places.items():
            text = text.replace(word.encode(), place.encode())
        return text

    def _tell_fal(self) -> None:
        known = json.loads(self.place((LEFT / "fal.json").read_bytes()))
        for job in known["jobs"]:
            app = "/".join(job["endpoint_id"].split("/")[:2])
            at = datetime.fromisoformat(job["at"])
            sent = Submission(job["request_id"], job["endpoint_id"], app, job["input"], {}, {}, at)
            steps = [Run(), Log("Sampling 60%"), Done(video=clip(job["file"]))] if job["file"] else [Done()]
            self.fal.remember(sent, Script(steps))
        for path, name in known["files"].items():
            self.fal.cdn.files[path] = File("output.mp4", clip(name), "video/mp4")
        (schema,) = (LEFT / "kling_media" / "schemas").iterdir()
        self.fal.platform.openapi[REEL] = json.loads(schema.read_text("utf-8"))["document"]

    @property
    def environment(self) -> dict[str, str]:
        return pointed_at(self.fal, self.folder / "home") | {"KLING_NB_LOCAL_SPEED": "inf"}

    @property
    def requests(self) -> list[Record]:
        """Return the requests to fal, except for schemas: a schema that is a week old is fetched, free."""
        return [record for record in self.fal.requests if record.exchange != "openapi"]

    def notebook(self, name: str) -> Any:
        """Return the JSON of a notebook."""
        return json.loads((self.folder / name).read_text("utf-8"))

    def rows(self) -> list[Any]:
        """Return what the ledger says of all jobs."""
        with kling_nb.Session(home=self.folder / "home", media=self.folder / "kling_media") as session:
            return session.jobs(limit=-1)

    def media(self) -> dict[str, str]:
        """Return the checksum of every file in the folder of takes, by its place there."""
        media = self.folder / "kling_media"
        return {
            str(path.relative_to(media)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in media.rglob("*")
            if path.is_file()
        }


@cache
def dead_process() -> int:
    """Return the number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def clip(name: str) -> bytes:
    """Return a clip that fal still has."""
    return (LEFT / "cdn" / name).read_bytes()


def sources(notebook: Any) -> list[str]:
    """Return the sources of the cells of a notebook."""
    return [text_of(cell["source"]) for cell in notebook["cells"]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A copy that this test may change, for commands in this process."""
    with ScriptedFal() as fal:
        one = Project.copy(tmp_path / "reel", fal)
        for name, value in one.environment.items():
            monkeypatch.setenv(name, value)
        with chdir(one.folder):
            yield one


# -- run again


@dataclass
class Rerun:
    """What running it all again did.

    Attributes:
        project: As it is now.
        outputs: What each cell of each notebook gave, in the form of nbformat.
        errors: The error of each cell that failed, by notebook and number.
        rows: What the ledger shown before.
        media: Files and their checksums before.
        ended: What became of the jobs that failed or were cancelled.
    """

    project: Project
    outputs: dict[str, list[list[dict[str, Any]]]]
    errors: dict[tuple[str, int], str]
    rows: list[Any]
    media: dict[str, str]
    ended: dict[str, Any]


@pytest.fixture(scope="module")
def rerun(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rerun]:
    """Each notebook is run from top to bottom, in a kernel of its own."""
    with ScriptedFal(id_prefix="ffffffff") as fal:
        fal.queue.apps.add(REEL.rpartition("/")[0])
        project = Project.copy(tmp_path_factory.mktemp("user") / "reel", fal)
        done = Rerun(project, {}, {}, project.rows(), project.media(), {})
        for name in RERUN:
            with RunningKernel(project.folder, **project.environment) as kernel:
                done.outputs[name] = []
                for number, source in enumerate(sources(project.notebook(name))):
                    cell = kernel.run(source)
                    if cell.error:
                        done.errors[name, number] = cell.error["ename"]
                    pairs = zip(cell.displays, cell.metadata, strict=True)
                    displays = [{"data": data, "metadata": metadata} for data, metadata in pairs]
                    done.outputs[name].append([{"text": cell.text}, *displays])
                if name == "calls.ipynb":
                    kernel.ok(END)
                    failed = [row.id for row in done.rows if row.prompt in {"an odd thing", "a raft"}]
                    done.ended = json.loads(kernel.value(f"json.dumps(list(map(end, {failed})))"))
        yield done


@pytest.mark.parametrize("name", RERUN)
def test_every_cell_shows_the_takes_that_it_showed(rerun: Rerun, name: str) -> None:
    for source, outputs, was in zip(
        sources(rerun.project.notebook(name)), rerun.outputs[name], EXPECTED["cells"][name], strict=True
    ):
        now = read_outputs(outputs)
        if not was["files"] and set(was["requests"]) <= FETCHED.keys():  # its file had no name yet
            assert len(now["files"]) == len(was["requests"]), source
            now = now | {"files": []}
        assert now == was, source


def test_only_what_fal_never_had_fails_again(rerun: Rerun) -> None:
    failed = {
        sources(rerun.project.notebook(name))[number]: error for (name, number), error in rerun.errors.items()
    }
    assert failed == {f"%%kling\n{LETTER}": "SubmissionUncertain"}


def test_nothing_is_sent_and_only_what_had_not_ended_is_asked_for(rerun: Rerun) -> None:
    fal, asked = rerun.project.fal, rerun.project.requests
    assert {record.method for record in fal.requests} == {"GET"}
    exchanges = {record.exchange for record in asked}
    assert exchanges - {"status"} == {"lookup", "stream", "result", "download"}
    named = set(re.findall(r"/requests/([0-9a-f-]{36})", " ".join(record.path for record in asked)))
    assert named == {job.request_id for job in fal.jobs if job.log}
    downloads = [record.path for record in asked if record.exchange == "download"]
    assert len(downloads) == len(set(downloads)) == len(FETCHED)


def test_no_job_is_new_and_the_unfinished_ones_are_ready(rerun: Rerun) -> None:
    now = {row.id: row for row in rerun.project.rows()}
    assert now.keys() == {row.id for row in rerun.rows}
    for was in rerun.rows:
        row = now[was.id]
        assert (row.fingerprint, row.input, row.endpoint) == (was.fingerprint, was.input, was.endpoint)
        if was.state.value in {"READY", "FAILED", "CANCELLED"} or was.prompt == LETTER:
            assert (row.state, row.request_id) == (was.state, was.request_id)
        else:
            assert row.state.value == "READY", was.prompt
            assert row.request_id in FETCHED
    assert len({row.request_id for row in now.values() if row.request_id}) == len(now) - 1


def test_no_file_is_touched_and_each_missing_one_is_there(rerun: Rerun) -> None:
    media = rerun.project.folder / "kling_media"
    now = rerun.project.media()
    assert {name: now.get(name) for name in rerun.media} == rerun.media
    new = [name for name in now.keys() - rerun.media.keys() if name.endswith(".mp4")]
    notes = [path for path in media.glob("*.json") if path.with_suffix(".mp4").name in new]
    came = {json.loads(path.read_text("utf-8"))["request_id"]: path.with_suffix(".mp4") for path in notes}
    assert {request: path.read_bytes() for request, path in came.items()} == {
        request: clip(name) for request, name in FETCHED.items()
    }


def test_what_failed_or_was_cancelled_says_so_without_asking(rerun: Rerun) -> None:
    odd, raft = sorted(rerun.ended, reverse=True)
    assert odd[0] == "FAILED"
    assert "too odd" in odd[2]
    assert raft[:2] == ["CANCELLED", "JobCancelled"]


def test_what_a_call_would_do_is_known_before(project: Project) -> None:
    """A job that fal refused or cancelled is made again when it is asked for; one it forgot was paid for."""
    with kling_nb.Session() as session:
        plans = {
            prompt: session.plan(prompt)
            for prompt in ("an odd thing", "a raft", "a reel that fal forgot", LETTER)
        }
    assert {prompt for prompt, plan in plans.items() if plan.submits} == {"an odd thing", "a raft"}
    rows = {row.prompt: row.fingerprint for row in project.rows()}
    assert all(plan.request.fingerprint == rows[prompt] for prompt, plan in plans.items())
    assert not project.requests


# -- without running


def command(*words: str) -> int:
    """Run `kling-nb`."""
    (found,) = entry_points(group="console_scripts", name="kling-nb")
    return int(found.load()(list(words)))


@pytest.mark.parametrize("name", EXPECTED["verify"])
def test_verify_says_what_is_expected(
    project: Project, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Calls in Python are not read any more: only running can tell. Formats in fields are read now."""
    status = command("verify", name)
    found = re.findall(r"^cell +(\d+)  (\w+)", capsys.readouterr().out, re.MULTILINE)
    now: dict[int, list[str]] = {}
    for number, word in found:
        now.setdefault(int(number), []).append(word)
    was: dict[int, list[str]] = {}
    for number, word in EXPECTED["verify"][name]["requests"]:
        was.setdefault(number, []).append(word)
    assert now.keys() == was.keys()
    for number, source in enumerate(sources(project.notebook(name)), 1):
        if number in was and "%%kling" not in source:
            assert set(now[number]) == {"unknown"}, source
        elif was.get(number) == ["unknown"] and now.get(number) == ["reusable"]:
            assert re.search(r"\{.*:", source), source  # better known, not worse
        else:
            assert now.get(number) == was.get(number), source
    expected = EXPECTED["verify"][name]["status"]
    assert status == (3 if name == "calls.ipynb" else expected)
    assert not project.requests


def test_the_commands_send_nothing(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("generate", "a fox at dawn", "--duration", "5", "--quiet") == 0
    assert Path(capsys.readouterr().out.strip()).name == "a-fox-at-dawn-06fd3e6d-1.mp4"
    assert not project.requests
    assert command("resume") == 1  # the letter's
    came = capsys.readouterr()
    unfinished = [row for row in project.rows() if row.request_id in FETCHED and row.media_path]
    assert len(came.out.splitlines()) == 3
    assert all(Path(line).is_file() for line in came.out.splitlines())
    assert len(unfinished) == len(FETCHED)
    assert {record.method for record in project.fal.requests} == {"GET"}


def open_in_server(folder: Path, names: Iterable[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return notebooks as a Jupyter server with our extension opens them when none of their kernels runs."""
    for variable in ("KLING_NB_SERVER_ROOT", "KLING_NB_SERVER_BASE"):
        monkeypatch.setenv(variable, "")  # so that what the extension sets is taken back
    installed = LEFT.parents[2] / "jupyter-config" / "kling_nb.json"
    (extension,) = json.loads(installed.read_text("utf-8"))["ServerApp"]["jpserver_extensions"]
    (point,) = importlib.import_module(extension)._jupyter_server_extension_points()
    app = SimpleNamespace(
        contents_manager=LargeFileManager(root_dir=str(folder)),
        kernel_manager=SimpleNamespace(list_kernel_ids=list),
        base_url="/",
        log=SimpleNamespace(debug=lambda *words: None),
    )
    importlib.import_module(point["module"])._load_jupyter_server_extension(app)
    return {name: app.contents_manager.get(name)["content"] for name in names}


def cards(notebook: Any) -> dict[str, dict[str, Any]]:
    """Return the outputs of ours by the last line of their cell."""
    return {
        text_of(cell["source"]).splitlines()[-1]: output
        for cell in notebook["cells"]
        for output in cell["outputs"]
        if "kling_nb" in output.get("metadata", {})
    }


def test_the_saved_notebooks_show_their_cards_when_they_are_opened(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: dict[str, dict[str, Any]] = {}
    for notebook in open_in_server(project.folder, EXPECTED["cells"], monkeypatch).values():
        assert STATE not in notebook["metadata"].get("widgets", {})
        assert VIEW not in json.dumps(notebook)
        found |= cards(notebook)
    states = {line: mark_of(card)["state"] for line, card in found.items()}
    assert states == {
        "A {calm|wild {animal}} sea for ${price}": "READY",
        "a lost reel": "READY",
        "the best of all {price}": "READY",
        LETTER: "UNCERTAIN",
        "a long voyage, {price} weeks": "IN_PROGRESS",
        "an odd thing": "FAILED",
        "a raft": "CANCELLED",
        "board": "READY",
        "in the snow  ": "READY",
        "a {animal} at dawn": "READY",
    }
    files = {line: read_outputs([card])["files"] for line, card in found.items()}
    assert files["the best of all {price}"] == ["best/the fox & more.mp4"]
    assert len(files["A {calm|wild {animal}} sea for ${price}"]) == 4
    assert len(files["board"]) == 2
    there = [file for line, several in files.items() if line != "a lost reel" for file in several]
    assert [file for file in there if not (project.folder / "kling_media" / file).is_file()] == []
    assert mark_of(found["a long voyage, {price} weeks"])["request"] in FETCHED
    assert not project.requests


def test_a_notebook_that_was_not_saved_since_shows_what_came_meanwhile(
    rerun: Rerun, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in rerun.project.environment.items():
        monkeypatch.setenv(name, value)
    found = cards(open_in_server(rerun.project.folder, ["film.ipynb"], monkeypatch)["film.ipynb"])
    for line in ("a lost reel", "a long voyage, {price} weeks"):
        assert mark_of(found[line])["state"] == "READY"
        (file,) = read_outputs([found[line]])["files"]
        assert (rerun.project.folder / "kling_media" / file).is_file()


def test_frozen_notebooks_keep_their_cards(project: Project) -> None:
    names = list(EXPECTED["cells"])
    before = {name: cards(project.notebook(name)) for name in names}
    assert command("freeze", *names) == 0
    for name in names:
        notebook = project.notebook(name)
        assert VIEW not in json.dumps(notebook)
        now = cards(notebook)
        assert now.keys() == before[name].keys()
        assert all("text/html" in card["data"] for card in now.values())
        assert sources(notebook) == sources(json.loads((LEFT / name).read_text("utf-8")))
    assert not project.requests
