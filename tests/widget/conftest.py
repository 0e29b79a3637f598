"""A browser and a clip, for the tests of views on a page of their own."""

import io
from pathlib import Path

import av
import numpy as np
import pytest
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[2]
TYPES = {".js": "text/javascript", ".css": "text/css", ".mp4": "video/mp4", ".jpg": "image/jpeg"}


def clip():
    """A second of video, in a codec that every Chromium has."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libvpx-vp9", rate=8, options={"cpu-used": "8"})
        stream.width, stream.height, stream.pix_fmt = 64, 36, "yuv420p"
        for shade in range(0, 256, 32):
            picture = np.full((36, 64, 3), shade, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())
    return buffer.getvalue()


@pytest.fixture(scope="module")
def browser(chromium_path, chromium_args):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=chromium_args)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def video():
    return clip()


@pytest.fixture
def serve(complaints):
    """Gives a page its document and its files, and keeps its complaints."""

    def to(page, document, files, **made):
        """`files`: paths in the project by their addresses; `made`: bytes by the names of the rest."""
        page.on("pageerror", lambda error: complaints.append(str(error)))
        found = {address: (ROOT / file).read_bytes() for address, file in files.items()}
        found |= {f"/{name.replace('_', '.')}": body for name, body in made.items()}

        def answer(route):
            path = "/" + route.request.url.split("/", 3)[3]
            if path in found:
                route.fulfill(body=found[path], content_type=TYPES[Path(path).suffix])
            else:
                route.fulfill(body=document if path == "/" else "", content_type="text/html")

        page.route("http://localhost/**", answer)

    return to


@pytest.fixture
def complaints():
    """Errors of the page. Any that is left in the end fails the test."""
    found = []
    yield found
    assert found == []
