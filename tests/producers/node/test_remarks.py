"""How often the log says the same."""

from __future__ import annotations

from itertools import pairwise

from producers.node.remarks import MOST_REMARKS, Remarks
from tlv.units import NS


def said_at_s(remarks: Remarks, until_s: int) -> list[int]:
    """The seconds at which something that happens every second is said."""
    return [second for second in range(until_s) if remarks.remark("kind", "text", second * NS) is not None]


def test_remark_is_said_at_once_and_again_after_pauses_that_double_up_to_an_hour() -> None:
    said = said_at_s(Remarks(), 18_000)
    pauses = [after - before for before, after in pairwise(said)]
    assert said[0] == 0
    assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


def test_remark_said_again_counts_those_that_were_not_said() -> None:
    remarks = Remarks()
    assert remarks.remark("kind", "text", 0) == "text"
    assert remarks.remark("kind", "text", NS) is None
    assert remarks.remark("kind", "text", 2 * NS, times=5) is None
    assert remarks.remark("kind", "text", 60 * NS) == "text (7 times since this was said last)"
    assert remarks.remark("kind", "text", 180 * NS) == "text", "once since then"


def test_remarks_of_different_kinds_do_not_wait_for_each_other() -> None:
    remarks = Remarks()
    assert [remarks.remark(kind, kind, 0) for kind in ("a", "b", "a")] == ["a", "b", None]


def test_remarks_of_more_kinds_than_are_told_apart_share_one() -> None:
    remarks = Remarks()
    for number in range(MOST_REMARKS):
        assert remarks.remark(str(number), "known", 0) == "known"
    assert [remarks.remark(kind, "new", 0) for kind in ("x", "y")] == ["new", None]
    assert remarks.remark("0", "known", 0) is None
