"""A package that changes while a kernel runs, with `%autoreload 2`: what guards money is not lost unseen."""

import os
import shutil
from pathlib import Path

import pytest
from kernel_environment import pointed_at
from running_kernel import RunningKernel
from scripted import ScriptedFal

import kling_nb

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(180)]


def test_after_a_reload_of_the_package_nothing_is_sent(
    fal: ScriptedFal, folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "site" / "kling_nb"
    shutil.copytree(Path(kling_nb.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    path = os.pathsep.join([str(copy.parent), os.environ["PYTHONPATH"]])
    environment = {**pointed_at(fal, tmp_path / "home"), "KLING_NB_BACKEND": "auto", "PYTHONPATH": path}
    with RunningKernel(folder, **environment) as kernel:
        kernel.ok("%load_ext autoreload\n%autoreload 2\n%load_ext kling_nb\nimport kling_nb")
        assert kernel.value("kling_nb.__file__") == str(copy / "__init__.py")
        kernel.ok("%%kling\na cat")
        kernel.ok("kling_nb.configure(backend='local', budget=1)")
        for name in ("settings.py", "ledger/owner.py", "front_end.py"):
            with (copy / name).open("a") as file:
                file.write("\nfor CHANGED in ():\n    pass\n")
        for cell in (
            "%%kling\na dog",
            "kling_nb.generate('a dog')",
            "kling_nb.generate('a dog', backend='fal')",
        ):
            refused = kernel.run(cell)
            assert "was changed and loaded again in this process" in refused.message
            assert "Nothing was sent." in refused.message
        call = "kling_nb.Session().client.submit('v1-pro', {'prompt': 'a dog'})"
        assert "was changed and loaded again" in kernel.run(f"await {call}").message
        kernel.ok("%%kling\na cat")  # what was made is shown
    assert len(fal.accepted) == 1
