"""Suggestions for misspelt names."""

from __future__ import annotations

import pytest

from tlv.nearest import MOST_SHOWN, did_you_mean, there_are


@pytest.mark.parametrize(
    ("name", "meant"),
    [("wait-for-ring", "wait_for_ring"), ("COLLECTOR_URL", "collector__url"), ("chian", "chain"), ("moon", "")],
)
def test_misspelt_name_is_told_the_nearest_one(name: str, meant: str) -> None:
    known = ["wait_for_ring", "collector__url", "chain"]
    assert did_you_mean(name, known) == (f"; did you mean {meant}?" if meant else "")


def test_names_that_there_are_are_shown_up_to_a_few() -> None:
    assert there_are([], "no ring") == "(there: no ring)"
    assert there_are(["a", "b"]) == "(there: a, b)"
    assert there_are([str(one) for one in range(MOST_SHOWN + 2)]).endswith("7 and 2 more)")
