"""The embedded engine, running."""

import base64
import io
from collections.abc import Iterator

import pytest
from local.running_engine import RunningEngine, running
from PIL import Image


@pytest.fixture(scope="session")
def engine() -> Iterator[RunningEngine]:
    """An engine that does not wait, with one runner."""
    with running("--speed", "inf", "--ping", "0.05") as engine:
        yield engine


@pytest.fixture(scope="session")
def picture() -> bytes:
    """A PNG of 600 × 800 pixels."""
    image = Image.linear_gradient("L").resize((600, 800))
    out = io.BytesIO()
    Image.merge("RGB", (image, image.transpose(Image.Transpose.FLIP_TOP_BOTTOM), image)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="session")
def picture_uri(picture: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(picture).decode()
