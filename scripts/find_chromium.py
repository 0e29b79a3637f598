"""Print the path of a Chromium that starts. With `--install`, install one if there is none.

The order is `KLING_NB_CHROMIUM`, the usual names on PATH, Playwright's own Chromium. Root on Debian installs
Debian's package, others Playwright's download.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def candidates() -> Iterator[str]:
    """Yield the paths to try, best first. A browser named by the user is the only one."""
    named = os.environ.get("KLING_NB_CHROMIUM")
    if named:
        yield named
        return
    yield from (path for name in NAMES if (path := shutil.which(name)))
    if own := playwright_chromium():
        yield own


def playwright_chromium() -> str | None:
    """Return the path of Playwright's Chromium, or None if it is not installed."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - half a second, rarely needed

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def starts(path: str) -> bool:
    """Return True if the program starts. Ubuntu's `chromium-browser` may be a stub that asks for a snap."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def find() -> str | None:
    """Return the first Chromium that starts, or None."""
    return next((path for path in candidates() if starts(path)), None)


def install() -> None:
    """Install a Chromium in the way this machine offers."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if root and on_debian() and shutil.which("apt-get"):
        print("No Chromium found: installing Debian's package", file=sys.stderr)
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "update", "-q"], quiet)
        run(["apt-get", "install", "-q", "-y", "--no-install-recommends", "chromium"], quiet)
        return
    print("No Chromium found: installing Playwright's", file=sys.stderr)
    with_libraries = ["--with-deps"] if root and sys.platform == "linux" else []
    run([sys.executable, "-m", "playwright", "install", *with_libraries, "chromium"], dict(os.environ))


def run(command: list[str], environment: dict[str, str]) -> None:
    """Run one step of the installation. Its output goes to stderr, because stdout is for the path."""
    subprocess.run(command, check=True, env=environment, stdout=sys.stderr)


def on_debian() -> bool:
    """Return True on Debian itself, whose `chromium` package contains the browser."""
    try:
        return platform.freedesktop_os_release().get("ID") == "debian"
    except OSError:
        return False


def main() -> int:
    """Print the path. Return 1 if there is none."""
    path = find()
    if path is None and "--install" in sys.argv[1:] and not os.environ.get("KLING_NB_CHROMIUM"):
        install()
        path = find()
    if path is None:
        named = os.environ.get("KLING_NB_CHROMIUM")
        what = f"KLING_NB_CHROMIUM={named} does not start." if named else "No Chromium that starts was found."
        print(
            f"{what} Install one (Debian: apt-get install chromium) or set KLING_NB_CHROMIUM.",
            file=sys.stderr,
        )
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
