"""Frozen: what has a take is shown, and nothing is ever submitted."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kernel_environment import pointed_at
from scripted import ScriptedFal

import kling_nb
from kling_nb import Session
from kling_nb.errors import NoTake, UsageError
from kling_nb.notebook.cell_calls import Asked, Reader
from kling_nb.notebook.cell_values import Variables
from kling_nb.notebook.outputs import plan_text


@pytest.fixture
def fal(tmp_cwd: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    with ScriptedFal() as server:
        for name, value in pointed_at(server, home).items():
            monkeypatch.setenv(name, value)
        yield server


WAYS: dict[str, Callable[[Session], Any]] = {
    "submit": lambda session: session.submit("a boat"),
    "generate": lambda session: session.generate("a boat"),
    "another take": lambda session: session.submit("a kite", new=True),
    "a take that is not there": lambda session: session.submit("a kite", take=2),
    "sweep": lambda session: session.sweep(["a kite", "a boat"]),
    "a sweep that was planned": lambda session: session.sweep(["a kite", "a boat"], start=False).start(),
    "call by call": lambda session: asyncio.run(session.client.submit("v1-pro", {"prompt": "a kite"})),
}


@pytest.mark.parametrize("ask", WAYS.values(), ids=WAYS)
def test_nothing_is_submitted_and_what_is_there_is_shown(fal: ScriptedFal, ask: Any) -> None:
    with Session() as open_one, Session(frozen=True) as frozen:
        kite = open_one.generate("a kite")
        assert isinstance(kite, kling_nb.Video)
        before = len(fal.requests)
        with pytest.raises(NoTake, match="was not submitted") as caught:
            ask(frozen)
        assert len(str(caught.value).splitlines()) <= 4
        assert frozen.generate("a kite").path == kite.path  # type: ignore[union-attr]
        assert frozen.submit("a boat", frozen=False).wait()  # an argument counts more
        assert len(fal.accepted) == 2
        assert before < len(fal.requests)


def test_a_sweep_of_the_module_says_no_price_that_nobody_will_pay(
    fal: ScriptedFal, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(kling_nb._front_end, "say", said.append)
    monkeypatch.setenv("KLING_NB_FROZEN", "1")
    with pytest.raises(NoTake, match="'a boat' was not submitted"):
        kling_nb.sweep(["a boat", "a kite"])
    assert not said
    assert not fal.accepted


def test_it_names_the_take_that_is_missing(fal: ScriptedFal) -> None:
    with Session() as session:
        session.generate("a kite")
        with pytest.raises(NoTake, match="Take 3 of it is not in kling_media/"):
            session.submit("a kite", take=3, frozen=True)


def test_by_environment_and_argument(fal: ScriptedFal, monkeypatch: pytest.MonkeyPatch) -> None:
    with Session() as session:
        with pytest.raises(NoTake):
            session.submit("a boat", frozen=True)
        for word in ("1", "true", "YES"):
            monkeypatch.setenv("KLING_NB_FROZEN", word)
            with pytest.raises(NoTake):
                session.submit("a boat")
        monkeypatch.setenv("KLING_NB_FROZEN", "perhaps")
        with pytest.raises(UsageError, match="frozen is 'perhaps'"):
            session.submit("a boat")
        monkeypatch.delenv("KLING_NB_FROZEN")
        said = plan_text(session.plan("a boat", frozen=True))
        assert "it would be refused: frozen" in said
    assert not fal.accepted


READ = {
    "%%kling --take 2\na boat": [("a boat", {"take": 2})],
    "%%kling x --dry-run\na boat": [None],
    "%%kling\na {colour} boat, {{as is}}, $colour": [("a red boat, {as is}, red", {})],
    "%%kling\na {open('x').read()} boat": ["it depends on"],
    "%%kling\na {colour!r} boat": ["it depends on"],
    "%%kling --image photo\nit moves": ["it depends on the picture photo"],
    "%%kling --image picture\nit moves": [("it moves", {"image": "cat.png"})],
    "\n  \n%%kling\na boat": [("a boat", {})],
    "%%time\nkling_nb.generate('x')": [("x", {})],
    "%%capture out\n\n%%time\n%%kling\na boat": [("a boat", {})],
    "%time kling_nb.generate('x')": [("x", {})],
    "for _ in range(1):\n    made = %timeit -n 1 kling_nb.generate('x')": [("x", {})],
    "%%bash\nkling-nb generate 'a boat'": ["it is run by %%bash"],
    "%%writefile a.py\nkling_nb.generate('x')": [],
    "!kling-nb generate 'a boat'": ["it depends on !kling-nb"],
    "x = = 5\nkling_nb.generate('x')": ["it is no plain Python"],
    "get_ipython().run_cell_magic('kling', '', 'a boat')": ["it depends on get_ipython()"],
    "from kling_nb import generate as g\ng('x')": [("x", {})],
    "from kling_nb import *\nimport kling_nb as k\nsubmit('x')\nk.submit('y')": [("x", {}), ("y", {})],
    "make = kling_nb.generate\nmake('x')": [("x", {})],
    "list(map(kling_nb.generate, ['x']))": ["it depends on who calls kling_nb.generate"],
    "form.submit()\npool.submit(work, 3)\nexecutor.submit(work)\nsubmit(5)\ngenerate()": [],
    "from kling_nb import submit\nfrom other import submit\nsubmit('x', 3)": [],
    "kling_nb.Panel().submit()": ["it submits what a panel holds"],
    "p = kling_nb.Panel(endpoint='v3-pro')\np.submit(prompt='x')": [("x", {"endpoint": "v3-pro"})],
    "kling_nb.Panel(made()).submit(prompt='x')": ["it depends on made()"],
    "kling_nb.generate('x', **{'duration': 10})": [("x", {"duration": 10})],
    "more = {'duration': 10}\nkling_nb.generate('x', **more)": [("x", {"duration": 10})],
    "kling_nb.generate('x', **read())": ["it depends on read()"],
    "kling_nb.configure(endpoint='v3-pro', timeout=wait)\nkling_nb.submit('x')": [
        ("x", {"endpoint": "v3-pro"})
    ],
    "%config KlingMagics.endpoint = 'v3-pro'\nkling_nb.submit('x')": [("x", {"endpoint": "v3-pro"})],
    "kling_nb.configure(backend=choose())\nkling_nb.submit('x')": ["it depends on choose()"],
    "if paid:\n    kling_nb.configure(backend='fal')\nkling_nb.submit('x')": [
        "it depends on whether backend"
    ],
    "s = kling_nb.Session(endpoint='v3-pro')\ns.submit('x')\nkling_nb.submit('x')": [
        ("x", {"endpoint": "v3-pro"}),
        ("x", {"endpoint": "v1-pro"}),
    ],
    "with kling_nb.Session(**settings) as s:\n    s.submit('x')": ["it depends on settings"],
    "%kling use v3-pro\nkling_nb.submit(prompt=colour, duration=5)": [
        ("red", {"endpoint": "v3-pro", "duration": 5})
    ],
    "for word in words:\n    kling_nb.submit(word)": ["it depends on word"],
    "colour = words[0]\nkling_nb.generate(colour)": ["it depends on colour"],
    "client = kling_nb.Session().client\nawait client.submit('v1-pro', {})": ["it submits by Session.client"],
    "colour, other = 'blue', words\nkling_nb.generate(f'a {colour} boat')": [("a blue boat", {})],
    "kling_nb.generate(f'a {colour:>9} boat')": ["it depends on"],
    "%%kling study --grid duration=5,10\na {colour} {boat|kite}": [
        ("a red boat", {"duration": "5"}),
        ("a red boat", {"duration": "10"}),
        ("a red kite", {"duration": "5"}),
        ("a red kite", {"duration": "10"}),
    ],
    "%%kling --grid image=picture,dog.png\nit moves": [
        ("it moves", {"image": "cat.png"}),
        ("it moves", {"image": "dog.png"}),
    ],
    "%%kling --grid\na {boat|{thing}}": ["it depends on thing"],
    "study = kling_nb.sweep(['a', colour], duration=(5, 10), concurrency=2)": [
        ("a", {"duration": 5}),
        ("a", {"duration": 10}),
        ("red", {"duration": 5}),
        ("red", {"duration": 10}),
    ],
    "kling_nb.sweep([one.prompt for one in study])": ["it depends on"],
    "%%kling --image cat.png\nit moves": [("it moves", {"image": "cat.png"})],
    "%%kling --image made.last_frame\nit moves": ["it depends on the picture made.last_frame"],
    "this is no Python": [],
}


@pytest.mark.parametrize("source", READ)
def test_a_notebook_is_read_and_not_run(source: str, home: Path) -> None:
    known = Variables({"colour": "red", "picture": "cat.png", "cat": "a cat"})
    known.learn("made")
    reader = Reader("v1-pro", kling_nb.endpoint, known)
    found = list(reader.calls(source))
    assert len(found) == len(READ[source])
    for call, expected in zip(found, READ[source], strict=True):
        if isinstance(expected, tuple):
            assert isinstance(call, Asked)
            assert call.prompt == expected[0]
            assert expected[1].items() <= dict(call.arguments).items()
        else:
            assert call is None if expected is None else str(call).startswith(str(expected))
