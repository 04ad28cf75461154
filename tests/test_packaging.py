"""What a fresh machine installs: the pins are complete, and they are what this very run was tested with."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def declared() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    return [Requirement(text) for text in [*project["dependencies"], *(text for extra in extras for text in extra)]]


def closure() -> set[str]:
    """Every distribution that the project, its extras and their dependencies install here."""
    found: dict[str, set[str]] = {}
    waiting = [requirement for requirement in declared() if requirement.name != "alphapulse"]
    while waiting:
        requirement = waiting.pop()
        name, extras = canonical(requirement.name), set(requirement.extras)
        if name in found and extras <= found[name]:
            continue
        found.setdefault(name, set()).update(extras)
        for text in distribution(name).requires or []:
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras | {""}):
                waiting.append(needed)
    return set(found)


def test_constraints_pin_everything_that_is_installed() -> None:
    assert sorted(closure() - set(pins())) == []


def test_constraints_pin_nothing_that_is_not_needed() -> None:
    assert sorted(set(pins()) - closure()) == []


def test_constraints_satisfy_what_is_declared() -> None:
    found = pins()
    wrong = [str(r) for r in declared() if r.name != "alphapulse" and found[canonical(r.name)] not in r.specifier]
    assert wrong == []


def test_constraints_are_what_is_installed_here() -> None:
    assert {name: distribution(name).version for name in pins()} == pins()


def test_constraints_hold_no_address_or_hash() -> None:
    assert re.findall(r"https?:|--|sha256|@", "\n".join(f"{k}{v}" for k, v in pins().items())) == []
