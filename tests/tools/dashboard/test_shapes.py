"""What pages are told, as docs/dashboard.md has it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tools.dashboard import shapes
from tools.dashboard.shapes import DASHBOARD_ANSWERS

DOCUMENT = Path(__file__).parents[3] / "docs" / "dashboard.md"
TRACES = Path(__file__).parents[3] / "docs" / "traces.md"


def fields_of(answers: Any) -> Iterator[str]:
    """Every field of these answers, those of what they are made of included."""
    for name, definition in msgspec.json.schema_components(answers)[1].items():
        yield from (f"{name}.{field}" for field in definition.get("properties", {}))


def rows_of(document: Path) -> list[str]:
    return re.findall(r"^\| `(\w+\.\w+)` \| .", document.read_text(), re.MULTILINE)


def test_document_has_a_row_for_every_field_of_every_shape_and_no_other() -> None:
    answers = [shape for path, shape in DASHBOARD_ANSWERS.items() if path != "/api/trace"]
    rows = rows_of(DOCUMENT)
    assert sorted(rows) == sorted(set(rows)) == sorted(fields_of(answers))
    assert set(fields_of([DASHBOARD_ANSWERS["/api/trace"]])) <= set(rows_of(TRACES))


def test_document_names_every_path() -> None:
    paths = set(re.findall(r"^\| `(/[\w/]*)[^`]*` \|", DOCUMENT.read_text(), re.MULTILINE))
    assert paths == {"/", *DASHBOARD_ANSWERS}


def test_every_shape_is_part_of_an_answer() -> None:
    made = {name for name, shape in vars(shapes).items() if getattr(shape, "__module__", "") == shapes.__name__}
    assert made == {field.partition(".")[0] for field in fields_of(DASHBOARD_ANSWERS.values())} & made
