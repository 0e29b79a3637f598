"""Try kling_nb with other Pythons, platforms and versions, and print the matrix into docs/compatibility.md.

    python scripts/compat.py [NAME…]

A NAME chooses the trials whose name contains it; by default all run, which takes about an hour on two cores.
Other rows of the page stay as they are, also those that cannot run here because a Python is missing. A row
that never ran says "not run". It needs the network, for PyPI.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "build" / "compat"
PAGE = ROOT / "docs" / "compatibility.md"
MARKS = ("<!-- printed by make compat -->\n", "<!-- end -->\n")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = {
    "Linux x86-64": "x86_64-manylinux_2_28",
    "Linux arm64": "aarch64-manylinux_2_28",
    "Linux x86-64, musl": "x86_64-unknown-linux-musl",
    "Linux arm64, musl": "aarch64-unknown-linux-musl",
    "macOS 14, Apple": "aarch64-apple-darwin",
    "macOS 14, Intel": "x86_64-apple-darwin",
    "Windows x86-64": "x86_64-pc-windows-msvc",
    "Windows arm64": "aarch64-pc-windows-msvc",
}
"""Names of uv, by what the page calls them."""
MACOS = {"MACOSX_DEPLOYMENT_TARGET": "14.0"}
"""From PyAV 16 on its wheels for Apple's processors need macOS 14; uv would take 13."""
HIGHEST, LOWEST = "highest", "lowest-direct"

TOOLS = (
    *("pytest", "pytest-asyncio", "pytest-timeout", "pytest-xdist", "hypothesis", "nbclient", "nbconvert"),
    *("jupytext", "papermill", "keyring", "cryptography", "socksio", "fal-client", "build", "hatchling"),
    *("uvloop", "ipykernel", "jupyter-server", "comm", "fsspec", "s3fs", "moto[s3]", "flask-cors"),
)
CODE = ("tests/unit", "tests/protocol", "-n2", "--dist=loadfile")
NOTEBOOK = ("tests/kernel/test_demos.py", "-k", "runs_from_nothing and clone")
LOG_LINES = (
    *("tests/kernel/test_cells.py", "tests/kernel/test_sweep_cells.py"),
    *("-k", "hears_log_lines or run_all_a_cell or is_not_answered"),
)
QUICK = ("-m", "not slow and not program", "--timeout=300")
"""Each test may take five minutes: the rows say what works, not how fast, whatever else the machine does."""
RELAXED = ("-W", "ignore", "-p", "no:unraisableexception")
"""Old versions of other packages warn of newer ones, and leave sockets open."""
BROWSER = ("tests/browser/test_lab.py", "-k")
# What Colab's machines have, from googlecolab/backend-info of 2026-08: installing kling_nb leaves them alone.
COLAB = (
    *("ipython==7.34.0", "ipykernel==6.17.1", "ipywidgets==7.7.1", "traitlets==5.7.1", "anywidget==0.9.21"),
    *("jupyter-client==7.4.9", "tornado==6.5.7", "numpy==2.1.3", "pillow==11.3.0", "httpx==0.28.1"),
    *("sniffio==1.3.1", "psygnal==0.15.1", "setuptools<81"),
)


@dataclass(frozen=True, slots=True)
class Trial:
    """An environment, and the tests that run in it.

    Attributes:
        name: Its name on the page.
        python: Version of Python.
        tests: Arguments of pytest, one tuple for each run.
        pins: Requirements besides those of the package.
        resolution: Which versions of the package's own requirements.
        linked: True to ask Jupyter for the server extension and the widget managers first.
    """

    name: str
    python: str
    tests: tuple[tuple[str, ...], ...]
    pins: tuple[str, ...] = ()
    resolution: str = HIGHEST
    linked: bool = field(default=False)


TRIALS = (
    Trial("lowest of everything", "3.11", ((*CODE, *RELAXED), (*NOTEBOOK, *RELAXED)), resolution=LOWEST),
    *(Trial("newest of everything", python, (CODE, NOTEBOOK)) for python in PYTHONS),
    Trial("versions of Colab", "3.12", ((*CODE, *RELAXED), (*NOTEBOOK, *RELAXED)), COLAB),
    *(
        Trial(f"ipykernel {number}", "3.11", ((*LOG_LINES, *RELAXED),), (f"ipykernel=={number}.*",))
        for number in ("6.29", "7.0", "7.1")
    ),
    Trial("ipykernel, newest", "3.11", ((*LOG_LINES, *RELAXED),)),
    *(
        Trial(
            f"JupyterLab {number or 'newest'}",
            "3.11",
            ((*BROWSER, "log_lines and jupyterlab", *RELAXED),),
            (f"jupyterlab=={number}.*" if number else "jupyterlab", "playwright", "notebook"),
            linked=True,
        )
        for number in ("4.0", "4.2", "")
    ),
    *(
        Trial(
            f"Notebook {number or 'newest'}",
            "3.11",
            ((*BROWSER, "log_lines and notebook", *RELAXED),),
            (f"notebook=={number}.*" if number else "notebook", "playwright"),
            linked=True,
        )
        for number in ("7.0", "")
    ),
)


class NotRun(Exception):
    """Something that a trial needs is not on this machine."""


def run(*command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the project's folder, at low priority, and return what it printed."""
    return subprocess.run(
        ["nice", "-n", "10", *command],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
    )


@cache
def uv() -> Path:
    """Return uv, in an environment of its own: pip can resolve neither for other platforms nor the lowest."""
    folder = WORK / "uv"
    if not (folder / "bin" / "uv").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([folder / "bin" / "pip", "install", "--quiet", "uv"], check=True)
    if CERTIFICATES.exists():
        os.environ.setdefault("SSL_CERT_FILE", str(CERTIFICATES))
    return folder / "bin" / "uv"


def resolve(platform: str, python: str, resolution: str) -> str:
    """Return "wheels" if an installation compiles nothing, else what it compiles, or why there is none.

    pip takes the newest version, also where only an older one has a wheel. So the newest versions must be the
    same with and without packages that have to be compiled. Of the lowest ones it is enough that some have a
    wheel, because no one gets them without asking.
    """
    words = ("--python-platform", PLATFORMS[platform], "--python-version", python, "--resolution", resolution)
    ask = (uv(), "pip", "compile", "--quiet", "--no-header", "--no-annotate", *words, "pyproject.toml")
    with_wheels = run(*ask, "--only-binary", ":all:", **MACOS)
    taken = with_wheels if resolution == LOWEST or with_wheels.returncode else run(*ask, **MACOS)
    if taken.returncode:
        return " ".join(taken.stderr.split())[:300]
    compiled = sorted(set(taken.stdout.splitlines()) - set(with_wheels.stdout.splitlines()))
    return f"compiles {', '.join(compiled)}" if compiled else "wheels"


@cache
def interpreter(version: str) -> str:
    """Return a program that is this Python, of PATH or of pyenv.

    Raises:
        NotRun: There is none.
    """
    name = f"python{version}"
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/{name}"))
    for program in (shutil.which(name), sys.executable, *pyenv):
        ask = "import sqlite3, ssl, sys; print('%d.%d' % sys.version_info[:2])"
        with suppress(OSError):  # pyenv also has programs for Pythons that it does not choose
            if program is not None and run(program, "-c", ask).stdout.strip() == version:
                return str(program)
    raise NotRun(f"no Python {version} here")


@cache
def wheel() -> Path:
    """Build the package."""
    folder = WORK / "dist"
    shutil.rmtree(folder, ignore_errors=True)
    words = ("--wheel", "--no-isolation", "--outdir", str(folder))
    subprocess.run([sys.executable, "-m", "build", *words, "."], cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def environment(trial: Trial) -> Path:
    """Make the environment of a trial and return its Python.

    Raises:
        NotRun: The Python is not on this machine, or no versions fit.
    """
    folder = WORK / re.sub(r"\W+", "-", f"{trial.name}-{trial.python}")
    words = ("--python", interpreter(trial.python), "--no-python-downloads", "--clear")
    done = run(uv(), "venv", "--quiet", "--seed", *words, folder)
    if done.returncode:
        raise NotRun(" ".join(done.stderr.split())[:300])
    python = folder / "bin" / "python"
    lowest = folder / "constraints.txt"
    which = ("--python-version", trial.python, "--resolution", trial.resolution)
    pins = run(uv(), "pip", "compile", "--quiet", "--no-header", *which, "pyproject.toml")
    lowest.write_text(pins.stdout if trial.resolution == LOWEST else "", encoding="utf-8")
    # jupytext's extension of the page does not fit every JupyterLab.
    tools = [name for name in TOOLS if not (trial.linked and name == "jupytext")]
    wanted = (str(wheel()), *tools, *trial.pins)
    done = run(uv(), "pip", "install", "--quiet", "--python", python, "--constraint", lowest, *wanted)
    if done.returncode:
        raise NotRun(" ".join(done.stderr.split())[:300])
    return python


def versions(python: Path) -> str:
    """Return the versions that matter, as installed."""
    names = (
        "ipython",
        "ipykernel",
        "ipywidgets",
        "anywidget",
        "av",
        "numpy",
        "pillow",
        "jupyterlab",
        "notebook",
    )
    done = run(uv(), "pip", "list", "--python", python, "--format", "json")
    there = {one["name"]: one["version"] for one in json.loads(done.stdout)}
    return ", ".join(f"{name} {there[name]}" for name in names if name in there)


def links(python: Path) -> str:
    """Return what Jupyter lacks of the server extension and the two widget managers."""
    asked = ("server", "extension", "list"), ("labextension", "list")
    text = ""
    for words in asked:
        done = run(python, "-m", "jupyter", *words)
        text += done.stdout + done.stderr
    wanted = ("kling_nb", "anywidget", "@jupyter-widgets/jupyterlab-manager")
    lines = [line for line in text.splitlines() if re.search("enabled|OK", line)]
    return ", ".join(f"{name} is not linked" for name in wanted if name not in "\n".join(lines))


def summary(output: str) -> str:
    """Return pytest's counts from its last line, without the time."""
    found = re.findall(r"^(?:=+ )?(\d+ .*?) in [\d.]+s", output, re.MULTILINE)
    return re.sub(r", \d+ (deselected|warnings?)", "", found[-1]) if found else "no result"


def attempt(trial: Trial) -> dict[str, str]:
    """Run a trial and return its row of the page."""
    try:
        python = environment(trial)
    except NotRun as reason:
        return {"versions": "", "result": f"not run: {reason}"}
    counts, good = [], True
    if trial.linked:
        missing = links(python)
        good = not missing
        counts.append(missing or "extension linked")
    for tests in trial.tests:
        done = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *QUICK, *tests)
        (python.parents[1] / f"{tests[0].replace('/', '-')}.log").write_text(done.stdout, encoding="utf-8")
        good = good and done.returncode == 0
        counts.append(summary(done.stdout))
    state = "passes" if good else "**fails**"
    return {"versions": versions(python), "result": f"{state}: {'; '.join(counts)}"}


def page(results: dict[str, dict[str, str]]) -> str:
    """Return the matrix as Markdown."""
    lines = [
        "| with | Python | result | versions | on |",
        "|---|---|---|---|---|",
    ]
    for trial in TRIALS:
        row = results.get(f"{trial.name}, {trial.python}", {})
        cells = (row.get("result", "not run"), row.get("versions", ""), row.get("date", ""))
        lines.append(f"| {trial.name} | {trial.python} | {' | '.join(cells)} |")
    lines += ["", f"| wheels for | {' | '.join(PYTHONS)} |", f"|---|{'---|' * len(PYTHONS)}"]
    for platform in PLATFORMS:
        row = results.get(f"wheels: {platform}", {})
        lines.append(f"| {platform} | {' | '.join(row.get(python, 'not run') for python in PYTHONS)} |")
    return "\n".join([*lines, ""])


def kept() -> dict[str, dict[str, str]]:
    """Return the results that the page has, by trial."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(MARKS[0])
    results = {}
    for line in rest.partition(MARKS[1])[0].splitlines():
        name, *cells = [cell.strip() for cell in line.split("|")[1:-1]] or [""]
        if name in PLATFORMS:
            results[f"wheels: {name}"] = dict(zip(PYTHONS, cells, strict=True))
        elif name in {trial.name for trial in TRIALS}:
            python, *values = cells
            results[f"{name}, {python}"] = dict(zip(("result", "versions", "date"), values, strict=True))
    return results


def write(results: dict[str, dict[str, str]]) -> None:
    """Put the matrix into the page, between its marks."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    PAGE.write_text(before + MARKS[0] + page(results) + MARKS[1] + after, encoding="utf-8")


def wheels_of(platform: str) -> dict[str, str]:
    """Return one row: for each Python, whether the newest and the lowest versions have wheels."""
    asked = [(platform, python, which) for python in PYTHONS for which in (HIGHEST, LOWEST)]
    with ThreadPoolExecutor(len(asked)) as pool:  # they wait for PyPI
        found = list(pool.map(resolve, *zip(*asked, strict=True)))
    pairs = zip(found[::2], found[1::2], strict=True)
    row = [newest if newest == lowest else f"newest: {newest}; lowest: {lowest}" for newest, lowest in pairs]
    return dict(zip(PYTHONS, row, strict=True))


def main() -> int:
    """Run the chosen trials, keep their results, and return 1 if one fails."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("names", nargs="*", metavar="NAME", help="a part of the names of trials to run")
    arguments = words.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    work = {
        **{f"wheels: {platform}": partial(wheels_of, platform) for platform in PLATFORMS},
        **{f"{trial.name}, {trial.python}": partial(attempt, trial) for trial in TRIALS},
    }
    failed = False
    for key, job in work.items():
        if arguments.names and not any(name in key for name in arguments.names):
            continue
        print(f"── {key} ", end="", flush=True)
        row = {name: text.replace("|", "/") for name, text in job().items()}
        text = row.get("result") or ", ".join(row.values())
        print(text, flush=True)
        failed = failed or "fails" in text
        results = kept()  # another run may have added its own
        if not (text.startswith("not run") and results.get(key, {}).get("date")):
            write({**results, key: {**row, "date": time.strftime("%Y-%m-%d")}})
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
