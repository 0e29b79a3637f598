"""A notebook has one folder, wherever its process runs. With several folders, a take is paid for once."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import nbformat
import papermill
import pytest
from jupyter_server.services.contents.largefilemanager import LargeFileManager
from jupyter_server.services.kernels.kernelmanager import MappingKernelManager
from kernel_environment import pointed_at
from nbconvert.preprocessors import ExecutePreprocessor
from running_kernel import RunningKernel
from scripted import Done, Hold, Run, Script, ScriptedFal

from kling_nb import cli
from kling_nb.notebook.exporters import KlingHTMLExporter
from kling_nb.notebook.saved.server_extension import update_on_read

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(180)]
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
CAT = "%%kling cat\na cat"


def players(cell: str) -> list[str]:
    return [unquote(src) for src in re.findall(r'<video [^>]*?src="([^"]*)"', cell)]


def test_a_notebook_that_changes_its_folder_keeps_its_takes_in_one(
    kernel: RunningKernel, fal: ScriptedFal, folder: Path
) -> None:
    (folder / "data").mkdir()
    first = kernel.ok(CAT)
    for move in ("import os; os.chdir('data')", "%cd -q .."):
        kernel.ok(move)
        again = kernel.ok(CAT)
        assert players(again.html()) == players(first.html())
        assert "already made, free" in again.html()
    kernel.ok("%cd -q data")
    assert f"Media     {folder}/kling_media\n" in kernel.ok("%kling").text
    (card,) = players(first.html())
    assert (folder / card).is_file()
    assert card.startswith("kling_media/")
    kernel.ok("import kling_nb\nkling_nb.configure(media='clips')\nos.chdir('..')")  # counts from here on
    assert kernel.value("kling_nb.Session().settings().media") == str(folder / "data" / "clips")
    kernel.ok("kling_nb.configure(media=None)\n%config KlingMagics.media = 'own'\nos.chdir('data')")
    assert kernel.value("kling_nb.Session().settings().media") == str(folder / "own")
    kernel.ok("%config KlingMagics.media = None\nos.environ['KLING_NB_MEDIA'] = 'ours'")
    assert kernel.value("kling_nb.Session().settings().media") == str(folder / "ours")
    kernel.ok("del os.environ['KLING_NB_MEDIA']")
    assert len(fal.accepted) == 1


@pytest.mark.parametrize("namer", ["VS Code", "Jupyter Server", "no file", "a program that runs notebooks"])
def test_the_folder_is_that_of_the_notebook_that_the_front_end_names(
    kernel: RunningKernel, folder: Path, namer: str
) -> None:
    """VS Code starts kernels in the folder of the workspace, some kernels start in a folder of their own."""
    sub = folder / "sub"
    sub.mkdir()
    file = sub / "film.ipynb"
    if namer != "no file":
        file.write_text("{}")
    if namer == "VS Code":
        kernel.ok(f"__vsc_ipynb_file__ = {str(file)!r}")
    else:
        kernel.ok(f"import os\nos.environ['JPY_SESSION_NAME'] = {str(file)!r}")
    ask = "import kling_nb\nprint(kling_nb.Session().settings().media)"
    cell = kernel.start(ask, allow_stdin=namer != "a program that runs notebooks")
    own = namer in {"VS Code", "Jupyter Server"}
    assert kernel.finish(cell).text == f"{sub if own else folder}/kling_media\n"
    kernel.ok("import os\nos.environ.pop('JPY_SESSION_NAME', None)\n%reset -f")
    assert kernel.ok(ask).text == cell.text  # found once


def test_two_kernels_in_two_folders_pay_once(
    kernel: RunningKernel, fal: ScriptedFal, folder: Path, tmp_path: Path
) -> None:
    fal.script = Script([Run(), Hold(), Done()])
    other = tmp_path / "other"
    other.mkdir()
    with RunningKernel(other, **pointed_at(fal, tmp_path / "home")) as second:
        second.ok("%load_ext kling_nb")
        cell = kernel.start(CAT)
        fal.wait_for(lambda: fal.open_streams)
        follower = second.start(CAT)
        second.wait_until(lambda: "makes this request" in follower.text)
        fal.release()
        kernel.finish(cell)
        second.finish(follower)
    for place, shown in ((folder, cell), (other, follower)):
        (card,) = players(shown.html())
        assert card.startswith("kling_media/")
        assert (place / card).is_file()
    assert f"of {folder}/kling_media makes this request. Its result is copied here, free." in follower.text
    assert len(fal.accepted) == 1


def test_a_linked_media_folder_keeps_its_name_in_cards_and_pages(
    kernel: RunningKernel, fal: ScriptedFal, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    (folder / "kling_media").symlink_to(tmp_path / "disk", target_is_directory=True)
    shown = kernel.ok(CAT)
    (card,) = players(shown.html())
    assert card.startswith("kling_media/")
    assert "already made, free" in kernel.ok(CAT).html()
    output = nbformat.v4.new_output("display_data", shown.displays[-1], metadata=shown.metadata[-1])
    page = exported(notebook(output), folder)
    assert 'src="data:video/mp4;base64,' in page  # though the file is outside of the notebook's folder
    (row,) = json.loads(
        kernel.value("__import__('json').dumps([r.folder for r in __import__('kling_nb').jobs(here=True)])")
    )
    assert row == str(tmp_path / "disk")


def notebook(*outputs: Any) -> Any:
    made = nbformat.v4.new_notebook(metadata=KERNEL)
    made.cells = [nbformat.v4.new_code_cell("%load_ext kling_nb"), nbformat.v4.new_code_cell(CAT)]
    made.cells[1].outputs = list(outputs)
    return made


def exported(found: Any, folder: Path) -> str:
    page, _ = KlingHTMLExporter().from_notebook_node(found, {"metadata": {"path": str(folder)}})
    return str(page)


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:papermill")
def test_a_notebook_that_runs_unattended_in_other_folders_buys_once(
    fal: ScriptedFal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """papermill from another folder and into another one, then nbconvert in a third."""
    for name, value in pointed_at(fal, tmp_path / "home").items():
        monkeypatch.setenv(name, value)
    project, cron, results = (tmp_path / name for name in ("project", "cron", "results"))
    for place in (project, cron, results):
        place.mkdir()
    source = project / "film.ipynb"
    nbformat.write(notebook(), source)
    papermill.execute_notebook(source, project / "first.ipynb", cwd=project, progress_bar=False)
    assert cli.main(["verify", str(source)]) == 0
    assert cli.main(["verify", str(nbformat_copy(source, results))]) == 1
    report = capsys.readouterr().out
    assert f"elsewhere  %%kling cat  in another folder, a run copies it: {project}/kling_media/" in report
    assert "0 of 1 requests have their take. Running the notebook costs nothing." in report

    papermill.execute_notebook(source, results / "second.ipynb", cwd=cron, progress_bar=False)
    second = nbformat.read(results / "second.ipynb", as_version=4)
    assert f"Copied from {project}/kling_media, where this request was paid for." in str(second.cells[1])
    assert players(str(second.cells[1]))[0].startswith("kling_media/")  # papermill says not where it will be
    assert players(exported(second, results))[0].startswith("data:video/mp4")
    contents = LargeFileManager(root_dir=str(tmp_path))
    update_on_read(contents, MappingKernelManager(), tmp_path)
    opened = contents.get("results/second.ipynb")["content"]
    (card,) = players(str(opened["cells"][1]))
    assert (results / card).is_file()
    assert cli.main(["freeze", str(results / "second.ipynb")]) == 0
    (card,) = players((results / "second.ipynb").read_text().replace("\\", ""))
    assert (results / card).is_file()

    third = notebook()
    away = tmp_path / "away"
    away.mkdir()
    ExecutePreprocessor(kernel_name="python3").preprocess(third, {"metadata": {"path": str(away)}})
    (card,) = players(str(third.cells[1].outputs[-1].data["text/html"]))
    assert (away / card).is_file()
    assert len(fal.accepted) == 1


def nbformat_copy(source: Path, folder: Path) -> Path:
    copy = folder / source.name
    copy.write_bytes(source.read_bytes())
    return copy
