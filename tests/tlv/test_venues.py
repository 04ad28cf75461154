"""Venue names: the project's own, those that others add, and what is refused."""

from __future__ import annotations

import pytest

from tlv.codes import Venue
from tlv.errors import UsageError
from tlv.venues import VenueTable


def test_venues_added_is_found_by_code_and_by_name_and_may_be_said_again() -> None:
    table = VenueTable()
    for _ in range(2):
        table.add(1001, "polygon.myswap")
    assert table.name_of(1001) == "polygon.myswap"
    assert table.code_of("polygon.myswap") == 1001
    assert "polygon.myswap" in table.names()


def test_venues_of_the_project_are_found_by_name_and_by_member() -> None:
    table = VenueTable()
    assert table.code_of("polygon.uniswap_v3") == table.code_of("UNISWAP_V3_POLYGON") == Venue.UNISWAP_V3_POLYGON
    assert table.code_of("polygon.nobody") is table.name_of(999) is None


@pytest.mark.parametrize(
    ("code", "name", "complaint"),
    [
        (1001, "MySwap", "expected a name like polygon.quickswap_v2, found 'MySwap'"),
        (1001, "polygon." + "x" * 57, "expected a name like"),
        (999, "polygon.other", "expected a code from 1000 to 65535, found 999"),
        (1 << 16, "polygon.other", "expected a code from 1000 to 65535, found 65536"),
        (1000, "polygon.other", "venue 1000: expected its name polygon.taken, found polygon.other"),
        (1002, "polygon.taken", "venue polygon.taken: expected its code 1000, found 1002"),
        (405, "polygon.other", "expected a code from 1000 to 65535, found 405"),
    ],
)
def test_venues_that_cannot_be_are_refused_by_whoever_adds_and_not_believed_of_a_ring(
    code: int, name: str, complaint: str
) -> None:
    table = VenueTable()
    table.add(1000, "polygon.taken")
    known = table.names()
    with pytest.raises(UsageError, match=complaint):
        table.add(code, name)
    table.learn(code, name)
    assert table.names() == known
