"""The local preview server, running."""

import base64
import io
from collections.abc import Iterator

import pytest
from local.running_server import RunningServer, running
from PIL import Image


@pytest.fixture(scope="session")
def server() -> Iterator[RunningServer]:
    """A server that does not wait, with one runner."""
    with running("--speed", "inf", "--ping", "0.05") as server:
        yield server


@pytest.fixture(scope="session")
def png() -> bytes:
    """A PNG of 600 × 800 pixels."""
    image = Image.linear_gradient("L").resize((600, 800))
    out = io.BytesIO()
    Image.merge("RGB", (image, image.transpose(Image.Transpose.FLIP_TOP_BOTTOM), image)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="session")
def image_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
