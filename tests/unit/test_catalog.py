"""Look-ups, short names, and what every shipped endpoint must have."""

import subprocess
import sys

import jsonschema_rs
import pytest

from kling_nb.catalog import DEFAULT_ENDPOINT, Endpoint, Price
from kling_nb.catalog.shipped import endpoint, endpoints
from kling_nb.errors import InputError, UnknownEndpoint

ALL = endpoints()
WITH_SCHEMA = [one for one in ALL if one.has_schema]
FAMILY = "fal-ai/kling-video/"


def test_all_85_endpoints_are_there_with_unique_names():
    assert len(ALL) == 85
    assert len({entry.id for entry in ALL}) == 85
    assert len({entry.short_name for entry in ALL}) == 85
    assert not {entry.id for entry in ALL} & {entry.short_name for entry in ALL}


@pytest.mark.parametrize(
    ("name", "endpoint_id"),
    [
        ("v1-pro", DEFAULT_ENDPOINT),
        ("v1-pro-image", FAMILY + "v1/pro/image-to-video"),
        ("v3-pro", FAMILY + "v3/pro/text-to-video"),
        ("v3-turbo-pro", FAMILY + "v3/turbo/pro/text-to-video"),
        ("v3-4k-image", FAMILY + "v3/4k/image-to-video"),
        ("o3-4k-reference", FAMILY + "o3/4k/reference-to-video"),
        ("o3-pro-edit", FAMILY + "o3/pro/video-to-video/edit"),
        ("o1-video-reference", FAMILY + "o1/video-to-video/reference"),
        ("o1-image", FAMILY + "o1/image-to-video"),
        ("v1.6-pro-effects", FAMILY + "v1.6/pro/effects"),
        ("v1.6-standard-elements", FAMILY + "v1.6/standard/elements"),
        ("v2-master", FAMILY + "v2/master/text-to-video"),
        ("v2.5-turbo-pro", FAMILY + "v2.5-turbo/pro/text-to-video"),
        ("v2.6-pro-motion-control", FAMILY + "v2.6/pro/motion-control"),
        ("v1-standard-avatar", FAMILY + "v1/standard/ai-avatar"),
        ("v2-pro-avatar", FAMILY + "ai-avatar/v2/pro"),
        ("lipsync-audio", FAMILY + "lipsync/audio-to-video"),
        ("lipsync-text", FAMILY + "lipsync/text-to-video"),
        ("video-to-audio", FAMILY + "video-to-audio"),
        ("create-voice", FAMILY + "create-voice"),
        ("tts", FAMILY + "v1/tts"),
        ("try-on", "fal-ai/kling/v1-5/kolors-virtual-try-on"),
        ("v4", "kling/v4/text-to-video"),
        ("v4-image", "kling/v4/image-to-video"),
        ("v4-reference", "kling/v4/reference-to-video"),
        ("v4-edit", "kling/v4/video-to-video/edit"),
        ("v4-flash-video", "kling/v4/flash/video-to-video"),
        ("v4-text-to-image", "kling/v4/text-to-image"),
        ("o3-4k-edit", FAMILY + "o3/4k/video-to-video/edit"),
        ("image-o1", "fal-ai/kling-image/o1"),
        ("image-v3-text-to-image", "fal-ai/kling-image/v3/text-to-image"),
    ],
)
def test_short_names_follow_from_the_id(name, endpoint_id):
    assert endpoint(name).id == endpoint_id
    assert endpoint(endpoint_id).short_name == name


def test_names_are_taken_in_any_case_and_with_blanks_around():
    assert endpoint(" V1-Pro\n") is endpoint(DEFAULT_ENDPOINT)


def test_the_default_endpoint_is_as_the_public_model_page_has_it():
    prompt, duration, shape = endpoint(DEFAULT_ENDPOINT).parameters
    assert (prompt.name, prompt.kind, prompt.required) == ("prompt", "text", True)
    assert (duration.kind, duration.options, duration.default) == ("stepped", ("5", "10"), "5")
    assert (shape.kind, shape.options, shape.default) == ("choice", ("16:9", "9:16", "1:1"), "16:9")
    counterpart = endpoint("v1-pro-image")
    assert counterpart.parameter("image_url").required
    assert {control.name for control in counterpart.parameters} == {
        "prompt",
        "image_url",
        "duration",
        "aspect_ratio",
    }


def test_endpoints_are_filtered_by_all_words_newest_first():
    names = [entry.short_name for entry in endpoints("3.0 Image-to-Video")]
    assert names[0] == "v3-pro-image"
    assert all(name.startswith("v3") and name.endswith("image") for name in names)
    assert endpoints("no such thing") == ()
    assert endpoints("") == endpoints(None) == ALL
    generations = [entry.generation for entry in endpoints("text-to-video")]
    assert generations.index("3.0") < generations.index("2.6") < generations.index("1.0")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("v3pro", "v3-pro"),
        ("v1-por", "v1-pro"),
        ("fal-ai/kling-video/v1/pro/txt-to-video", DEFAULT_ENDPOINT),
        ("kling 2.0 avatar", "v2-pro-avatar"),
    ],
)
def test_an_unknown_endpoint_names_the_nearest(name, hint):
    with pytest.raises(UnknownEndpoint) as caught:
        endpoint(name)
    message = str(caught.value)
    assert f'"{name}"' in message
    assert hint in message
    assert "%kling endpoints" in message
    assert len(message.splitlines()) <= 4
    assert caught.value.parameter == "endpoint"


@pytest.mark.parametrize("name", ["", "???", None, 7, "x" * 10_000, "a\nb\x1b[31m\u202e"])
def test_any_name_at_all_gets_the_same_short_error(name):
    with pytest.raises(UnknownEndpoint) as caught:
        endpoint(name)
    message = str(caught.value)
    assert len(message) < 400
    assert len(message.splitlines()) == 2
    assert message.replace("\n", "").isprintable()


@pytest.mark.parametrize("entry", WITH_SCHEMA, ids=lambda entry: entry.short_name)
class TestEachEndpoint:
    def test_has_controls_for_all_its_parameters_in_the_schemas_order(self, entry):
        assert [control.name for control in entry.parameters] == list(entry.input_schema["properties"])
        for control in entry.parameters:
            assert control.label
            assert control.description
            assert entry.parameter(control.name) is control

    def test_has_a_schema_that_is_one(self, entry):
        assert jsonschema_rs.meta.is_valid(dict(entry.input_schema))
        assert jsonschema_rs.meta.is_valid(dict(entry.output_schema))
        assert set(entry.input_schema.get("required", ())) <= set(entry.input_schema["properties"])

    def test_has_defaults_that_its_schema_accepts(self, entry):
        for part in entry.input_schema["properties"].values():
            if "default" in part:
                assert jsonschema_rs.is_valid(part, part["default"])

    def test_says_where_its_result_is(self, entry):
        assert entry.output_kind == (entry.output_pointer.removesuffix("s") or "data")
        if entry.output_pointer:
            part = entry.output_schema["properties"][entry.output_pointer]
            assert "url" in part.get("items", part)["properties"]

    def test_has_a_title_and_an_app(self, entry):
        assert entry.title.startswith("Kling")
        assert entry.category
        assert entry.app_path == "/".join(entry.id.split("/")[:2])

    def test_has_a_price_that_says_what_it_is_or_none(self, entry):
        if entry.price is None:
            return
        assert (entry.price.usd_per_second is None) != (entry.price.usd_per_video is None)
        assert entry.price.note
        assert (
            entry.price.usd_per_second in (None, *entry.price.variants.values()) or not entry.price.variants
        )


def test_kinds_of_results_are_recognised():
    kinds = {name: endpoint(name).output_kind for name in ("v3-pro", "tts", "try-on", "create-voice")}
    assert kinds == {"v3-pro": "video", "tts": "audio", "try-on": "image", "create-voice": "data"}
    assert endpoint("create-voice").output_pointer == ""
    assert endpoint("video-to-audio").output_pointer == "video"  # which has the new sound in it


def test_media_parameters_are_single_files_and_lists_of_them():
    assert endpoint("v1-pro").media_parameters == ()
    assert endpoint("v1-pro-image").media_parameters == ("image_url",)
    assert endpoint("o1-reference").media_parameters == ("image_urls",)
    assert endpoint("v1-standard-avatar").media_parameters == ("image_url", "audio_url")


def test_an_unknown_parameter_names_the_closest():
    with pytest.raises(InputError) as caught:
        endpoint("v1-pro").parameter("aspect-ratio")
    assert 'no parameter "aspect-ratio"' in str(caught.value)
    assert "Did you mean aspect_ratio?" in str(caught.value)


def test_endpoints_can_be_kept_in_sets_and_shown_on_one_line():
    assert len({*ALL, *endpoints("pro")}) == 85
    assert len(repr(endpoint("v3-pro"))) < 250


def test_an_endpoint_of_another_maker_needs_no_more_than_its_schema():
    other = Endpoint(
        id="workflows/someone/flow/run",
        short_name="workflows/someone/flow/run",
        title="Flow",
        category="workflow",
        input_schema={"properties": {"seed": {"type": "integer"}}},
    )
    assert other.app_path == "workflows/someone/flow"
    assert (other.output_kind, other.output_pointer) == ("data", "")
    assert [control.kind for control in other.parameters] == ["line"]


def test_prices_of_the_variants_are_kept():
    price = endpoint("v3-pro").price
    assert isinstance(price, Price)
    assert price.usd_per_second == price.variants["audio_on"] == 0.168
    assert endpoint("tts").price.usd_per_video == 0.007
    assert endpoint("v1-pro").price is None


def test_import_reads_nothing_and_loads_nothing_heavy():
    script = (
        "import sys, kling_nb.catalog, kling_nb.request.request; from kling_nb.catalog import shipped;"
        "assert shipped._by_id.cache_info().currsize == 0;"
        "print(*sorted({'jsonschema_rs', 'numpy', 'PIL', 'av', 'httpx', 'anywidget'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
