"""Values of Python and its libraries: what NumPy and pandas give, and what no parameter takes."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from kling_nb.catalog.shipped import endpoint
from kling_nb.errors import InputError, KlingError, UsageError
from kling_nb.request.request import VideoRequest, as_list, build_request
from kling_nb.session import Session
from kling_nb.sweeps.axes import split


class Missing:
    """As `pandas.NA`: it is not None, and has no truth value."""

    def __bool__(self):
        raise TypeError("boolean value of NA is ambiguous")

    def __eq__(self, other):
        return self

    __hash__ = object.__hash__

    def __repr__(self):
        return "<NA>"


class Series:
    """As a pandas Series: one axis, its values by `tolist`."""

    ndim = 1

    def __init__(self, *values):
        self._values = values

    def tolist(self):
        return list(self._values)

    def __array__(self, dtype=None, copy=None):
        return np.array(self._values, dtype=object)


def ask(prompt, name="v1-pro", **parameters):
    return build_request(endpoint(name), prompt=prompt, image=None, end_image=None, parameters=parameters)


@pytest.mark.parametrize(
    "value",
    [
        5,
        1.5,
        Decimal(5),
        float("nan"),
        Missing(),
        True,
        b"a fox",
        ["a fox"],
        {"a": 1},
        np.float64(2),
        object(),
    ],
    ids=lambda value: repr(value).partition(" at 0x")[0],
)
def test_a_prompt_that_is_no_text_is_an_input_error(value):
    with pytest.raises(InputError, match="prompt must be a text, not") as caught:
        ask(value)
    assert caught.value.parameter == "prompt"
    assert "Nothing was sent." in str(caught.value)


@pytest.mark.parametrize("value", [Missing(), float("nan"), 1.5], ids=repr)
@pytest.mark.parametrize("name", ["endpoint", "image", "take", "fit"])
def test_any_argument_of_a_wrong_type_is_a_typed_error(tmp_path, name, value):
    with Session(backend="local", home=tmp_path / "home", media=tmp_path / "media") as session:
        with pytest.raises(KlingError):
            session.plan("a fox", **{name: value})
        with pytest.raises(KlingError):
            session.sweep("a fox", start=False, **{name: [value, None]})


def test_a_text_of_numpy_is_a_text():
    assert ask(np.str_("a fox")).input["prompt"] == "a fox"


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Missing()]
)
@pytest.mark.parametrize("name", ["cfg_scale", "duration", "negative_prompt"])
def test_a_value_that_json_does_not_have_is_an_input_error(name, value):
    with pytest.raises(InputError) as caught:
        ask("a fox", "v1.6-pro", **{name: value})
    assert caught.value.parameter == name


@pytest.mark.parametrize(
    "value", [Decimal("0.5"), Fraction(1, 2), np.float32(0.5), np.array(0.5), np.float64(0.5)], ids=repr
)
def test_a_number_of_any_type_is_a_number(value):
    assert (
        ask("a fox", "v1.6-pro", cfg_scale=value).fingerprint
        == ask("a fox", "v1.6-pro", cfg_scale=0.5).fingerprint
    )


@pytest.mark.parametrize("value", [Decimal("10.0"), np.int64(10), np.array(10)], ids=repr)
def test_a_whole_number_of_any_type_is_one_of_the_choices(value):
    assert ask("a fox", duration=value).input["duration"] == "10"


def test_true_of_numpy_is_true():
    assert ask("a fox", "v3-pro", generate_audio=np.bool_(False)).input["generate_audio"] is False


@pytest.mark.parametrize(
    "value",
    [
        Series("https://e.org/1.png", "https://e.org/2.png"),
        np.array(["https://e.org/1.png", "https://e.org/2.png"]),
        (f"https://e.org/{number}.png" for number in (1, 2)),
        {"https://e.org/1.png": 1, "https://e.org/2.png": 2}.keys(),
    ],
    ids=["series", "array", "generator", "keys"],
)
def test_a_list_of_files_may_be_of_any_kind(value):
    request = VideoRequest.build(endpoint("o1-reference"), {"prompt": "x", "image_urls": value})
    assert request.input["image_urls"] == ["https://e.org/1.png", "https://e.org/2.png"]


@pytest.mark.parametrize(
    "value",
    [Series(5, 10), np.array([5, 10]), range(5, 11, 5), (n for n in (5, 10)), {5: "a", 10: "b"}.keys()],
    ids=["series", "array", "range", "generator", "keys"],
)
def test_an_axis_of_a_sweep_may_be_of_any_kind(value):
    (axis,), rest = split({"duration": as_list(value)})
    assert (axis.values, axis.labels, rest) == ((5, 10), ("5", "10"), {})
    assert all(type(one) is int for one in axis.values)


def test_an_image_is_no_axis_and_a_list_parameter_no_axis_either():
    image = np.zeros((8, 8, 3), np.uint8)
    axes, rest = split({"image": as_list(image), "image_urls": as_list(Series("a.png"))}, {"image_urls"})
    assert axes == ()
    assert rest["image"] is image
    assert rest["image_urls"] == ["a.png"]


def test_an_empty_axis_and_an_endless_generator_are_refused():
    with pytest.raises(UsageError, match="is an empty list"):
        split({"duration": as_list(range(0))})
    with pytest.raises(UsageError, match="more than 1,000 values"):
        as_list(iter(int, 1))
