"""Notebooks as scripts and Markdown, by jupytext: every cell comes back as it was."""

import jupytext
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

CELLS = [
    "%load_ext kling_nb\n%kling local",
    "%%kling fox --duration 5\nA red fox's coat, {animal}\n\n  indented\n# not a comment\n%kling jobs",
    "%%kling --endpoint v3-pro --set elements='[{\"x\": 1}]' \\\n  --new  # again\nFor $5, {{not}} $$filled",
    "%%time\n%%kling\nA boat",
    "%%kling\nif it rains:\n\n\nan umbrella",
    "%%kling --endpoint create-voice --voice-url https://example.com/a.wav",
    "fox.path",
]


def sources_after(form, cells, **options):
    notebook = new_notebook(cells=[new_markdown_cell("# A film"), *map(new_code_cell, cells)])
    notebook.metadata["kernelspec"] = {"name": "python3", "language": "python", "display_name": "Python 3"}
    notebook.metadata["jupytext"] = options
    text = jupytext.writes(notebook, form)
    code = [cell.source for cell in jupytext.reads(text, form).cells if cell.cell_type == "code"]
    return text, [source.rstrip("\n") for source in code]  # a line without a text gets a final line end


@pytest.mark.parametrize("form", ["py:percent", "py:light"])
def test_with_the_setting_of_the_page_a_script_is_python_and_keeps_every_cell(form):
    cells = [*CELLS, "%%kling\n# %% [markdown]\ntext"]
    text, sources = sources_after(form, cells, custom_cell_magics="kling")
    assert sources == cells
    compile(text.replace("\nA boat", "\n# A boat"), "film.py", "exec")  # below %%time it stays text


@pytest.mark.parametrize("form", ["py:percent", "py:light", "md"])
def test_without_the_setting_every_cell_is_kept(form):
    assert sources_after(form, CELLS)[1] == CELLS
