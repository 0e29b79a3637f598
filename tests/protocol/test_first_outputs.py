"""What the first job of a kernel shows, while the widget's libraries are being imported."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kernel_environment import pointed_at
from protocol.test_moved import Shell
from scripted import Done, Hold, Queue, Script, ScriptedFal

from kling_nb import Session
from kling_nb.notebook.card.mark import ROOT
from kling_nb.notebook.output import kernel as kernel_outputs


@pytest.mark.parametrize("served", [False, True], ids=["two outputs", "one output"])
def test_a_job_that_ends_while_its_widget_is_made_has_its_result_in_the_card(
    served: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptedFal() as fal:
        fal.script = Script([Queue(0), Hold(), Done()])
        for name, value in pointed_at(fal, tmp_path / "home").items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        if served:
            monkeypatch.setenv(ROOT, str(tmp_path))

        def ends_meanwhile(job: Any) -> SimpleNamespace:
            fal.wait_for(lambda: fal.jobs)  # it may still be on its way
            fal.release()
            job.wait(20)
            view = {"application/vnd.jupyter.widget-view+json": {"model_id": "none"}}
            return SimpleNamespace(view_data=lambda: view)

        monkeypatch.setattr(kernel_outputs, "has_viewer", lambda: True)
        monkeypatch.setattr(kernel_outputs.job_widget, "JobWidget", ends_meanwhile)
        monkeypatch.delitem(sys.modules, "anywidget", raising=False)
        shell = Shell()
        with Session() as session:
            kernel_outputs.KernelOutputs(shell).show(session.submit("a boat"), quiet=False)
    cards = [
        output["data"]["text/html"] for output in shell.outputs.values() if "text/html" in output["data"]
    ]
    assert len(cards) == 1
    assert "<video" in cards[0]
