"""Exponents are those of the power laws that points follow, and a curve has its points."""

from __future__ import annotations

import math
import random

import pytest

from tools.bench.curves.axes import axis_of_name
from tools.bench.curves.fit import curve, exponent_of


@pytest.mark.parametrize("slope", [-1.0, 0.0, 0.5, 2.0])
def test_exponent_of_a_power_law_is_found_without_error(slope: float) -> None:
    found = exponent_of([(x, 7.0 * x**slope) for x in (1, 10, 100, 1000)])
    assert found is not None and found.error is not None
    assert (found.slope, found.error) == (pytest.approx(slope), pytest.approx(0.0, abs=1e-9))


def test_exponent_lies_within_its_error_where_points_scatter() -> None:
    rng = random.Random(3)
    found = exponent_of([(x, x**0.5 * math.exp(rng.gauss(0, 0.1))) for x in range(1, 200)])
    assert found is not None and found.error is not None
    assert abs(found.slope - 0.5) < 3 * found.error < 0.05


def test_exponent_leaves_out_what_has_no_logarithm_and_needs_two_points() -> None:
    assert exponent_of([(0.0, 5.0), (1.0, 2.0), (4.0, 8.0)]) == (pytest.approx(1.0), None)
    assert exponent_of([(0.0, 5.0), (1.0, 2.0)]) is None
    assert exponent_of([(2.0, 5.0), (2.0, 2.0)]) is None


def test_curve_is_its_last_point_beside_its_first() -> None:
    found = curve("readers: publish", "M frames/s", [(0, 8.0), (1, 4.0), (2, 2.0)], "pinned", rises=True)
    assert (found.value, found.baseline_value, found.ratio) == (2.0, 8.0, 0.25)
    assert found.exponent == pytest.approx(-1.0) and found.exponent_error is None
    assert found.note == "at 2; exponent -1.00; pinned" and found.points[0] == (0.0, 8.0)
    assert axis_of_name(found.name) == "readers" and axis_of_name("sustained, x: rate") == ""
