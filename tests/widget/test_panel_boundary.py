"""What crosses between the panel's Python and JavaScript is listed on both sides; the lists are the same."""

import json
import re
from pathlib import Path

import anywidget
import ipywidgets
import pytest
from widget.memory_job import MemoryJob, kinds_sent

import kling_nb
from kling_nb import Panel
from kling_nb.events import State
from kling_nb.ledger import Entry
from kling_nb.notebook.widgets import base, library, panel, strip

ROOT = Path(__file__).resolve().parents[2]
STATIC = Path(kling_nb.__file__).parent / "static"
SHARED = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "js" / "shared").glob("*.js")}
SOURCES = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "js" / "panel").glob("*.js")}
PROTOCOL = SOURCES["protocol.js"]
LARGEST = 112_000
"""Bytes of script and style of the panel."""


def js_list(name):
    """A list of words that protocol.js exports."""
    found = re.search(rf"export const {name} = .*?(\[.*?\])", PROTOCOL, re.DOTALL)
    assert found, name
    return json.loads(re.sub(r",\s*\]", "]", found[1]))


def js_of_result(name):
    """A list of words that the protocol of a result exports."""
    text = (ROOT / "js" / "result" / "protocol.js").read_text(encoding="utf-8")
    return re.findall(r'"(\w+)"', re.search(rf"export const {name} = .*?(\[.*?\])", text, re.DOTALL)[1])


def js_typedef(name):
    """Property names of a typedef in protocol.js."""
    blocks = re.findall(r"/\*\*.*?\*/", PROTOCOL, re.DOTALL)
    block = next(block for block in blocks if f"@typedef {{object}} {name}\n" in block)
    return re.findall(r"@property \{[^\n]*\} \[?(\w+)", block)


def entry():
    values = dict.fromkeys(Entry.__dataclass_fields__)
    return Entry(**{**values, "state": State.READY, "endpoint": "an endpoint", "prompt": "a fox"})


def test_commands():
    assert set(js_list("COMMANDS")) == set(Panel()._handlers(()))
    ipywidgets.Widget.close_all()


def test_a_page_sends_only_commands_that_are_listed_and_all_of_them():
    asked = set()
    others = [ROOT / "js/result/nested_model.js", ROOT / "js/controls/media_picker.js"]
    more = [path.read_text(encoding="utf-8") for path in others]
    for text in (*SOURCES.values(), *SHARED.values(), *more):
        asked |= set(re.findall(r'\bask\(\s*"(\w+)"', text))
    assert asked == set(js_list("COMMANDS"))


def test_the_kernel_sends_only_notices_that_are_listed():
    inner = set(js_of_result("NOTICES")) | {"show"}
    sent = kinds_sent(panel, base, strip)
    heard = set(re.findall(r'kind === "(\w+)"', SOURCES["live_panel.js"] + SHARED["live.js"]))
    assert heard == set(js_list("NOTICES"))
    assert sent == heard | inner


def test_traits():
    own = set(Panel.class_traits(sync=True)) - set(anywidget.AnyWidget.class_traits(sync=True))
    assert set(js_list("TRAITS")) == set(js_typedef("PanelModel")) == own


def test_rows():
    job = MemoryJob()
    job.file, job.reused, job.request_id, job.expected_seconds = None, False, None, None
    assert set(js_list("LIVE_FIELDS")) == set(library.live_fields(job))
    assert set(js_typedef("Row")) == set(library.job_row(job))
    assert set(library.entry_row(entry())) <= set(js_typedef("Row"))


def test_sizes_agree():
    assert int(re.search(r"PAGE = (\d+)", PROTOCOL)[1]) == library.PAGE
    height = re.search(r"ROW_HEIGHT = (\d+)", SOURCES["history.js"])[1]
    style = (ROOT / "js/panel/style.css").read_text(encoding="utf-8")
    assert f"height: {height}px;" in style.split(".kling-past {")[-1].split("}")[0]


@pytest.mark.parametrize("name", ["panel.js", "panel.css"])
def test_front_end_is_built_and_names_no_other_host(name):
    text = (STATIC / name).read_text(encoding="utf-8")
    assert text
    assert "://" not in text.replace("http://www.w3.org/2000/svg", "")  # a name, not a URL
    assert str(ROOT) not in text
    assert "sourceMappingURL" not in text


def test_front_end_is_small():
    assert sum((STATIC / name).stat().st_size for name in ("panel.js", "panel.css")) <= LARGEST
