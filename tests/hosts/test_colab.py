"""Cells in ipywidgets' own widget manager, in a sandboxed iframe as Colab's outputs are.

Colab's manager is not published. It is built on the same classes.
"""

import pytest
from accessibility import serious_faults
from playwright.sync_api import expect
from scripted import ScriptedFal

from hosts.host import COLAB_THEMES, Host
from hosts.test_vscode import CONTRAST, HELD, ended

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]
HOST = "colab"


def test_the_widget_shows_log_and_video_and_covers_the_card(host: Host, fal: ScriptedFal) -> None:
    fal.script = HELD
    cell = host.begin("%%kling boat\na paper boat on the sea")
    expect(cell.get_by_text("Log · 1 line")).to_be_attached()
    expect(cell.locator(".kling-card")).to_be_hidden()
    fal.release(fal.jobs[-1].request_id)
    ended(host, "READY")
    expect(cell.get_by_role("group", name="Video player")).to_be_visible()
    expect(cell.get_by_role("button", name="Full screen")).to_have_count(0)  # the iframe does not allow it
    cell.get_by_role("button", name="Play").click()
    expect(cell.get_by_role("button", name="Pause")).to_be_visible()
    expect(cell.locator(".kling-card")).to_be_hidden()
    for theme in COLAB_THEMES:
        host.paint(theme)
        assert serious_faults(host.frame, "main", CONTRAST) == [], theme
    host.reopen()
    expect(cell.locator(".kling-card")).to_be_visible()
    expect(cell.locator(".kling-card img")).to_be_visible()  # the poster: files have no URL in Colab
