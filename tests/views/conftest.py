"""A browser, a page and a clip, for views on a page of their own."""

import io

import av
import numpy as np
import pytest
from playwright.sync_api import expect, sync_playwright

from views.live import LivePage, opened
from views.window import Window

expect.set_options(timeout=45_000)  # as long as it takes on a busy machine


# For a package, not the session: while it is open an event loop runs in this thread, which other
# tests must not find.
@pytest.fixture(scope="package")
def browser(chromium_path, chromium_args):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=chromium_args)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def shared_window(browser):
    return Window(browser)


@pytest.fixture(scope="package")
def video():
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


@pytest.fixture
def window(shared_window):
    """The page as new. Any complaint that is left in the end fails the test."""
    shared_window.renew(1200, 1400)
    yield shared_window
    assert shared_window.complaints == []


@pytest.fixture
def page(window):
    return window.page


@pytest.fixture
def live(window):
    """A page that shows widgets of this process."""
    return LivePage(window)


@pytest.fixture
def session(home, tmp_cwd):
    """A session that makes local previews."""
    with opened(backend="local", local_speed=float("inf")) as made:
        yield made
