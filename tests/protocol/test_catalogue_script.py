"""`make catalogue`: the shipped schemas from fal's documents, without another fingerprint for anything."""

import json
from pathlib import Path

import pytest
from live_documents import document
from scripted import ScriptedFal

from kling_nb import settings
from scripts import catalogue

OLD = "fal-ai/kling-video/v1/pro/text-to-video"
NEW = "kling/v4/text-to-video"
VIDEO = {"properties": {"video": {"type": "object", "properties": {"url": {"type": "string"}}}}}


@pytest.fixture
def file(fal: ScriptedFal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings.configure({"schema_url": fal.url})
    taken = {
        "required": ["prompt"],
        "properties": {
            "prompt": {"type": "string", "description": "fal's words."},
            "duration": {"type": "string", "enum": ["10", "15"], "default": "10"},
            "resolution": {"type": "string", "enum": ["720p", "1080p"], "default": "1080p"},
            "image_url": {
                "type": "string",
                "description": "A start. Min width: 300px",
                "x-fal": {"max_width": 9},
            },
        },
    }
    fal.platform.openapi |= {OLD: document(OLD, taken, VIDEO), NEW: document(NEW, taken, VIDEO)}
    data = json.loads(catalogue.FILE.read_bytes())
    data["endpoints"] = {one: data["endpoints"][one] for one in (OLD, NEW, "fal-ai/kling-video/v1/tts")}
    path = tmp_path / "endpoints.json"
    path.write_text(json.dumps(data))
    return path


def test_it_updates_what_changed_and_keeps_what_a_fingerprint_depends_on(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert catalogue.main([], file) == 0
    shown = capsys.readouterr().out
    entries = json.loads(file.read_text())["endpoints"]
    parts = entries[OLD]["input"]["properties"]
    assert parts["prompt"]["description"] == "What the video should show."
    assert (parts["duration"]["enum"], parts["duration"]["default"]) == (["10", "15", "5"], "5")
    assert "default" not in parts["resolution"]
    assert "Default at fal: 1080p." in parts["resolution"]["description"]
    assert parts["image_url"]["x-fal"] == {"min_width": 300, "max_width": 9}
    assert "aspect_ratio" in parts
    assert entries[NEW]["input"]["properties"]["resolution"]["default"] == "1080p"
    for line in (
        "duration: default '5' -> '10' at fal, NOT CHANGED here",
        "duration: fal no longer lists ['5'], kept",
        "duration: new choices ['15']",
        "aspect_ratio: fal no longer has it, kept",
        "resolution: new parameter",
        "fal has no such endpoint (any more)",
        "3 endpoints asked for, 0 as in the file.",
    ):
        assert line in shown


def test_nothing_of_ours_is_lost_without_a_line() -> None:
    old = {
        "enum": ["a"],
        "x-fal": {"min_width": 300, "max_width": 8},
        "x-media-formats": ["jpg"],
        "items": {},
    }
    new = {"x-fal": {"max_width": 9, "max_height": 7}}
    merged, lines = catalogue.merge(old, new, "images")
    assert merged == {**old, "x-fal": {"min_width": 300, "max_width": 9, "max_height": 7}}
    assert lines == [
        "images: fal has no enum any more, kept",
        "images: fal has no items any more, kept",
        "images: max_height None -> 7",
        "images: max_width 8 -> 9",
        "images: fal no longer states min_width 300, kept",
    ]
    assert catalogue.merge({}, {"enum": ["a"], "items": {}}, "images")[1] == [
        "images: new enum ['a']",
        "images: new items {}",
    ]


def test_check_writes_nothing(file: Path) -> None:
    before = file.read_text()
    assert catalogue.main(["--check", "v1/pro"], file) == 1
    assert file.read_text() == before


def test_a_fal_that_is_away_changes_nothing(
    file: Path, fal: ScriptedFal, capsys: pytest.CaptureFixture[str]
) -> None:
    before = json.loads(file.read_text())["endpoints"]
    with fal.refusing():
        catalogue.main([], file)
    assert "not read:" in capsys.readouterr().out
    assert json.loads(file.read_text())["endpoints"] == before
