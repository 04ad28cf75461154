"""The order of integers in limbs, and how far their floats may be off."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tlv.limbs import column_of_ints
from tests.tlv.plain import both
from tlv.wide import (
    column_to_floats,
    compare_wide,
    signed_wide_to_float,
    wide_to_float,
)

TWO_ULP = Fraction(1, 1 << 51)


def edges(bits: int) -> list[int]:
    """0, and every 2^k and 2^k +- 1 below 2^bits."""
    around = {(1 << k) + d for k in range(bits + 1) for d in (-1, 0, 1)}
    return sorted(value for value in around if 0 <= value < 1 << bits)


@pytest.mark.parametrize("compare", both(compare_wide))
@pytest.mark.parametrize("limbs", [2, 4])
def test_compare_wide_orders_as_integers_do(compare, limbs: int) -> None:
    rng = random.Random(11)
    values = rng.sample(edges(64 * limbs), 60)
    column = column_of_ints(values, limbs=limbs)
    for i, left in enumerate(values):
        for j, right in enumerate(values):
            assert compare(column[i], column[j]) == (left > right) - (left < right)


def assert_close(found: float, value: int) -> None:
    assert abs(Fraction(found) - value) <= abs(value) * TWO_ULP
    if abs(value) < 1 << 53:
        assert found == value


@pytest.mark.parametrize("to_float", both(wide_to_float))
@pytest.mark.parametrize("limbs", [2, 4])
def test_wide_to_float_is_within_two_units_in_the_last_place(to_float, limbs: int) -> None:
    rng = random.Random(12)
    values = edges(64 * limbs) + [rng.getrandbits(rng.randrange(1, 64 * limbs + 1)) for _ in range(2000)]
    for value, row in zip(values, column_of_ints(values, limbs=limbs), strict=True):
        assert_close(to_float(row), value)


@pytest.mark.parametrize("to_float", both(signed_wide_to_float))
def test_signed_wide_to_float_keeps_sign_and_small_values(to_float) -> None:
    values = [sign * value for value in edges(255) for sign in (1, -1)] + [-(1 << 255)]
    for value, row in zip(values, column_of_ints(values, signed=True), strict=True):
        assert_close(to_float(row), value)


@given(st.lists(st.integers(-(1 << 255), (1 << 255) - 1)))
def test_column_to_floats_equals_the_single_conversion(values: list[int]) -> None:
    column = column_of_ints(values, signed=True)
    for convert in both(column_to_floats):
        for signed, single in ((True, signed_wide_to_float), (False, wide_to_float)):
            floats = np.zeros(len(values))
            assert convert(column, signed, floats) == len(values)
            assert floats.tolist() == [single(row) for row in column]


@pytest.mark.parametrize("convert", both(column_to_floats))
def test_column_to_floats_into_another_length_is_refused(convert) -> None:
    assert convert(column_of_ints([1, 2]), False, np.zeros(1)) == -1
