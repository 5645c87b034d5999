"""Fails when requirements/*.txt do not pin what pyproject.toml asks for: then a clean clone would lack it."""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


def asked_for(extra: str, project: dict[str, object]) -> Iterator[Requirement]:
    """What the extra needs, those that it includes followed."""
    extras = project["optional-dependencies"]
    assert isinstance(extras, dict)
    for text in extras[extra]:
        requirement = Requirement(text)
        if requirement.name == project["name"]:
            for included in requirement.extras:
                yield from asked_for(included, project)
        else:
            yield requirement


def complaints(extra: str, project: dict[str, object]) -> Iterator[str]:
    file = ROOT / "requirements" / f"{extra}.txt"
    if not file.exists():
        yield f"requirements/{extra}.txt: missing"
        return
    pins = {canonicalize_name(name): version for name, version in PINNED.findall(file.read_text())}
    base = project["dependencies"]
    assert isinstance(base, list)
    for requirement in [*map(Requirement, base), *asked_for(extra, project)]:
        version = pins.get(canonicalize_name(requirement.name))
        if version is None or version not in requirement.specifier:
            yield f"requirements/{extra}.txt: {requirement} is not pinned (found: {version})"


def main() -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = [line for extra in project["optional-dependencies"] for line in complaints(extra, project)]
    if found:
        print(*found, "run make requirements", sep="\n", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
