"""A contact sheet in a browser: its videos play under the pointer, by click and by keyboard."""

from pathlib import Path

import pytest
from accessibility import serious_faults
from playwright.sync_api import Browser, expect

from kling_nb import sheet


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_sheet_plays_and_can_be_read(browser: Browser, video: bytes, scheme: str, tmp_path: Path) -> None:
    clips = []
    for name in ("one.mp4", "two.mp4"):
        (tmp_path / name).write_bytes(video)
        clips.append(tmp_path / name)
    file = sheet(clips, tmp_path / "sheet.html", title="Selects")
    page = browser.new_page(color_scheme=scheme, bypass_csp=True)  # axe needs eval
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url[:80]))
    try:
        page.goto(file.as_uri())
        complaints.remove(file.as_uri()[:80])
        first, second = page.locator("video").all()
        first.hover()
        expect(first).to_have_js_property("paused", False)
        page.mouse.move(1, 1)
        expect(first).to_have_js_property("paused", True)
        second.focus()
        second.press(" ")
        expect(second).to_have_js_property("paused", False)
        assert serious_faults(page, "html") == []
        assert [one for one in complaints if not one.startswith("data:")] == []
    finally:
        page.close()
