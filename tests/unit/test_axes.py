"""Which arguments are axes, and where cells stand."""

from pathlib import Path

import pytest
from PIL import Image

from kling_nb.errors import UsageError
from kling_nb.sweeps.axes import LARGEST, Axis, combinations, label, split


def test_lists_are_axes_in_their_order():
    axes, rest = split({"prompt": ["a", "b"], "duration": [5, 10], "aspect_ratio": "1:1"})
    assert [(axis.name, axis.values) for axis in axes] == [("prompt", ("a", "b")), ("duration", (5, 10))]
    assert rest == {"aspect_ratio": "1:1"}


def test_the_last_axis_changes_fastest():
    axes, _ = split({"prompt": ["a", "b"], "duration": [5, 10]})
    assert list(combinations(axes)) == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_a_parameter_that_takes_a_list_is_an_axis_by_a_tuple_or_a_list_of_lists():
    shots = [{"prompt": "a", "duration": "5"}]
    assert split({"multi_prompt": shots}, {"multi_prompt"}) == ((), {"multi_prompt": shots})
    (axis,), _ = split({"multi_prompt": [shots, shots]}, {"multi_prompt"})
    assert axis.values == (shots, shots)
    (axis,), _ = split({"multi_prompt": (shots,)}, {"multi_prompt"})
    assert axis.values == (shots,)


def test_nothing_to_choose_from_and_too_much_are_refused():
    with pytest.raises(UsageError, match="prompt is an empty list"):
        split({"prompt": []})
    many = [Axis.of(name, range(30)) for name in "ab"]
    with pytest.raises(UsageError, match=f"900 cells; at most {LARGEST}"):
        combinations(many)


def test_labels():
    assert [label(value) for value in (5, True, "16:9", "", Path("folder/cat.png"), {"a": 1})] == [
        "5",
        "true",
        "16:9",
        "(empty)",
        "cat.png",
        '{"a": 1}',
    ]
    assert label(object()) == "object"


def test_images_in_memory_have_different_labels():
    axis = Axis.of("image", [Image.new("RGB", (8, 8)), Image.new("RGB", (8, 8)), Path("cat.png")])
    assert axis.labels == ("Image 1", "Image 2", "cat.png")
