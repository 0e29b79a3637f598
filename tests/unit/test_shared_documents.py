"""The document of a notebook in a room of jupyter-collaboration, without a server."""

from pathlib import Path
from typing import Any

import pytest

from kling_nb.notebook.card.mark import VIEW, Mark
from kling_nb.notebook.saved.server_extension import update_document

PACKAGES = Path(__file__).parents[2] / "build" / "collaboration"


@pytest.mark.slow
@pytest.mark.parametrize("changed", [False, True])
async def test_only_outputs_that_did_not_change_meanwhile_are_written(
    changed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(PACKAGES)
    from jupyter_ydoc import YNotebook  # `make test-all` installs it there

    mark = Mark("0123456789ab", "gone", 17, "READY")
    card = {"text/html": f'<div class="kling-card"{mark.to_attributes()}>'}
    own = {"output_type": "display_data", "metadata": mark.to_metadata()}
    stream = {"output_type": "stream", "name": "stdout", "text": "1"}
    outputs = [{**own, "data": {VIEW: {"model_id": "a"}}}, stream, {**own, "data": {**card, VIEW: {}}}]
    cell = {"cell_type": "code", "source": "%%kling", "metadata": {}, "id": "c"}
    cell |= {"execution_count": 1, "outputs": outputs}
    document = YNotebook()
    document.set(
        {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{**cell, "outputs": outputs}]}
    )

    def update(notebook: Any, path: str) -> bool:
        (found,) = notebook["cells"]
        assert Mark.of(found["outputs"][2]) == mark
        del found["outputs"][2]["data"][VIEW]
        found["outputs"] = found["outputs"][1:]
        if changed:
            document.ycells[0]["outputs"].append({**stream, "text": "2"})
        return True

    await update_document(document, update)
    expected = [*outputs, {**stream, "text": "2"}] if changed else [stream, {**own, "data": card}]
    assert document.get()["cells"][0]["outputs"] == expected
