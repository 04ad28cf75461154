"""The compiled hash of what was published is Python's, whatever the lengths."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from consumers.native.hashing import NativeOrderHash
from consumers.order_hash import OrderHash
from tlv.layout import HEADER_SIZE

AROUND_BLOCKS = [0, 1, 123, 124, 125, 127, 128, 129, 251, 252, 253, 256, 1024]


def both(payloads: list[bytes]) -> tuple[OrderHash, NativeOrderHash]:
    """Python's and the compiled hash of the same messages."""
    plain, native = OrderHash(), NativeOrderHash()
    for payload in payloads:
        message = bytes(HEADER_SIZE) + payload
        plain.add(message)
        native.add(np.frombuffer(bytearray(message), np.uint8))
    return plain, native


@given(st.lists(st.binary(max_size=400), max_size=12))
def test_native_order_hash_any_messages_is_that_of_python(payloads: list[bytes]) -> None:
    plain, native = both(payloads)
    assert native.hexdigest() == plain.hexdigest()
    assert native.messages == plain.messages == len(payloads)


def test_native_order_hash_around_the_ends_of_blocks_is_that_of_python() -> None:
    rng = random.Random(1)
    for first in AROUND_BLOCKS:
        for second in AROUND_BLOCKS:
            plain, native = both([rng.randbytes(first), rng.randbytes(second)])
            assert native.hexdigest() == plain.hexdigest(), (first, second)


def test_native_order_hash_asked_in_between_goes_on() -> None:
    plain, native = both([b"first"])
    assert native.hexdigest() == native.hexdigest() == plain.hexdigest()
    message = bytes(HEADER_SIZE) + bytes(range(200))
    plain.add(message)
    native.add(np.frombuffer(bytearray(message), np.uint8))
    assert native.hexdigest() == plain.hexdigest()
