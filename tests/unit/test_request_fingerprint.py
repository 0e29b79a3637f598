"""Fingerprints are kept on disk for years: what they depend on, and what they must not."""

import hashlib
import io
import json
import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kling_nb.catalog.shipped import endpoint
from kling_nb.request.request import VideoRequest, canonical_json

steady = settings(derandomize=True, database=None, deadline=None, max_examples=150)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False))
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=20,
)
prompts = texts.filter(lambda text: any(char in string.ascii_letters for char in text))


def build(name, **values):
    return VideoRequest.build(endpoint(name), values)


def shuffled(value, seed):
    """The same value with every object's keys in another order."""
    if isinstance(value, dict):
        names = list(value)
        random.Random(seed).shuffle(names)
        return {name: shuffled(value[name], seed) for name in names}
    return [shuffled(item, seed) for item in value] if isinstance(value, list) else value


class TestCanonicalJson:
    @given(json_values)
    @steady
    def test_says_the_same_value(self, value):
        assert json.loads(canonical_json(value)) == value

    @given(json_values, st.integers())
    @steady
    def test_does_not_depend_on_the_order_of_keys(self, value, seed):
        assert canonical_json(shuffled(value, seed)) == canonical_json(value)

    @given(json_values)
    @steady
    def test_is_a_fixed_point(self, value):
        text = canonical_json(value)
        assert canonical_json(json.loads(text)) == text

    @given(json_values, json_values)
    @steady
    def test_differs_where_values_differ(self, one, other):
        # As texts of plain Python, where 1 and True differ and 1 and 1.0 are the only equals.
        same = canonical_json(one) == canonical_json(other)
        assert same == (canonical_json([one]) == canonical_json([other]))
        if same:
            assert one == other

    def test_its_form(self):
        value = {"b": [1.0, 0.5, -0.0, 1e16, True, None], "a": {"ü": "é\n\u2028🪶", "A": ()}, "": (1, 2)}
        expected = '{"":[1,2],"a":{"A":[],"ü":"é\\n\u2028🪶"},"b":[1,0.5,0,10000000000000000,true,null]}'
        assert canonical_json(value) == expected

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), [-float("inf")]])
    def test_refuses_what_is_no_number(self, value):
        with pytest.raises(ValueError, match="JSON"):
            canonical_json(value)

    @pytest.mark.parametrize("value", [{1: "a"}, {None: 1}, {1, 2}, b"a", object()])
    def test_refuses_what_is_not_json(self, value):
        with pytest.raises(TypeError):
            canonical_json(value)


class TestFingerprint:
    def test_golden_values(self):
        """These are in sidecars on people's disks. A change here loses every take ever made."""
        text = build("v1-pro", prompt="A heron lands on a frozen lake, 鷺 🪶", duration=10)
        assert (
            text.fingerprint
            == hashlib.sha256(
                '{"endpoint":"fal-ai/kling-video/v1/pro/text-to-video","input":{"aspect_ratio":"16:9",'
                '"duration":"10","prompt":"A heron lands on a frozen lake, 鷺 🪶"}}'.encode()
            ).hexdigest()
        )
        assert text.fingerprint == "6fb0a8e35cc6e284c25f3f64571ba65bd64bccb8f9ca2f4680883008f6cd3604"

        image = b"\x89PNG\r\n\x1a\n" + bytes(16)
        nested = build(
            "v3-pro-image",
            start_image_url=image,
            multi_prompt=[{"prompt": "one"}, {"prompt": "two", "duration": 3}],
            cfg_scale=1.0,
        )
        assert nested.fingerprint == "c23e9e85246b2b7514b942350623d9a60f292e56bf180191de4d5fc37ff1de75"

    @given(
        prompts, st.sampled_from([5, 10, None]), st.sampled_from(["16:9", "9:16", "1:1", None]), st.integers()
    )
    @steady
    def test_does_not_depend_on_how_it_was_written(self, prompt, duration, shape, seed):
        values = {"prompt": prompt, "duration": duration, "aspect_ratio": shape}
        written = {"prompt": prompt, "duration": str(duration or 5), "aspect_ratio": shape or "16:9"}
        assert build("v1-pro", **values).fingerprint == build("v1-pro", **shuffled(written, seed)).fingerprint

    @given(prompts, prompts)
    @steady
    def test_differs_where_the_prompt_differs(self, one, other):
        same = build("v1-pro", prompt=one).fingerprint == build("v1-pro", prompt=other).fingerprint
        assert same == (one == other)

    @given(st.floats(0, 1))
    @steady
    def test_a_number_and_its_text_are_the_same(self, scale):
        number, text = (
            build("v1.6-pro", prompt="a", cfg_scale=scale),
            build("v1.6-pro", prompt="a", cfg_scale=repr(scale)),
        )
        assert number.fingerprint == text.fingerprint

    @given(st.integers(0, 1))
    @steady
    def test_a_whole_number_is_the_same_with_a_fraction(self, scale):
        prints = {
            build("v1.6-pro", prompt="a", cfg_scale=form).fingerprint
            for form in (scale, float(scale), str(scale), f"{scale}.0")
        }
        assert len(prints) == 1

    def test_depends_on_the_endpoint(self):
        assert build("v2-master", prompt="a").fingerprint != build("v2.1-master", prompt="a").fingerprint

    def test_a_default_inside_counts_as_given(self):
        left_out = build("v3-pro", multi_prompt=[{"prompt": "a"}])
        given_ = build("v3-pro", multi_prompt=[{"duration": 5, "prompt": "a"}], generate_audio=True)
        assert left_out.fingerprint == given_.fingerprint
        shots = [{"prompt": "a"}, {"prompt": "b"}]
        assert (
            build("v3-pro", multi_prompt=shots).fingerprint
            != build("v3-pro", multi_prompt=shots[::-1]).fingerprint
        )

    def test_a_default_that_was_changed_counts(self):
        assert (
            build("v3-pro", prompt="a", negative_prompt="").fingerprint
            != build("v3-pro", prompt="a").fingerprint
        )

    def test_a_file_counts_by_its_bytes_and_not_by_its_name(self, tmp_path):
        paths = [tmp_path / name for name in ("a.png", "b.png", "other.png")]
        for path, color in zip(paths, ("teal", "teal", "red"), strict=True):
            Image.new("RGB", (8, 8), color).save(path)
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8), "teal").save(buffer, "PNG")
        one, same, other, memory = (
            build("v1-pro-image", prompt="a", image_url=value).fingerprint
            for value in (*paths, buffer.getvalue())
        )
        assert one == same == memory
        assert one != other

    def test_a_url_counts_as_a_text(self):
        one, other = (
            build("v1-pro-image", prompt="a", image_url=f"https://example.com/{name}.png").fingerprint
            for name in "ab"
        )
        assert one != other

    def test_a_text_cannot_pass_for_a_file(self, tmp_path):
        path = tmp_path / "a.png"
        Image.new("RGB", (8, 8)).save(path)
        request = build("v1-pro-image", prompt="a", image_url=path)
        assert canonical_json({"sha256": request.files["image_url"].sha256}) != canonical_json(str(path))
        assert request.fingerprint != build("v1-pro-image", prompt="a", image_url="https://a/b").fingerprint


def test_line_ends_and_a_byte_order_mark_are_no_part_of_a_prompt():
    plain = build("v3-pro", prompt="two\nlines", negative_prompt="a\nb")
    assert plain.earlier == ()
    for text in ("two\r\nlines", "two\rlines", "\ufefftwo\nlines", "two\nlines\n", "two\r\nlines\r\n"):
        other = build("v3-pro", prompt=text, negative_prompt="a\r\nb")
        assert (other.input, other.fingerprint) == (plain.input, plain.fingerprint)
        data = {
            "endpoint": other.endpoint.id,
            "input": {**plain.resolved, "prompt": text, "negative_prompt": "a\r\nb"},
        }
        assert other.earlier == (hashlib.sha256(canonical_json(data).encode()).hexdigest(),)
    shots = build("v3-pro", multi_prompt=[{"prompt": "a\r\nb\n", "duration": "5"}])
    assert shots.input["multi_prompt"][0]["prompt"] == "a\nb"
