"""Building a request: gentle conversion, defaults, and what goes over the wire."""

import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from enum import StrEnum

import numpy as np
import pytest

from kling_nb.catalog.shipped import endpoint, endpoints
from kling_nb.errors import InputError
from kling_nb.request.request import VideoRequest
from kling_nb.request.validation import problems

URL = "https://example.com/a.png"


def build(name, **values):
    return VideoRequest.build(endpoint(name), values)


def example(schema):
    """A value that a schema accepts, made from nothing but the schema."""
    if "enum" in schema:
        return schema["enum"][-1]
    match schema["type"]:
        case "string":
            return URL if "x-fal-media" in schema else "a heron"
        case "boolean":
            return not schema.get("default", False)
        case "integer" | "number":
            return schema.get("maximum", 3)
        case "array":
            return [example(schema["items"])] * max(1, schema.get("minItems", 1))
        case "object":
            return {name: example(part) for name, part in schema["properties"].items()}


@pytest.mark.parametrize(
    "entry", [one for one in endpoints() if one.has_schema], ids=lambda entry: entry.short_name
)
class TestEachEndpoint:
    def test_takes_an_example_with_all_its_parameters(self, entry):
        values = example(entry.input_schema)
        if {"prompt", "multi_prompt"} <= set(values):
            del values["multi_prompt"]  # a rule of the schemas: one or the other
        request = VideoRequest.build(entry, values)
        assert request.input == values
        assert list(request.input) == [name for name in entry.input_schema["properties"] if name in values]
        assert request.body({}) == values

    def test_takes_only_what_it_requires_and_accepts_its_own_defaults(self, entry):
        required = list(entry.input_schema.get("required", ()))
        if {"oneOf", "anyOf", "not"} & set(entry.input_schema) and "prompt" not in required:
            required.append("prompt")
        values = {name: example(entry.input_schema["properties"][name]) for name in required}
        request = VideoRequest.build(entry, values)
        again = VideoRequest.build(entry, request.resolved)
        assert again.resolved == request.resolved
        assert again.fingerprint == request.fingerprint

    def test_takes_texts_for_everything_as_flags_give_them(self, entry):
        values = example(entry.input_schema)
        if {"prompt", "multi_prompt"} <= set(values):
            del values["prompt"]
        texts = {
            name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()
        }
        assert VideoRequest.build(entry, texts).input == values

    def test_refuses_an_input_of_nothing(self, entry):
        with pytest.raises(InputError) as caught:
            VideoRequest.build(entry, {})
        assert len(str(caught.value).splitlines()) <= 4

    def test_problems_are_none_for_the_body_of_a_request(self, entry):
        values = example(entry.input_schema)
        if {"prompt", "multi_prompt"} <= set(values):
            del values["multi_prompt"]
        assert problems(entry, VideoRequest.build(entry, values).body({})) == ()


class Shape(StrEnum):
    TALL = "9:16"


@pytest.mark.parametrize(
    ("name", "parameter", "given", "taken"),
    [
        ("v1-pro", "duration", 5, "5"),
        ("v1-pro", "duration", 10.0, "10"),
        ("v1-pro", "duration", " 10 ", "10"),
        ("v1-pro", "duration", np.int64(10), "10"),
        ("v1-pro", "aspect_ratio", Shape.TALL, "9:16"),
        ("v1.6-pro", "cfg_scale", "0.5", 0.5),
        ("v1.6-pro", "cfg_scale", " 1 ", 1),
        ("v1.6-pro", "cfg_scale", "1e-1", 0.1),
        ("v1.6-pro", "cfg_scale", np.float32(0.25), 0.25),
        ("v3-pro", "generate_audio", "false", False),
        ("v3-pro", "generate_audio", "True", True),
        (
            "v1-standard",
            "advanced_camera_control",
            {"movement_type": "pan", "movement_value": 5.0},
            {"movement_type": "pan", "movement_value": 5},
        ),
        (
            "v1-standard",
            "advanced_camera_control",
            '{"movement_type": "pan", "movement_value": "-5"}',
            {"movement_type": "pan", "movement_value": -5},
        ),
        ("v1.6-pro-elements", "input_image_urls", URL, [URL]),
        ("v1.6-pro-elements", "input_image_urls", (URL, URL), [URL, URL]),
        ("v1.6-pro-elements", "input_image_urls", f'["{URL}"]', [URL]),
        ("v2.6-pro-image", "voice_ids", '["one", "two"]', ["one", "two"]),
    ],
)
def test_values_are_converted_gently(name, parameter, given, taken):
    values = {"prompt": "a heron", parameter: given}
    if name == "v2.6-pro-image":
        values["start_image_url"] = URL
    out = build(name, **values).input[parameter]
    assert out == taken
    assert type(out) is type(taken)


def test_none_means_not_given_also_inside():
    request = build(
        "v3-pro", prompt=None, negative_prompt=None, multi_prompt=[{"prompt": "a", "duration": None}]
    )
    assert request.input == {"multi_prompt": [{"prompt": "a"}]}


def test_numbers_stay_numbers_where_the_schema_lists_numbers():
    request = build("v3-pro", multi_prompt=[{"prompt": "a", "duration": 3}, {"prompt": "b", "duration": "4"}])
    assert [shot["duration"] for shot in request.input["multi_prompt"]] == ["3", "4"]


def test_texts_are_sent_as_they_are_written():
    prompt = "  Ein Reiher, 鷺, 🪶\n\tsecond line \x00 <b>&amp;</b> {name} $name "
    assert build("v1-pro", prompt=prompt).body({}) == {"prompt": prompt}


def test_a_request_does_not_change_with_what_it_was_made_from():
    shots = [{"prompt": "one"}]
    request = build("v3-pro", multi_prompt=shots)
    before = request.fingerprint
    shots[0]["prompt"] = "two"
    request.to_json()["input"]["multi_prompt"].clear()
    request.body({})["multi_prompt"].clear()
    request.resolved["multi_prompt"].clear()
    assert request.input == {"multi_prompt": [{"prompt": "one"}]}
    assert request.fingerprint == before
    with pytest.raises(TypeError):
        request.input["prompt"] = "three"


def test_resolved_has_the_defaults_also_inside_and_input_has_not():
    request = build("v3-pro", multi_prompt=[{"prompt": "a"}])
    assert request.input == {"multi_prompt": [{"prompt": "a"}]}
    assert request.resolved == {
        "multi_prompt": [{"prompt": "a", "duration": "5"}],
        "duration": "5",
        "aspect_ratio": "16:9",
        "negative_prompt": "blur, distort, and low quality",
        "cfg_scale": 0.5,
        "generate_audio": True,
        "shot_type": "customize",
    }


def test_the_prompt_in_a_line():
    assert build("v1-pro", prompt="a heron").prompt == "a heron"
    assert build("tts", text="hello").prompt == "hello"
    assert build("v3-pro", multi_prompt=[{"prompt": "a"}, {"prompt": "b"}]).prompt == "a · b"
    assert build("v1.6-pro-effects", effect_scene="hug").prompt == endpoint("v1.6-pro-effects").title


def test_to_json_is_json():
    request = build("v1-pro", prompt="a heron", duration=10)
    assert json.loads(json.dumps(request.to_json())) == {
        "endpoint": "fal-ai/kling-video/v1/pro/text-to-video",
        "input": {"prompt": "a heron", "duration": "10"},
    }


def test_a_long_input_has_a_short_repr():
    text = repr(build("o3-pro", prompt="a heron\n" * 200))
    assert text.startswith('VideoRequest(\'o3-pro\', {"prompt":"a heron')
    assert len(text) < 300
    assert "\n" not in text


def test_many_threads_may_check_at_once():
    with ThreadPoolExecutor(8) as pool:
        prints = list(pool.map(lambda i: build("v3-pro", prompt=f"heron {i % 7}").fingerprint, range(200)))
    assert len(set(prints)) == 7


@pytest.mark.parametrize("value", [{1, 2}, object(), Decimal("NaN"), b"bytes", 1 + 2j, lambda: None])
def test_what_json_does_not_support_is_refused_by_name(value):
    with pytest.raises(InputError) as caught:
        build("v1-pro", prompt=value)
    assert caught.value.parameter == "prompt"
    assert "JSON does not support" in str(caught.value)
