"""`kling-nb media prune` lists takes, and deletes only what it was asked to."""

import asyncio
import json
from pathlib import Path

import pytest
from clips import in_chunks

from kling_nb.cli import main
from kling_nb.media import MediaFolder, Take, TakeDraft


def store(folder: Path, data: bytes, request: str, backend: str = "fal") -> Take:
    draft = TakeDraft(
        fingerprint=f"{request:x>64}",
        take=None,
        endpoint="fal-ai/kling-video/v1/pro/text-to-video",
        input={"prompt": request},
        prompt=request,
        backend=backend,
        request_id=request,
        url="",
        kind="data",
    )
    return asyncio.run(MediaFolder(folder).store(in_chunks(data), draft))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_prune_lists_and_never_deletes_the_only_copy_of_a_paid_take_without_yes(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "takes"

    def media(*words: str) -> str:
        assert main(["media", *words[:1], str(folder), *words[1:]]) == 0
        return capsys.readouterr().out

    old, copied = store(folder, b"the same", "a fox"), store(folder, b"the same", "a wolf")
    store(folder, b"a preview", "a crow", backend="local")
    before = names(folder)
    assert "3 takes" in media("status")
    assert "No take meets" in media("prune", "--older-than", "1", "--delete", "--yes")
    planned = media("prune", "--older-than", "0", "--endpoint", "v1-pro")
    assert "To delete: 1 previews, and takes with a copy" in planned
    assert "To delete: 2 paid takes, the only copies" in planned
    assert "Add --delete, and --yes for the paid ones." in planned
    assert "No take meets" in media("prune", "--endpoint", "v1.6-pro", "--delete")
    assert names(folder) == before

    note = old.path.with_name(f"{old.path.name.partition('.')[0]}.json")
    note.write_text(json.dumps({**json.loads(note.read_text()), "finished_at": "2020-01-01T00:00:00Z"}))
    assert "Deleted: 1 previews, and takes with a copy" in media("prune", "--older-than", "9", "--delete")
    assert not old.path.exists()
    assert not note.exists()
    assert "Kept: 1 paid takes" in media("prune", "--older-than", "0", "--delete")
    assert copied.path.exists()
    assert len(names(folder)) == 2
    assert "Deleted: 1 paid takes" in media("prune", "--older-than", "0", "--delete", "--yes")
    assert names(folder) == []


@pytest.mark.parametrize(
    "words", [["prune", "--delete", "--yes"], ["prune", "--older-than", "-1"], ["status", "--yes"]]
)
def test_prune_needs_a_condition(words: list[str], home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["media", *words]) == 2
    assert "kling-nb media" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("user", "is_kept"),
    [
        (None, False),
        ({}, False),
        ({"rating": {"value": 4, "at": "2026-01-01T00:00:00Z"}}, True),
        ({"rating": {"value": None, "at": "2026-01-01T00:00:00Z"}, "note": {"value": "", "at": ""}}, False),
        ({"chosen_for": [{"cell": "ab", "name": "fox", "at": "2026-01-01T00:00:00Z"}]}, True),
        ({"of a later version": {"score": 1}}, True),
        ("damaged", True),
    ],
)
def test_prune_unrated_keeps_what_the_user_marked(
    user: object, is_kept: bool, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    take = store(tmp_path, b"a fox", "a fox", backend="local")
    note = take.path.with_suffix(".json")
    if user is not None:
        note.write_text(json.dumps({**json.loads(note.read_text()), "user": user}))
    if not is_kept:  # A copy of the sidecar that was rated counts, too.
        copy = json.loads(note.read_text()) | {"user": {"rating": {"value": 1, "at": ""}}}
        note.with_name("copy.json").write_text(json.dumps(copy))
        assert main(["media", "prune", str(tmp_path), "--unrated", "--delete"]) == 0
        assert "No take meets" in capsys.readouterr().out
        note.with_name("copy.json").unlink()
    assert main(["media", "prune", str(tmp_path), "--unrated", "--delete"]) == 0
    assert ("No take meets" in capsys.readouterr().out) == is_kept == take.path.exists()
    again = MediaFolder(tmp_path).find(take.sidecar.fingerprint, backends={"local"})
    assert (again is not None) == is_kept  # The reader ignores a field that it does not know.
