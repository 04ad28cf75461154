"""CRC-32: the values of zlib, at every length around a step and at every alignment."""

from __future__ import annotations

import itertools
import random
import zlib

import numpy as np
import pytest
from numba.core.errors import TypingError
from numba.core.registry import CPUDispatcher

import tlv.carryless
from tests.tlv.plain import both
from tlv.buffers import Bytes
from tlv.crc import crc32, fold_blocks
from tlv.jit import COMPILES


def fold(buf: Bytes, start: int, end: int) -> int:
    return fold_blocks(buf, start, end, 0xFFFFFFFF) ^ 0xFFFFFFFF


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


def test_crc32_every_length_to_4096_at_moving_offsets_equals_zlib() -> None:
    data = random.Random(23).randbytes(4096 + 64)
    buf = np.frombuffer(bytearray(data), dtype=np.uint8)
    for length in range(0, 4097, 1 if COMPILES else 97):
        start = length * 7 % 64
        assert crc32(buf, start, start + length) == zlib.crc32(data[start : start + length])


def test_crc32_of_random_pieces_equals_zlib_of_the_whole() -> None:
    generator = random.Random(24)
    data = generator.randbytes(4096)
    buf = np.frombuffer(bytearray(data), dtype=np.uint8)
    for _ in range(100):
        cuts = [0, *sorted(generator.choices(range(4097), k=generator.randrange(12))), 4096]
        crc = 0
        for start, end in itertools.pairwise(cuts):
            crc = crc32(buf, start, end, crc)
        assert crc == zlib.crc32(data)


ELSEWHERE = [frozenset({"+a feature of no processor"})] if COMPILES else []  # there it is a kernel that is called


@pytest.mark.parametrize("needed", [tlv.carryless.NEEDED, *ELSEWHERE])
def test_fold_blocks_compiled_with_and_without_carryless_multiplication_equals_zlib(
    needed: frozenset[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tlv.carryless, "NEEDED", needed)
    compiled = CPUDispatcher(fold, targetoptions={"nopython": True})
    data = random.Random(25).randbytes(400)
    buf = np.frombuffer(bytearray(data), dtype=np.uint8)
    for length in range(16, 400):
        assert compiled(buf, 0, length) == zlib.crc32(data[:length])
    multiplies = any("pclmulqdq" in code for code in compiled.inspect_asm().values())
    assert "+pclmul" in needed or not multiplies


def test_fold_blocks_of_words_does_not_compile() -> None:
    with pytest.raises(TypingError, match="expected an array of bytes"):
        CPUDispatcher(fold, targetoptions={"nopython": True})(np.zeros(4, np.int64), 0, 16)


def test_crc32_large_buffer_equals_zlib() -> None:
    data = random.Random(22).randbytes(65_536)
    assert crc32(np.frombuffer(bytearray(data), dtype=np.uint8), 0, len(data)) == zlib.crc32(data)


def test_crc32_check_value_of_the_standard_is_found() -> None:
    assert crc32(np.frombuffer(bytearray(b"123456789"), dtype=np.uint8), 0, 9) == 0xCBF43926
