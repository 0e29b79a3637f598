"""Frozen: what has a take is shown, and nothing is ever submitted."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kernel_environment import pointed_at
from scripted import ScriptedFal

import kling_nb
from kling_nb import Session
from kling_nb.errors import NoTake, UsageError
from kling_nb.notebook.output.terminal import plan_text


@pytest.fixture
def fal(tmp_cwd: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    with ScriptedFal() as server:
        for name, value in pointed_at(server, home).items():
            monkeypatch.setenv(name, value)
        yield server


WAYS: dict[str, Callable[[Session], Any]] = {
    "submit": lambda session: session.submit("a boat"),
    "generate": lambda session: session.generate("a boat"),
    "another take": lambda session: session.submit("a kite", new=True),
    "a take that is not there": lambda session: session.submit("a kite", take=2),
    "sweep": lambda session: session.sweep(["a kite", "a boat"]),
    "a sweep that was planned": lambda session: session.sweep(["a kite", "a boat"], start=False).start(),
    "call by call": lambda session: asyncio.run(session.client.submit("v1-pro", {"prompt": "a kite"})),
}


@pytest.mark.parametrize("ask", WAYS.values(), ids=WAYS)
def test_nothing_is_submitted_and_what_is_there_is_shown(fal: ScriptedFal, ask: Any) -> None:
    with Session() as open_one, Session(frozen=True) as frozen:
        kite = open_one.generate("a kite")
        assert isinstance(kite, kling_nb.Video)
        before = len(fal.requests)
        with pytest.raises(NoTake, match="Nothing was sent") as caught:
            ask(frozen)
        assert len(str(caught.value).splitlines()) <= 4
        assert frozen.generate("a kite").path == kite.path  # type: ignore[union-attr]
        assert frozen.submit("a boat", frozen=False).wait()  # an argument counts more
        assert len(fal.accepted) == 2
        assert before < len(fal.requests)


def test_a_sweep_of_the_module_shows_no_price_that_will_not_be_paid(
    fal: ScriptedFal, monkeypatch: pytest.MonkeyPatch
) -> None:
    text_shown: list[str] = []
    monkeypatch.setattr(kling_nb.front_end, "say", text_shown.append)
    monkeypatch.setenv("KLING_NB_FROZEN", "1")
    with pytest.raises(NoTake, match="no take of 'a boat' is in kling_media/"):
        kling_nb.sweep(["a boat", "a kite"])
    assert not text_shown
    assert not fal.accepted


def test_it_names_the_take_that_is_missing(fal: ScriptedFal) -> None:
    with Session() as session:
        session.generate("a kite")
        with pytest.raises(NoTake, match="take 3 of 'a kite' is not in kling_media/"):
            session.submit("a kite", take=3, frozen=True)


def test_by_environment_and_argument(fal: ScriptedFal, monkeypatch: pytest.MonkeyPatch) -> None:
    with Session() as session:
        with pytest.raises(NoTake):
            session.submit("a boat", frozen=True)
        for word in ("1", "true", "YES"):
            monkeypatch.setenv("KLING_NB_FROZEN", word)
            with pytest.raises(NoTake):
                session.submit("a boat")
        monkeypatch.setenv("KLING_NB_FROZEN", "perhaps")
        with pytest.raises(UsageError, match="not 'perhaps'"):
            session.submit("a boat")
        monkeypatch.delenv("KLING_NB_FROZEN")
        text_shown = plan_text(session.plan("a boat", frozen=True))
        assert "A run would be refused now: Frozen: no take of 'a boat' is in kling_media/." in text_shown
    assert not fal.accepted
