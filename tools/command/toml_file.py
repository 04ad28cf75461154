"""A configuration file as tables: of each section its keys, and its processes.

Owns reading the file.  An error never quotes it: it may hold a secret.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from tlv.errors import UsageError
from tlv.nearest import did_you_mean
from tools.command.sections import SECTIONS

PROCESS_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", re.ASCII)
"""Of a table within a section: in the environment `__` ends it."""

Table = dict[str, Any]


def read_toml(path: Path) -> dict[str, Any]:
    """The file's tables."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"config {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"config {path}: no TOML: {position(error)}") from None


def position(error: tomllib.TOMLDecodeError | UnicodeDecodeError) -> str:
    """What is wrong and at which position, without quoting the line: it may hold a secret."""
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 at byte {error.start}"
    return str(error)


def divide(tree: Table, origin: str) -> tuple[dict[str, Table], dict[str, dict[str, Table]]]:
    """The keys of each section, and the tables in it by name.

    Raises:
        UsageError: a section is unknown or no table, or a table's name is none.
    """
    general: dict[str, Table] = {}
    single: dict[str, dict[str, Table]] = {}
    for section, table in tree.items():
        if section not in SECTIONS:
            there = ", ".join(SECTIONS)
            raise UsageError(f"{origin}: {section}: unknown section{did_you_mean(section, SECTIONS)} (there: {there})")
        if not isinstance(table, dict):
            raise UsageError(f"{origin}: {section}: expected a table, [{section}]")
        keys = SECTIONS[section].keys.__struct_fields__
        tables = {name: values for name, values in table.items() if isinstance(values, dict) and name not in keys}
        for name in tables:
            if not SECTIONS[section].runs:
                raise UsageError(f"{origin}: {section}.{name}: unknown table")
            if not PROCESS_NAME.fullmatch(name):
                expected = "a process's name: a-z, 0-9 and single _, beginning with a letter"
                raise UsageError(f"{origin}: {section}.{name}: expected {expected}")
        general[section] = {name: value for name, value in table.items() if name not in tables}
        single[section] = tables
    return general, single
