"""The schema decides which parameter an image goes to; an endpoint without one has a counterpart."""

import pytest

from kling_nb.catalog.shipped import endpoint, endpoints
from kling_nb.errors import InputError
from kling_nb.request.request import VideoRequest, build_request, image_endpoint, notices

START = "https://example.com/start.png"
END = "https://example.com/end.png"
TEXT_TO_VIDEO = [
    one.short_name for one in endpoints() if one.has_schema and one.id.endswith("/text-to-video")
]


def images(name, image=START, end_image=None, **parameters):
    chosen = endpoint(name)
    wanted = chosen.input_schema.get("required", ())
    prompt = "x" if {"prompt", "multi_prompt"} & set(chosen.input_schema["properties"]) else None
    rest = {"video_url": "https://example.com/v.mp4", "character_orientation": "video"}
    given = {key: value for key, value in rest.items() if key in wanted} | parameters
    request = build_request(chosen, prompt=prompt, image=image, end_image=end_image, parameters=given)
    return {name: value for name, value in request.input.items() if "image" in name or "mask" in name}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("v1-pro-image", {"image_url": START}),
        ("v3-pro-image", {"start_image_url": START}),
        ("o3-pro-image", {"image_url": START}),
        ("o3-pro-reference", {"start_image_url": START}),
        ("o1-reference", {"image_urls": [START]}),
        ("v2.6-pro-motion-control", {"image_url": START}),
        ("v1.6-pro-elements", {"input_image_urls": [START]}),
    ],
)
def test_the_first_image_is_the_schemas_first(name, expected):
    assert images(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("v1-standard-image", {"image_url": START, "tail_image_url": END}),
        ("v1.5-pro-image", {"image_url": START, "tail_image_url": END}),
        ("v2.5-turbo-pro-image", {"image_url": START, "tail_image_url": END}),
        ("v3-pro-image", {"start_image_url": START, "end_image_url": END}),
        ("o3-pro-image", {"image_url": START, "end_image_url": END}),
        ("o1-image", {"start_image_url": START, "end_image_url": END}),
    ],
)
def test_the_end_image_goes_where_the_schema_has_one(name, expected):
    assert images(name, end_image=END) == expected


def test_an_endpoint_without_an_end_image_names_those_with_one():
    with pytest.raises(InputError) as caught:
        images("v2-master-image", end_image=END)
    assert caught.value.parameter == "end_image"
    assert "v2-master-image takes no end image" in str(caught.value)
    assert "v3-pro-image" in str(caught.value)
    with pytest.raises(InputError) as caught:
        images("v1-pro-image", end_image=END)
    assert "These do: v1-standard-image, " in str(caught.value)  # of the same generation first


def test_the_same_image_twice_is_refused():
    with pytest.raises(InputError, match="image and start_image_url"):
        images("v3-pro-image", start_image_url=END)
    with pytest.raises(InputError, match="end_image and end_image_url"):
        images("v3-pro-image", end_image=END, end_image_url=START)


def test_an_endpoint_that_takes_no_image_is_refused():
    with pytest.raises(InputError, match="tts takes no image"):
        build_request(endpoint("tts"), prompt="x", image=START, end_image=None, parameters={})


@pytest.mark.parametrize("name", TEXT_TO_VIDEO)
def test_text_to_video_has_a_counterpart_that_takes_one(name):
    named = endpoint(name)
    counterpart = image_endpoint(named, endpoint)
    if name == "lipsync-text":  # It takes a video.
        assert counterpart is named
        return
    assert counterpart.id == named.id.replace("text-to-video", "image-to-video")
    assert START in images(counterpart.id).values()
    assert notices(named, counterpart) == (
        f"{name} takes no image; {counterpart.short_name} is used instead.",
    )
    assert image_endpoint(counterpart, endpoint) is counterpart
    assert notices(counterpart, counterpart) == ()


def empty(name, prompt=" \n", **parameters):
    request = build_request(endpoint(name), prompt=prompt, image=None, end_image=None, parameters=parameters)
    return dict(request.input)


def test_an_empty_prompt_is_left_out_if_it_is_not_required():
    shots = [{"prompt": "a cat"}, {"prompt": "a dog", "duration": "3"}]
    assert empty("v3-pro", multi_prompt=shots) == {"multi_prompt": shots}
    assert empty("o3-pro-image", image_url=START, multi_prompt=shots)["multi_prompt"] == shots
    assert empty("create-voice", voice_url="https://example.com/v.mp3")
    with pytest.raises(InputError, match="prompt has only white space"):
        empty("v1-pro")
    with pytest.raises(InputError, match="prompt or multi_prompt is missing"):
        empty("v3-pro")
    with pytest.raises(InputError, match="create-voice takes no prompt"):
        empty("create-voice", prompt="hello", voice_url="https://example.com/v.mp3")


def test_an_aspect_ratio_next_to_an_image_says_what_will_happen():
    image = "https://example.com/fox.png"
    request = VideoRequest.build(
        endpoint("v1-pro-image"), {"prompt": "a fox", "image_url": image, "aspect_ratio": "9:16"}
    )
    assert request.warnings == (
        "The video has the shape of the image, so aspect_ratio 9:16 may have no effect.",
    )
    with pytest.raises(InputError, match="has the shape of the image"):
        VideoRequest.build(
            endpoint("v2.1-standard-image"),
            {"prompt": "a fox", "image_url": image, "aspect_ratio": "9:16"},
        )
