"""What a strategy counts of its own, as JSON has it.  Foreign code may count anything, in any kind of number."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

LONGEST = 80


def shown_counts(counts: object) -> dict[str, int | float | str]:
    """Names and numbers, zeros left out; of what is no number its text, and nothing of what are no counts."""
    if not isinstance(counts, Mapping):
        return {}
    shown = ((str(name), _number(count)) for name, count in counts.items())
    return {name: count for name, count in shown if count}


def _number(count: Any) -> int | float | str:
    try:
        return operator.index(count)
    except TypeError:
        return float(count) if isinstance(count, float) else repr(count)[:LONGEST]
