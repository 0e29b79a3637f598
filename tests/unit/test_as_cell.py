"""A take as the cell that makes it: read back by the magic, it asks for exactly the same."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kling_nb.catalog import DEFAULT_ENDPOINT
from kling_nb.catalog.shipped import endpoint, endpoints
from kling_nb.errors import InputError, UsageError
from kling_nb.notebook.flags import as_cell, continue_line, parse_line
from kling_nb.notebook.prompt import Fields
from kling_nb.request.request import VideoRequest, stored_input

VARIABLES = {"name": "filled in", "x": 1, "HOME": "/home"}


def fill(text):
    """As the magic does."""
    return Fields(VARIABLES).fill(text)


def read_back(cell):
    """The request and the take that a cell asks for."""
    first, _, body = cell.partition("\n")
    magic, _, line = first.partition(" ")
    assert magic == "%%kling"
    line, body = continue_line(line, body)
    call = parse_line(line, default_endpoint="v3-pro", fill=fill)
    chosen = endpoint(call.arguments.get("endpoint", "v3-pro"))
    spoken = "prompt" if "prompt" in {control.name for control in chosen.parameters} else "text"
    prompt = {spoken: fill(body).strip()} if body.strip() else {}
    return VideoRequest.build(chosen, {**prompt, **call.parameters}), call.arguments.get("take")


def round_trip(request, take=None, usual="v3-pro"):
    again, number = read_back(as_cell(request.endpoint, request.input, take=take, usual=usual))
    assert again.fingerprint == request.fingerprint
    assert number == (take if take and take > 1 else None)


@pytest.mark.parametrize("take", [None, 1, 2, 17])
def test_a_plain_request(take):
    round_trip(VideoRequest.build(endpoint("v1-pro"), {"prompt": "a fox", "duration": 10}), take)


def test_it_reads_as_a_person_would_write_it():
    request = VideoRequest.build(endpoint("v1-pro"), {"prompt": "a fox", "aspect_ratio": "9:16"})
    expected = "%%kling --endpoint v1-pro --aspect-ratio 9:16 --take 2\na fox"
    assert as_cell(request.endpoint, request.input, take=2) == expected
    short = as_cell(request.endpoint, request.input, name="fox", usual=DEFAULT_ENDPOINT)
    assert short == "%%kling fox --aspect-ratio 9:16\na fox"
    assert as_cell(request.endpoint, {"prompt": "a fox"}, usual="v1-pro") == "%%kling\na fox"
    assert as_cell(request.endpoint, {"prompt": "a fox"}, usual="v3-pro").startswith(
        "%%kling --endpoint v1-pro"
    )


@pytest.mark.parametrize(
    "prompt",
    [
        "{name}",
        "{{name}}",
        "$name costs $5 and $$x {x}",
        "half a { brace",
        "two\n\n  lines --duration 10",
        "%%kling\n%kling",
        "# not a comment 'nor a quote\" \\n",
        "über 雪 🦊 \u202e",
    ],
)
def test_prompts_that_look_like_something_else(prompt):
    round_trip(VideoRequest.build(endpoint("v1-pro"), {"prompt": prompt}))
    spoken = {"prompt": "x", "negative_prompt": prompt}
    round_trip(VideoRequest.build(endpoint("v3-pro"), spoken))


def test_nested_and_odd_values():
    shots = [{"prompt": "it's {x}", "duration": "5"}, {"prompt": 'a "b" $name', "duration": "3"}]
    values = {"multi_prompt": shots, "cfg_scale": 0.25, "generate_audio": False, "shot_type": "intelligent"}
    round_trip(VideoRequest.build(endpoint("v3-pro"), values))


def test_images_by_url_and_by_path(tmp_path):
    from PIL import Image

    picture = tmp_path / "a cat's {x}.png"
    Image.new("RGB", (400, 400)).save(picture)
    for image in (picture, "https://example.com/a%20cat.png?x=1&y=$name"):
        round_trip(VideoRequest.build(endpoint("v1-pro-image"), {"prompt": "a cat", "image_url": image}))


def example(control):
    """A value for a control, which is not its default."""
    match control.kind:
        case "stepped" | "choice":
            return control.options[-1]
        case "slider":
            return control.maximum
        case "switch":
            return not control.default
        case "media":
            ending = {"image": ".png", "video": ".mp4", "audio": ".mp3"}[control.media]
            file = f"https://fal.media/a'b$name{ending}"
            return [file, file] if control.many else file
        case "text" | "line":
            return "-quiet, {x} $name"
    return None


@pytest.mark.parametrize(
    "chosen", [one for one in endpoints() if one.has_schema], ids=lambda one: one.short_name
)
def test_every_endpoint(chosen):
    values = {control.name: example(control) for control in chosen.parameters}
    try:
        request = VideoRequest.build(chosen, values)
    except InputError:  # parameters that exclude each other: the required ones alone
        needed = {control.name: example(control) for control in chosen.parameters if control.required}
        request = VideoRequest.build(chosen, needed)
    if not {"prompt", "text"} & {control.name for control in chosen.parameters}:
        return  # what takes no prompt cannot be a cell
    round_trip(request, 3)


@settings(max_examples=400, deadline=None)
@given(
    st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=60)
    | st.text("ax {}$.'\"\\\n-=", min_size=1, max_size=30)
)
def test_any_text(text):
    try:
        request = VideoRequest.build(endpoint("v3-pro"), {"prompt": text, "negative_prompt": text})
    except InputError:  # nothing that can be seen
        return
    if text == text.strip():
        round_trip(request)


@pytest.mark.parametrize("prompt", [" a fox", "a fox ", "\ta fox"])
def test_a_prompt_that_a_cell_would_change_is_refused(prompt):
    request = VideoRequest.build(endpoint("v1-pro"), {"prompt": prompt})
    with pytest.raises(UsageError, match="prompt"):
        as_cell(request.endpoint, request.input)


def test_bytes_are_refused_and_say_so(tmp_path):
    from PIL import Image

    path = tmp_path / "cat.png"
    Image.new("RGB", (400, 400)).save(path)
    given_bytes = {"prompt": "x", "image_url": path.read_bytes()}
    request = VideoRequest.build(endpoint("v1-pro-image"), given_bytes)
    with pytest.raises(UsageError, match="cannot have image_url, which was bytes"):
        as_cell(request.endpoint, request.input)
    kept = json.loads(json.dumps(dict(stored_input(request))))
    with pytest.raises(UsageError, match="image_url"):
        as_cell(request.endpoint, kept)
