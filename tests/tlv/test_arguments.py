"""Public arguments of `build` and `parse`: what goes in comes out bit for bit, or is refused with its name."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.junk import junk
from tlv.arguments import check_integer, check_seconds
from tlv.codes import KNOWN_FLAGS, Domain
from tlv.errors import FrameError, UsageError
from tlv.layout import StateInvalidation
from tlv.message import build, parse

JUNK = junk(1 << 64, -(1 << 63), np.bool_(1)) | st.integers(-2, 300).map(np.int64)
RECORD = StateInvalidation(1, 2, 4, bytes(20))
DATA = build(Domain.SYSTEM, 16, [RECORD], sequence=7)


@settings(max_examples=500)
@given(argument=st.sampled_from(["domain", "source", "records", "sequence", "timestamp_ns", "flags"]), value=JUNK)
def test_build_of_any_argument_is_exact_or_refused_by_name(argument: str, value: Any) -> None:
    arguments: dict[str, Any] = {"domain": Domain.SYSTEM, "source": 16, "records": [RECORD]} | {argument: value}
    try:
        data = build(**arguments)
    except UsageError as error:
        assert argument in str(error) or "does not belong to domain" in str(error)
        return
    if argument == "records":
        assert list(value) == [] and parse(data).records == ()
    else:
        assert type(value) in {int, np.int64} and getattr(parse(data).header, argument) == value
        assert argument != "flags" or value & ~KNOWN_FLAGS == 0


@given(step=st.sampled_from([1, 2, -1]), dtype=st.sampled_from(["u1", "i1", "S1"]), view=st.booleans())
def test_parse_of_any_buffer_reads_its_own_bytes(step: int, dtype: str, view: bool) -> None:
    spread = np.zeros(len(DATA) * abs(step), np.uint8)
    spread[::step] = np.frombuffer(DATA, np.uint8)
    array = spread[::step].view(dtype) if abs(step) == 1 else spread[::step]
    message = parse(array.data if view and dtype != "S1" else array)
    assert message.records == (RECORD,) and message.header.sequence == 7


@given(data=JUNK)
def test_parse_of_what_is_no_buffer_is_refused_by_name(data: Any) -> None:
    with pytest.raises((UsageError, FrameError), match=r"^data: expected bytes, found|^message"):
        parse(data)


@given(value=JUNK)
def test_check_integer_gives_the_same_number_or_refuses_it(value: Any) -> None:
    try:
        found = check_integer("it", value, -5, 1 << 63)
    except UsageError as error:
        assert str(error).startswith("it: expected an integer from -5 to")
    else:
        assert type(found) is int and found == value and -5 <= found <= 1 << 63 and not isinstance(value, bool)


@given(value=JUNK)
def test_check_seconds_gives_finite_seconds_or_refuses_them(value: Any) -> None:
    try:
        found = check_seconds("it", value, above_zero=True)
    except UsageError as error:
        assert str(error).startswith("it: expected seconds above 0 to")
    else:
        assert math.isfinite(found) and found > 0 and found == value
