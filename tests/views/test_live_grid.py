"""A sweep in Chromium, with real takes behind it, and no notebook around it."""

import pytest
from accessibility import serious_faults
from playwright.sync_api import expect

from kling_nb.notebook.widgets.grid import live_view

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


def test_a_plan_is_started_and_its_videos_are_rated_and_opened_by_keyboard(page, live, session):
    study = session.sweep(["a calm sea", "a stormy sea"], endpoint="v1-pro", start=False)
    view = live.grid(live_view(study))
    calm, stormy = (
        view.get_by_role("group", name=name, exact=True) for name in ("a calm sea", "a stormy sea")
    )
    expect(calm.get_by_text("Free preview")).to_be_visible()
    expect(view.locator(".kling-chip")).to_have_text(["Not started"] * 3)
    view.get_by_role("button", name="Start · free").press("Enter")
    expect(view.locator(".kling-chip")).to_have_text(["Ready"] * 3)
    expect(view.get_by_text("2 of 2 ready")).to_be_visible()

    calm.get_by_role("button", name="Rate a calm sea").click()
    view.get_by_role("menuitem", name="★★★", exact=True).click()
    live.until(lambda: study[0].video.rating == 3)
    expect(calm.get_by_text("★ 3")).to_be_visible()
    stormy.get_by_role("button", name="Open a stormy sea").press("5")
    live.until(lambda: study[1].video.rating == 5)
    expect(stormy.get_by_text("★ 5")).to_be_visible()

    calm.get_by_role("button", name="Open a calm sea").press("Enter")
    opened = view.get_by_role("region", name="Opened cell")
    expect(opened.get_by_role("radio", name="Rate 3")).to_be_checked()
    calm.get_by_role("button", name="Rate a calm sea").press("2")
    expect(opened.get_by_role("radio", name="Rate 2")).to_be_checked()
    opened.get_by_role("group", name="Video player").press("4")
    live.until(lambda: study[0].video.rating == 4)
    expect(calm.get_by_text("★ 4")).to_be_visible()
    stormy.get_by_role("button", name="Rate a stormy sea").press("0")
    live.until(lambda: study[1].video.rating is None)
    expect(stormy.get_by_text("☆")).to_be_visible()
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        assert serious_faults(page, ".kling-sweep") == []
