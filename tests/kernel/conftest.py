"""A scripted fal and a kernel pointed at it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel_environment import pointed_at
from running_kernel import RunningKernel
from scripted import ScriptedFal


@pytest.fixture
def fal() -> Iterator[ScriptedFal]:
    with ScriptedFal() as server:
        yield server


@pytest.fixture
def kernel(fal: ScriptedFal, tmp_path: Path) -> Iterator[RunningKernel]:
    folder = tmp_path / "work"
    folder.mkdir()
    with RunningKernel(folder, **pointed_at(fal, tmp_path / "home")) as running:
        running.ok("%load_ext kling_nb")
        yield running
