"""The same request from two folders: fal is paid once, and each folder has the file."""

from collections.abc import Callable
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from scripted import Done, Hold, Run, Script, ScriptedFal

from kling_nb import errors
from kling_nb.events import State
from kling_nb.job.plan import WORDS, Outcome
from kling_nb.ledger import Intent, Ledger
from kling_nb.session import Session

MakeSession = Callable[..., Session]
HELD = Script([Run(), Hold(), Done()])


@pytest.fixture
def here(make_session: MakeSession) -> Session:
    """A session of the usual folder."""
    return make_session()


@pytest.fixture
def there(make_session: MakeSession, tmp_path: Path) -> Session:
    """A session of a second folder."""
    return make_session(media=tmp_path / "there" / "kling_media")


@pytest.fixture(autouse=True)
def project(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_a_take_of_another_folder_is_copied_and_a_line_says_so(
    here: Session, there: Session, fal: ScriptedFal, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = here.generate("a cat", duration="10")
    plan = there.plan("a cat", duration="10")
    assert (plan.outcome, plan.words, plan.refusal) == (Outcome.COPY, WORDS[Outcome.COPY].sentence, None)
    assert not plan.submits
    job = there.submit("a cat", duration="10")
    copy = job.wait()
    assert (job.outcome, job.reused, len(fal.accepted)) == (Outcome.COPY, True, 1)
    assert copy.path == tmp_path / "there" / "kling_media" / first.path.name
    assert copy.path.read_bytes() == first.path.read_bytes()
    assert not copy.path.samefile(first.path)
    assert copy.path.stat().st_nlink == first.path.stat().st_nlink == 1
    assert (copy.request_id, copy.take) == (first.request_id, first.take)
    line = f"Copied from {tmp_path}/media, where this request was paid for. No extra charge."
    assert line in caplog.text
    assert job.lines[-1].message == f"kling_nb: {line}"
    assert there.plan("a cat", duration="10").outcome is Outcome.REUSE  # from now on it is its own
    assert here.plan("a cat", duration="10").outcome is Outcome.REUSE


def test_all_files_of_a_result_are_copied_and_no_rating(
    here: Session, there: Session, fal: ScriptedFal, tmp_path: Path
) -> None:
    video = here.generate("a cat")
    video.path.with_name(f"{video.path.stem}.audio.wav").write_bytes(b"RIFF")
    note = video.path.with_suffix(".json")
    note.write_text(note.read_text().replace("{\n", '{\n  "user": {"rating": 5},\n', 1))
    job = there.submit("a cat")
    assert job.files.keys() == {"audio"}
    assert job.files["audio"].read_bytes() == b"RIFF"
    assert files(tmp_path / "there" / "kling_media") == files(tmp_path / "media")
    assert "rating" not in job.file.with_suffix(".json").read_text()  # type: ignore[union-attr]
    assert len(fal.accepted) == 1


def test_without_a_key_what_was_paid_for_elsewhere_is_copied_too(
    here: Session, make_session: MakeSession, tmp_path: Path, fal: ScriptedFal
) -> None:
    here.generate("a cat")
    keyless = make_session(media=tmp_path / "there", credentials=None)
    assert keyless.settings().key is None
    assert keyless.submit("a cat").outcome is Outcome.COPY


@pytest.mark.parametrize(
    ("settings", "arguments"), [({"reuse_elsewhere": False}, {}), ({}, {"new": True}), ({}, {"take": 2})]
)
def test_only_what_was_asked_for_is_copied(
    here: Session,
    make_session: MakeSession,
    tmp_path: Path,
    fal: ScriptedFal,
    settings: dict[str, Any],
    arguments: dict[str, Any],
) -> None:
    here.generate("a cat")
    other = make_session(media=tmp_path / "there", **settings)
    assert other.plan("a cat", **arguments).outcome is Outcome.SUBMIT
    other.generate("a cat", **arguments)
    assert len(fal.accepted) == 2


def test_a_frozen_run_copies_nothing(here: Session, there: Session, fal: ScriptedFal, tmp_path: Path) -> None:
    here.generate("a cat")
    with pytest.raises(errors.NoTake):
        there.submit("a cat", frozen=True)
    assert not (tmp_path / "there" / "kling_media").exists()


def test_a_second_take_is_copied_under_its_number(here: Session, there: Session, fal: ScriptedFal) -> None:
    here.generate("a cat")
    second = here.generate("a cat", new=True)
    assert (second.take, there.generate("a cat", take=2).take) == (2, 2)
    assert there.generate("a cat").take == 2  # any take answers it
    assert there.generate("a cat", take=1).take == 1
    assert len(fal.accepted) == 2


@pytest.mark.parametrize("lost", ["deleted", "changed"])
def test_a_take_that_is_no_longer_there_is_not_copied(
    here: Session, there: Session, fal: ScriptedFal, lost: str
) -> None:
    path = here.generate("a cat").path
    path.write_bytes(b"another") if lost == "changed" else path.unlink()
    assert there.plan("a cat").outcome is Outcome.SUBMIT
    there.generate("a cat")
    assert len(fal.accepted) == 2


def test_a_take_that_was_renamed_there_is_copied(here: Session, there: Session, fal: ScriptedFal) -> None:
    first = there.generate("a cat")
    sidecar = first.path.with_suffix(".json")
    first.path.rename(first.path.with_name("best.mp4"))
    sidecar.rename(sidecar.with_name("best.json"))
    assert here.plan("a cat").outcome is Outcome.COPY
    assert here.generate("a cat").request_id == first.request_id
    assert len(fal.accepted) == 1


def test_a_job_of_another_folder_is_followed_stored_there_and_copied(
    make_session: MakeSession, there: Session, fal: ScriptedFal, ledger: Ledger, tmp_path: Path
) -> None:
    fal.script = HELD
    with make_session() as session:
        first = session.submit("a cat")
        fal.wait_for(lambda: fal.open_streams)
    assert there.plan("a cat").outcome is Outcome.FOLLOW
    job = there.submit("a cat")
    assert (job.id, job.outcome) == (first.id, Outcome.FOLLOW)
    assert f"of {tmp_path}/media makes this request" in job.lines[0].message
    fal.release()
    video = job.wait()
    (entry,) = ledger.entries()
    assert (entry.state, entry.folder) == (State.READY, str(tmp_path / "media"))
    assert Path(entry.media_path or "").parent == tmp_path / "media"
    assert video.path.parent == tmp_path / "there" / "kling_media"
    assert files(video.path.parent) == files(tmp_path / "media")
    assert len(fal.accepted) == 1


def test_one_process_that_works_in_two_folders_has_the_file_in_both(
    here: Session,
    fal: ScriptedFal,
    make_session: MakeSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fal.script = HELD
    monkeypatch.setenv("KLING_NB_MEDIA", "kling_media")
    session = make_session(media=None)
    jobs = []
    for name in ("there", "home"):
        (tmp_path / name).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / name)
        jobs.append(session.submit("a cat"))
        fal.wait_for(lambda: fal.open_streams)
    fal.wait_for(lambda: len(fal.jobs) == 1 and jobs[1].request_id)
    fal.release()
    assert [job.wait().path.parent.parent.name for job in jobs] == ["there", "home"]
    assert len(fal.accepted) == 1


def test_two_folders_that_ask_at_the_same_moment_pay_once(
    here: Session, there: Session, fal: ScriptedFal
) -> None:
    start, found = Barrier(2), []

    def ask(session: Session) -> None:
        start.wait()
        found.append(session.generate("a cat").path.parent)

    threads = [Thread(target=ask, args=(session,)) for session in (here, there)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 2
    assert len(fal.accepted) == 1


def test_a_row_that_was_never_sent_gives_way_to_a_take_elsewhere(
    here: Session, there: Session, fal: ScriptedFal, ledger: Ledger, dead_owner: str, tmp_path: Path
) -> None:
    """A kernel was killed before its POST, and meanwhile another folder has bought the same."""
    request = there.request("a cat")
    folder = tmp_path / "there" / "kling_media"
    unsent, _ = ledger.claim(
        Intent("fal", request.endpoint.id, dict(request.input), "a cat", request.fingerprint, folder)
    )
    ledger.update(unsent.id, owner=dead_owner)
    assert here.plan("a cat").outcome is Outcome.SUBMIT  # that row is of no use to another folder
    here.generate("a cat")
    assert there.plan("a cat").outcome is Outcome.COPY
    assert there.submit("a cat").outcome is Outcome.COPY
    assert len(fal.accepted) == 1
    assert ledger.get(unsent.id).state is State.FAILED  # nothing is left to resume or to count


def test_a_sweep_copies_what_another_folder_has_and_buys_the_rest(
    here: Session, there: Session, fal: ScriptedFal
) -> None:
    here.generate("a cat")
    study = there.sweep(["a cat", "a dog"], start=False)
    assert "1 copied from another folder, free" in study.price
    assert study.estimate == there.plan("a dog").estimate
    study.start().wait()
    assert len(fal.accepted) == 2


def test_plain_python_keeps_to_the_current_folder(
    fal: ScriptedFal, run: Callable[..., Any], tmp_path: Path
) -> None:
    """A value that code sets counts from where it is set."""
    program = run(
        "import os, kling_nb\n"
        f"os.chdir({str(tmp_path)!r})\n"
        "def work(name):\n"
        "    os.makedirs(name); os.chdir(name)\n"
        "    print(kling_nb.generate('a cat').path, flush=True)\n"
        "    os.chdir('..')\n"
        "work('a'); work('b')\n"
        "kling_nb.configure(media='clips')\n"
        "work('c')\n",
        KLING_NB_MEDIA="",
    )
    code, out, complaints = program.finish()
    assert code == 0, complaints
    places = [str(Path(line).parent.relative_to(tmp_path)) for line in out.splitlines()]
    assert places == ["a/kling_media", "b/kling_media", "clips"]
    assert len(fal.accepted) == 1


# A folder that cannot take the file


DISKS = """
import os, subprocess, sys
folder = os.environ["KLING_NB_MEDIA"]
if len(sys.argv) == 1:  # only a process with mounts of its own may have small disks
    again = [sys.executable, *sys.orig_argv[1:], "inside"]
    os.execvp("unshare", ["unshare", "--map-root-user", "--mount", *again])
import kling_nb
for options, filled in (("size=8m", 0), ("size=64m", 48), ("ro", 0), ("size=64m", 0)):
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    if filled:
        open(folder + "/other", "wb").write(bytes(filled * 2**20))
    try:
        print(kling_nb.generate("a cat").path)
    except kling_nb.errors.MediaError as fault:
        print(str(fault).replace("\\n", " "))
"""


def test_a_link_to_a_disk_that_is_not_there_is_found_before_anything_is_sent(
    make_session: MakeSession, fal: ScriptedFal, tmp_path: Path
) -> None:
    link = tmp_path / "linked"
    link.symlink_to(tmp_path / "unmounted" / "takes")
    with pytest.raises(errors.MediaError, match="Nothing was sent"):
        make_session(media=link).submit("a cat")
    assert not fal.accepted


def test_a_folder_that_is_a_file_is_found_before_anything_is_sent(
    make_session: MakeSession, fal: ScriptedFal, tmp_path: Path, ledger: Ledger
) -> None:
    media = tmp_path / "full"
    media.write_text("")
    for backend in ("fal", "local"):
        with pytest.raises(errors.MediaError, match="is not a folder") as caught:
            make_session(media=media, backend=backend).submit("a cat")
        assert "Nothing was sent." in str(caught.value)
    assert fal.requests == ()
    assert ledger.entries() == []


def test_a_disk_that_is_read_only_or_full_is_found_before_anything_is_sent(
    fal: ScriptedFal, run: Callable[..., Any], tmp_path: Path
) -> None:
    media = tmp_path / "disk"
    media.mkdir()
    code, out, complaints = run(DISKS, KLING_NB_MEDIA=str(media)).finish()
    assert code == 0, complaints
    small, filled, read_only, good = out.splitlines()
    assert small == f"The disk is full: nothing more fits in {media}. Make room. Nothing was sent."
    assert filled == small
    assert f"{media} cannot be written to" in read_only
    assert "Nothing was sent." in read_only
    assert good.endswith(".mp4")
    assert len(fal.accepted) == 1
