"""The wings of `producers`, in the order in which they stand on each other; and no circle between two of them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PRODUCERS = Path(__file__).parents[2] / "producers"
ORDER = (
    *("node", "disk", "standby", "kinds", "chains", "statistics", "declared", "context"),
    *("decode", "blocks", "pools", "output"),
    *("closing", "switching", "assembly", "heads", "feed"),
    *("endpoint_log", "other_endpoints", "keeping", "ring_reading", "collector"),
)
"""Each imports only from those before it, and from itself."""
SOURCES = sorted(path for path in PRODUCERS.rglob("*.py") if path.name != "__init__.py")


def wing_of(path: Path) -> str:
    return path.relative_to(PRODUCERS).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The wings of `producers` that a source imports from, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("producers."):
            found.add(str(node.module).split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("producers.")}
    return found


def test_every_source_belongs_to_a_wing() -> None:
    assert {wing_of(path) for path in SOURCES} == set(ORDER)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PRODUCERS)))
def test_source_imports_only_its_own_wing_and_those_below(path: Path) -> None:
    at = ORDER.index(wing_of(path))
    assert imported(path) <= set(ORDER[: at + 1])
