"""What a key may hold, up to the ends of its range."""

from __future__ import annotations

from typing import Any

import pytest

from producers.chains.keys import SHOWN, shown, whole

LARGEST = 2**63 - 1


@pytest.mark.parametrize("value", [1, 2, LARGEST - 1, LARGEST])
def test_whole_number_within_its_bounds_is_read(value: int) -> None:
    assert whole(1)(value) == value


@pytest.mark.parametrize("value", [0, -1, LARGEST + 1, 1.0, True, "1", None])
def test_whole_number_out_of_its_bounds_or_of_another_type_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=f"expected a whole number from 1 to {LARGEST}, found {value!r}"):
        whole(1)(value)


def test_default_bound_of_a_whole_number_is_told_as_one() -> None:
    with pytest.raises(ValueError, match=r"from 0 to 9223372036854775807, found -1$"):
        whole(0)(-1)


@pytest.mark.parametrize("length", [1, SHOWN - 2, SHOWN - 1, 10_000])
def test_value_in_a_message_is_cut_where_it_is_long(length: int) -> None:
    text = repr("x" * length)
    assert shown("x" * length) == (text if length <= SHOWN - 2 else text[:SHOWN] + "...")
