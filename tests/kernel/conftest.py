"""A scripted fal and a kernel pointed at it.

To start a kernel takes longer than most tests. So those of a module share one, as cells of a notebook do:
each test has a folder, a ledger, a fal and variables of its own in it. A test that ends its kernel has a
new one.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel_environment import pointed_at
from running_kernel import RunningKernel
from scripted import ScriptedFal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the kernel of this test works."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def shared_kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningKernel]:
    with RunningKernel(tmp_path_factory.mktemp("kernel")) as running:
        running.ok("%load_ext kling_nb")
        yield running


@pytest.fixture
def kernel(shared_kernel: RunningKernel, fal: ScriptedFal, tmp_path: Path, folder: Path) -> RunningKernel:
    """The kernel of this module, in the folder of this test."""
    shared_kernel.move(folder, **pointed_at(fal, tmp_path / "home"))
    return shared_kernel


@pytest.fixture
def new_kernel(fal: ScriptedFal, tmp_path: Path, folder: Path) -> Iterator[RunningKernel]:
    """A kernel for this test alone, which may end it."""
    with RunningKernel(folder, **pointed_at(fal, tmp_path / "home")) as running:
        running.ok("%load_ext kling_nb")
        yield running
