"""The public names, and what importing them costs."""

import json
import pkgutil
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version

import pytest

import kling_nb
from kling_nb.ledger import database
from kling_nb.notebook import magics

NAMES = [
    "Batch",
    "Job",
    "Panel",
    "Session",
    "Storyboard",
    "Sweep",
    "Video",
    "VideoRequest",
    "batch",
    "configure",
    "endpoint",
    "endpoints",
    "errors",
    "generate",
    "get_job",
    "jobs",
    "join",
    "load_ipython_extension",
    "resume",
    "sheet",
    "submit",
    "sweep",
    "takes",
    "unload_ipython_extension",
    "upload",
]
HEAVY = {"IPython", "PIL", "anywidget", "asyncio", "av", "httpx", "ipywidgets", "numpy", "sqlite3", "tornado"}


def submodules():
    """Every module of the package, save the programs that run when imported."""
    found = pkgutil.walk_packages(kling_nb.__path__, "kling_nb.")
    return [module.name for module in found if not module.name.endswith("__main__")]


def test_names_are_listed_sorted_and_complete():
    assert kling_nb.__all__ == NAMES == sorted(NAMES)
    assert set(NAMES) <= set(dir(kling_nb))


# A submodule that is imported becomes an attribute of the package, and must not hide a name.
@pytest.mark.parametrize("name", NAMES)
def test_name_is_what_it_says_next_to_all_submodules(name):
    for module in submodules():
        import_module(module)
    value = getattr(kling_nb, name)
    assert (value is import_module("kling_nb.errors")) if name == "errors" else callable(value)


@pytest.mark.program
def test_each_submodule_can_be_the_first_one_imported():
    # Each module runs again thousands of times, so its code is read once, and what is left of it is left.
    program = f"""
import functools, gc, importlib, sys
from importlib.machinery import SourceFileLoader
SourceFileLoader.get_code = functools.cache(SourceFileLoader.get_code)
gc.disable()
for first in {submodules()!r}:
    for name in [name for name in sys.modules if name.partition(".")[0] == "kling_nb"]:
        del sys.modules[name]
    importlib.import_module(first)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_import_loads_nothing_heavy():
    program = "import json, sys; before = set(sys.modules); import kling_nb; dir(kling_nb); "
    program += "print(json.dumps(sorted({name.partition('.')[0] for name in set(sys.modules) - before})))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not HEAVY & set(json.loads(done.stdout))


def test_the_first_job_loads_no_command_line_of_httpx():
    program = (
        "import sys, kling_nb.fal.queue; assert 'httpx' not in sys.modules\n"
        "from kling_nb._lazy import httpx; httpx.Client\n"
        "assert 'httpx' in sys.modules and 'rich' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_extension_looks_for_the_ledger_under_its_name():
    assert magics.LEDGER == database.FILE_NAME


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'genrate'"):
        _ = kling_nb.genrate


def test_version_is_the_distributions():
    assert kling_nb.__version__ == version("kling_nb")
