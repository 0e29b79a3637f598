"""Pages with the widget managers of VS Code and Colab, real kernels, and no server extension of ours."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyter_lab import JupyterLab
from kernel_environment import pointed_at
from playwright.sync_api import Browser, expect, sync_playwright
from scripted import ScriptedFal

from hosts.host import HOSTS, ROOT, Host

expect.set_options(timeout=45_000)
OPTIONS = ['--ServerApp.jpserver_extensions={"kling_nb": False}', "--ServerApp.allow_origin=*"]
# The page is made up here, so Chromium does not know that it is from this machine, as the kernel is.
SAME_NETWORK = "--disable-features=LocalNetworkAccessChecks"
ESBUILD = ROOT / "node_modules" / ".bin" / "esbuild"
# Backbone and jQuery would register with require.js instead of being part of the bundle.
NO_AMD = "--define:define=undefined"
IMAGES = [f"--loader:.{ending}=empty" for ending in ("svg", "png", "woff", "woff2", "ttf", "eot")]


@pytest.fixture(scope="package")
def browser(chromium_path: str, chromium_args: list[str]) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        args = [*chromium_args, SAME_NETWORK]
        browser = playwright.chromium.launch(executable_path=chromium_path, args=args)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script of the page, with JupyterLab's client of kernels and ipywidgets' manager in it."""
    folder = tmp_path_factory.mktemp("page")
    options = ["--bundle", "--format=esm", "--log-level=error", NO_AMD, *IMAGES]
    subprocess.run([ESBUILD, HOSTS / "page.mjs", f"--outdir={folder}", *options], check=True)
    return folder


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterLab]:
    with JupyterLab(tmp_path_factory.mktemp("served"), app="jupyter_server", options=OPTIONS) as server:
        yield server


@pytest.fixture(scope="package")
def fal() -> Iterator[ScriptedFal]:
    with ScriptedFal() as server:
        yield server


@pytest.fixture(scope="module")
def one_host(
    browser: Browser,
    bundle: Path,
    server: JupyterLab,
    fal: ScriptedFal,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[Host]:
    """The front end of a module (`HOST`), with a kernel that takes the scripted server for fal."""
    folder = tmp_path_factory.mktemp("work")
    page = browser.new_page(viewport={"width": 900, "height": 1400}, reduced_motion="reduce")
    kernel = server.add_kernel(pointed_at(fal, folder / "home"))
    yield Host(page, server, bundle, request.module.HOST).start(kernel, folder)
    page.close()


@pytest.fixture
def host(one_host: Host) -> Iterator[Host]:
    """The page in its light theme, without the cells of the test before."""
    one_host.clear()
    yield one_host
    assert (one_host.complaints, one_host.changed_metadata()) == ([], [])
