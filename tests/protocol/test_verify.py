"""`kling-nb verify`: no false all-clear, and what it would cost to complete a notebook."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel_environment import pointed_at
from scripted import ScriptedFal

from kling_nb import Session, cli
from kling_nb.notebook.mark import Mark, Part

Report = pytest.CaptureFixture[str]


@pytest.fixture
def fal(tmp_cwd: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedFal]:
    with ScriptedFal() as server:
        for name, value in pointed_at(server, home).items():
            monkeypatch.setenv(name, value)
        yield server


def verified(capsys: Report, *cells: str, outputs: Any = ()) -> tuple[int, str]:
    """Exit status and report."""
    code = [{"cell_type": "code", "source": cell, "outputs": list(outputs)} for cell in cells]
    Path("demo.ipynb").write_text(json.dumps({"nbformat": 4, "cells": code}))
    status = cli.main(["verify", "demo.ipynb"])
    return status, capsys.readouterr().out


def test_what_a_notebook_configures_decides_what_it_would_pay(fal: ScriptedFal, capsys: Report) -> None:
    with Session() as session:
        session.generate("a kite")
    ask = "import kling_nb\nkling_nb.generate('a kite')"
    assert verified(capsys, ask)[0] == 0
    for before in (
        "import kling_nb\nkling_nb.configure(endpoint='v1-standard')",
        "import kling_nb\nkling_nb.configure(media='other')",
    ):
        status, said = verified(capsys, before, ask)
        assert status == 1
        assert "missing" in said
    status, said = verified(capsys, "s = __import__('x')\nimport kling_nb\nkling_nb.configure(**s.all)", ask)
    assert (status, "unknown" in said) == (1, True)
    status, said = verified(
        capsys, "import kling_nb\nkling_nb.Session(endpoint='v1-standard').submit('a kite')"
    )
    assert (status, "missing" in said) == (1, True)
    assert len(fal.accepted) == 1


def test_the_same_request_is_paid_once_and_another_take_each_time(fal: ScriptedFal, capsys: Report) -> None:
    same = "kling_nb.generate('a boat')"
    priced = "kling_nb.configure(prices={'v1-pro': 0.1})"
    _, said = verified(capsys, priced, same, f"%time {same}", "%%kling\na boat", "%%kling --take 1\na boat")
    assert said.endswith("0 of 4 requests have their take. To complete: about $0.50.\n")
    _, said = verified(capsys, priced, same, "%%kling --take 2\na boat", *["%%kling --new\na boat"] * 2)
    assert said.endswith("To complete: about $2.00.\n")


def test_a_clone_without_a_key_learns_what_fal_would_ask(
    fal: ScriptedFal, capsys: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FAL_KEY")
    monkeypatch.delenv("KLING_NB_BACKEND")
    priced = "kling_nb.configure(prices={'v1-pro': 0.1})"
    _, said = verified(capsys, priced, "%%kling\na boat", "%%kling\na kite", "%%kling\na kite")
    assert "free preview (about $0.50 on fal)" in said
    assert said.endswith("To complete: 2 free previews (about $1.00 on fal).\n")


def test_a_sweep_that_changed_is_stale_cell_by_cell(fal: ScriptedFal, capsys: Report) -> None:
    with Session() as session:
        prints = [session.plan(f"a {who}").request.fingerprint for who in ("fox", "wolf")]
    parts = tuple(Part(one, 1, "", f"r-{one[:4]}") for one in prints)
    mark = Mark("sweep-0123", state="READY", parts=parts)
    html = f'<div class="kling-card"{mark.to_attributes()}></div>'
    output = {"output_type": "display_data", "data": {"text/html": html}, "metadata": mark.to_metadata()}
    status, said = verified(capsys, "%%kling --grid\na {fox|cat}", outputs=[output])
    fox, cat, _ = said.splitlines()
    assert status == 1
    assert "missing" in fox
    assert "stale" in cat


def test_requests_of_other_libraries_are_none_of_ours(fal: ScriptedFal, capsys: Report) -> None:
    status, said = verified(capsys, "form.submit()\npool.submit(work, 3)")
    assert (status, said) == (0, "No cell makes a request of kling_nb.\n")
