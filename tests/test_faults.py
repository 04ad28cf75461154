"""The fault table: each row names tests that exist or is open, and every citation means a row, promise or invariant."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CITING = ("tlv", "ringbuf", "producers", "consumers", "tools", "tests")
ROW = re.compile(r"^\| (\d+) \|.*\| ([^|]+) \|$", re.MULTILINE)
CITATION = re.compile(r"\brows? (\d+(?:(?:, | and | to |-)\d+)*)", re.IGNORECASE)
PROMISES = [f"P{number}" for number in range(1, 10)]
INVARIANTS = [f"I{number}" for number in range(1, 10)]


def rows() -> list[tuple[int, str]]:
    """Number and tests of each row."""
    return [(int(number), tests) for number, tests in ROW.findall((ROOT / "docs/faults.md").read_text())]


def cited(text: str) -> set[int]:
    """Numbers of the rows that a text cites; `14 to 17` cites four."""
    numbers: set[int] = set()
    for listed in CITATION.findall(text):
        for part in re.split(", | and ", listed):
            first, *last = map(int, re.split(" to |-", part))
            numbers.update(range(first, (last or [first])[0] + 1))
    return numbers


def test_citations_are_read_in_every_spelling() -> None:
    text = "Row 12. rows 4, 5 and 9; ROWS 14 to 17; row 20-21; rows of 77; arrow 88"
    assert cited(text) == {12, 4, 5, 9, 14, 15, 16, 17, 20, 21}


def test_fault_table_numbers_no_row_twice() -> None:
    numbers = [number for number, _ in rows()]
    assert len(numbers) > 50
    assert numbers == sorted(set(numbers))


def test_fault_table_has_every_row_that_is_cited() -> None:
    known = {number for number, _ in rows()}
    wrong = {
        str(path.relative_to(ROOT)): unknown
        for package in CITING
        for path in (ROOT / package).rglob("*.py")
        if path != Path(__file__) and (unknown := cited(path.read_text()) - known)
    }
    assert wrong == {}


@pytest.mark.parametrize(("number", "tests"), rows(), ids=[f"row {number}" for number, _ in rows()])
def test_fault_table_row_names_tests_that_exist_or_is_open(number: int, tests: str) -> None:
    if tests == "open":
        return
    for test in re.fullmatch(r"`([^`]+)`", tests.replace("`<br>`", "<br>"))[1].split("<br>"):  # type: ignore[index]
        path, _, name = test.partition("::")
        defined = {node.name for node in ast.parse((ROOT / path).read_text()).body if isinstance(node, ast.FunctionDef)}
        assert name.startswith("test_") and name in defined, f"row {number}: no {test}"


@pytest.mark.parametrize("name", PROMISES + INVARIANTS)
def test_promise_or_invariant_is_cited_where_it_is_tested(name: str) -> None:
    citing = [path for path in (ROOT / "tests").rglob("test_*.py") if re.search(rf"\b{name}\b", path.read_text())]
    assert citing
