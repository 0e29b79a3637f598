"""Cards drawn again from ledger rows, for jobs whose kernel has ended."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from clips import clip_bytes, in_chunks

from kling_nb.events import State
from kling_nb.job.plan import GET_BACK, NO_RECORD, PREVIEW_AGAIN
from kling_nb.ledger import Intent, Ledger
from kling_nb.media import MediaFolder, Take, TakeDraft
from kling_nb.notebook.card.mark import Mark, Part
from kling_nb.notebook.card.posters import _key_of, _places, poster_of, postpone_posters
from kling_nb.notebook.saved.renewal import Renewal
from kling_nb.notebook.saved.reopening import OutputContext, update_outputs
from kling_nb.notebook.saved.server_extension import BoundedCards
from kling_nb.settings import current, media_of_notebook
from kling_nb.video import Video

PRO = "fal-ai/kling-video/v1/pro/text-to-video"


@pytest.fixture
def ledger(home: Path) -> Iterator[Ledger]:
    with closing(Ledger(home / "ledger.sqlite3")) as ledger:
        yield ledger


def claimed(ledger: Ledger, folder: Path, backend: str) -> str:
    asked = Intent(
        backend=backend,
        endpoint=PRO,
        input={"prompt": "a <b>boat</b>", "duration": "5"},
        prompt="a <b>boat</b>",
        fingerprint="ab" * 32,
        folder=folder / "kling_media",
    )
    entry, _ = ledger.claim(asked)
    ledger.update(entry.id, state=State.IN_PROGRESS, request_id="r-1")
    return entry.id


def card(job: str, folder: Path, state: str = "IN_QUEUE") -> tuple[str, Mark] | None:
    mark = Mark(job, "kernel", state=state)
    with closing(Renewal()) as renewal:
        data = renewal.draw_card(mark, folder)
    if data is None:
        return None
    return data["text/html"], Mark.of({"metadata": mark.to_metadata(), "data": data}) or pytest.fail(
        "no mark"
    )


def test_a_job_of_fal_goes_on_and_a_preview_ended_with_its_server(ledger: Ledger, tmp_path: Path) -> None:
    job = claimed(ledger, tmp_path, "fal")
    html, mark = card(job, tmp_path) or pytest.fail("no card")
    assert "%kling resume" in html
    assert "<b>boat" not in html
    assert (mark.state, mark.request, mark.kernel) == ("IN_PROGRESS", "r-1", "kernel")
    preview = claimed(ledger, tmp_path, "local")
    assert "%kling resume" in (card(preview, tmp_path) or ("", mark))[0]  # of this process, which is alive
    ledger.update(preview, owner=f"{os.uname().nodename}:{2**22 + 1}:0")
    html, mark = card(preview, tmp_path) or pytest.fail("no card")
    assert "Run its cell again: previews are free." in html
    assert mark.state == "FAILED"


def test_an_end_after_the_kernel_is_shown(ledger: Ledger, tmp_path: Path) -> None:
    job = claimed(ledger, tmp_path, "fal")
    for state, error, shown in (
        (State.FAILED, "It was refused.", "It was refused."),
        (State.CANCELLED, None, "cancelled"),
        (State.READY, None, "is no longer in"),
        (State.READY, None, GET_BACK),
    ):
        ledger.update(job, state=state, error=error)
        html, _ = card(job, tmp_path) or pytest.fail("no card")
        assert shown.lower() in html.lower()


def test_what_a_missing_file_costs_is_known_from_the_ledger_only(ledger: Ledger, tmp_path: Path) -> None:
    def remedy(mark: Mark) -> str:
        with closing(Renewal()) as renewal:
            return renewal.remedy(mark, tmp_path)

    fal, local = claimed(ledger, tmp_path, "fal"), claimed(ledger, tmp_path, "local")
    assert remedy(Mark(fal, state="READY")) == NO_RECORD  # it did not end with a result
    ledger.update(fal, state=State.READY)
    ledger.update(local, state=State.READY, request_id="r-2")
    assert remedy(Mark(fal, state="READY")) == GET_BACK
    assert remedy(Mark(local, state="READY")) == PREVIEW_AGAIN
    assert remedy(Mark("0123456789ab", state="READY")) == NO_RECORD
    known, unknown = Part("", 1, "", "r-1"), Part("cd" * 32, 1, "")
    assert remedy(Mark("sweep", state="READY", parts=(known,))) == GET_BACK
    assert remedy(Mark("sweep", state="READY", parts=(known, unknown))) == NO_RECORD


def test_what_is_not_known_stays(ledger: Ledger, tmp_path: Path) -> None:
    assert card("0123456789ab", tmp_path) is None  # a clone has no ledger
    job = claimed(ledger, tmp_path, "fal")
    ledger.update(job, state=State.FAILED, error="no")
    assert card(job, tmp_path, state="FAILED") is None  # the card says it already


def test_the_home_folder_in_the_environment_is_found(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KLING_NB_MEDIA", " ~/takes ")
    assert media_of_notebook(tmp_path / "work") == current().media == tmp_path / "takes"
    monkeypatch.setenv("KLING_NB_MEDIA", "takes")
    assert media_of_notebook(tmp_path / "work") == tmp_path / "work" / "takes"


def test_a_panel_says_what_to_do_and_nothing_is_written(tmp_path: Path, home: Path) -> None:
    with closing(Renewal()) as renewal:
        found = renewal.draw_card(Mark(kernel="k"), tmp_path)
    assert found is not None
    assert "run this cell" in found["text/html"]
    assert list(tmp_path.iterdir()) == [home]
    assert list(home.iterdir()) == []


def test_a_finished_card_is_drawn_again_once_its_takes_or_decisions_are_others(
    home: Path, tmp_path: Path
) -> None:
    media = MediaFolder(tmp_path / "kling_media")
    cell = "cd" * 32

    def store(request: str, **values: str) -> Take:
        given = {"prompt": "a boat", **values}
        draft = TakeDraft(cell, None, PRO, given, "a boat", "fal", request, "", "video", made_from=cell)
        return asyncio.run(media.store(in_chunks(clip_bytes(frames=2)), draft))

    first = store("r-1")
    mark = Mark("job", "gone", state="READY", fingerprint=cell, request="r-1", cell=cell, name="kite")
    output = {"metadata": mark.to_metadata(), "data": {"text/html": "<div>"}}
    with closing(Renewal()) as renewal:
        context = OutputContext(
            tmp_path, lambda mark: False, renewal.draw_card, is_outdated=renewal.is_outdated
        )
        notebook = {"cells": [{"outputs": [output]}]}

        def opened() -> str | None:
            """Return the card if an opening draws it again."""
            return output["data"]["text/html"] if update_outputs(notebook, context) else None

        output["data"] = renewal.draw_card(mark, tmp_path)
        assert opened() is None
        first.result().rating = 4
        assert "4 of 5 stars" in (opened() or "")
        assert opened() is None
        store("r-2", duration="10")
        with postpone_posters(0.0):
            assert opened() is None  # as it is, the card has its poster
        assert "2 · 10 s" in (opened() or "")
        assert opened() is None
        first.result().note = "warm"
        assert "warm" in (opened() or "")
        media.set_chosen(first, cell, "kite")
        assert "✓ Used as <bdi>kite" in (opened() or "")
        assert opened() is None
        (second,) = (take for take in media.takes(cell) if take.sidecar.request_id == "r-2")
        media.set_chosen(second, cell, "kite")
        shown = opened() or ""
        assert f'src="kling_media/{second.path.name}"' in shown
        assert output["metadata"] == mark.to_metadata()


def test_no_poster_is_decoded_on_the_loop_of_a_server(home: Path, tmp_path: Path) -> None:
    draft = TakeDraft("ab" * 32, None, "fal-ai/x", {}, "a boat", "fal", "r-2", "", "video")
    take = asyncio.run(MediaFolder(tmp_path / "kling_media").store(in_chunks(clip_bytes(frames=2)), draft))
    cards = BoundedCards(Renewal())
    mark = Mark("take-abababab-1", "gone", state="IN_PROGRESS", fingerprint="ab" * 32, request="r-2")
    has_poster = []
    for _ in range(2):
        with cards.within(tmp_path, lambda mark: False, 0, 1, on_loop=True) as context:
            html = (context.draw_card(mark, tmp_path) or {})["text/html"]
        cards._thread.submit(str).result()  # The card has been drawn again, for the next opening.
        assert take.path.name in html
        has_poster.append("data:image/jpeg" in html)
        drawn = Mark.of({"data": {"text/html": html}, "metadata": mark.to_metadata()})
        assert drawn is not None
        assert drawn.is_final == has_poster[-1], "else a saved card would never get its poster"
    assert has_poster == [False, True]


def test_a_file_that_was_moved_keeps_its_stored_poster(home: Path, tmp_path: Path) -> None:
    home.mkdir(exist_ok=True)
    path = tmp_path / "boat.mp4"
    path.write_bytes(clip_bytes(frames=2))
    poster = poster_of(Video.from_file(path))
    moved = path.rename(tmp_path / "renamed.mp4")
    with postpone_posters(0):
        assert poster_of(Video.from_file(moved)) == poster


def test_a_poster_goes_to_a_free_place_if_its_first_one_is_taken(home: Path, tmp_path: Path) -> None:
    home.mkdir(exist_ok=True)
    path = tmp_path / "boat.mp4"
    path.write_bytes(clip_bytes(frames=2))
    taken, free = _places(_key_of(path, path.stat()))
    taken.parent.mkdir(parents=True)
    taken.write_bytes(b"another poster")
    poster = poster_of(Video.from_file(path))
    assert taken.read_bytes() == b"another poster"
    assert free.exists()
    with postpone_posters(0):
        assert poster_of(Video.from_file(path)) == poster
