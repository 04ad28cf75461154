"""The readings that were asked for when they were far from their targets, with what they were then.

Owns the table only; the targets that a run is judged by stand at its readings.
"""

from __future__ import annotations

from typing import NamedTuple


class Target(NamedTuple):
    """A row of the table."""

    what: str
    before: str
    """What was measured when the target was set, on another machine."""
    target: str
    reading: str
    """The name of the reading that says what it is now."""


TARGETS = (Target("Python to Python, one way p50", "4.15 us; best peer 2.3 us", "<= 0.7 us", ""),)
