"""Print the path of a Chromium that starts. With `--install`, install one where there is none.

Order: `KLING_NB_CHROMIUM`; the usual names on PATH; the one Playwright keeps for itself.
Installing takes Debian's package when root on Debian, else Playwright's own download.
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
    """Paths to try, best first. A browser that was named is the only one tried."""
    named = os.environ.get("KLING_NB_CHROMIUM")
    if named:
        yield named
        return
    yield from (path for name in NAMES if (path := shutil.which(name)))
    if own := playwright_chromium():
        yield own


def playwright_chromium() -> str | None:
    """Where Playwright keeps its Chromium, whether or not it is there yet."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - half a second, rarely needed

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def starts(path: str) -> bool:
    """Whether `path` runs at all. Ubuntu's `chromium-browser` may be a stub that asks for a snap."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def find() -> str | None:
    """The first Chromium that starts."""
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
    """Run a step of an installation, its output on stderr so that stdout stays the path alone."""
    subprocess.run(command, check=True, env=environment, stdout=sys.stderr)


def on_debian() -> bool:
    """Whether this is Debian itself, whose `chromium` package is a real one."""
    try:
        return platform.freedesktop_os_release().get("ID") == "debian"
    except OSError:
        return False


def main() -> int:
    """Print the path; 1 where there is none."""
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
