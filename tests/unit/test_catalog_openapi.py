"""From fal's OpenAPI documents to endpoints in our own form."""

import copy
import json

import jsonschema_rs
import pytest
from live_documents import CHOIR, FLUFF, GOAT, ID, PICTURES, SPEECH, document, optional

from kling_nb.catalog.openapi import UnreadableDocument, from_openapi, hint_of_input
from kling_nb.errors import InputError
from kling_nb.request.request import VideoRequest

DAY = "2026-11-23T09:00:00+00:00"
PNG = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB"


def read(taken, given=None, **components):
    return from_openapi("a/b", document("a/b", taken, given or {}, **components), fetched_at=DAY)


def schema_of(part, **components):
    """The plain form of one property called `value`."""
    return read({"properties": {"value": part}}, **components).input_schema["properties"]["value"]


@pytest.fixture
def goat():
    return from_openapi(ID, GOAT, fetched_at=DAY)


def test_an_endpoint_of_another_maker(goat):
    assert (goat.id, goat.short_name, goat.category) == (ID, ID, "image-to-video")
    assert goat.title == "Lucky goat image to video"
    assert (goat.output_kind, goat.output_pointer) == ("video", "video")
    assert (goat.price, goat.fetched_at, goat.notice) == (None, DAY, "")
    assert goat.app_path == "alibaba/lucky-goat"


def test_parameters_stand_in_fals_order_and_the_rest_after_them(goat):
    names = [control.name for control in goat.parameters]
    assert names == ["image_url", "prompt", "end_frame_url", "duration", "camera", "seed"]


def test_references_nulls_and_old_words_are_gone(goat):
    text = json.dumps(goat.input_schema)
    assert not [word for word in ("$ref", "allOf", "null", "title", "true") if f'"{word}"' in text]
    assert goat.input_schema["properties"]["camera"] == {
        "type": "object",
        "description": "How it moves.",
        "required": ["move"],
        "properties": {
            "move": {"type": "string", "enum": ["pan", "tilt"]},
            "by": {"type": "number", "exclusiveMinimum": 0, "maximum": 9, "default": 1},
        },
    }
    assert goat.parameter("prompt").max_length == 90
    assert jsonschema_rs.meta.is_valid(dict(goat.input_schema))
    assert jsonschema_rs.meta.is_valid(dict(goat.output_schema))


def test_a_request_is_checked_and_filled_as_for_any_other(goat):
    values = {"image_url": PNG, "duration": "3", "camera": '{"move": "pan"}', "seed": None}
    request = VideoRequest.build(goat, values)
    assert request.input == {"image_url": PNG, "duration": 3, "camera": {"move": "pan"}}
    assert request.resolved["camera"] == {"move": "pan", "by": 1}
    with pytest.raises(InputError) as caught:
        VideoRequest.build(goat, {"image_url": PNG, "camera": {"move": "pam", "by": 0}, "sead": 3})
    for word in ("camera.move", '"pam"', "pan", "camera.by", "sead", "seed"):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("endpoint_id", "found", "kind", "pointer"),
    [(ID, GOAT, "video", "video"), (SPEECH, CHOIR, "audio", "song"), (PICTURES, FLUFF, "image", "images")],
)
def test_what_a_result_is(endpoint_id, found, kind, pointer):
    endpoint = from_openapi(endpoint_id, found, fetched_at=DAY)
    assert (endpoint.output_kind, endpoint.output_pointer) == (kind, pointer)


def test_a_choice_between_forms_stays_one():
    fluff = from_openapi(PICTURES, FLUFF, fetched_at=DAY)
    assert fluff.parameter("image_size").kind == "json"
    for size in ("portrait", {"width": 512, "height": 512}):
        assert VideoRequest.build(fluff, {"prompt": "x", "image_size": size}).input["image_size"] == size
    with pytest.raises(InputError, match="image_size"):
        VideoRequest.build(fluff, {"prompt": "x", "image_size": "round"})


@pytest.mark.parametrize(
    ("part", "plain"),
    [
        ({"const": "a"}, {"enum": ["a"]}),
        ({"type": ["integer", "null"], "default": None}, {"type": "integer"}),
        ({"type": ["integer", "string"]}, {"type": ["integer", "string"]}),
        ({"type": "string", "nullable": True, "examples": ["x"]}, {"type": "string"}),
        ({"type": "string", "enum": ["a", None]}, {"type": "string", "enum": ["a"]}),
        ({"type": "string", "enum": []}, {"type": "string"}),
        ({"anyOf": [{"type": "null"}]}, {}),
        ({"oneOf": [{"type": "integer"}, {"type": "null"}], "default": 3}, {"type": "integer", "default": 3}),
        ({"type": "number", "minimum": 1, "exclusiveMinimum": False}, {"type": "number", "minimum": 1}),
        ({"type": "integer", "exclusiveMinimum": 0}, {"type": "integer", "exclusiveMinimum": 0}),
        ({"additionalProperties": {"type": "string"}}, {"additionalProperties": True}),
        ({"type": "string", "title": "Value"}, {"type": "string"}),
        ({"type": "string", "title": "As people say it"}, {"type": "string", "title": "As people say it"}),
        ({"$ref": "#/components/schemas/Nothing"}, {}),
        ({"$ref": "https://example.com/schema.json"}, {}),
        ({"$ref": 7}, {}),
        ("no schema", {}),
    ],
)
def test_plain_form(part, plain):
    # What is no schema at all makes its siblings none either, so it stands behind a reference.
    found = schema_of({"allOf": [part]}) if isinstance(part, str) else schema_of(part)
    assert found == plain


def test_all_of_joins_properties_and_required_names():
    base = {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}
    own = {"required": ["b"], "properties": {"b": {"type": "integer"}}}
    joined = schema_of({"allOf": [{"$ref": "#/components/schemas/Base"}, own]}, Base=base)
    assert joined["required"] == ["a", "b"]
    assert joined["properties"] == {"a": {"type": "string"}, "b": {"type": "integer"}}


def test_a_schema_that_refers_to_itself_ends():
    node = {"type": "object", "properties": {name: {"$ref": "#/components/schemas/Node"} for name in "ab"}}
    found = schema_of({"$ref": "#/components/schemas/Node"}, Node=node)
    assert found == {"type": "object", "properties": {"a": {}, "b": {}}}
    chain = {"$ref": "#/components/schemas/Two"}, {"$ref": "#/components/schemas/One"}
    assert schema_of(chain[1], One=chain[0], Two=chain[1]) == {}


def test_references_that_multiply_are_refused():
    doubled = {
        f"L{level}": {
            "type": "object",
            "properties": {name: {"$ref": f"#/components/schemas/L{level + 1}"} for name in "abcd"},
        }
        for level in range(12)
    }
    with pytest.raises(UnreadableDocument, match="parts"):
        schema_of({"$ref": "#/components/schemas/L0"}, **doubled)


@pytest.mark.parametrize(
    "found",
    [
        None,
        [],
        "text",
        7,
        {},
        {"paths": None},
        {"paths": {"/a/b": {"post": {}}}},
        document("a/b", {"type": "string"}, {}),
    ],
)
def test_what_is_no_description_is_refused(found):
    with pytest.raises(UnreadableDocument):
        from_openapi("a/b", found, fetched_at=DAY)


def test_a_document_with_parts_of_wrong_types_is_read_as_far_as_it_goes():
    odd = copy.deepcopy(GOAT)
    odd["info"] = ["x"]
    odd["components"]["schemas"]["Camera"] = "gone"
    odd["components"]["schemas"]["VideoFile"]["properties"] = 7
    del odd["paths"][f"/{ID}/requests/{{request_id}}"]
    endpoint = from_openapi(ID, odd, fetched_at=DAY)
    assert endpoint.category == ""
    assert endpoint.parameter("camera").kind == "json"
    assert (endpoint.output_kind, endpoint.output_pointer) == ("data", "")


@pytest.mark.parametrize(
    ("name", "schema", "kind"),
    [
        ("image_url", {}, "image"),
        ("start_image_url", {}, "image"),
        ("image_urls", {}, "image"),
        ("mask_url", {}, "image"),
        ("end_frame_url", {}, "image"),
        ("video_url", {}, "video"),
        ("reference_audio_url", {}, "audio"),
        ("voice_url", {}, "audio"),
        ("video_audio_url", {}, "audio"),
        ("lora_url", {}, None),
        ("webhook_url", {}, None),
        ("image", {}, None),
        ("image", {"format": "uri"}, "image"),
        ("image", {"_fal_ui_field": "image"}, "image"),
        ("source", {"ui": {"field": "video"}}, "video"),
        ("lora_url", {"ui": {"field": "file"}}, None),
        ("input_url", {"description": "URL of the video to change."}, "video"),
        ("input_url", {"description": "A video or an image."}, None),
        ("image_url", {"enum": ["a", "b"]}, None),
        ("image_url", {"type": "integer"}, None),
        ("image_url", {"_fal_ui_field": ["x"], "ui": 3}, "image"),
    ],
)
def test_which_texts_are_files(name, schema, kind):
    assert hint_of_input(name, {"type": "string", **schema}) == kind


def test_files_in_optional_lists_and_objects():
    endpoint = read(
        {
            "properties": {
                "image_urls": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
                "elements": {
                    "type": "array",
                    "items": {"type": "object", "properties": {"front_image_url": optional("string")}},
                },
            }
        }
    )
    assert endpoint.media_parameters == ("image_urls",)
    assert endpoint.parameter("image_urls").many
    request = VideoRequest.build(
        endpoint, {"elements": [{"front_image_url": b"\x89PNG\r\n\x1a\n" + bytes(99)}]}
    )
    assert list(request.files) == ["elements.0.front_image_url"]
