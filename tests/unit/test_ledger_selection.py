"""Searching and filtering the ledger, and counting what is in it."""

import sqlite3

import pytest

from kling_nb.events import State
from kling_nb.ledger import Intent, Ledger, Selection
from kling_nb.ledger.schema import SCHEMA_VERSION

TEXT = "fal-ai/kling-video/v1/pro/text-to-video"
IMAGE = "fal-ai/kling-video/v1/pro/image-to-video"


def intent(prompt, folder, *, endpoint=TEXT):
    return Intent(
        backend="local",
        endpoint=endpoint,
        input={"prompt": prompt},
        prompt=prompt,
        fingerprint=prompt,
        folder=folder,
        new=True,
    )


@pytest.fixture
def ledger(tmp_path):
    made = Ledger(tmp_path / "ledger.sqlite3")
    yield made
    made.close()


@pytest.fixture
def filled(ledger, tmp_path):
    prompts = ["a red fox", "A RED barn", "ein schöner Ömer", "100% pure_gold", "a blue fox"]
    for number, prompt in enumerate(prompts):
        entry, _ = ledger.claim(intent(prompt, tmp_path, endpoint=IMAGE if number == 4 else TEXT))
        ledger.update(entry.id, request_id=f"request-{number}")
        if number < 2:
            ledger.update(entry.id, state=State.READY)
    return ledger


def prompts(ledger, **conditions):
    return [entry.prompt for entry in ledger.entries(Selection(**conditions))]


def test_every_word_has_to_be_there_in_any_case_and_order(filled):
    assert prompts(filled, search="red") == ["A RED barn", "a red fox"]
    assert prompts(filled, search="FOX red") == ["a red fox"]
    assert prompts(filled, search="SCHÖNER ömer") == ["ein schöner Ömer"]
    assert prompts(filled, search="cow") == []


def test_letters_that_fold_to_others_are_found(ledger, tmp_path):
    for prompt in ("die Straße", "ﬁlm noir", "plain"):
        ledger.claim(intent(prompt, tmp_path))
    assert prompts(ledger, search="STRASSE") == ["die Straße"]
    assert prompts(ledger, search="film") == ["ﬁlm noir"]
    assert prompts(ledger, search="FAL-ai pl") == ["plain"]


def test_a_page_has_its_rows_and_the_number_of_all(filled):
    for search in ("", "red", "fox", "cow"):
        wanted = Selection(search=search)
        rows, total = filled.page(wanted, limit=1, offset=1)
        assert [row.id for row in rows] == [row.id for row in filled.entries(wanted, limit=1, offset=1)]
        assert total == filled.count(wanted)


def test_signs_of_patterns_are_letters_like_others(filled):
    assert prompts(filled, search="0% pure_") == ["100% pure_gold"]
    assert prompts(filled, search="' OR 1 --") == []


def test_ids_and_endpoints_are_found_as_well(filled):
    assert prompts(filled, search="request-2") == ["ein schöner Ömer"]
    assert prompts(filled, search="image-to-video") == ["a blue fox"]


def test_conditions_add_up(filled):
    assert prompts(filled, endpoint=TEXT, state=State.READY, search="fox") == ["a red fox"]
    assert prompts(filled, endpoint=IMAGE, state=State.READY) == []
    assert filled.count(Selection(unfinished=True)) == 3


def test_pages_follow_each_other(filled):
    everything = [entry.id for entry in filled.entries()]
    pages = [entry.id for at in (0, 2, 4) for entry in filled.entries(limit=2, offset=at)]
    assert pages == everything
    assert filled.count() == 5


def test_tally(filled):
    assert filled.tally("endpoint") == {TEXT: 4, IMAGE: 1}
    assert filled.tally("state") == {"SUBMITTING": 3, "READY": 2}


def test_a_ledger_that_is_not_there_has_nothing(ledger):
    assert (ledger.entries(), ledger.count(), ledger.tally("state")) == ([], 0, {})
    assert not ledger.exists()


def test_filters_use_an_index(filled):
    with sqlite3.connect(filled.path) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
        for column in ("endpoint", "state"):
            where, _ = Selection(**{column: TEXT if column == "endpoint" else State.READY}).where()
            query = f"EXPLAIN QUERY PLAN SELECT * FROM jobs WHERE {where} ORDER BY created_at DESC"
            plan = " ".join(row[3] for row in db.execute(query, ("x",)))
            assert f"jobs_by_{column}" in plan
    db.close()
