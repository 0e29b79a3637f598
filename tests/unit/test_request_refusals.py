"""One test for each kind of wrong input: its name, its value, what is allowed, what to do."""

import pytest

from kling_nb.catalog import Endpoint
from kling_nb.catalog.shipped import endpoint
from kling_nb.errors import InputError
from kling_nb.request.request import VideoRequest
from kling_nb.request.validation import problems

URL = "https://example.com/a.png"
SHOT = {"prompt": "a"}
CAMERA = "advanced_camera_control"


def takes_prompt(name):
    return any(control.name == "prompt" for control in endpoint(name).parameters)


def refused(name, values):
    with pytest.raises(InputError) as caught:
        VideoRequest.build(endpoint(name) if isinstance(name, str) else name, values)
    error = caught.value
    lines = str(error).splitlines()
    assert 2 <= len(lines) <= 4
    assert all(line.isprintable() and len(line) <= 240 for line in lines)
    assert error.remedy
    return error


@pytest.mark.parametrize(
    ("name", "values", "parameter", "message", "remedy"),
    [
        # A word, or a number, that is none of the allowed ones.
        (
            "v1-pro",
            {"aspect_ratio": "16x9"},
            "aspect_ratio",
            'aspect_ratio must be 16:9, 9:16 or 1:1, not "16x9".',
            "Nearest: 16:9.",
        ),
        # Ratios are near by their shape, not their letters; midway between two, landscape stays landscape.
        ("v1-pro", {"aspect_ratio": "16:10"}, "aspect_ratio", 'not "16:10"', "Nearest: 16:9."),
        ("v1-pro", {"aspect_ratio": "4:3"}, "aspect_ratio", 'not "4:3"', "Nearest: 16:9."),
        ("v1-pro", {"aspect_ratio": "3/4"}, "aspect_ratio", 'not "3/4"', "Nearest: 9:16."),
        ("v1-pro", {"aspect_ratio": "1.1:1"}, "aspect_ratio", 'not "1.1:1"', "Nearest: 1:1."),
        ("v1-pro", {"aspect_ratio": "0:0"}, "aspect_ratio", 'not "0:0"', "Leave it out for 16:9."),
        (
            "v1-pro",
            {"aspect_ratio": "wide"},
            "aspect_ratio",
            'aspect_ratio must be 16:9, 9:16 or 1:1, not "wide".',
            "Leave it out for 16:9.",
        ),
        ("v1-pro", {"duration": 9}, "duration", "duration must be 5 or 10, not 9.", "Nearest: 10."),
        (
            "v1-pro",
            {"duration": "7s"},
            "duration",
            'duration must be 5 or 10, not "7s".',
            "Leave it out",
        ),
        ("v1-pro", {"duration": True}, "duration", "duration must be 5 or 10, not True.", "for 5."),
        (
            "v1.6-pro-effects",
            {"effect_scene": "hugs"},
            "effect_scene",
            "effect_scene must be one of hug, ",
            "Nearest: hug.",
        ),
        # Names.
        (
            "v1-pro",
            {"aspect": "16:9"},
            "aspect",
            'v1-pro has no parameter "aspect".',
            "Did you mean aspect_ratio? It takes prompt, duration, aspect_ratio.",
        ),
        ("v1-pro", {"seed": 1}, "seed", 'v1-pro has no parameter "seed".', "It takes prompt, duration,"),
        (
            "v3-pro",
            {"prompt": None, "multi_prompt": [{**SHOT, "lenght": 5}]},
            "multi_prompt.0.lenght",
            'multi_prompt.0 has no parameter "lenght".',
            "It takes prompt, duration.",
        ),
        # Missing and empty.
        ("v1-pro", {"prompt": None}, "prompt", "prompt is missing.", "required: What the video should show."),
        (
            "v1-pro",
            {"prompt": ""},
            "prompt",
            "prompt is empty.",
            "Give a text: What the video should show.",
        ),
        ("v1-pro", {"prompt": " \n\t"}, "prompt", "only white space", "Give a text"),
        ("v1-pro", {"prompt": "\u200b\u2063"}, "prompt", "only white space", "Give a text"),
        ("v3-pro", {"prompt": ""}, "prompt", "prompt is empty.", "Give a text"),
        ("tts", {"text": "  "}, "text", "only white space", "Text to speak."),
        (
            "v3-pro",
            {"prompt": None, "multi_prompt": [SHOT, {"prompt": ""}]},
            "multi_prompt.1.prompt",
            "multi_prompt.1.prompt is empty.",
            "What this shot shows.",
        ),
        (
            "v3-pro",
            {"prompt": None, "multi_prompt": [{}]},
            "multi_prompt.0.prompt",
            "multi_prompt.0.prompt is missing.",
            "What this shot shows.",
        ),
        # Sizes.
        (
            "o3-pro",
            {"prompt": "x" * 2640},
            "prompt",
            "prompt has 2,640 characters; the maximum is 2,500.",
            "Shorten it by 140.",
        ),
        (
            "v1.6-pro-elements",
            {"input_image_urls": [URL] * 6},
            "input_image_urls",
            "input_image_urls has 6 entries; the maximum is 4.",
            "Leave out 2.",
        ),
        (
            "v1.6-pro-elements",
            {"input_image_urls": []},
            "input_image_urls",
            "input_image_urls has 0 entries; the minimum is 1.",
            "Add 1, or leave input_image_urls out",
        ),
        (
            "v1.6-pro",
            {"cfg_scale": 3},
            "cfg_scale",
            "cfg_scale must be from 0 to 1, not 3.",
            "Nearest: 1.",
        ),
        (
            "v1-standard",
            {CAMERA: {"movement_type": "pan", "movement_value": -11}},
            CAMERA + ".movement_value",
            "must be from -10 to 10, not -11.",
            "Nearest: -10.",
        ),
        # Types.
        (
            "v1.6-pro",
            {"cfg_scale": "high"},
            "cfg_scale",
            'must be a number, not "high".',
            "a number, from 0 to 1.",
        ),
        (
            "v1.6-pro",
            {"cfg_scale": "1_0"},
            "cfg_scale",
            'must be a number, not "1_0".',
            "a number, from 0 to 1.",
        ),
        (
            "v1.6-pro",
            {"cfg_scale": float("nan")},
            "cfg_scale",
            "is nan, which JSON does not support",
            "Give a finite number.",
        ),
        (
            "v1.6-pro",
            {"cfg_scale": "1e999"},
            "cfg_scale",
            "is inf, which JSON does not support",
            "Give a finite number.",
        ),
        (
            "v3-pro",
            {"generate_audio": "yes"},
            "generate_audio",
            'must be true or false, not "yes".',
            "true or false",
        ),
        ("v3-pro", {"generate_audio": 1}, "generate_audio", "must be true or false, not 1.", "true or false"),
        ("v1-pro", {"prompt": 5}, "prompt", "prompt must be a text, not 5.", "Give a text."),
        (
            "v1-standard",
            {CAMERA: {"movement_type": "pan", "movement_value": 1.5}},
            CAMERA + ".movement_value",
            "must be a whole number, not 1.5.",
            "Give a whole number, from -10 to 10.",
        ),
        (
            "v3-pro",
            {"prompt": None, "multi_prompt": 5},
            "multi_prompt",
            "multi_prompt must be a list, not 5.",
            "a list.",
        ),
        # JSON in a text.
        (
            "v3-pro",
            {"prompt": None, "multi_prompt": '[{"prompt": "a"'},
            "multi_prompt",
            "multi_prompt is not JSON:",
            "Give a Python list, or JSON such as [{",
        ),
        (
            "v1-standard",
            {CAMERA: "pan"},
            CAMERA,
            f'{CAMERA} is not JSON: "pan"',
            "Give a Python dict, or JSON",
        ),
        ("v1-standard", {CAMERA: "NaN"}, CAMERA, "is not JSON", "Give a Python dict, or JSON"),
        (
            "v3-pro",
            {"prompt": None, "multi_prompt": "[" * 100_000},
            "multi_prompt",
            "is not JSON",
            "JSON such",
        ),
        # Rules between parameters.
        (
            "v3-pro",
            {"multi_prompt": [SHOT]},
            "prompt",
            "prompt and multi_prompt exclude each other",
            "Give either prompt or multi_prompt.",
        ),
        (
            "v3-pro",
            {"prompt": None, "duration": 10},
            "prompt",
            "prompt or multi_prompt is missing.",
            "Give exactly one of them.",
        ),
        (
            "o3-pro",
            {"prompt": None},
            "prompt",
            "prompt or multi_prompt is missing.",
            "Give one of them.",
        ),
        (
            "v3-turbo-pro",
            {"multi_prompt": [SHOT]},
            "prompt",
            "prompt and multi_prompt exclude each other",
            "Give either prompt or multi_prompt.",
        ),
        (
            "v3-turbo-pro",
            {"prompt": None, "duration": 10},
            "prompt",
            "prompt or multi_prompt is missing",
            "Give exactly one of them.",
        ),
        # Characters that cannot be sent.
        ("v1-pro", {"prompt": "a\ud83db"}, "prompt", "a broken character at position 1", "Type or paste"),
        ("v1-pro", {"\ud83d": 1}, "\\ud83d", "a broken character at position 0", "Type or paste"),
    ],
)
def test_refusal(name, values, parameter, message, remedy):
    error = refused(name, {**({"prompt": "a heron"} if takes_prompt(name) else {}), **values})
    assert error.parameter == parameter
    assert message in error.message
    assert remedy in error.remedy


def test_all_problems_come_in_one_message_unknown_names_first():
    error = refused("v1-pro", {"duration": 7, "aspekt_ratio": "9:16"})
    hint = "Did you mean aspect_ratio? It takes prompt, duration, aspect_ratio."
    assert str(error).splitlines() == [
        f'v1-pro has no parameter "aspekt_ratio". {hint}',
        "prompt is missing. It is required: What the video should show.",
        "duration must be 5 or 10, not 7. Nearest: 5.",
        "Correct these 3 and run it again. Nothing was sent.",
    ]
    assert error.parameter == "aspekt_ratio"


def test_more_than_three_problems_are_counted_and_named():
    error = refused("v1-pro", {"duration": 7, "aspect_ratio": "x", "seed": 1, "fps": 2})
    *_, rest, remedy = str(error).splitlines()
    assert rest == "3 more: prompt, duration, aspect_ratio."
    assert remedy.startswith("Correct these 5")


def test_a_value_that_could_not_be_read_is_reported_once():
    error = refused("v3-pro", {"multi_prompt": "{"})
    assert error.parameter == "multi_prompt"
    assert error.message.startswith("multi_prompt is not JSON")
    assert len(error.message.splitlines()) == 1


def test_one_place_gets_one_problem():
    found = problems(endpoint("v1-pro"), {"prompt": "a", "duration": 7})
    assert [(problem.parameter, problem.kind) for problem in found] == [("duration", "enum")]


@pytest.mark.parametrize("values", [None, [1], "prompt", 5])
def test_an_input_that_is_no_mapping(values):
    assert "parameters by name" in refused("v1-pro", values).message


def test_what_was_given_is_clipped_and_made_visible():
    error = refused("v1-pro", {"prompt": "a", "aspect_ratio": "\x1b[31m\u202e\n" + "x" * 10_000})
    assert r"\x1b[31m\u202e\n" in error.message


def test_a_name_of_any_kind():
    assert refused("v1-pro", {"prompt": "a", 5: 1}).parameter == "5"
    assert refused("v1-pro", {"prompt": "a", "x\n" * 500: 1}).parameter.startswith("x\\n")


def test_a_value_that_holds_itself_or_has_no_end():
    loop = []
    loop.append(loop)
    assert "nested too deeply" in refused("v1-pro", {"prompt": loop}).message
    deep = 1
    for _ in range(100_000):
        deep = [deep]
    assert refused("v1-pro", {"prompt": deep}).parameter == "prompt"
    found = problems(endpoint("v1-pro"), {"prompt": "a", "other": deep})
    assert [problem.kind for problem in found] == ["json"]


def test_problems_are_strict_where_a_request_is_gentle():
    found = problems(endpoint("v1.6-pro"), {"prompt": "a", "duration": 5, "cfg_scale": "0.5"})
    assert {problem.parameter for problem in found} == {"duration", "cfg_scale"}
    assert found[0].path == ("duration",)


@pytest.mark.parametrize(
    ("schema", "value", "message", "remedy"),
    [
        ({"type": "string", "minLength": 3}, "ab", "v has 2 characters; the minimum is 3.", "longer"),
        ({"type": "string", "pattern": "^a"}, "b", 'v cannot be "b".', 'matches "^a"'),
        ({"type": "integer", "multipleOf": 4}, 6, "v must be a multiple of 4, not 6.", "Nearest: 8."),
        ({"type": "integer", "minimum": 1}, 0, "v must be at least 1, not 0.", "Nearest: 1."),
        ({"type": "integer", "maximum": 1}, 2, "v must be at most 1, not 2.", "Nearest: 1."),
        ({"type": ["string", "null"]}, 5, "v must be a text, not 5.", "Give a text."),
        ({"type": "array", "items": {}, "minItems": 2}, [1], "v has 1 entry; the minimum is 2", "Add 1"),
    ],
)
def test_words_for_what_other_endpoints_ask(schema, value, message, remedy):
    other = Endpoint(
        id="a/b", short_name="a/b", title="B", category="c", input_schema={"properties": {"v": schema}}
    )
    error = refused(other, {"v": value})
    assert message in error.message
    assert remedy in error.remedy


def test_rules_of_another_form_have_the_validators_message():
    schema = {"properties": {"v": {}}, "anyOf": [{"properties": {"v": {"const": 1}}}], "required": ["v"]}
    other = Endpoint(id="a/b", short_name="a/b", title="B", category="c", input_schema=schema)
    (problem,) = problems(other, {"v": 2})
    assert problem.kind == "anyOf"
    assert problem.text.startswith("the input: ")


def test_an_endpoint_that_welcomes_other_names_gets_them():
    schema = {"properties": {"v": {}}, "additionalProperties": True}
    other = Endpoint(id="a/b", short_name="a/b", title="B", category="c", input_schema=schema)
    assert VideoRequest.build(other, {"w": {"x": [1, None, True]}}).input == {"w": {"x": [1, None, True]}}
