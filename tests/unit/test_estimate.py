"""Price estimates: what the catalogue knows, and silence where it does not."""

from dataclasses import replace
from typing import Any

import pytest
from clips import clip_bytes

from kling_nb.catalog import Endpoint, Price
from kling_nb.catalog.endpoint import estimate, price_of_unit, units_text
from kling_nb.catalog.shipped import endpoint, endpoints
from kling_nb.request.request import VideoRequest


def priced(price: Price | None) -> Endpoint:
    return Endpoint("fal-ai/x/y", "x", "X", "text-to-video", price=price)


SOUND = Price(usd_per_second=0.2, variants={"audio_on": 0.2, "audio_off": 0.1})
VOICES = replace(SOUND, variants={**SOUND.variants, "voice_control": 0.3})


@pytest.mark.parametrize(
    ("price", "resolved", "expected"),
    [
        (None, {"duration": "5"}, None),
        (Price(), {"duration": "5"}, None),
        (Price(usd_per_second=0.1), {"duration": "5"}, 0.5),
        (Price(usd_per_second=0.1), {"duration": 10}, 1.0),
        (Price(usd_per_second=0.1), {}, None),
        (Price(usd_per_second=0.1), {"duration": "auto"}, None),
        (Price(usd_per_second=0.1), {"duration": None}, None),
        (Price(usd_per_video=0.35), {}, 0.35),
        (Price(usd_per_video=0.35, usd_per_second=9), {"duration": "5"}, 0.35),
        (SOUND, {"duration": "5", "generate_audio": True}, 1.0),
        (SOUND, {"duration": "5", "generate_audio": False}, 0.5),
        (SOUND, {"duration": "5"}, 1.0),
        (VOICES, {"duration": "5", "generate_audio": True}, 1.0),
        (VOICES, {"duration": "5", "generate_audio": True, "voice_ids": []}, 1.0),
        (VOICES, {"duration": "5", "generate_audio": True, "voice_ids": ["v"]}, 1.5),
        (VOICES, {"duration": "5", "elements": [{}, {"voice_id": "v"}], "generate_audio": True}, 1.5),
        (VOICES, {"duration": "5", "voice_ids": ["v"], "generate_audio": False}, 0.5),
        (SOUND, {"duration": "5", "voice_ids": ["v"], "generate_audio": True}, 1.0),
        (Price(usd_per_second=0.1), {"duration": "5", "generate_audio": False}, 0.5),
        (Price(usd_per_second=0.1), {"multi_prompt": [{"duration": "3"}, {"duration": 4}]}, 0.7),
        (Price(usd_per_second=0.1), {"multi_prompt": [{"duration": "3"}, {}], "duration": "5"}, None),
        (Price(usd_per_second=0.1), {"multi_prompt": [], "duration": "5"}, 0.5),
    ],
)
def test_estimate(price: Price | None, resolved: dict[str, Any], expected: float | None) -> None:
    found = estimate(priced(price), resolved)
    assert found == (expected if expected is None else pytest.approx(expected))


FOUR = Price(usd_per_second=0.2, variants={"720p": 0.1, "1080p": 0.2})
EDIT = Price(usd_per_second=0.2, variants={"video_720p": 0.1, "video_1080p": 0.2})
BOTH = Price(
    usd_per_second=0.2, variants={"720p": 0.1, "1080p": 0.2, "video_720p": 0.05, "video_1080p": 0.07}
)


@pytest.mark.parametrize(
    ("price", "resolved", "input_seconds", "expected"),
    [
        (FOUR, {"duration": 5, "resolution": "720p"}, None, 0.5),
        (FOUR, {"duration": 5, "resolution": "1080p"}, None, 1.0),
        (FOUR, {"duration": 5, "resolution": "4k"}, None, 1.0),
        (EDIT, {"video_url": "a.mp4", "resolution": "720p"}, 6.0, 1.2),  # 6 s in and 6 s out
        (EDIT, {"video_url": "a.mp4"}, 6.0, 2.4),
        (EDIT, {"video_url": "https://e.org/a.mp4"}, None, None),
        (BOTH, {"duration": 5, "resolution": "720p"}, None, 0.5),
        (BOTH, {"duration": 5, "resolution": "720p", "video_urls": ["a.mp4"]}, 3.0, 0.5),  # at least 2 x 5 s
        (BOTH, {"duration": 5, "resolution": "1080p", "elements": [{"video_url": "a.mp4"}]}, 10.0, 1.05),
        (BOTH, {"duration": 5, "resolution": "720p", "video_urls": []}, None, 0.5),
        (Price(usd_per_second=0.014, step=5), {}, 6.0, 0.14),
        (Price(usd_per_second=0.1), {}, 6.0, 0.6),  # an edited video is as long as its input
    ],
)
def test_estimate_by_resolution_and_of_what_is_billed_on_input_and_output(
    price: Price, resolved: dict[str, Any], input_seconds: float | None, expected: float | None
) -> None:
    output = {"properties": {"video": {"properties": {"url": {"type": "string"}}}}}
    one = Endpoint("kling/v4/x", "x", "X", "video-to-video", price=price, output_schema=output)
    found = estimate(one, resolved, input_seconds)
    assert found == (expected if expected is None else pytest.approx(expected))


def test_the_length_of_a_local_clip_gives_the_price_of_an_edit() -> None:
    clip = clip_bytes(frames=24, fps=6)
    request = VideoRequest.build(endpoint("o3-pro-edit"), {"prompt": "night", "video_url": clip})
    assert request.input_seconds == pytest.approx(4.0)
    assert estimate(request.endpoint, request.resolved, request.input_seconds) == pytest.approx(0.672)


def test_of_real_requests() -> None:
    request = VideoRequest.build(
        endpoint("v3-pro"), {"prompt": "a cat", "duration": 10, "generate_audio": False}
    )
    assert estimate(request.endpoint, request.resolved) == pytest.approx(1.12)
    request = VideoRequest.build(endpoint("v3-pro"), {"prompt": "a cat"})
    assert estimate(request.endpoint, request.resolved) == pytest.approx(0.84)
    voices = {"prompt": "<<<voice_1>>> sings", "start_image_url": "https://x/y.jpg", "voice_ids": ["v"]}
    request = VideoRequest.build(endpoint("v2.6-pro-image"), voices)
    assert estimate(request.endpoint, request.resolved) == pytest.approx(0.84)  # $0.70 without voices


@pytest.mark.parametrize(
    "one", [one for one in endpoints() if one.has_schema], ids=lambda one: one.short_name
)
def test_defaults_of_every_endpoint_give_a_sensible_price_or_none(one: Endpoint) -> None:
    defaults = {control.name: control.default for control in one.parameters if control.default is not None}
    found = estimate(one, defaults)
    assert found is None or 0 < found < 20


@pytest.mark.parametrize(
    ("price", "units", "text"),
    [
        (None, "5", "5 billable units"),
        (Price(usd_per_second=0.098), "5", "5 billable units × $0.098 = $0.49"),
        (
            Price(usd_per_second=0.098),
            "4.5",
            "4.5 billable units",
        ),  # fal weighs them; this rate is of a second
        (
            price_of_unit(0.14, "seconds", "USD", "video", "2026-11-29"),
            "4.5",
            "4.5 billable units × $0.14 = $0.63",
        ),
        (Price(usd_per_video=0.35), "1", "1 billable units × $0.35 = $0.35"),
        (Price(usd_per_video=0.35), "many", "many billable units"),
    ],
)
def test_billed_units_in_words(price: Price | None, units: str, text: str) -> None:
    assert units_text(priced(price), {"duration": "5"}, units) == text


@pytest.mark.parametrize(
    ("unit", "currency", "usd", "known"),
    [
        ("seconds", "USD", 0.1, "usd_per_second"),
        ("Second", "USD", 0.1, "usd_per_second"),
        ("videos", "USD", 0.1, "usd_per_video"),
        ("generation", "USD", 0.1, "usd_per_video"),
        ("compute seconds", "USD", 0.1, None),
        ("images", "USD", 0.1, None),
        ("seconds", "EUR", 0.1, None),
        ("seconds", "USD", 0.0, None),
        ("seconds", "USD", float("nan"), None),
    ],
)
def test_a_price_of_a_unit_is_applied_only_where_the_unit_is_clear(
    unit: str, currency: str, usd: float, known: str | None
) -> None:
    price = price_of_unit(usd, unit, currency, "video", "2026-11-29")
    assert (price is None) == (known is None)
    assert price is None or getattr(price, str(known)) == usd
