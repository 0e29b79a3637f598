"""A sweep in Chromium, with real takes behind it, and no notebook around it."""

import pytest
from accessibility import serious_faults
from playwright.sync_api import expect
from scripted import Fail, Queue, Script

from kling_nb.notebook.widgets.grid import live_view
from views.live import opened

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


REFUSED = {"loc": ["body", "prompt"], "msg": "The prompt names a brand", "type": "content_policy_violation"}


def steps_of(place):
    return place.locator(".kling-steps").get_by_role("button")


def test_a_cell_has_the_next_steps_of_its_job_and_is_tried_again_within_the_limits(
    page, live, fal, home, tmp_cwd
):
    urls = dict.fromkeys(("queue_url", "rest_url", "api_url"), fal.url)
    ends = (Fail.refused(REFUSED, units="0"), Fail(), Fail.platform("startup_timeout", 504))
    fal.scripts.queue.extend(Script([Queue(0), end]) for end in ends)
    with opened(backend="fal", credentials=fal.key, prices={"v1-pro": 0.1}, **urls) as session:
        study = session.sweep(["a can", "a fox", "a wolf"], max_cost=1.5, endpoint="v1-pro", concurrency=1)
        view = live.grid(live_view(study))
        live.until(lambda: study.done)
        # fal bills neither what it refused nor what it could not start, and perhaps what broke.
        expect(view.get_by_text("0 of 3 ready, 3 without a result · about $0.50 in all")).to_be_visible()
        can, fox, wolf = (
            view.get_by_role("group", name=name, exact=True) for name in ("a can", "a fox", "a wolf")
        )
        shown = view.get_by_role("region", name="Opened cell")
        for tile, words in ((can, ["Edit"]), (fox, ["Retry · about $0.50", "Edit"])):
            expect(steps_of(tile)).to_have_text(words)
            tile.get_by_role("button", name="Details").click()
            expect(steps_of(shown)).to_have_text([*words, "Copy as cell"])

        wolf.get_by_role("button", name="Details").click()
        steps_of(shown).get_by_text("Retry · about $0.50").click()
        expect(shown.get_by_role("group", name="Video player")).to_be_visible()
        expect(wolf.locator(".kling-chip")).to_have_text("Ready")
        live.until(lambda: study.done)
        fal.scripts.queue.append(Script([Queue(0), Fail()]))
        fox.get_by_role("button", name="Retry").click()
        expect(view.get_by_text("about $1.50 in all")).to_be_visible()
        live.until(lambda: study.done)
        fox.get_by_role("button", name="Details").click()
        steps_of(shown).get_by_text("Retry · about $0.50").click()
        for place in (shown, fox):
            expect(place.get_by_text("over --max-cost 1.5. Nothing was sent.")).to_be_visible()
        assert (len(fal.accepted), study[1].state) == (5, "FAILED")
        assert serious_faults(page, ".kling-sweep") == []
