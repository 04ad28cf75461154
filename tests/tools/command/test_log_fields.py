"""The fields that our own lines have are those of docs/logs.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tools.command.log_lines import KEYS

ROOT = Path(__file__).parents[3]
LOGGING = {"debug", "info", "warning", "error", "exception"}
WITH_FIELDS = {"complain", "tell_operator", "LineWithFields", "warn_once"}
NO_FIELDS = {"level", "error"}
"""Arguments of `tell_operator`."""


def fields(path: Path) -> Iterator[str]:
    """The fields that the log calls of a source name: in a template, in `extra`, as keyword arguments."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"%\((\w+)\)[sd]", node.value)
        if not isinstance(node, ast.Call):
            continue
        called = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if called in WITH_FIELDS:
            yield from (one.arg for one in node.keywords if one.arg and one.arg not in NO_FIELDS)
        elif called in LOGGING:
            given = [one.value for one in node.keywords if one.arg == "extra"]
            yield from (key.value for one in given if isinstance(one, ast.Dict) for key in one.keys if key)


def test_every_field_of_a_line_is_documented_and_every_documented_one_is_used() -> None:
    sources = [path for package in ("producers", "consumers", "tools") for path in (ROOT / package).rglob("*.py")]
    used = {field for path in sources for field in fields(path)}
    text = (ROOT / "docs" / "logs.md").read_text()
    tables = [row.split("|")[1] for row in text.splitlines() if row.startswith("| `")]
    documented = {name for row in tables for name in re.findall(r"`(\w+)`", row)}
    own = {*KEYS, "exception", "stack", "repeats", "repeats_s"}
    assert own <= documented
    assert used == documented - own
