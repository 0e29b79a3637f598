"""What crosses between Python and JavaScript is listed on both sides; the lists are the same."""

import json
import re
from pathlib import Path

import anywidget
import ipywidgets
import pytest
from widget.memory_job import MemoryJob, kinds_sent, widget_of

from kling_nb import Session, events
from kling_nb.catalog.shipped import endpoint
from kling_nb.events import State
from kling_nb.job.plan import WORDS, Outcome
from kling_nb.notebook.card import words as card_words
from kling_nb.notebook.widgets import base, strip, takes
from kling_nb.notebook.widgets import job as job_widget

ROOT = Path(__file__).resolve().parents[2]
JS = ROOT / "js"
PROTOCOL = (JS / "result" / "protocol.js").read_text(encoding="utf-8")
SHARED = {path.name: path.read_text(encoding="utf-8") for path in (JS / "shared").glob("*.js")}
PICKER = {"picker": (JS / "controls" / "media_picker.js").read_text(encoding="utf-8")}
SOURCES = (
    SHARED | PICKER | {path.name: path.read_text(encoding="utf-8") for path in (JS / "result").glob("*.js")}
)


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


def test_commands(pair):
    assert set(js_list("COMMANDS")) == set(pair[0]._handlers(()))


def test_the_kernel_answers_every_command_that_is_listed(pair):
    _, comm = pair
    for number, kind in enumerate(js_list("COMMANDS")):
        content = {"id": number, "kind": kind, "msg": {}}
        comm.handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})
    unknown = [c for c, _ in comm.custom() if "Unknown command" in c["msg"].get("error", "")]
    assert unknown == []


def test_a_view_sends_only_commands_that_are_listed():
    asked = {
        kind for text in SOURCES.values() for kind in re.findall(r'(?:\bask|#command)\(\s*"(\w+)"', text)
    }
    assert asked - {"result"} == set(js_list("COMMANDS"))  # a view in another one sends all as "result"


def test_the_kernel_sends_only_notices_that_are_listed():
    sent = kinds_sent(job_widget, strip, base)
    assert sent - {"result", "show"} == set(js_list("NOTICES"))
    heard = set(re.findall(r'kind === "(\w+)"', SOURCES["live_job.js"] + SHARED["live.js"]))
    assert heard == sent - {"result", "show"}


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
    extra = {"key", "first_line", "lines", "now", "beat", "takes", "controls"}
    comm_fields = set(comm.ask("snapshot")[0]["msg"]) - extra
    assert js_list("STATE_FIELDS") == js_typedef("JobFields")
    assert comm_fields == set(js_list("STATE_FIELDS"))


def test_states():
    names = {state.value for state in events.State}
    typed = re.search(r"@typedef \{([^}]*)\} State\n", SHARED["protocol.js"])
    assert set(re.findall(r'"(\w+)"', typed[1])) == names
    finished = re.search(r"isFinished = .*?\^\(([A-Z|]+)\)\$", SHARED["words.js"])
    assert set(finished[1].split("|")) == {state.value for state in events.State if state.finished}


def test_states_read_the_same_in_widgets_and_on_cards():
    table = re.search(r"const STATES = \{(.*?)\}", SHARED["words.js"], re.DOTALL)
    in_widgets = {name: words.lower() for name, words in re.findall(r'(\w+): "(.*?)"', table[1])}
    names = [*State.__members__, "WAITING", "SKIPPED"]
    assert in_widgets == {name: card_words.cell_state(name) for name in names}


def test_words_that_do_not_break_are_the_same_in_widgets_and_on_cards():
    assert f"/{card_words.CODE_WORDS}/g" in SHARED["words.js"]


def test_outcomes():
    typed = re.search(r"@typedef \{([^}]*)\} Outcome\n", SHARED["protocol.js"])
    assert set(re.findall(r'"(\w+)"', typed[1])) == {outcome.value for outcome in Outcome} == set(WORDS)
    made = re.search(r'ALREADY_MADE = "(.*?)"', SHARED["words.js"])
    assert made[1] == WORDS[Outcome.REUSE].brief


def test_what_a_quote_holds(tmp_path):
    """The panel and the job widget read the fields that the kernel sends."""
    with Session(backend="local", home=tmp_path, media=tmp_path) as session:
        quote = takes.quote_of(session.plan("a fox"))
    block = re.search(r"@typedef \{object\} Quote\n(.*?)\*/", PROTOCOL, re.DOTALL)
    assert set(re.findall(r"@property \{.*\} \[?(\w+)", block[1])) == {*quote, "parameter"}


def test_sizes():
    kept = re.search(r"LINES_KEPT = (\d+)", PROTOCOL)
    assert int(kept[1]) == strip.LINES_KEPT
    piece = re.search(r"const PIECE = (\d+) \* (\d+)", SHARED["footage.js"])
    assert int(piece[1]) * int(piece[2]) <= base.CHUNK_LIMIT
