"""What is packaged: the README of the page, the sdist's files, the recipe for conda-forge."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

from hatch_build import packaged_readme

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
RELATIVE = re.compile(r"\]\((?!https?:|mailto:|#)|\b(?:src|srcset)=\"(?!https?:)")


def test_without_a_repository_the_readme_has_no_link_into_it() -> None:
    packaged = packaged_readme(README, "")
    assert RELATIVE.search(README)
    assert not RELATIVE.search(packaged)
    assert "<picture>" not in packaged
    assert "docs/errors.md | every error, and what to do" in packaged


def test_with_a_repository_links_and_images_are_absolute() -> None:
    packaged = packaged_readme(README, "https://host.example/me/kling_nb")
    assert not RELATIVE.search(packaged)
    assert "(https://host.example/me/kling_nb/blob/main/docs/magic.md#endpoints)" in packaged
    assert 'srcset="https://host.example/me/kling_nb/raw/main/docs/quickstart-dark.png"' in packaged
    assert "(https://fal.ai/dashboard/keys)" in packaged


def test_the_sdist_holds_what_its_tests_read() -> None:
    included = {
        name.strip("/") for name in PYPROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    }
    read = {
        name
        for path in (ROOT / "tests").rglob("*.py")
        if "node_modules" not in path.parts
        for name in re.findall(r'\bROOT / "([\w.-]+)"', path.read_text(encoding="utf-8"))
    }
    made = {"pyproject.toml", "node_modules", "build", ".git"}  # the first is always there
    assert {"docs", "scripts", "README.md"} <= read
    assert read - made <= included


def test_the_recipe_says_the_same_as_pyproject() -> None:
    recipe = (ROOT / "recipe" / "meta.yaml").read_text(encoding="utf-8")
    project = PYPROJECT["project"]
    _, _, needs = recipe.partition("  run:\n")
    run = re.findall(r"^    - (\S+) (\S+)$", needs.partition("\ntest:")[0], re.MULTILINE)
    wanted = [Requirement(line) for line in project["dependencies"]]
    python = ("python", project["requires-python"])
    assert run == [python, *((one.name, str(one.specifier)) for one in wanted)]
    assert f'{{% set version = "{project["version"]}" %}}' in recipe
    assert f"- kling-nb = {project['scripts']['kling-nb']}" in recipe
    assert project["description"] in recipe
    assert f"hatchling {Requirement(PYPROJECT['build-system']['requires'][0]).specifier}" in recipe
    assert f"license: {project['license']}" in recipe
