"""Batches: what a table may hold, what is sent, and what is left to do when one runs again."""

import csv
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scripted import Done, Fail, Hold, Queue, Run, Script, ScriptedFal

from kling_nb import Batch, Session, sheet
from kling_nb.errors import BudgetExceeded, Interrupted, KlingError, SweepIncomplete, TableError, UsageError

MakeSession = Callable[..., Session]


def write_csv(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def prompts(fal: ScriptedFal) -> list[str]:
    return sorted(sent.input["prompt"] for sent in fal.accepted)


class Frame:
    """What kling_nb uses of a pandas.DataFrame, which is not installed for tests."""

    columns = ("prompt", "duration", "aspect_ratio")

    def to_dict(self, orient: str) -> list[dict[str, Any]]:
        assert orient == "records"
        return [
            {"prompt": "a fox", "duration": np.int64(5), "aspect_ratio": float("nan")},
            {"prompt": "a wolf", "duration": 10.0, "aspect_ratio": None},
        ]


def test_one_row_is_one_job(session: Session, fal: ScriptedFal, tmp_path: Path) -> None:
    table = write_csv(
        tmp_path / "shots.csv",
        {"name": "opening", "character": "a fox", "duration": "5", "aspect_ratio": ""},
        {"name": "chase", "character": "a wolf", "duration": "10", "aspect_ratio": "1:1"},
    )
    shots = session.batch(table, "{character} runs, {{really}}", aspect_ratio="9:16", start=False)
    assert shots.price == "2 rows · 2 to make, no price on record for v1-pro"
    assert isinstance(shots, Batch)
    assert not fal.accepted
    assert shots.start().wait() is shots
    sent = {one.input["prompt"]: (one.input["duration"], one.input["aspect_ratio"]) for one in fal.accepted}
    assert sent == {"a fox runs, {really}": ("5", "9:16"), "a wolf runs, {really}": ("10", "1:1")}
    assert shots["chase"].video is shots[1].video
    assert shots["chase"].video is not None
    shots["chase"].video.rating = 4
    first, second = shots.records
    assert [first[name] for name in ("name", "character", "rating", "state")] == [
        "opening",
        "a fox",
        None,
        "READY",
    ]
    assert (second["rating"], second["path"]) == (4, str(shots[1].video and shots[1].video.path))
    assert repr(shots) == "<Batch shots.csv: 2 of 2 ready>"
    with pytest.raises(UsageError, match="no row named"):
        shots["finale"]


def test_dicts_frames_and_jsonl_are_tables_too(session: Session, fal: ScriptedFal, tmp_path: Path) -> None:
    session.batch(({"prompt": f"{n} foxes"} for n in range(2)), duration=5).wait()
    session.batch(Frame()).wait()
    lines = tmp_path / "shots.jsonl"
    lines.write_text('\ufeff{"prompt": "a crow", "duration": 5}\n\n{"prompt": "a {mad} crow"}\n', "utf-8")
    session.batch(lines).wait()
    (tmp_path / "semi.csv").write_text("prompt;duration\na hen;10\n")
    session.batch(tmp_path / "semi.csv").wait()
    assert prompts(fal) == ["0 foxes", "1 foxes", "a crow", "a fox", "a hen", "a wolf", "a {mad} crow"]
    fox = next(one.input for one in fal.accepted if one.input["prompt"] == "a fox")
    assert (fox["duration"], "aspect_ratio" in fox) == ("5", False)


@pytest.mark.parametrize("image", ["first.png", "~/deep/first.png"])
def test_paths_count_from_the_folder_of_the_table_or_the_home(
    session: Session, fal: ScriptedFal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    table = write_csv(tmp_path / "deep" / "shots.csv", {"prompt": "it moves", "image": image})
    Image.new("RGB", (400, 400), "red").save(tmp_path / "deep" / "first.png")
    session.batch(table).wait()
    (sent,) = fal.accepted
    assert sent.input["image_url"]


def test_everything_wrong_is_listed_and_nothing_is_sent(
    session: Session, fal: ScriptedFal, tmp_path: Path
) -> None:
    table = write_csv(
        tmp_path / "shots.csv",
        {"name": "one", "prompt": "a fox", "duration": "5", "image": "", "lense": "", "endpoint": ""},
        {"name": "one", "prompt": "a wolf", "duration": "5", "image": "", "lense": "35 mm", "endpoint": "v0"},
        {"name": "two", "prompt": "", "duration": "5", "image": "", "lense": "", "endpoint": ""},
    )
    with pytest.raises(TableError) as caught:
        session.batch(table)
    text = str(caught.value)
    assert text.startswith("shots.csv has 4 problems. Nothing was sent.\n")
    assert "line 4, prompt: is empty." in text
    assert "line 3, endpoint: " in text
    assert "lense: is not a parameter of v1-pro" in text
    assert "line 3, name: 'one' is also the name of line 2." in text

    table = write_csv(
        tmp_path / "shots.csv",
        {"prompt": "", "duration": "5", "image": "", "take": ""},
        {"prompt": "a wolf", "duration": "7", "image": "", "take": "x"},
        {"prompt": "a wolf", "duration": "5", "image": "gone.png", "take": "2"},
        {"prompt": "a wolf", "duration": "5", "image": "", "take": "2"},
    )
    with pytest.raises(TableError) as caught:
        session.batch(table)
    assert [(one.place, one.column) for one in caught.value.problems] == [
        ("line 2", "prompt"),
        ("line 3", "duration"),
        ("line 4", "image"),
    ]
    assert str(tmp_path / "gone.png") in str(caught.value)
    assert not fal.accepted
    assert not session.jobs()


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ("{nothing} runs", "no column of that name"),
        ("{character.__class__} runs", "no column of that name"),
        ("{0} runs", "no column of that name"),
        ("{character!r} runs", "a field with a format"),
        ("{character:>10} runs", "a field with a format"),
        ("{character runs", "not a valid template"),
        ("{character} runs", "row 2, character: is empty, and the prompt needs it."),
        ("it runs", "has a column prompt"),
    ],
)
def test_a_template_names_columns_and_nothing_else(prompt: str, found: str, session: Session) -> None:
    rows = [{"character": "a fox", "place": "x"}, {"character": "", "place": "y"}]
    rows = [{**row, "prompt": "a fox"} for row in rows] if prompt == "it runs" else rows
    with pytest.raises(UsageError, match=found):
        session.batch(rows, prompt)


def test_a_value_is_never_read_as_a_template(session: Session, fal: ScriptedFal) -> None:
    session.batch([{"who": "{place} {0.__class__} $HOME `id`", "place": "Rome"}], "{who}{place}").wait()
    assert prompts(fal) == ["{place} {0.__class__} $HOME `id`Rome"]


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("a.csv", b"", "has no rows"),
        ("a.csv", b"prompt\n", "has no rows"),
        ("a.csv", b"prompt\na,b\n", "line 2: has 2 values, but line 1 names 1 column"),
        ("a.csv", b"prompt,prompt\na,b\n", "line 1, prompt: is the name of several columns"),
        ("a.csv", b'prompt\n"a\n', "is not valid CSV"),
        ("a.csv", b"prompt\n\xff\xfe\n", "is not UTF-8"),
        ("a.jsonl", b'{"prompt": "a"}\n{\n', "line 2: is not JSON"),
        ("a.jsonl", b"3\n", "row|line"),
        ("a.json", b'{"prompt": "a"}', "must be a list"),
        ("a.xlsx", b"", "is not a table file"),
    ],
)
def test_a_file_that_is_no_table(
    name: str, content: bytes, found: str, session: Session, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=found) as caught:
        session.batch(tmp_path / name)
    assert "Nothing was sent." in str(caught.value)
    for gone in (tmp_path / "gone.csv", "~unknown-user/a.csv", "a\0.csv"):
        with pytest.raises(UsageError, match="cannot be read"):
            session.batch(gone)
    with pytest.raises(UsageError, match="cannot be a"):
        session.batch(3)


def test_a_batch_that_was_interrupted_makes_only_what_is_missing(
    make_session: MakeSession, fal: ScriptedFal
) -> None:
    rows = [{"prompt": f"fox {number}"} for number in range(4)]
    fal.script = Script((Queue(0), Run(), Hold(), Done()))
    first = make_session().batch(rows, concurrency=1)
    fal.wait_for(lambda: len(fal.jobs) == 1)
    answer = threading.Thread(target=fal.jobs[0].release)
    assert first.cancel().startswith("3 not started")
    answer.start()
    with pytest.raises((SweepIncomplete, Interrupted)):
        first.wait()
    answer.join()
    fal.script = Script()
    second = make_session().batch(rows).wait()
    assert [row.state for row in second] == ["READY"] * 4
    third = make_session().batch(rows, start=False)
    assert third.price == "4 rows · 4 already made, free"
    sent = len(fal.jobs)
    assert [record["reused"] for record in third.start().wait().records] == [True] * 4
    assert [record["cost_usd"] for record in third.records] == [0.0] * 4
    assert len(fal.jobs) == sent


def test_the_price_of_the_whole_is_limited(make_session: MakeSession, fal: ScriptedFal) -> None:
    session = make_session(prices={"v1-pro": 0.1})
    rows = [{"prompt": "a fox"}, {"prompt": "a wolf", "duration": 10}]
    assert session.batch(rows, start=False).estimate == pytest.approx(1.5)
    with pytest.raises(BudgetExceeded, match="Nothing was sent"):
        session.batch(rows, max_cost=1.4)
    assert not fal.accepted
    assert [row["cost_usd"] for row in session.batch(rows).wait().records] == pytest.approx([0.5, 1.0])


def test_a_large_table_is_planned_with_few_look_ups(make_session: MakeSession, tmp_path: Path) -> None:
    """A plan of a row reads neither ledger nor folder, unless its request has something there."""
    rows = tmp_path / "shots.jsonl"
    rows.write_text("".join(json.dumps({"prompt": f"fox {number}"}) + "\n" for number in range(600)))
    session = make_session()
    session.batch([{"prompt": "fox 7"}]).wait()
    reads = []
    session.ledger._file.connection = counted(session.ledger._file.connection, reads)  # type: ignore[method-assign]
    batch = session.batch(rows, start=False)
    assert batch.price.startswith("600 rows · 1 already made, free · 599 to make")
    assert len(reads) < 20


def counted(call: Callable[..., Any], reads: list[int]) -> Callable[..., Any]:
    def counting() -> Any:
        reads.append(1)
        return call()

    return counting


def test_a_sheet_of_a_batch_says_why_a_row_has_no_video(
    session: Session, fal: ScriptedFal, tmp_path: Path
) -> None:
    detail = {"loc": ["body", "prompt"], "msg": "too bold", "type": "content_policy_violation"}
    fal.scripts.queue.extend([Script(), Script((Queue(0), Fail.refused(detail)))])
    rows = [{"name": "opening", "prompt": "a fox"}, {"name": "chase", "prompt": "a wolf"}]
    shots = session.batch(rows, concurrency=1).wait(check=False)
    page = sheet(shots, tmp_path / "sheet.html").read_text("utf-8")
    assert page.count("<video") == 1
    assert "too bold" in page
    assert ">chase</h2>" in page
    assert sheet(shots, tmp_path / "sheet.png").exists()


def test_a_large_batch_keeps_results_and_no_jobs(session: Session, fal: ScriptedFal) -> None:
    session.generate("fox 3")
    batch = session.batch([{"prompt": "fox 3", "name": str(number)} for number in range(501)]).wait()
    assert batch.summary() == "501 of 501 ready"
    assert {row.job for row in batch} == {None}
    assert batch["500"].video is not None
    assert {row["state"] for row in batch.records} == {"READY"}
    assert all(row["path"] and row["reused"] for row in batch.records)
    assert len(fal.accepted) == 1


ODD: list[Any] = [
    *([], {}, [1], {"a": 1}, True, -1, 10**30, 1e400, b"x", object()),
    *("\ud800", "\x00", "../../etc/passwd"),
]


@pytest.mark.parametrize(
    "column", ["name", "prompt", "endpoint", "image", "take", "fit", "duration", "", "x"]
)
def test_odd_values_bring_typed_errors_only(session: Session, fal: ScriptedFal, column: str) -> None:
    for value in ODD:
        with suppress(KlingError):
            session.batch([{"prompt": "a fox", column: value}], start=False)
        with suppress(KlingError):
            session.batch([{"prompt": "a fox"}], start=False, **({column: value} if column else {}))
    assert not fal.accepted
