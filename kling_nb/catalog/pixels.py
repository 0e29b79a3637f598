"""Pictures from memory: Pillow images and NumPy arrays, as PNG files.

They are known by their pixels. Two versions of Pillow write two different PNG files of one
picture, and a request must not be paid for twice because of that.
"""

from __future__ import annotations

import hashlib
import sys
from io import BytesIO
from typing import TYPE_CHECKING, Any

from kling_nb.catalog.local_file import LocalFile
from kling_nb.catalog.media_slot import MediaSlot

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

_AS_THEY_ARE = ("L", "LA", "RGB", "RGBA")
_CONVERTED = {"1": "L", "P": "RGB", "PA": "RGBA", "La": "LA", "RGBa": "RGBA", "RGBX": "RGB"} | dict.fromkeys(
    ("CMYK", "YCbCr", "HSV", "LAB"), "RGB"
)
_CHANNELS = {1: "L", 3: "RGB", 4: "RGBA"}
_MULTIPLY = "For values from 0 to 1: (array * 255).astype('uint8')."
_SHAPES = "(height, width, 3), with 4 for transparency, or (height, width) for grey"


def take(slot: MediaSlot, value: Any) -> LocalFile | None:
    """The picture as a PNG file, or None where the value is no picture.

    Only the pixels go along, as a notebook shows them: no position of a camera, no colour
    profile, no instruction to turn it.

    Args:
        slot: Where it is to go.
        value: A Pillow image, or an array of shape (height, width, 3) or (…, 4), RGB or RGBA, or
            (height, width) or (…, 1), grey; of bytes (`uint8`).

    Raises:
        Unfit: It has no pixels, or values that are not bytes, or another shape, or is no picture
            that a PNG file can hold, or no picture is wanted.
    """
    # Who has such a value has imported its module. Importing them here would cost everybody 0.1 s.
    pillow, numpy = sys.modules.get("PIL.Image"), sys.modules.get("numpy")
    if pillow is not None and isinstance(value, pillow.Image):
        return _file(slot, _plain(slot, value))
    if numpy is not None and isinstance(value, numpy.ndarray):
        return _file(slot, _picture(slot, value))
    return None


def _file(slot: MediaSlot, image: Image) -> LocalFile:
    slot.check("image", "a picture", "what was given")
    width, height = image.size
    if not width or not height:
        raise slot.unfit(f"{slot.name}: the picture has no pixels ({width}×{height})")
    content = BytesIO()
    image.save(content, "PNG")
    slot.check_size(content.tell(), f"the picture ({width}×{height}, as PNG)")
    known_by = hashlib.sha256(f"{image.mode} {width} {height}\n".encode())
    known_by.update(image.tobytes())
    return LocalFile(
        None, content.getvalue(), f"{slot.name}.png", "image/png", content.tell(), known_by.hexdigest()
    )


def _plain(slot: MediaSlot, image: Image) -> Image:
    """The pixels alone, in a mode that every reader of PNG knows."""
    mode = image.mode if image.mode in _AS_THEY_ARE else _CONVERTED.get(image.mode)
    if mode is None:
        raise slot.unfit(
            f"{slot.name}: the picture has the mode {image.mode!r}, whose values are not bytes",
            "Scale its values to 0 to 255, then image.convert('L') or image.convert('RGB').",
        )
    if image.mode == "P" and "transparency" in image.info:
        mode = "RGBA"
    try:
        plain = image.copy() if image.mode == mode else image.convert(mode)
    except (OSError, ValueError, SyntaxError) as error:  # it is decoded only now
        raise slot.unfit(
            f"{slot.name}: the picture cannot be decoded ({error})", "Open it again, from a sound file."
        ) from None
    plain.info = {}
    return plain


def _picture(slot: MediaSlot, array: NDArray[Any]) -> Image:
    """The array as a picture."""
    mode = _checked(slot, array)
    import numpy as np  # noqa: PLC0415 -- it is loaded already
    from PIL import Image  # noqa: PLC0415 -- not before a picture is there

    pixels: NDArray[np.uint8] = np.ascontiguousarray(array)
    return Image.frombytes(mode, (array.shape[1], array.shape[0]), pixels.tobytes())


def _checked(slot: MediaSlot, array: NDArray[Any]) -> str:
    """The mode of the picture that the array holds."""
    shape = "×".join(map(str, array.shape)) or "no axes"
    if array.dtype != "uint8":
        raise slot.unfit(f"{slot.name}: the array has values of type {array.dtype}, not uint8", _MULTIPLY)
    if not array.size:
        raise slot.unfit(f"{slot.name}: the array has no pixels ({shape})")
    if array.ndim == 2:
        return "L"
    if array.ndim == 3 and array.shape[2] in _CHANNELS:
        return _CHANNELS[array.shape[2]]
    remedy = f"Give an array of shape {_SHAPES}."
    if array.ndim == 3 and array.shape[0] in _CHANNELS:
        remedy = "Its channels come first: array.transpose(1, 2, 0) puts them last."
    elif array.ndim == 4:
        remedy = "That is several pictures: give one of them, such as array[0], or list(array) for a list."
    raise slot.unfit(f"{slot.name}: the array has the shape {shape}", remedy)
