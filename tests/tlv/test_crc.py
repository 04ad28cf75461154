"""CRC-32: the values of zlib, at every length around a step and at every alignment."""

from __future__ import annotations

import random
import zlib

import numpy as np
import pytest

from tests.tlv.plain import both
from tlv.crc import crc32


@pytest.mark.parametrize("checksum", both(crc32))
def test_crc32_any_length_and_alignment_equals_zlib(checksum) -> None:
    data = random.Random(20).randbytes(128)
    buf = np.frombuffer(bytearray(data), dtype=np.uint8)
    for start in range(17):
        for end in range(start, 128 - 17, 3 if start else 1):
            assert checksum(buf, start, end) == zlib.crc32(data[start:end])


@pytest.mark.parametrize("checksum", both(crc32))
def test_crc32_continued_equals_zlib_of_the_whole(checksum) -> None:
    data = random.Random(21).randbytes(100)
    buf = np.frombuffer(bytearray(data), dtype=np.uint8)
    for cut in range(101):
        assert checksum(buf, cut, 100, checksum(buf, 0, cut)) == zlib.crc32(data)


def test_crc32_large_buffer_equals_zlib() -> None:
    data = random.Random(22).randbytes(65_536)
    assert crc32(np.frombuffer(bytearray(data), dtype=np.uint8), 0, len(data)) == zlib.crc32(data)


def test_crc32_check_value_of_the_standard_is_found() -> None:
    assert crc32(np.frombuffer(bytearray(b"123456789"), dtype=np.uint8), 0, 9) == 0xCBF43926
