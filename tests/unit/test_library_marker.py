"""The marker of a request: of all machines that want to submit it, one does."""

import io
import itertools
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from studio import Studio, refuse

from kling_nb.errors import LibraryError
from kling_nb.job.sharing import FRESH_SECONDS, Marker
from kling_nb.library.store import Store

FINGERPRINT = "ab" * 32
PLACE = f"intents/{FINGERPRINT}/1"


@pytest.fixture
def folder(tmp_path: Path) -> Store:
    (tmp_path / "studio").mkdir()
    return Store(str(tmp_path / "studio"))


def marker(store: Store, job: str, account: str = "12345678") -> Marker:
    return Marker(store, FINGERPRINT, 1, job, account)


def let_time_pass(store: Store, key: str) -> None:
    """Let the store's clock say that no one has written an object for long."""
    path = Path(store._path(key))
    late = path.stat().st_mtime - FRESH_SECONDS - 1
    os.utime(path, (late, late))


@pytest.mark.parametrize("where", ["folder", "s3"])
def test_one_of_many_holds_it_and_releases_it(where: str, request: pytest.FixtureRequest) -> None:
    found = request.getfixturevalue(where)
    store = found if where == "folder" else Store(found)
    machines = [marker(store, f"job-{number}") for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        holders = list(pool.map(Marker.claim, machines))
    (winner,) = [machine for machine, holder in zip(machines, holders, strict=True) if holder is None]
    assert all(holder is None or holder.is_fresh for holder in holders)
    assert winner.mark_sent({"image_url": "https://v3.fal.media/a.png"})
    winner.request_id = "request-1"
    winner.beat()
    holder = marker(store, "another").claim()
    assert holder is not None
    assert (holder.account, holder.request_id, holder.is_fresh) == ("12345678", "request-1", True)
    assert holder.urls == {"image_url": "https://v3.fal.media/a.png"}
    assert holder.sent_at is not None
    assert abs(holder.sent_at - time.time()) < 60
    winner.release()
    winner.release()
    assert not winner.is_held
    assert marker(store, "another").claim() is None
    assert marker(store, "third").claim() is not None


def test_a_machine_that_disappeared_before_it_sent_is_taken_over_and_cannot_send(folder: Store) -> None:
    slow, other, third = (marker(folder, name) for name in ("slow", "other", "third"))
    assert slow.claim() is None
    let_time_pass(folder, f"{PLACE}.0.open")
    assert other.claim() is None
    assert not slow.mark_sent({})
    assert not slow.is_held
    assert other.mark_sent({})
    holder = slow.claim()
    assert holder is not None
    assert holder.is_fresh
    slow.release()
    assert third.claim() is not None  # what another one holds is not released
    other.release()
    assert third.claim() is None
    slow.beat()
    slow.release()
    assert third.mark_sent({})


def test_a_machine_that_disappeared_after_it_sent_is_never_taken_over(folder: Store) -> None:
    gone, other = marker(folder, "gone"), marker(folder, "other")
    assert gone.claim() is None
    assert gone.mark_sent({})
    let_time_pass(folder, f"{PLACE}.0.open")
    let_time_pass(folder, f"{PLACE}.0.sent")
    holder = other.claim()
    assert holder is not None
    assert not holder.is_fresh
    assert not other.is_held
    gone.beat()
    holder = other.claim()
    assert holder is not None
    assert holder.is_fresh


def test_the_clock_of_a_machine_does_not_count(folder: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    holder, other = marker(folder, "holder"), marker(folder, "other")
    assert holder.claim() is None
    monkeypatch.setattr(time, "time", lambda: 4e9)
    found = other.claim()
    assert found is not None
    assert found.is_fresh


def test_the_same_job_has_its_marker_again(folder: Store) -> None:
    """Its process was killed, or the store did not answer although it had written the object."""
    assert marker(folder, "job").claim() is None
    again = marker(folder, "job")
    assert again.claim() is None
    assert again.mark_sent({})
    assert again.mark_sent({})
    third = marker(folder, "job")  # the ledger says that nothing was sent
    assert third.claim() is None
    assert third.mark_sent({})
    marker(folder, "job").release()
    assert marker(folder, "another").claim() is None


@pytest.mark.parametrize("sent", [True, False])
def test_a_marker_of_a_job_that_is_over_is_taken_over_at_once(folder: Store, sent: bool) -> None:
    """The library did not answer when the marker was to be released."""
    over, other = marker(folder, "over"), marker(folder, "other")
    assert over.claim() is None
    if sent:
        assert over.mark_sent({})
    assert other.claim() is not None  # it does not know
    mine = Marker(folder, FINGERPRINT, 1, "mine", None, is_over=lambda job_id: job_id == "over")
    assert mine.claim() is None
    over.release()
    assert other.claim() is not None
    assert mine.mark_sent({})
    assert not over.mark_sent({})


def test_an_answer_that_is_lost_after_the_write_is_no_second_machine(s3: str, object_store: Studio) -> None:
    """The client of S3 tries again, and its second try finds what the first one wrote."""
    one, lost = marker(Store(s3), "job"), []

    def write_and_fail(environ: Any, start: Any) -> Any:
        if lost:
            return None
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        lost.append(list(object_store._moto({**environ, "wsgi.input": io.BytesIO(body)}, lambda *_: None)))
        environ["wsgi.input"] = io.BytesIO(body)
        return refuse("503 Slow Down", "SlowDown")(environ, start)

    with object_store.fault("PUT /studio/kling/intents", write_and_fail):
        assert one.claim() is None
    lost.clear()
    with object_store.fault("PUT /studio/kling/intents", write_and_fail):
        assert one.mark_sent({})
    assert lost


@pytest.mark.parametrize("content", [b"", b"[]", b"nonsense"])
def test_what_cannot_be_read_is_an_error(folder: Store, content: bytes) -> None:
    folder.write(f"{PLACE}.0.open", content)
    with pytest.raises(LibraryError, match="cannot be read"):
        marker(folder, "job").claim()


def test_a_marker_of_anything_is_no_crash(folder: Store) -> None:
    folder.write(f"{PLACE}.0.open", b"{}")
    folder.write(
        f"{PLACE}.0.sent", b'{"host": 7, "sent_at": "x", "urls": [], "request_id": 1, "account": {}}'
    )
    holder = marker(folder, "job").claim()
    assert holder is not None
    assert (holder.host, holder.account, holder.sent_at, holder.urls, holder.request_id) == (
        "7",
        None,
        None,
        {},
        None,
    )


@pytest.mark.parametrize("seed", range(20))
def test_in_any_order_of_steps_at_most_one_machine_sends(folder: Store, seed: int) -> None:
    """Machines claim, become slow, lose their marker, come back and send, in a random order."""
    chance = random.Random(seed)
    machines = [marker(folder, f"job-{number}") for number in range(4)]
    sent: set[int] = set()
    for _ in range(60):
        at = chance.randrange(4)
        machine = machines[at]
        match chance.choice(["claim", "send", "late", "beat", "release"]):
            case "claim" if at not in sent and not machine.is_held:
                machine.claim()
            case "send" if machine.is_held:
                if machine.mark_sent({}):
                    sent.add(at)
            case "beat":
                machine.beat()
            case "release" if at not in sent:  # one that has sent releases it when its take is in the library
                machine.release()
            case "late":
                for key in itertools.islice(folder.names("intents"), 9):
                    let_time_pass(folder, key)
        assert len(sent) <= 1
