"""The ends of a range of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from consumers.analysis.selection import nanoseconds
from tlv.errors import UsageError


def test_nanoseconds_of_a_time_are_exact_to_the_microsecond_in_any_zone() -> None:
    time = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    for given in (time, time.astimezone(timezone(timedelta(hours=-9)))):
        found = nanoseconds(given)
        assert (type(found), found) == (int, 1_767_323_045_678_901_000)
    assert nanoseconds(datetime(1970, 1, 1, tzinfo=UTC) - timedelta(microseconds=1)) == -1000


def test_nanoseconds_of_nanoseconds_are_the_same_and_of_an_open_end_none() -> None:
    assert (nanoseconds(7), nanoseconds(None)) == (7, None)


def test_nanoseconds_of_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(UsageError, match="expected a time zone, found none"):
        nanoseconds(datetime(2026, 1, 2))
