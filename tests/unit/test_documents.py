"""The documents agree with the code: tables are current, names have their place, links lead somewhere."""

import inspect
import json
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from fenced import PAGES, ROOT

import kling_nb
from kling_nb.catalog import Control, Endpoint, Price
from kling_nb.catalog.shipped import endpoint
from kling_nb.fal.options import OPTIONS
from kling_nb.job.client import Client
from kling_nb.local.__main__ import _parser
from kling_nb.notebook.widgets.job import JobWidget
from kling_nb.settings import ENVIRONMENT, NAMES
from kling_nb.sweeps.sweep import SweepCell
from kling_nb.video import MediaFile

DOCS = ROOT / "docs"
DESCRIBED = {
    kling_nb.Session: "## Session",
    Client: "### Call by call",
    kling_nb.Job: "## Job",
    kling_nb.Video: "## Video",
    MediaFile: "## Video",
    kling_nb.Sweep: "## Sweep",
    SweepCell: "## Sweep",
    kling_nb.Batch: "## Batch",
    kling_nb.Storyboard: "## Storyboard",
    kling_nb.VideoRequest: "## VideoRequest",
    Endpoint: "## Endpoint",
    Control: "## Endpoint",
    Price: "## Endpoint",
}
"""Where on the page of Python each class is described."""
KEYS = {" ": "Space", "ArrowLeft": "←", "ArrowRight": "→", "ArrowUp": "↑", "ArrowDown": "↓"}
MODIFIERS = {"Alt", "Shift", "Ctrl", "⌘"}


def words_in_code(text: str) -> set[str]:
    """Every name that stands in code on a page, in backticks or in a block."""
    return set(
        re.findall(r"\w+", " ".join(chain(*re.findall(r"```\w*\n(.*?)```|`([^`\n]+)`", text, re.DOTALL))))
    )


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(("script", "name"), [("magic_page.py", "magic.md"), ("error_page.py", "errors.md")])
def test_printed_tables_are_current(script: str, name: str) -> None:
    command = [sys.executable, f"scripts/{script}", "--print"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert printed == page(name), f"run scripts/{script}"


def test_every_public_name_is_in_the_page_of_python() -> None:
    assert set(kling_nb.__all__) - words_in_code(page("python.md")) == set()


@pytest.mark.parametrize("kind", DESCRIBED, ids=lambda kind: kind.__name__)
def test_everything_public_of_a_class_is_in_its_section(kind: type) -> None:
    attributes = re.findall(
        r"^ +(\w+): ", (inspect.getdoc(kind) or "").partition("Attributes:")[2], re.MULTILINE
    )
    members = {name for name in vars(kind) if not name.startswith("_")} | set(attributes)
    section = re.split(r"\n## ", page("python.md").partition(f"\n{DESCRIBED[kind]}\n")[2])[0]
    assert members - words_in_code(section) == set()


def test_every_setting_and_option_has_its_row() -> None:
    settings = page("settings.md")
    assert [name for name in (*NAMES, *ENVIRONMENT.values()) if f"`{name}`" not in settings] == []
    assert [name for name in OPTIONS if f"| `{name}=" not in page("python.md")] == []


def test_every_trait_of_the_job_widget_has_its_row() -> None:
    own = [name for name in JobWidget.class_own_traits(sync=True) if not name.startswith("_")]
    assert [name for name in own if f"`{name}`" not in page("panel.md")] == []


def front_end() -> str:
    """All of the front ends' source, tests aside, and the part of the kernel that names buttons."""
    paths = [path for path in sorted((ROOT / "js").rglob("*.js")) if "test" not in path.parts]
    paths.append(ROOT / "kling_nb" / "notebook" / "widgets" / "takes.py")
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def test_every_control_is_called_as_it_is_on_the_screen() -> None:
    labels = set(re.findall(r"\*\*([^*]+)\*\*", page("panel.md")))
    assert [label for label in labels if not re.search(rf'["`>]{re.escape(label)}', front_end())] == []
    assert len(labels) > 20


def test_every_key_that_is_handled_is_in_the_page_and_no_other() -> None:
    named = set(re.findall(r"`([^`]+)`", page("panel.md").partition("## Keys")[2]))
    handled = {KEYS.get(key, key.upper() if len(key) == 1 else key) for key in keys_in(front_end())}
    assert named - MODIFIERS == handled
    assert named >= MODIFIERS


def keys_in(source: str) -> set[str]:
    """The keys that a source compares with, or has a table of."""
    compared = re.findall(r'\bkey(?:\.toLowerCase\(\))? [!=]== "([^"]+)"', source)
    tables = re.findall(r"\{([^{}]*)\}\[\s*key\b", source)
    tables += [
        body
        for name in re.findall(r"= (\w+)\[key\]", source)
        for body in re.findall(rf"const {name} = \{{([^{{}}]*)\}}", source)
    ]
    entries = re.findall(r'(?:^|[,{\s])(?:"([^"]+)"|(\w+)):', "\n".join(tables))
    return {*compared, *(quoted or plain for quoted, plain in entries)}


def test_every_option_of_the_local_preview_server_has_its_row() -> None:
    options = [action.option_strings[-1] for action in _parser()._actions if action.dest != "help"]
    assert [name for name in options if f"| `{name}` |" not in page("local-preview.md")] == []


def anchors(path: Path) -> set[str]:
    """GitHub's names for the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "path", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"], ids=lambda path: path.name
)
def test_every_link_leads_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"", text)
    broken = []
    for link in ("".join(pair) for pair in links):
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not link.startswith("https://") and not (
            target.exists() and (not anchor or anchor in anchors(target))
        ):
            broken.append(link)
    assert broken == []


def test_every_page_is_listed_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in DOCS.glob("*.md") if f"(docs/{path.name})" not in readme] == []


def test_the_readme_has_the_prices_of_the_catalogue() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [^|]+ \| `([^`]+)`([^|]*) \| \$([\d.]+) a second \|$", readme, re.MULTILINE)
    assert len(rows) > 5
    for name, flags, usd in rows:
        price = endpoint(name).price
        assert price is not None, name
        known = price.variants["audio_on"] if "--generate-audio" in flags else price.usd_per_second
        assert float(usd) == known, name


def test_the_first_video_of_the_readme_is_150_words_away() -> None:
    start = (ROOT / "README.md").read_text(encoding="utf-8").partition("%%kling fox")[0]
    text = re.sub(r"<picture>.*?</picture>", "", start, flags=re.DOTALL)
    assert 40 < len(re.findall(r"[\w.'/%-]*\w[\w.'/%-]*", text)) <= 150


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    npm = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))["devDependencies"]
    specifiers = [*project["dependencies"], *chain(*extras.values())]
    names = {re.split(r"[>=<;\[ ]", one)[0] for one in specifiers} - {"kling_nb"}
    first_column = " ".join(re.findall(r"^\| ([^|]+) \|", page("dependencies.md"), re.MULTILINE))
    named = set(re.findall(r"@?[\w/-]+", first_column))
    assert sorted({*names, *npm} - named) == []
