"""Controls follow from the schema, and from nothing else."""

import json

import pytest

from kling_nb.catalog.endpoint import controls
from kling_nb.catalog.shipped import endpoint, endpoints

KINDS = {"stepped", "slider", "choice", "switch", "text", "line", "media", "json"}


def control_of(schema, name="value", **root):
    return controls({"properties": {name: schema}, **root})[0]


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "string", "enum": ["5", "10"]}, "stepped"),
        ({"type": "integer", "enum": [5, 10]}, "stepped"),
        ({"type": "number", "enum": [0.5, 1]}, "stepped"),
        ({"type": "string", "enum": ["auto", "5"]}, "choice"),
        ({"type": "string", "enum": ["16:9", "1:1"]}, "choice"),
        ({"type": "string", "enum": ["customize"]}, "choice"),
        ({"enum": [True, False]}, "choice"),
        ({"type": "number", "minimum": 0, "maximum": 1}, "slider"),
        ({"type": "integer", "minimum": 0, "maximum": 9}, "slider"),
        ({"type": "integer"}, "line"),
        ({"type": "number", "minimum": 0}, "line"),
        ({"type": "boolean"}, "switch"),
        ({"type": "string"}, "line"),
        ({"type": "string", "maxLength": 200}, "line"),
        ({"type": "string", "maxLength": 201}, "text"),
        ({"type": "string", "x-fal-media": "image"}, "media"),
        ({"type": "array", "items": {"type": "string", "x-fal-media": "image"}}, "media"),
        ({"type": "array", "items": {"type": "string"}}, "json"),
        ({"type": "object", "properties": {}}, "json"),
        ({}, "json"),
    ],
)
def test_kind(schema, kind):
    assert control_of(schema).kind == kind


@pytest.mark.parametrize("name", ["prompt", "negative_prompt", "text"])
def test_texts_that_are_long_by_name(name):
    assert control_of({"type": "string"}, name).kind == "text"


@pytest.mark.parametrize(
    ("schema", "step"),
    [
        ({"type": "integer", "minimum": -10, "maximum": 10}, 1),
        ({"type": "number", "minimum": 0, "maximum": 1}, 0.01),
        ({"type": "number", "minimum": 0.8, "maximum": 2}, 0.05),
        ({"type": "number", "minimum": 0, "maximum": 100}, 0.1),
        ({"type": "number", "minimum": 0, "maximum": 1, "multipleOf": 0.25}, 0.25),
    ],
)
def test_sliders_have_bounds_and_a_step(schema, step):
    control = control_of(schema)
    assert (control.minimum, control.maximum, control.step) == (schema["minimum"], schema["maximum"], step)


@pytest.mark.parametrize(
    ("name", "schema", "label"),
    [
        ("aspect_ratio", {"type": "string"}, "Aspect ratio"),
        ("cfg_scale", {"type": "number"}, "CFG scale"),
        ("asmr_mode", {"type": "boolean"}, "ASMR mode"),
        ("voice_ids", {"type": "array"}, "Voice IDs"),
        ("image_url", {"type": "string", "x-fal-media": "image"}, "Image"),
        ("start_image_url", {"type": "string", "x-fal-media": "image"}, "Start image"),
        ("input_image_urls", {"type": "array", "items": {"x-fal-media": "image"}}, "Input images"),
        ("callback_url", {"type": "string"}, "Callback URL"),
        ("any", {"type": "string", "title": "As the schema says"}, "As the schema says"),
    ],
)
def test_label(name, schema, label):
    assert control_of(schema, name).label == label


def test_what_a_control_carries():
    shape = endpoint("v3-pro").parameter("aspect_ratio")
    assert (shape.default, shape.options, shape.required) == ("16:9", ("16:9", "9:16", "1:1"), False)
    assert endpoint("v3-pro").parameter("prompt").max_length == 2500
    images = endpoint("v1.6-pro-elements").parameter("input_image_urls")
    assert (images.media, images.many, images.max_items, images.required) == ("image", True, 4, True)
    video = endpoint("o3-pro-edit").parameter("video_url")
    assert (video.media, video.many) == ("video", False)
    speech = endpoint("tts").parameter("voice_speed")
    assert (speech.kind, speech.minimum, speech.maximum, speech.default) == ("slider", 0.8, 2, 1)


def test_a_list_of_flat_objects_has_the_controls_of_one():
    shots, elements = (endpoint("v3-pro-image").parameter(name) for name in ("multi_prompt", "elements"))
    assert (shots.kind, shots.label) == ("json", "Shots")
    assert [(one.name, one.kind, one.unit) for one in shots.fields] == [
        ("prompt", "text", ""),
        ("duration", "stepped", "s"),
    ]
    assert [(one.label, one.media, one.many) for one in elements.fields[:3]] == [
        ("Video", "video", False),
        ("Frontal image", "image", False),
        ("Reference images", "image", True),
    ]
    assert endpoint("v1.5-pro-image").parameter("dynamic_masks").fields == ()


def test_to_json_is_a_plain_list_of_equal_objects_for_a_front_end():
    shapes = set()
    for entry in [one for one in endpoints() if one.has_schema]:
        for control in entry.parameters:
            plain = json.loads(json.dumps(control.to_json()))
            assert plain["kind"] in KINDS
            assert plain["options"] == (None if control.options is None else list(control.options))
            shapes.add(tuple(sorted(plain)))
    assert len(shapes) == 1
