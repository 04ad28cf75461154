"""Units of time, held against Python's own."""

from __future__ import annotations

from datetime import timedelta

from tlv.units import MS, NS


def test_units_are_nanoseconds_of_what_they_are_named_after() -> None:
    assert timedelta(microseconds=NS // 1000) == timedelta(seconds=1)
    assert timedelta(microseconds=MS // 1000) == timedelta(milliseconds=1)
