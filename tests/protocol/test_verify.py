"""`kling-nb verify`: no false all-clear, and what it would cost to complete a notebook."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.inputtransformer2 import TransformerManager
from kernel_environment import pointed_at
from scripted import Done, Hold, Run, Script, ScriptedFal

from kling_nb import Session, cli, errors
from kling_nb.catalog import DEFAULT_ENDPOINT
from kling_nb.job.plan import WORDS, Outcome
from kling_nb.notebook.card.mark import Mark, Part
from kling_nb.notebook.saved.verify import Reader, Request

Report = pytest.CaptureFixture[str]
PRICED = "v1.6-pro"  # $0.49 for 5 s


@pytest.fixture
def fal(tmp_cwd: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedFal]:
    with ScriptedFal() as server:
        for name, value in pointed_at(server, home).items():
            monkeypatch.setenv(name, value)
        yield server


def verified(capsys: Report, *cells: str, outputs: Any = ()) -> tuple[int, str]:
    """Return the exit status and the report. A cell that begins with `# fails` may raise."""
    code = [
        {
            "cell_type": "code",
            "source": cell,
            "outputs": list(outputs),
            "metadata": {"tags": ["raises-exception"] * cell.startswith("# fails")},
        }
        for cell in cells
    ]
    Path("demo.ipynb").write_text(json.dumps({"nbformat": 4, "cells": code}))
    status = cli.main(["verify", "demo.ipynb"])
    return status, capsys.readouterr().out


# -- how cells are read


CELL = "%%kling\na boat"
BOAT = ("a boat", {"endpoint": DEFAULT_ENDPOINT})
PYTHON = "in Python is not read"
# IPython 7 cannot read the value of a shell command on Python 3.12.
KNOWS_SHELL = "getoutput" in TransformerManager().transform_cell("colour = !ls")
SHELL_VALUE = "colour" if KNOWS_SHELL else "a cell that is not plain Python"

READ: dict[tuple[str, ...], list[Any]] = {
    # %%kling cells
    ("%%kling --take 2\na boat",): [("a boat", {"take": 2})],
    ("%%kling x --dry-run\na boat",): [],
    ("%%kling\na {colour} boat, {{as is}}, $colour",): [("a red boat, {as is}, red", {})],
    ("%%kling\nfor $5 and ${count}, {ratio}",): [("for $5 and $3, 0.5", {})],
    ("%%kling\na {open('x').read()} boat",): ["it depends on open('x').read()"],
    ("%%kling\na {colour!r} boat",): [("a 'red' boat", {})],
    ("%%kling\na {ratio:.2f} boat",): [("a 0.50 boat", {})],
    ("%%kling\na {colour.title()} boat, $colour.upper",): ["it depends on colour.title()"],
    ("%%kling\nGood morning, $colour. {colour}",): [("Good morning, red. red", {})],
    ("%%kling\na {nothing} boat",): ["it depends on nothing"],
    ('%%kling --endpoint v1.6-pro --negative-prompt "{colour} sky"\na boat',): [
        ("a boat", {"negative_prompt": "red sky"})
    ],
    ("%%kling --image photo\nit moves",): ["it depends on the image photo"],
    ("%%kling --image picture\nit moves",): [("it moves", {"image": "cat.png"})],
    ("%%kling --image {picture}\nit moves",): [("it moves", {"image": "cat.png"})],
    ("%%kling --image cat.png\nit moves",): [("it moves", {"image": "cat.png"})],
    ("%%kling --image made.last_frame\nit moves",): ["it depends on the image made.last_frame"],
    ("%%kling --image {made.last_frame}\nit moves",): ["it depends on the image {made.last_frame}"],
    ("%%kling study --grid duration=5,10\na {colour} {boat|kite}",): [
        ("a red boat", {"duration": "5"}),
        ("a red boat", {"duration": "10"}),
        ("a red kite", {"duration": "5"}),
        ("a red kite", {"duration": "10"}),
    ],
    ("%%kling --grid image=picture,dog.png\nit moves",): [
        ("it moves", {"image": "cat.png"}),
        ("it moves", {"image": "dog.png"}),
    ],
    ("%%kling --grid\na {boat|{thing}}",): ["it depends on thing"],
    # as IPython takes a cell
    ("\n  \n%%kling\na boat",): [BOAT],
    ("    %%kling\n    a boat",): [BOAT],
    ("%%time\n" + CELL,): [BOAT],
    ("%%capture out\n\n%%time\n" + CELL,): [BOAT],
    ("# a comment\n" + CELL,): ["it is not plain Python"],
    ("# a comment\n%%kling\nboat",): ["it is run by %kling"],
    ("%%timeit\n" + CELL,): ["it is run by timeit"],
    ("get_ipython().run_cell_magic('kling', '', 'a boat')",): [BOAT],
    ("for _ in range(2):\n    get_ipython().run_cell_magic('kling', '', 'a boat')",): ["it is run by kling"],
    ("get_ipython().run_cell_magic('kling', '', text)",): ["it may run any code"],
    ("get_ipython().run_cell_magic(magic_name='kling', line='', cell='a boat')",): ["it may run any code"],
    ("%%bash\nkling-nb generate 'a boat'",): ["it is run by bash"],
    ("!kling-nb generate 'a boat'",): ["it is run by a shell"],
    ("!pip install kling-nb\n%pip install kling-nb\nif True:\n    !kling-nb doctor", CELL): [BOAT],
    ("%%writefile a.py\nkling_nb.generate('x')", "%%html\n<b>", CELL): [BOAT],
    ("x = = 5\nkling_nb.generate('x')",): ["it is not plain Python"],
    ("this is no Python",): [],
    # variables
    ("colour = 'blue'", "%%kling\na {colour} boat"): [("a blue boat", {})],
    ("colour: str = 'blue'", "%%kling\na {colour} boat"): [("a blue boat", {})],
    ("other = colour\ncolour = count = 5", "%%kling\na {other} boat"): [("a red boat", {})],
    ("colour, count = count, 'x'", "%%kling\na {colour} boat"): ["it depends on colour"],
    ("%time colour = 'blue'", "%%kling\na {colour} boat"): [("a blue boat", {})],
    ("%timeit colour = 'blue'", "%%kling\na {colour} boat"): [("a red boat", {})],
    ("%%capture colour\nx = 5", "%%kling\na {colour} boat"): ["it depends on colour"],
    ("%%bash --out colour\nls", "%%kling\na {colour} boat"): ["it depends on colour"],
    ("colour = !ls", "%%kling\na {colour} boat"): [f"it depends on {SHELL_VALUE}"],
    ("colour += 'ish'", "%%kling\na {colour} boat"): ["it depends on colour"],
    ("if dark:\n    colour = 'black'", "%%kling\na {colour} boat"): ["it depends on colour"],
    ("for colour in colours:\n    pass", "%%kling\na {colour} boat"): ["it depends on colour"],
    ("import colour", "%%kling\na {colour} boat"): ["it depends on colour"],
    ("from colours import *", "%%kling\na {colour} boat"): ["it depends on colour"],
    ("def colour(): pass", "%%kling\na {colour} boat"): ["it depends on colour"],
    ("del colour", "%%kling\na {colour} boat"): ["it depends on colour"],
    ("print(colour := f())", "%%kling\na {colour} boat"): ["it depends on colour"],
    ("try:\n    f()\nexcept OSError as colour:\n    pass", "%%kling\na {colour} boat"): [
        "it depends on colour"
    ],
    ("match f():\n    case [colour, *_]: pass", "%%kling\na {colour} boat"): ["it depends on colour"],
    (
        "def paint():\n    global colour\n    colour = f()",
        "colour = 'red'",
        "paint()",
        "%%kling\na {colour} boat",
    ): ["it depends on colour"],
    ("%%kling colour\na boat", "%%kling\na {colour} boat"): [BOAT, "it depends on colour"],
    ("%%kling colour\na {thing}", "%%kling\na {colour} boat"): [
        "it depends on thing",
        "it depends on colour",
    ],
    ("%%kling colour --hint {thing}\na boat", "%%kling\na {colour} {count}"): [
        "it depends on thing",
        "it depends on colour",
    ],
    ("%%kling \\\n colour\na {thing}", "%%kling\na {colour} {count}"): [
        "it depends on thing",
        "it depends on colour",
    ],
    ("%%kling \\\n x\na {thing}", "%%kling\na {colour} boat"): [
        "it depends on thing",
        ("a red boat", {}),
    ],
    ("%%kling --image $picture\nit moves",): [("it moves", {"image": "cat.png"})],
    ("%%kling --image {nothing}\nit moves",): ["it depends on the image {nothing}"],
    ("%%kling --grid image={picture},$made\nit moves",): ["it depends on the image {made}"],
    ("%%kling shot{thing}\na boat", "%%kling\na {colour} boat"): [
        "it depends on thing",
        "it depends on colour",
    ],
    ("%%kling --hint 'a {thing}'\na boat", "%%kling\na {colour} boat"): [
        "it depends on thing",
        ("a red boat", {}),
    ],
    ("globals()['colour'] = f()", "%%kling\na {colour} boat"): ["it depends on globals"],
    ("%run setup.py", CELL): ["it depends on %run"],
    ("%%sql\nselect 1", CELL): ["it depends on %%sql"],
    ("exec(code)", CELL): ["it may run any code", "it depends on code that Python runs"],
    ("model.eval()\n%matplotlib inline\n%load_ext kling_nb\nkling_nb?", CELL): [BOAT],
    ("run setup.py", CELL): ["it depends on a cell that is not plain Python"],
    # settings
    ("import kling_nb\nkling_nb.configure(endpoint='v3-pro', timeout=f())", CELL): [
        ("a boat", {"endpoint": "v3-pro"})
    ],
    ("import kling_nb\nkling_nb.configure(endpoint='v3-pro')", "kling_nb.configure(endpoint=None)", CELL): [
        BOAT
    ],
    ("from kling_nb import configure\nname = 'v3-pro'\nconfigure(endpoint=name)", CELL): [
        ("a boat", {"endpoint": "v3-pro"})
    ],
    ("%config KlingMagics.endpoint = 'v3-pro'", CELL): [("a boat", {"endpoint": "v3-pro"})],
    ("%kling use v3-pro\n%kling jobs", "%config KlingMagics.endpoint = 'v1-standard'", CELL): [
        ("a boat", {"endpoint": "v3-pro"})
    ],
    ("%kling use v3-pro\n%kling local", "%%kling --endpoint v1-pro\na boat"): [
        ("a boat", {"endpoint": "v1-pro"})
    ],
    ("%kling use {name}", CELL): ["it depends on %kling endpoint"],
    ("if paid:\n    %kling fal", CELL): ["it depends on %kling backend"],
    ("%config KlingMagics.media = str(folder)", CELL): ["it depends on %config media"],
    ("%config InlineBackend.figure_format = 'svg'", CELL): [BOAT],
    (
        "%config KlingMagics.endpoint = 'v3-pro'\nimport kling_nb",
        "kling_nb.configure(endpoint='v1-pro')\nkling_nb.configure(endpoint=None)",
        CELL,
    ): [("a boat", {"endpoint": "v3-pro"})],
    ("import kling_nb\nkling_nb.configure(backend=choose())", CELL): ["it depends on configure backend"],
    ("import kling_nb\nroot = tkinter.Tk()", "root.configure(width=5)", CELL): ["it depends on configure"],
    ("import kling_nb\nkling_nb.configure(**settings)", CELL): ["it depends on configure **"],
    ("import kling_nb\nif paid:\n    kling_nb.configure(backend='fal')", CELL): ["it depends on configure"],
    ("from kling_nb import configure as c\nc(backend='fal')", CELL): ["it depends on configure"],
    ("import os\nos.environ['KLING_NB_ENDPOINT'] = 'v3-pro'", CELL): ["it depends on os.environ"],
    ("import os\nos.environ.update(more)", CELL): ["it depends on os.environ"],
    ("from os import environ as e\ne['FAL_KEY'] = 'x'", CELL): ["it depends on os.environ"],
    ("import os\nos.environ['CUDA_VISIBLE_DEVICES'] = '0'\nos.environ.get('FAL_KEY')", CELL): [BOAT],
    ("%env FAL_KEY=x", CELL): ["it depends on %env"],
    ("%env OMP_NUM_THREADS=1", CELL): [BOAT],
    ("import os\nos.chdir('x')", CELL): ["it depends on chdir"],
    ("%cd x", CELL): ["it depends on %cd"],
    ("from dotenv import load_dotenv\nload_dotenv()", CELL): ["it depends on load_dotenv"],
    ("print('configure, exec(x) and os.environ')", CELL): [BOAT],
    # calls in Python
    ("import kling_nb\nkling_nb.generate('x')",): [f"kling_nb.generate {PYTHON}"],
    ("kling_nb.generate('x')",): [f"kling_nb.generate {PYTHON}"],
    ("%%time\nkling_nb.generate('x')",): [f"kling_nb.generate {PYTHON}"],
    ("for _ in range(1):\n    made = %timeit -n 1 kling_nb.generate('x')",): ["it is run by timeit"],
    ("if True:\n    made = %time kling_nb.generate('x')",): [f"kling_nb.generate {PYTHON}"],
    ("from kling_nb import generate as g\ng('x')",): [f"generate as g {PYTHON}"],
    ("from kling_nb import *\nsubmit('x')",): [f"submit {PYTHON}"],
    ("make = kling_nb.generate\nmake('x')",): [f"kling_nb.generate {PYTHON}"],
    ("list(map(kling_nb.generate, ['x']))",): [f"kling_nb.generate {PYTHON}"],
    ("import kling_nb", "def make(session):\n    return session.submit('x')"): [f"session.submit {PYTHON}"],
    ("import kling_nb\npanel = kling_nb.Panel()", "panel.submit()"): [f"panel.submit {PYTHON}"],
    ("with kling_nb.Session(credentials='secret') as s:\n    s.submit('x')",): [f"s.submit {PYTHON}"],
    ("kling_nb.Session(credentials='secret').client.submit('v1-pro', {})",): [
        f"kling_nb.Session(…).client.submit {PYTHON}"
    ],
    ("kling_nb.sweep(['a', 'b'])",): [f"kling_nb.sweep {PYTHON}"],
    ("import kling_nb\nkling_nb.configure(media=kling_nb.generate('x').path)",): [
        f"kling_nb.generate {PYTHON}"
    ],
    ("import kling_nb\nfrom other import submit\nsubmit(3)",): [],
    ("import kling_nb\nwith ThreadPoolExecutor() as pool:\n    pool.submit(work)",): [],
    ("import kling_nb\nkling_nb.get_job('x').wait()\nkling_nb.jobs()\nkling_nb.Storyboard(s.videos)",): [],
    ("form.submit()\npool.submit(work, 3)\nexecutor.submit(work)\nsubmit(5)\ngenerate()",): [],
    (
        "import kling_nb\nfrom others import Pool, model\npool = Pool()",
        "pool.submit(5)\nmodel.generate('x')",
    ): [],
}


@pytest.mark.parametrize("cells", READ)
def test_a_notebook_is_read_and_not_run(cells: tuple[str, ...], home: Path) -> None:
    reader = Reader()
    before = "colour, count, ratio = 'red', 3, 0.5\npicture, cat = 'cat.png', 'a cat'\nmade = f()"
    with reader.looks:
        found = [one for cell in (before, *cells) for one in reader.read(cell)]
    assert len(found) == len(READ[cells]), found
    for request, expected in zip(found, READ[cells], strict=True):
        if isinstance(expected, tuple):
            assert isinstance(request, Request), request
            assert request.prompt == expected[0]
            assert expected[1].items() <= request.arguments.items()
        else:
            assert str(request).startswith(expected)


def test_a_grid_without_axes_is_wrong(fal: ScriptedFal, capsys: Report) -> None:
    with Session() as session:
        session.generate("a kite")
    status, shown = verified(capsys, "%%kling --grid\na kite")
    assert (status, "needs values to vary" in shown) == (1, True)


def test_what_fails_may_not_have_been_run(home: Path) -> None:
    """A cell that raises ends somewhere: what it binds and sets is not known."""
    for cell in ("1 / 0\ncolour = 'red'", "1 / 0\n%kling use v3-pro"):
        reader = Reader()
        (found,) = [*reader.read(cell, sure=False), *reader.read("%%kling\na {colour} boat")]
        assert str(found).startswith("it depends on")


# -- the report


def test_what_a_notebook_configures_decides_what_it_would_pay(fal: ScriptedFal, capsys: Report) -> None:
    with Session() as session:
        session.generate("a kite")
    ask = "%%kling\na kite"
    assert verified(capsys, ask)[0] == 0
    for before, found in (
        ("import kling_nb\nkling_nb.configure(endpoint='v1-standard')", "missing"),
        ("import kling_nb\nkling_nb.configure(media='other')", "elsewhere"),
        ("import kling_nb\nkling_nb.configure(media='other', reuse_elsewhere=False)", "missing"),
        ("%kling use v1-standard", "missing"),
    ):
        status, shown = verified(capsys, before, ask)
        assert status == 1
        assert found in shown
    status, shown = verified(capsys, "import kling_nb\nkling_nb.configure(**s.all)", ask)
    assert (status, "unknown" in shown) == (3, True)
    assert len(fal.accepted) == 1


def test_calls_in_python_are_left_to_a_frozen_run(fal: ScriptedFal, capsys: Report) -> None:
    with Session() as session:
        session.generate("a kite")
    call = "import kling_nb\nkling_nb.generate('a kite')"
    status, shown = verified(capsys, "%%kling\na kite", call)
    assert status == 3
    kite, python, total = shown.splitlines()
    assert "reusable" in kite
    assert "unknown" in python
    assert "check it with a frozen run" in python
    assert total.startswith("1 of 2 requests have their take.")
    assert verified(capsys, call, "%%kling\na boat")[0] == 1  # something is missing for sure


def test_a_cell_with_a_table_is_read_row_by_row(fal: ScriptedFal, capsys: Report) -> None:
    Path("shots.csv").write_text("name,who\nopening,a kite\nchase,a boat\n")
    with Session() as session:
        session.generate("a kite rises")
    status, shown = verified(capsys, "%%kling shots --table shots.csv\n{who} rises")
    opening, chase, _total = shown.splitlines()
    assert ("reusable" in opening, "missing" in chase, status) == (True, True, 1)
    assert "chase" in chase
    Path("shots.csv").write_text("name,whom\nopening,a kite\n")
    assert "wrong" in verified(capsys, "%%kling shots --table shots.csv\n{who} rises")[1]


def test_a_shot_goes_on_from_the_take_before_it(fal: ScriptedFal, capsys: Report) -> None:
    with Session() as session:
        one = session.generate("a kite")
        session.generate("it falls", image=one.last_frame)  # type: ignore[union-attr]
    cells = ("%%kling one\na kite", "%%kling --image one.last_frame\nit falls")
    assert verified(capsys, *cells)[0] == 0
    status, shown = verified(capsys, cells[0], "one = other", cells[1])
    assert (status, "it depends on the image one.last_frame" in shown) == (3, True)
    status, shown = verified(capsys, "%%kling one --no-wait\na kite", cells[1])
    assert (status, "it depends on the image one.last_frame" in shown) == (3, True)  # `one` is a Job


def test_the_same_request_is_paid_once_and_another_take_each_time(fal: ScriptedFal, capsys: Report) -> None:
    priced = "import kling_nb\nkling_nb.configure(prices={'v1-pro': 0.1})"
    same = "%%kling\na boat"
    _, shown = verified(
        capsys, priced, same, f"%%time\n{same}", "%%kling again\na boat", "%%kling --take 1\na boat"
    )
    assert shown.endswith("0 of 4 requests have their take. To complete: about $0.50.\n")
    _, shown = verified(capsys, priced, same, "%%kling --take 2\na boat", *["%%kling --new\na boat"] * 2)
    assert shown.endswith("To complete: about $2.00.\n")


def test_a_clone_without_a_key_learns_what_fal_would_ask(
    fal: ScriptedFal, capsys: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FAL_KEY")
    monkeypatch.delenv("KLING_NB_BACKEND")
    priced = "import kling_nb\nkling_nb.configure(prices={'v1-pro': 0.1})"
    _, shown = verified(capsys, priced, "%%kling\na boat", "%%kling\na kite", "%%kling\na kite")
    assert "free preview (about $0.50 on fal)" in shown
    assert shown.endswith("To complete: 2 free previews (about $1.00 on fal).\n")


def test_what_has_no_price_because_it_is_wrong_or_unread(fal: ScriptedFal, capsys: Report) -> None:
    _, shown = verified(
        capsys,
        "%%kling --duration 7\na boat",
        "import kling_nb\nkling_nb.generate(prompt)",
        "%%kling\na kite",
    )
    assert shown.endswith("To complete: 1 without a known price, 1 that only a run can show, 1 to correct.\n")


def test_what_was_submitted_already_costs_nothing_more(fal: ScriptedFal, capsys: Report) -> None:
    """Its file is lost, it runs, or no answer came: a run sends no new job for it."""
    fal.script = Script([Run(), Done()])
    with Session() as session:
        lost = session.submit("a kite", endpoint=PRICED)
        lost.wait()
        lost.file.unlink()
        fal.script = Script([Run(), Hold(), Done()])
        session.submit("a boat", endpoint=PRICED)
        fal.wait_for(lambda: len(fal.accepted) == 2)
        fal.fault("submit", "reset", at="after_body")
        fal.fault("lookup", "no_items", times=None)
        unclear = session.submit("a raft", endpoint=PRICED)
        with pytest.raises(errors.SubmissionUncertain):
            unclear.wait()
        cells = [f"%%kling --endpoint {PRICED}\n{what}" for what in ("a kite", "a boat", "a raft")]
        before = len(fal.accepted)
        status, shown = verified(capsys, *cells)
        kite, boat, raft, total = shown.splitlines()
        assert status == 1
        assert "missing    %%kling" in kite
        assert WORDS[Outcome.REFETCH].sentence in kite
        assert WORDS[Outcome.FOLLOW].sentence in boat
        assert WORDS[Outcome.LOOK_UP].sentence in raft
        assert total == "0 of 3 requests have their take. Running the notebook costs nothing."
        _, shown = verified(capsys, *cells, f"%%kling --endpoint {PRICED}\na whale")
        assert shown.endswith("0 of 4 requests have their take. To complete: about $0.49.\n")
        assert len(fal.accepted) == before


def test_a_sweep_that_changed_is_stale_cell_by_cell(fal: ScriptedFal, capsys: Report) -> None:
    with Session() as session:
        prints = [session.plan(f"a {who}").request.fingerprint for who in ("fox", "wolf")]
    parts = tuple(Part(one, 1, "", f"r-{one[:4]}") for one in prints)
    mark = Mark("sweep-0123", state="READY", parts=parts)
    html = f'<div class="kling-card"{mark.to_attributes()}></div>'
    output = {"output_type": "display_data", "data": {"text/html": html}, "metadata": mark.to_metadata()}
    status, shown = verified(capsys, "%%kling --grid\na {fox|cat}", outputs=[output])
    fox, cat, _ = shown.splitlines()
    assert status == 1
    assert "missing" in fox
    assert "stale" in cat


def test_requests_of_other_libraries_are_none_of_ours(fal: ScriptedFal, capsys: Report) -> None:
    status, shown = verified(capsys, "form.submit()\npool.submit(work, 3)")
    assert (status, shown) == (0, "No cell makes a kling_nb request.\n")
