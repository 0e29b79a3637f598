"""The studio's library: takes go there, come back checked, and nothing of others is replaced."""

import asyncio
import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from clips import clip_bytes, in_chunks, numbered
from studio import Studio, be_silent, cut, refuse

from kling_nb.cli import main
from kling_nb.errors import LibraryError
from kling_nb.library import Library
from kling_nb.library.store import Store
from kling_nb.media import MediaFolder, Take, TakeDraft
from kling_nb.video import decisions

CLIP = clip_bytes()
OTHER = clip_bytes(paint=lambda index, width, height: 255 - numbered(index, width, height))
FINGERPRINT = "ab" * 32
DRAFT = TakeDraft(
    fingerprint=FINGERPRINT,
    take=None,
    endpoint="fal-ai/kling-video/v1/pro/text-to-video",
    input={"prompt": "A heron lands"},
    prompt="A heron lands",
    backend="fal",
    request_id="request-1",
    url="https://v3.fal.media/files/a/output.mp4",
    kind="video",
)
FAL = ("fal",)
on_a_folder = pytest.mark.parametrize("url", ["folder"], indirect=True)


@pytest.fixture(params=["folder", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new library."""
    if request.param == "s3":
        return str(request.getfixturevalue("s3"))
    (tmp_path / "studio").mkdir()
    return str(tmp_path / "studio")


@pytest.fixture
def here(tmp_path: Path) -> MediaFolder:
    return MediaFolder(tmp_path / "here")


@pytest.fixture
def there(tmp_path: Path) -> MediaFolder:
    return MediaFolder(tmp_path / "there")


def make(folder: MediaFolder, data: bytes = CLIP, **about: object) -> Take:
    return asyncio.run(folder.store(in_chunks(data), replace(DRAFT, **about)))


def user_of(take: Take | None) -> dict[str, object]:
    assert take is not None
    found: dict[str, object] = json.loads(take.sidecar_path.read_text()).get("user", {})
    return found


def entry(value: object, day: int) -> dict[str, object]:
    return {"value": value, "at": f"2026-11-{day:02}T12:00:00.000Z"}


# -- the store


def test_only_one_of_two_writers_creates_an_object(url: str) -> None:
    one, other = Store(url), Store(url)
    assert one.is_conditional
    won = []
    threads = [
        threading.Thread(
            target=lambda at=at: won.append((one, other)[at % 2].create("intents/a", b'{"a":1}'))
        )
        for at in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 7 + [True]
    assert one.read("intents/a", "intents/b") == [{"a": 1}, None]
    assert set(one.names("intents")) == {"intents/a"}
    assert one.info("intents/a") is not None
    one.delete("intents/a")
    one.delete("intents/a")
    assert one.names("intents") == {}
    assert one.info("intents/a") is None


def test_a_folder_that_is_not_mounted_is_an_error_and_no_empty_library(tmp_path: Path) -> None:
    library = Library(str(tmp_path / "studio"))
    with pytest.raises(LibraryError, match="is not there"):
        library.find(FINGERPRINT, None, FAL)
    with pytest.raises(LibraryError, match="is not there"):
        library.store.write("a", b"")


def test_a_password_in_a_url_is_shown_nowhere() -> None:
    library = Library("sftp://maria:secret@nas.invalid/kling")
    assert library.store.name == "sftp://nas.invalid/kling"
    with pytest.raises(LibraryError) as caught:
        library.find(FINGERPRINT, None, FAL)
    assert "secret" not in str(caught.value)


def test_the_account_of_s3_is_named(s3: str) -> None:
    assert Store(s3).check() == (True, "arn:aws:sts::123456789012:user/moto")


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (refuse("403 Forbidden", "AccessDenied"), "PermissionError"),
        (refuse("503 Slow Down", "SlowDown"), "SlowDown"),
        ("silence", "does not work"),
    ],
)
def test_a_store_that_does_not_answer_is_an_error_and_no_miss(
    s3: str, object_store: Studio, fault: object, text: str
) -> None:
    library, until = Library(s3, answer=1.0), threading.Event()
    answer = be_silent(until) if fault == "silence" else fault
    with object_store.fault(f"GET /{s3[5:]}", answer), pytest.raises(LibraryError, match=text):  # type: ignore[arg-type]
        library.find(FINGERPRINT, None, FAL)
    until.set()
    assert library.find(FINGERPRINT, None, FAL) is None


# -- takes


def test_a_take_goes_to_the_library_and_comes_back_the_same(
    url: str, here: MediaFolder, there: MediaFolder
) -> None:
    take, library = make(here), Library(url)
    take.path.with_name(f"{take.path.stem}.audio.wav").write_bytes(b"RIFF")
    assert library.find(FINGERPRINT, None, FAL) is None
    library.push(take)
    assert sorted(library.store.names("takes")) == [f"takes/{FINGERPRINT}/fal-1.json"]
    assert len(library.store.names("media")) == 2
    for wanted in (None, 1):
        shared = library.find(FINGERPRINT, wanted, FAL)
        assert shared is not None
        assert shared.sidecar == take.sidecar
    assert library.find(FINGERPRINT, 2, FAL) is None
    assert library.find(FINGERPRINT, None, ("local",)) is None
    copy = library.fetch(shared, there)
    assert copy.path.read_bytes() == CLIP
    assert copy.path.name == take.path.name
    assert copy.others()["audio"].read_bytes() == b"RIFF"
    assert copy.sidecar == take.sidecar
    assert there.takes(FINGERPRINT) == (copy,)


@on_a_folder
def test_a_preview_is_only_for_previews_and_a_take_of_fal_is_for_all(url: str, here: MediaFolder) -> None:
    library = Library(url)
    library.push(make(here, backend="local"))
    assert library.find(FINGERPRINT, None, FAL) is None
    found = library.find(FINGERPRINT, None, ("fal", "local"))
    assert found is not None
    assert found.sidecar.backend == "local"
    library.push(make(here, OTHER))
    found = library.find(FINGERPRINT, None, ("fal", "local"))
    assert found is not None
    assert found.sidecar.backend == "fal"


@on_a_folder
def test_any_take_is_found_if_there_is_no_first_one(url: str, here: MediaFolder) -> None:
    library = Library(url)
    library.push(make(here, take=3))
    found = library.find(FINGERPRINT, None, FAL)
    assert found is not None
    assert found.sidecar.take == 3


def test_two_machines_keep_different_takes_of_one_number(
    url: str, here: MediaFolder, there: MediaFolder, tmp_path: Path
) -> None:
    library = Library(url)
    library.push(make(here))
    other = make(there, OTHER, request_id="request-2")
    assert library.status(there).unpushed == [other]
    library.push(other)
    library.push(other)
    keys = sorted(library.store.names("takes"))
    assert keys[0] == f"takes/{FINGERPRINT}/fal-1-{other.sidecar.sha256[:8]}.json"
    assert f"takes/{FINGERPRINT}/fal-1.json" in keys
    assert library.status(there).unpushed == library.status(here).unpushed == []
    third = MediaFolder(tmp_path / "third")
    pulled, faults = library.pull(third)
    assert (len(pulled), faults) == (2, [])
    assert {take.path.read_bytes() for take in third.takes(FINGERPRINT)} == {CLIP, OTHER}


@on_a_folder
@pytest.mark.parametrize("damage", ["cut", "changed", "missing"])
def test_what_is_damaged_is_never_stored_and_a_push_repairs_what_it_can_see(
    url: str, here: MediaFolder, there: MediaFolder, damage: str
) -> None:
    take, library = make(here), Library(url)
    library.push(take)
    (key,) = library.store.names("media")
    if damage == "missing":
        library.store.delete(key)
    else:
        library.store.write(key, CLIP[:-1] if damage == "cut" else CLIP[:-1] + b"x")
    shared = library.find(FINGERPRINT, None, FAL)
    assert shared is not None
    with pytest.raises(LibraryError, match=r"damaged.*Nothing was sent"):
        library.fetch(shared, there)
    assert not [path for path in there.folder.iterdir() if not path.name.startswith(".kling_nb")]
    if damage != "changed":
        assert library.status(here).unpushed == [take]
        library.push(take)
        assert library.fetch(shared, there).path.read_bytes() == CLIP


@on_a_folder
def test_a_file_that_is_no_video_is_refused(url: str, there: MediaFolder, here: MediaFolder) -> None:
    take, library = make(here, b"<script>alert(1)</script>", kind="data"), Library(url)
    library.push(take)
    key = f"takes/{FINGERPRINT}/fal-1.json"
    content = library.store.read(key)[0]
    assert content is not None
    library.store.write(key, json.dumps({**content, "kind": "video"}).encode())
    shared = library.find(FINGERPRINT, None, FAL)
    assert shared is not None
    with pytest.raises(LibraryError, match="should be a video"):
        library.fetch(shared, there)


@pytest.mark.parametrize(
    "content", [{}, {"kling_nb": 1}, {"kling_nb": 1, "others": {"a": "../../x"}}, {"take": "../../fal-1"}]
)
def test_what_is_no_sidecar_is_no_take(tmp_path: Path, content: dict[str, object]) -> None:
    library = Library(str(tmp_path))
    for name in ("fal-1", "fal"):
        library.store.write(f"takes/{FINGERPRINT}/{name}.json", json.dumps(content).encode())
    assert library.find(FINGERPRINT, None, FAL) is None


def test_a_download_that_is_cut_is_an_error(
    s3: str, object_store: Studio, here: MediaFolder, there: MediaFolder
) -> None:
    library = Library(s3)
    library.push(make(here))
    shared = library.find(FINGERPRINT, None, FAL)
    assert shared is not None
    with (
        object_store.fault(f"GET /{s3[5:]}/media", cut(CLIP[:100], len(CLIP))),
        pytest.raises(LibraryError),
    ):
        library.fetch(shared, there)
    assert there.takes(FINGERPRINT) == ()
    assert library.fetch(shared, there).path.read_bytes() == CLIP


def test_a_push_that_was_cut_is_made_up_for(s3: str, object_store: Studio, here: MediaFolder) -> None:
    library, take = Library(s3), make(here)
    with (
        object_store.fault(f"PUT /{s3[5:]}/takes", refuse("403 Forbidden", "AccessDenied")),
        pytest.raises(LibraryError),
    ):
        library.push(take)
    assert library.status(here).unpushed == [take]
    sent = len([one for one in object_store.requests if one.startswith(f"PUT /{s3[5:]}/media")])
    assert library.push_all(here) == ([take], [])
    assert len([one for one in object_store.requests if one.startswith(f"PUT /{s3[5:]}/media")]) == sent
    assert library.push_all(here) == ([], [])


def test_a_file_that_was_changed_here_is_not_pushed(tmp_path: Path, here: MediaFolder) -> None:
    (tmp_path / "studio").mkdir()
    library, take = Library(str(tmp_path / "studio")), make(here)
    take.path.write_bytes(b"another")
    with pytest.raises(Exception, match="was changed since it was stored"):
        library.push(take)
    assert library.store.names("takes") == {}


# -- ratings


def test_the_newer_rating_wins_in_each_field(url: str, here: MediaFolder, there: MediaFolder) -> None:
    library, take = Library(url), make(here)
    library.push(take)
    copy = library.pull(there)[0][0]
    decisions.merge_into(take.sidecar_path, {"rating": entry(5, 2), "note": entry("old", 1)})
    decisions.merge_into(copy.sidecar_path, {"rating": entry(2, 1), "note": entry("new", 2), "later": [1]})
    assert library.push_all(here) == ([], [])
    assert library.push_all(there) == ([], [])
    assert library.pull(here) == ([], [])
    wanted = {"rating": entry(5, 2), "note": entry("new", 2), "later": [1]}
    assert user_of(take) == wanted
    assert library.pull(there) == ([], [])
    assert user_of(there.takes(FINGERPRINT)[0]) == wanted
    assert take.path.read_bytes() == copy.path.read_bytes() == CLIP


def test_lists_are_joined_and_an_entry_without_a_time_is_older() -> None:
    one = {"chosen_for": ["a"], "rating": 3}
    other = {"chosen_for": ["b", "a"], "rating": entry(4, 1)}
    assert decisions.merge(one, other) == {"chosen_for": ["a", "b"], "rating": entry(4, 1)}
    assert decisions.merge(other, one) == {"chosen_for": ["b", "a"], "rating": entry(4, 1)}
    assert decisions.merge(7, None) == {}


# -- what is old


def let_time_pass(store: Store) -> None:
    """Let the clock of a folder say that all was stored 91 days ago."""
    for path in Path(store._path("")).rglob("*.*"):
        late = path.stat().st_mtime - 91 * 86_400
        os.utime(path, (late, late))


@pytest.fixture
def library(tmp_path: Path) -> Library:
    (tmp_path / "studio").mkdir()
    return Library(str(tmp_path / "studio"))


def test_gc_deletes_old_takes_that_nobody_rated_or_chose(library: Library, here: MediaFolder) -> None:
    old, rated, chosen, copied, new = (
        make(
            here,
            clip_bytes(paint=lambda _, width, height, at=at: numbered(at, width, height)),
            request_id=f"request-{at}",
            fingerprint=f"{at:064}",
        )
        for at in range(1, 6)
    )
    decisions.decide(rated.sidecar_path, rating=1)
    decisions.merge_into(chosen.sidecar_path, {"chosen_for": ["a cell"]})
    for take in here.select():
        if take.sidecar != new.sidecar:
            library.push(take)
    left_over = f"media/{'0' * 64}.mp4"
    library.store.write(left_over, b"left over")
    library.store.create("intents/x/1.0.open", b"{}")
    let_time_pass(library.store)
    library.push(new)
    library.store.write(f"media/{'1' * 64}.mp4", b"its sidecar comes next")
    decisions.decide(copied.sidecar_path, note="not pushed yet")
    before = library.store.names("")

    planned, size = library.gc(here, 90, delete=False)
    assert [shared.sidecar for shared in planned] == [old.sidecar]
    assert size == old.sidecar.size + len(b"left over")
    assert library.store.names("") == before
    assert library.gc(here, 92, delete=True) == ([], 0)
    deleted, _ = library.gc(here, 90, delete=True)
    assert [shared.sidecar for shared in deleted] == [old.sidecar]
    assert before.keys() - library.store.names("").keys() == {
        f"takes/{old.sidecar.fingerprint}/fal-1.json",
        f"media/{old.sidecar.sha256}.mp4",
        left_over,
        "intents/x/1.0.open",
    }
    assert old.path.exists()
    assert library.status(here).unpushed == [old]


def test_gc_keeps_a_file_that_another_take_needs_and_names_another_take(
    library: Library, here: MediaFolder
) -> None:
    second, third = (make(here, take=take, request_id=f"request-{take}") for take in (2, 3))
    library.push(second)
    let_time_pass(library.store)
    library.push(third)
    assert [shared.sidecar.take for shared in library.gc(here, 90, delete=True)[0]] == [2]
    found = library.find(FINGERPRINT, None, FAL)
    assert found is not None
    assert found.sidecar.take == 3
    assert library.store.info(found.files[0]) is not None


def test_gc_deletes_nothing_if_a_take_cannot_be_read(library: Library, here: MediaFolder) -> None:
    library.push(make(here))
    library.store.write(f"takes/{FINGERPRINT}/fal-2.json", b'{"kling_nb": 2}')
    let_time_pass(library.store)
    with pytest.raises(LibraryError, match="Nothing was deleted"):
        library.gc(here, 90, delete=True)
    assert library.find(FINGERPRINT, None, FAL) is not None


# -- the command line


@on_a_folder
def test_a_team_of_two_on_the_command_line(
    url: str,
    tmp_path: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    here, there = MediaFolder(tmp_path / "here"), tmp_path / "there"
    best, other = make(here), make(here, OTHER, request_id="request-2")
    decisions.decide(best.sidecar_path, rating=5)

    def library(*words: str, folder: Path = here.folder) -> str:
        monkeypatch.setenv("KLING_NB_LIBRARY", url)
        monkeypatch.setenv("KLING_NB_MEDIA", str(folder))
        assert main(["library", *words]) == 0
        return capsys.readouterr().out

    assert "2 takes not in the library" in library("status")
    assert set(library("push").splitlines()) == {str(other.path), str(best.path)}
    assert "0 takes not in the library." in library("status")
    assert library("pull", "--rating", "4", folder=there).splitlines() == [str(there / best.path.name)]
    assert library("pull", folder=there).splitlines() == [str(there / other.path.name)]
    assert library("pull", folder=there) == ""
    assert "To delete: 0 takes" in library("gc", "--older-than", "90d")
    assert main(["library", "gc"]) == main(["library", "gc", "--older-than", "soon"]) == 2
    assert main(["library", "push", "--yes"]) == 2


def test_the_command_needs_a_library(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["library", "status"]) == 2
    assert "No library is set" in capsys.readouterr().err
    monkeypatch.setenv("KLING_NB_LIBRARY", "none")
    assert main(["library", "push", "--rating", "4"]) == 2


def test_the_look_up_of_one_request_lists_nothing(s3: str, object_store: Studio, here: MediaFolder) -> None:
    """Among any number of takes: the requests do not depend on what else is there."""
    library = Library(s3)
    for number in range(3):
        library.store.write(f"takes/{number:064}/fal-1.json", b"{}")
    library.push(make(here))
    start = len(object_store.requests)
    assert library.find(FINGERPRINT, 1, FAL) is not None
    assert object_store.requests[start:] == [f"GET /{s3[5:]}/takes/{FINGERPRINT}/fal-1.json"]
    start = len(object_store.requests)
    assert library.find("cd" * 32, None, FAL) is None
    assert sorted(object_store.requests[start:]) == [
        f"GET /{s3[5:]}/takes/{'cd' * 32}/{name}.json" for name in ("fal-1", "fal")
    ]
