"""Check an installation: versions, widget front end, key, folders, route, hosts. It never shows a key."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from kling_nb._files import exists
from kling_nb._lazy import httpx
from kling_nb.api import default_session
from kling_nb.background import BackgroundThread, wait
from kling_nb.errors import KEY_REFUSED, KlingError, ResponseError
from kling_nb.fal.http import Http, certificate_source, connection_options, proxy_for, unreachable_error
from kling_nb.fal.patience import Patience, Retry
from kling_nb.fal.platform import live_price
from kling_nb.library.store import Store
from kling_nb.settings import Settings, backend_text, dotenv_note

PACKAGES = (
    "kling_nb", "IPython", "ipykernel", "jupyterlab", "notebook", "anywidget", "ipywidgets", "httpx", "av",
)  # fmt: skip
OPTIONAL = frozenset({"ipykernel", "jupyterlab", "notebook"})
LATE = (
    ": a widget's Cancel and sliders wait for the cell that runs. ■ works at once, and so does ipykernel 7.4"
)
"""What ipykernel 6 does otherwise: it handles no message of a widget while a cell waits."""
PATIENCE = Patience(answer=10.0, whole=15.0)


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. `good` is None if it is neither right nor wrong."""

    name: str
    good: bool | None
    text: str


def examine() -> list[Finding]:
    """Run all checks. This takes a few seconds if hosts do not answer."""
    findings = [Finding("Python", sys.version_info >= (3, 11), platform.python_version()), *_packages()]
    findings += [_widget_manager(), _server_extension()]
    try:
        settings = default_session().settings()
    except KlingError as fault:
        return [*findings, Finding("Settings", False, str(fault).replace("\n", " "))]
    return [*findings, *_settings(settings), *_hosts(settings)]


def report(findings: list[Finding]) -> str:
    """Return the findings as aligned lines."""
    width = max(len(finding.name) for finding in findings)
    marks = {True: "ok", False: "!!", None: "--"}
    return "\n".join(f"{marks[one.good]}  {one.name.ljust(width)}  {one.text}" for one in findings)


def _packages() -> Iterator[Finding]:
    for name in PACKAGES:
        try:
            found = version(name)
            late = name == "ipykernel" and found.startswith("6.")
            yield Finding(name, None if late else True, found + LATE * late)
        except PackageNotFoundError:
            missing = "not installed (only needed for notebooks)" if name in OPTIONAL else "not installed"
            yield Finding(name, None if name in OPTIONAL else False, missing)


def _widget_manager() -> Finding:
    """Check JupyterLab's extensions for ipywidgets and anywidget, if this environment has JupyterLab."""
    folder = Path(sys.prefix, "share", "jupyter", "labextensions")
    wanted = ("@jupyter-widgets/jupyterlab-manager", "anywidget")
    files = {name: folder / name / "package.json" for name in wanted}
    if all(map(exists, files.values())):
        versions = {name: json.loads(file.read_text("utf-8"))["version"] for name, file in files.items()}
        return Finding("Widget manager", True, ", ".join(f"{name} {versions[name]}" for name in wanted))
    return Finding(
        "Widget manager", None, "not in this environment (fine if JupyterLab runs from another one)"
    )


def _server_extension() -> Finding:
    """Check in its configuration files that Jupyter Server loads the server extension of kling_nb."""
    name = "Server extension"
    enable = "Run: jupyter server extension enable kling_nb"
    try:
        from jupyter_core.paths import jupyter_config_path  # noqa: PLC0415 -- an optional dependency
    except ImportError:
        return Finding(name, None, "no Jupyter in this environment (fine if it runs from another one)")
    for folder in map(Path, jupyter_config_path()):  # The first folder that configures it takes precedence.
        files = (folder / "jupyter_server_config.json", *(folder / "jupyter_server_config.d").glob("*.json"))
        values = [value for file in files if (value := _enabled_in(file)) is not None]
        if values:
            text = f"enabled in {folder}" if values[0] else f"disabled in {folder}. {enable}"
            return Finding(name, values[0], text)
    return Finding(name, False, f"not enabled. {enable}")


def _enabled_in(file: Path) -> bool | None:
    """Return True or False if a configuration file enables or disables the extension, else None."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        return bool(data["ServerApp"]["jpserver_extensions"]["kling_nb"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _settings(settings: Settings) -> Iterator[Finding]:
    key = settings.key
    needs_key = settings.backend == "fal" and key is None
    yield Finding("Key", False if needs_key else None if key is None else True, key.source if key else "none")
    if note := dotenv_note(settings):
        yield Finding(".env", None, note)
    yield Finding("Backend", True, backend_text(settings))
    yield _endpoint(settings)
    yield _folder("Ledger folder", settings.home)
    yield _folder("Media folder", settings.media)
    if settings.library is not None:
        yield _library(Store(settings.library, PATIENCE.answer))


def _library(store: Store) -> Finding:
    try:
        is_conditional, account = store.check()
    except KlingError as fault:
        return Finding("Library", False, fault.message)
    text = f"{store.name} is reachable and writable ({account})"
    if is_conditional:
        return Finding("Library", True, text)
    return Finding("Library", None, f"{text}, without conditional writes: two machines may buy the same take")


def _endpoint(settings: Settings) -> Finding:
    """Check that fal does not list the endpoint as deprecated. It still works then, but not for ever."""
    deprecated = False
    with suppress(KlingError):
        deprecated = settings.backend == "fal" and default_session().is_deprecated(settings.endpoint)
    if not deprecated:
        return Finding("Endpoint", True, settings.endpoint)
    return Finding("Endpoint", None, f"{settings.endpoint} is deprecated at fal. Others: %kling endpoints")


def _folder(name: str, folder: Path) -> Finding:
    place = folder
    while not exists(place):
        place = place.parent
    if place.is_dir() and os.access(place, os.W_OK):
        return Finding(name, True, f"{folder}" + ("" if exists(folder) else " (created when needed)"))
    return Finding(name, False, f"{folder} is not writable")


def _route(settings: Settings) -> Iterator[Finding]:
    """Check proxy and certificates, as jobs use them."""
    url, route = settings.hosts.queue, settings.hosts.route
    socks = find_spec("socksio") is not None
    try:
        proxy, shown = proxy_for(url, route), "none"
        if proxy is not None:
            parts = urlsplit(proxy.url)
            port = f":{parts.port}" if parts.port else ""
            shown = f"{parts.scheme}://{parts.hostname}{port} ({proxy.setting})"
        yield Finding("Proxy", True, f"{shown}, for {url}")
        needs_socks = proxy is not None and proxy.url.startswith("socks")
        yield Finding(
            "SOCKS", socks if needs_socks else None, f"socksio is {'' if socks else 'not '}installed"
        )
        connection_options(url, route)
        trusted = " ".join(certificate_source(route)).strip() or "those of the package certifi"
        yield Finding("Certificates", True, trusted)
    except KlingError as fault:
        yield Finding("Route", False, str(fault).replace("\n", " "))


def _hosts(settings: Settings) -> Iterator[Finding]:
    if settings.backend == "local":
        for name in ("Queue", "Uploads"):
            yield Finding(name, None, "the first job starts the local preview server")
        return
    yield from _route(settings)
    yield from wait(BackgroundThread.get_shared().spawn(_ask(settings)))
    text = "no call of fal reports it: a new account runs 2 requests at once, one that buys credits up to 40"
    yield Finding("Concurrency", None, f"{text}; further ones wait in fal's queue")


async def _ask(settings: Settings) -> list[Finding]:
    """Ask fal's hosts over the proxy and with the certificates of jobs. Nothing here costs money."""
    http = Http(settings.hosts, lambda: settings.key, retry=Retry(attempts=1), patience=PATIENCE)
    try:
        hosts = (("Queue", settings.hosts.queue), ("Uploads", settings.hosts.rest))
        found = await asyncio.gather(*(_reach(http, name, url) for name, url in hosts), _key(http, settings))
    finally:
        await http.aclose()
    return [finding for findings in found for finding in findings]


async def _reach(http: Http, name: str, url: str) -> list[Finding]:
    try:
        await http.answer(http.short, "GET", url)  # without the key; any answer will do
    except httpx.RequestError as fault:
        text = str(unreachable_error(url, fault)).replace("\n", " ")
        return [Finding(name, False, f"{url} is not reachable. {text}")]
    except KlingError:
        return [Finding(name, False, f"{url} was not asked: see Route")]
    return [Finding(name, True, f"{url} is reachable")]


async def _key(http: Http, settings: Settings) -> list[Finding]:
    """Test the key by asking for the price of the endpoint, which fal tells only with a key."""
    if settings.key is None:
        return []
    accepted = Finding("Key test", True, f"{settings.hosts.api} accepts the key")
    try:
        endpoint = default_session().endpoint(fetch=False)
        price = await live_price(http, endpoint.id)
    except ResponseError as fault:
        if fault.status_code == 404:  # fal has no price for this endpoint
            return [accepted]
        refused = isinstance(fault, KEY_REFUSED)
        return [Finding("Key test", False if refused else None, str(fault).replace("\n", " "))]
    except KlingError as fault:
        return [Finding("Key test", None, str(fault).replace("\n", " "))]
    return [accepted, Finding("Price", True, f"{endpoint.short_name}: {price} now, at the default settings")]
