"""Which tests reach a line, on a project of three files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tools.prove.mutation.reach import bound, measure, mentions, statement

SOURCE = """LIMIT = 3


def clamp(value):
    if (
        value > LIMIT
    ):
        return LIMIT
    return value


def unused():
    return 1
"""
TESTS = """from small.clamp import clamp


def test_large():
    assert clamp(4) == 3


def test_small():
    assert clamp(2) == 2


def test_broken():
    assert clamp(2) == 3
"""


@pytest.mark.parametrize(
    ("number", "lines"), [(1, range(1, 2)), (4, range(4, 5)), (5, range(5, 8)), (6, range(5, 8)), (8, range(8, 9))]
)
def test_statement_is_the_innermost_and_of_a_compound_one_its_head(number: int, lines: range) -> None:
    assert statement(SOURCE, number) == lines


def test_names_that_a_statement_binds_and_where_they_are_mentioned() -> None:
    assert [bound(SOURCE, number) for number in (1, 4, 6, 8)] == [{"LIMIT"}, {"clamp"}, set(), set()]
    assert mentions(SOURCE)["LIMIT"] == {1, 6, 8}


def test_reach_names_the_tests_that_run_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {
        "small/__init__.py": "",
        "small/clamp.py": SOURCE,
        "tests/__init__.py": "",
        "tests/small/__init__.py": "",
        "tests/small/test_clamp.py": TESTS,
        "tests/fuzz/test_nothing.py": "def test_nothing():\n    pass\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    folders = ["tests/small", "tests/fuzz"]
    measure("small", folders, tmp_path, environment, tmp_path)
    reach = measure("small", folders, Path("nowhere"), environment, tmp_path)  # as it was kept
    file = Path("small/clamp.py")
    broken, large, small = (f"tests/small/test_clamp.py::test_{name}" for name in ("broken", "large", "small"))
    assert reach.failed == {broken}
    assert sorted(reach.tests(file, 6)) == [large, small]
    assert reach.tests(file, 8) == [large]
    assert reach.tests(file, 9) == [small]
    assert sorted(reach.tests(file, 1)) == [large, small], "runs at import: those of the lines that mention LIMIT"
    nothing = "tests/fuzz/test_nothing.py::test_nothing"
    assert sorted(reach.tests(file, 13)) == sorted([large, small, nothing]), "no test runs it: any might"
    assert reach.tests(file, 13)[-1] == nothing, "the file's own first"
    assert reach.seconds(["tests/small"]) == pytest.approx(reach.seconds([broken, large, small]))
