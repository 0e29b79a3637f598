"""Rules between parameters that fal states in words. They decide only about a new submission."""

import pytest

from kling_nb.catalog.shipped import endpoint
from kling_nb.errors import InputError
from kling_nb.request.request import VideoRequest

URL = "https://example.com/a.png"
CLIP = "https://example.com/a.mp4"


def shots(*seconds):
    return [{"prompt": f"Shot {number}", "duration": str(length)} for number, length in enumerate(seconds)]


def build(name, **values):
    return VideoRequest.build(endpoint(name), values)


def refused(name, **values):
    request = build(name, **values)
    with pytest.raises(InputError) as caught:
        request.check()
    assert "Nothing was sent." in str(caught.value)
    return caught.value


class TestShots:
    def test_may_not_last_longer_than_the_endpoint_makes(self):
        error = refused("v3-pro", multi_prompt=shots(9, 9))
        assert error.message == "The shots of multi_prompt last 18 s in all; 3 to 15 s are allowed."
        assert error.parameter == "multi_prompt"

    def test_may_not_last_shorter_either(self):
        assert "last 2 s in all" in refused("v3-pro", multi_prompt=shots(1, 1)).message

    def test_have_their_default_length(self):
        assert "last 20 s in all" in refused("v3-pro", multi_prompt=[{"prompt": "x"}] * 4).message

    def test_and_a_given_duration_must_agree(self):
        error = refused("v3-pro", multi_prompt=shots(4, 4), duration=5)
        assert error.message == "duration is 5, and the shots of multi_prompt last 8 s in all."
        assert error.parameter == "duration"
        build("v3-pro", multi_prompt=shots(4, 4), duration=8).check()
        build("v3-pro", multi_prompt=shots(4, 4)).check()

    def test_that_are_too_many_are_refused_where_fal_states_a_number(self):
        with pytest.raises(InputError, match="has 7 entries; the maximum is 6"):
            build("v3-turbo-pro", multi_prompt=shots(*[2] * 7))
        request = build("v3-pro", multi_prompt=shots(*[2] * 7))
        request.check()
        assert "7 shots" in request.warnings[0]

    def test_with_a_long_prompt_are_warned_about(self):
        request = build("v3-pro", multi_prompt=[{"prompt": "x" * 513}, {"prompt": "y"}])
        assert request.warnings == ("Shot 1 has a prompt of 513 characters. The limit may be 512.",)


class TestPromptLength:
    def test_is_an_error_where_fal_states_a_limit(self):
        with pytest.raises(InputError, match="2,501 characters; the maximum is 2,500"):
            build("v3-pro", prompt="x" * 2501)

    def test_is_a_warning_elsewhere(self):
        request = build("v1-standard-avatar", prompt="x" * 2501, image_url=URL, audio_url=URL)
        request.check()
        assert "2,501 characters" in request.warnings[0]
        assert build("v3-turbo-pro", prompt="x" * 2500).warnings == ()


class TestCounts:
    def test_of_images_and_elements_together(self):
        element = {"frontal_image_url": URL}
        error = refused(
            "o3-pro-edit", prompt="x", video_url=CLIP, image_urls=[URL] * 3, elements=[element] * 2
        )
        assert error.message == "2 elements and 3 image_urls are 5 together; the maximum is 4."
        build("o3-pro-edit", prompt="x", video_url=CLIP, image_urls=[URL] * 2, elements=[element] * 2).check()

    def test_of_a_required_list_is_not_zero(self):
        assert "is an empty list" in refused("image-o1", prompt="x", image_urls=[]).message

    def test_of_voices(self):
        with pytest.raises(InputError, match="the maximum is 2"):
            build("v2.6-pro-image", prompt="x", start_image_url=URL, voice_ids=["a", "b", "c"])


class TestElements:
    def test_must_show_something(self):
        error = refused("v3-pro-image", prompt="x", start_image_url=URL, elements=[{"voice_id": "v"}])
        assert error.parameter == "elements.0"
        assert "shows nothing" in error.message
        assert "frontal_image_url" in error.remedy

    def test_only_one_may_have_a_video(self):
        error = refused("v3-pro-image", prompt="x", start_image_url=URL, elements=[{"video_url": CLIP}] * 2)
        assert "2 of elements have a video; only one may have one" in error.message


class TestReferences:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("@Image3 walks", "prompt names @Image3, and the input has 2 of them"),
            ("@Image0 walks", "prompt names @Image0"),
            ("@Element1 walks", "prompt names @Element1, and the input has none"),
            ("@Video2 walks", "prompt names @Video2, and the input has 1 of them"),
        ],
    )
    def test_to_nothing_are_refused(self, text, words):
        error = refused("o3-pro-edit", prompt=text, video_url=CLIP, image_urls=[URL, URL])
        assert words in error.message
        assert error.parameter == "prompt"

    @pytest.mark.parametrize("text", ["@Image1 and @Image2 in @Video1", "mail a@Image9 or @Images", "@Image"])
    def test_to_something_and_other_words_pass(self, text):
        build("o3-pro-edit", prompt=text, video_url=CLIP, image_urls=[URL, URL]).check()

    def test_count_first_and_last_frame_as_images(self):
        frames = {"start_image_url": URL, "end_image_url": URL}
        build("o1-image", prompt="from @Image1 to @Image2", **frames).check()
        assert "@Image3" in refused("o1-image", prompt="from @Image1 to @Image3", **frames).message

    def test_are_looked_for_in_shots_too(self):
        wrong = [{"prompt": "@Element2 runs", "duration": "5"}]
        error = refused("v3-pro-image", start_image_url=URL, multi_prompt=wrong)
        assert error.parameter == "multi_prompt.0.prompt"

    def test_to_voices(self):
        values = {"start_image_url": URL, "voice_ids": ["a"]}
        build("v2.6-pro-image", prompt="<<<voice_1>>> speaks", **values).check()
        assert "<<<voice_2>>>" in refused("v2.6-pro-image", prompt="<<<voice_2>>> speaks", **values).message


def test_all_problems_are_in_one_error():
    error = refused("v3-pro", multi_prompt=shots(9, 9), duration=5)
    assert len(str(error).splitlines()) == 3
