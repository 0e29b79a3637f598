"""What crosses between Python and JavaScript is listed on both sides; the lists are the same."""

import ast
import json
import re
from pathlib import Path

import anywidget
import ipywidgets
import pytest
from widget.memory_job import MemoryJob, widget_of

from kling_nb import events
from kling_nb.catalog import endpoint
from kling_nb.notebook import answering, chunk, job_widget

ROOT = Path(__file__).resolve().parents[2]
JS = ROOT / "js" / "job"
PROTOCOL = (JS / "protocol.js").read_text(encoding="utf-8")
SOURCES = {path.name: path.read_text(encoding="utf-8") for path in JS.glob("*.js")}


def js_list(name):
    """A list of words that protocol.js exports."""
    found = re.search(rf"export const {name} = .*?(\[.*?\])", PROTOCOL, re.DOTALL)
    assert found, name
    return json.loads(re.sub(r",\s*\]", "]", found[1]))


def js_typedef(name):
    """Property names of a typedef in protocol.js."""
    block = next(
        block
        for block in re.findall(r"/\*\*.*?\*/", PROTOCOL, re.DOTALL)
        if f"@typedef {{object}} {name}" in block
    )
    return re.findall(r"@property \{[^\n]*\} (\w+)", block)


@pytest.fixture
def pair():
    yield widget_of(MemoryJob())
    ipywidgets.Widget.close_all()


def own_traits(widget):
    synced = set(widget.traits(sync=True)) - {"_esm", "_css", "_anywidget_id"}
    return synced - set(anywidget.AnyWidget.class_traits(sync=True))


def test_traits(pair):
    widget, _ = pair
    assert js_list("TRAITS") == js_typedef("JobModel")
    assert set(js_list("TRAITS")) == own_traits(widget)


def test_commands_and_notices():
    assert js_list("COMMANDS") == list(job_widget.COMMANDS)
    assert js_list("NOTICES") == list(job_widget.NOTICES)


def test_the_kernel_answers_every_command_that_is_listed(pair):
    _, comm = pair
    for number, kind in enumerate(js_list("COMMANDS")):
        content = {"id": number, "kind": kind, "msg": {}}
        comm.handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})
    unknown = [c for c, _ in comm.custom() if "Unknown command" in c["msg"].get("error", "")]
    assert unknown == []


def test_a_view_sends_only_commands_that_are_listed():
    asked = {kind for text in SOURCES.values() for kind in re.findall(r'(?:\.ask|told)\(\s*"(\w+)"', text)}
    assert asked == set(js_list("COMMANDS"))


def test_the_kernel_sends_only_notices_that_are_listed():
    trees = [ast.parse(Path(one.__file__).read_text(encoding="utf-8")) for one in (job_widget, answering)]
    sent = {
        value.value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and key.value == "kind" and isinstance(value, ast.Constant)
    }
    assert sent == set(js_list("NOTICES"))
    heard = set(re.findall(r'kind === "(\w+)"', SOURCES["live_job.js"]))
    assert heard == sent


def test_fields_of_a_take(pair):
    _, comm = pair
    (take,) = comm.ask("snapshot")[0]["msg"]["takes"]
    assert js_list("TAKE_FIELDS") == js_typedef("TakeAbout")
    assert set(take) == set(js_list("TAKE_FIELDS")) | set(js_list("STATE_FIELDS"))


def test_what_a_view_reads_of_a_control_is_what_the_catalogue_gives():
    given = set(endpoint("v1-pro").parameters[0].to_json())
    text = (ROOT / "js" / "controls" / "value.js").read_text(encoding="utf-8")
    assert set(re.findall(r"@property \{[^\n]*\} (\w+)", text)) == given


def test_fields_of_an_update(pair):
    _, comm = pair
    beside = {"key", "first_line", "lines", "now", "takes", "controls"}
    comm_fields = set(comm.ask("snapshot")[0]["msg"]) - beside
    assert js_list("STATE_FIELDS") == js_typedef("JobFields")
    assert comm_fields == set(js_list("STATE_FIELDS"))


def test_states():
    names = {state.value for state in events.State}
    typed = re.search(r"@typedef \{([^}]*)\} State\n", PROTOCOL)
    assert set(re.findall(r'"(\w+)"', typed[1])) == names
    finished = re.search(r"isFinished = .*?\^\(([A-Z|]+)\)\$", SOURCES["words.js"])
    assert set(finished[1].split("|")) == {state.value for state in events.State if state.finished}


def test_sizes():
    kept = re.search(r"LINES_KEPT = (\d+)", PROTOCOL)
    assert int(kept[1]) == job_widget.LINES_KEPT
    piece = re.search(r"const PIECE = (\d+) \* (\d+)", SOURCES["footage.js"])
    assert int(piece[1]) * int(piece[2]) <= chunk.CHUNK_LIMIT
