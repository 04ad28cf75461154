"""One class name, one thing: a name stands in a second file only for what carries the wire record of that name."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("tlv", "ringbuf", "producers", "consumers", "tools")
WIRE = "tlv/layout.py"


def classes_by_name(sources: dict[str, str]) -> dict[str, dict[str, str]]:
    """Of each class name the files that define it at their top, and the docstring there."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for path, text in sources.items():
        for node in ast.parse(text).body:
            if isinstance(node, ast.ClassDef):
                found[node.name][path] = ast.get_docstring(node) or ""
    return found


def shared_names(sources: dict[str, str]) -> dict[str, list[str]]:
    """Names of two files, but for a wire record and one class whose docstring names it."""
    wrong = {}
    for name, places in classes_by_name(sources).items():
        others = {path: text for path, text in places.items() if path != WIRE}
        explained = WIRE in places and all(f"`tlv.layout.{name}`" in text for text in others.values())
        if len(others) > 1 or (WIRE in places and others and not explained):
            wrong[name] = sorted(places)
    return wrong


def test_class_names_of_the_packages_stand_in_one_file_each() -> None:
    sources = {
        str(path.relative_to(ROOT)): path.read_text() for package in PACKAGES for path in (ROOT / package).rglob("*.py")
    }
    assert WIRE in sources
    assert shared_names(sources) == {}


@pytest.mark.parametrize(
    ("sources", "wrong"),
    [
        ({"a.py": "class A: ...", "b.py": "class B: ..."}, []),
        ({"a.py": "class A: ...", "b.py": "class A: ..."}, ["A"]),
        ({WIRE: "class A: ...", "b.py": "class A: ..."}, ["A"]),
        ({WIRE: "class A: ...", "b.py": "class A:\n    'Not the record `tlv.layout.A`.'"}, []),
        (
            {
                WIRE: "class A: ...",
                "b.py": "class A:\n    'Not `tlv.layout.A`.'",
                "c.py": "class A:\n    'Not `tlv.layout.A`.'",
            },
            ["A"],
        ),
        ({"a.py": "class A: ...", "b.py": "class A:\n    'Not `tlv.layout.A`.'"}, ["A"]),
    ],
)
def test_shared_names_two_files_are_refused_unless_one_is_an_explained_wire_record(
    sources: dict[str, str], wrong: list[str]
) -> None:
    assert sorted(shared_names(sources)) == wrong
