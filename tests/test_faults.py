"""docs/faults.md against the code: rows that are cited exist, rows and promises name tests that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tools.prove.ring.mutants import MUTANTS

ROOT = Path(__file__).parent.parent
FAULTS = ROOT / "docs" / "faults.md"
CITATION = re.compile(r"\b[Rr]ows? (\d+(?:(?:, | and | to |-)\d+)*)")
"""`row 12`, `rows 4, 5 and 6`, `rows 14 to 17`"""
INVARIANT = re.compile(r"^\| (I\d) \| (.+?) \| (.+?) \|$", re.MULTILINE)
"""A line of the table in ARCHITECTURE.md: number, rule, what shows it."""


class Row(NamedTuple):
    """One line of the table."""

    number: int
    promises: list[str]
    shown_by: str


def rows() -> list[Row]:
    found = []
    for line in FAULTS.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and cells[0].isdigit():
            assert len(cells) == 5, line
            found.append(Row(int(cells[0]), re.findall(r"P\d", cells[2]), cells[4]))
    return found


def numbers(citation: str) -> set[int]:
    """The rows that `4, 5 and 6` or `14 to 17` names."""
    cited: set[int] = set()
    for part in re.split(r", | and ", citation):
        ends = [int(number) for number in re.split(r" to |-", part)]
        cited.update(range(ends[0], ends[-1] + 1))
    return cited


@cache
def functions_of(path: Path) -> frozenset[str]:
    """The test functions of a file."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, functions))


def cited() -> dict[int, str]:
    """Each row that a source or ARCHITECTURE.md cites, and one place where it is."""
    sources = [
        path
        for folder in ("ringbuf", "producers", "consumers", "tools", "tests")
        for path in ROOT.glob(f"{folder}/**/*.py")
    ]
    places: dict[int, str] = {}
    for path in [*sources, ROOT / "ARCHITECTURE.md"]:
        if path != Path(__file__):
            for citation in CITATION.findall(path.read_text()):
                places |= dict.fromkeys(numbers(citation), str(path.relative_to(ROOT)))
    return places


def test_faults_rows_are_numbered_once_and_in_order() -> None:
    found = [row.number for row in rows()]
    assert len(found) > 50
    assert found == sorted(set(found))


def test_faults_cited_rows_exist() -> None:
    places = cited()
    unknown = {number: places[number] for number in places.keys() - {row.number for row in rows()}}
    assert len(places) > 20
    assert unknown == {}


@pytest.mark.parametrize("row", rows(), ids=lambda row: str(row.number))
def test_faults_row_names_tests_that_exist_or_is_open(row: Row) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row.shown_by)
    assert named or row.shown_by == "open"
    assert [f"{path}::{test}" for path, test in named if test not in functions_of(ROOT / path)] == []


def test_faults_each_promise_has_a_row_that_is_shown() -> None:
    promised = re.findall(r"^\| (P\d) \|", FAULTS.read_text(), re.MULTILINE)
    shown = {promise for row in rows() if row.shown_by != "open" for promise in row.promises}
    assert promised == [f"P{number}" for number in range(1, 10)]
    assert sorted(shown) == promised


def test_architecture_shows_each_invariant_by_mutants_and_rows_that_exist() -> None:
    """I1 to I9: the rules at the top of the ring's kernels."""
    table = INVARIANT.findall((ROOT / "ARCHITECTURE.md").read_text())
    mutants = {mutation.name for mutation, _ in MUTANTS}
    assert [number for number, _, _ in table] == [f"I{number}" for number in range(1, 10)]
    for number, _, shown_by in table:
        named = re.findall(r"\*([^*]+)\*", shown_by)
        stated = {mutant for name in named for mutant in alternatives(name)}
        assert stated <= mutants, f"{number}: {sorted(stated - mutants)}"
        assert named or CITATION.search(shown_by) or "schedules" in shown_by, number


def alternatives(name: str) -> list[str]:
    """`no fence in wake / sleep_on` stands for two mutants."""
    first, *others = name.split(" / ")
    return [first, *(f"{first.rpartition(' ')[0]} {other}" for other in others)]
