"""Price estimates: what the catalogue knows, and silence where it does not."""

from typing import Any

import pytest

from kling_nb.catalog import Endpoint, Price
from kling_nb.catalog.endpoint import estimate
from kling_nb.catalog.shipped import endpoint, endpoints
from kling_nb.request.request import VideoRequest


def priced(price: Price | None) -> Endpoint:
    return Endpoint("fal-ai/x/y", "x", "X", "text-to-video", price=price)


SOUND = Price(usd_per_second=0.2, variants={"audio_on": 0.2, "audio_off": 0.1})


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
        (Price(usd_per_second=0.1), {"duration": "5", "generate_audio": False}, 0.5),
        (Price(usd_per_second=0.1), {"multi_prompt": [{"duration": "3"}, {"duration": 4}]}, 0.7),
        (Price(usd_per_second=0.1), {"multi_prompt": [{"duration": "3"}, {}], "duration": "5"}, None),
        (Price(usd_per_second=0.1), {"multi_prompt": [], "duration": "5"}, 0.5),
    ],
)
def test_estimate(price: Price | None, resolved: dict[str, Any], expected: float | None) -> None:
    found = estimate(priced(price), resolved)
    assert found == (expected if expected is None else pytest.approx(expected))


def test_of_real_requests() -> None:
    request = VideoRequest.build(
        endpoint("v3-pro"), {"prompt": "a cat", "duration": 10, "generate_audio": False}
    )
    assert estimate(request.endpoint, request.resolved) == pytest.approx(1.12)
    request = VideoRequest.build(endpoint("v3-pro"), {"prompt": "a cat"})
    assert estimate(request.endpoint, request.resolved) == pytest.approx(0.84)


@pytest.mark.parametrize("one", endpoints(), ids=lambda one: one.short_name)
def test_defaults_of_every_endpoint_give_a_sensible_price_or_none(one: Endpoint) -> None:
    defaults = {control.name: control.default for control in one.parameters if control.default is not None}
    found = estimate(one, defaults)
    assert found is None or 0 < found < 20
