"""Header parse, message check and build of a 24-byte TLV in batches, CRC-32, and the Python API of both directions.

Each native reading stands beside what plain Python does for the same bytes with `struct` and `zlib`.  A reading is the
fastest pass over 100,000 messages (5.8 MB, so mostly out of the level 2 cache).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tlv.batch import build_batch, check_batch, read_headers
from tlv.codes import Domain, Protocol, Source, Venue
from tlv.crc import crc32
from tlv.kernels import SHORT_FORM
from tlv.layout import CHECKSUM_AT, HEADER, HEADER_SIZE, EventOrigin, Gap, Header, PoolSwap
from tlv.message import build, parse
from tlv.record import Record
from tools.bench.result import BenchResult
from tools.bench.timing import per_second

MESSAGES = 100_000
PYTHON_MESSAGES = 2_000
VALUE = Gap(1, 2, 1, 1)
"""A record of 24 bytes."""
SWAP: list[Record] = [
    PoolSwap(
        bytes.fromhex("45dda9cb7c25131df268515131f647d726f50608"),
        bytes.fromhex("2791bca1f2de4661ed88a30c99a7a9449aa84174"),
        bytes.fromhex("7ceb23fd6bc0add59e62ac25578270cff1b9f619"),
        Venue.UNISWAP_V3_POLYGON.value,
        6,
        18,
        Protocol.UNISWAP_V3.value,
        0,
        2_500_000_000_000_000_000,
        4_713_205_117,
        0,
        1_825_014_371_009_824_455_361_087_132_498_176,
        1_902_451_880_017_345_216,
        200_938,
        bytes.fromhex("e592427a0aece92de3edee1f18e0157c05861564"),
        bytes.fromhex("e592427a0aece92de3edee1f18e0157c05861564"),
    ),
    EventOrigin(45_678_901, 1_690_000_000, 1_690_000_000_512_345_678, 17, 83, bytes(range(32)), bytes(range(32, 64))),
]
"""A swap as the collector publishes it, with its origin."""
SIZE = HEADER_SIZE + SHORT_FORM + VALUE.layout.size
CRC_BYTES = 1 << 16


class GapMessages:
    """100,000 messages of one Gap each, and the arrays that the kernels fill."""

    def __init__(self) -> None:
        row = np.frombuffer(VALUE.pack(), dtype=np.uint8)
        self.values = np.tile(row, (MESSAGES, 1))
        self.buf = np.zeros(MESSAGES * SIZE, dtype=np.uint8)
        self.offsets, self.lengths, self.statuses = np.zeros((3, MESSAGES), dtype=np.int64)
        self.headers = np.zeros(MESSAGES, dtype=HEADER)

    def build(self, checksum: bool) -> None:
        """Build all of them."""
        arrays = (self.buf, self.offsets, self.lengths)
        build_batch(*arrays, Domain.SYSTEM.value, 4, 0, 1, 0, VALUE.layout.type, self.values, checksum)

    def read(self, verify: bool) -> None:
        """Read all headers."""
        read_headers(self.buf, self.offsets, self.lengths, verify, self.headers, self.statuses)

    def check(self, verify: bool) -> None:
        """Check all of them to the last TLV."""
        check_batch(self.buf, self.offsets, self.lengths, verify, self.statuses)


def millions_per_second(work: Callable[..., Any], argument: Any, count: int, seconds: float) -> float:
    """The best rate of `work(argument)`, which does `count` things, within `seconds`; the first call is not timed."""
    return per_second(partial(work, argument), count, seconds) / 1e6


def pack_in_python(checksum: bool) -> None:
    """What a Python program does without this package: two structs, and zlib for the checksum."""
    header, value = Header.layout.codec, VALUE.layout.codec
    for sequence in range(PYTHON_MESSAGES):
        payload = bytes((VALUE.layout.type, value.size)) + value.pack(1, 2, 1, 1)
        raw = header.pack(0xDEADBEEF, 4, 1, 4, 0, sequence, 0, len(payload), 0)
        if checksum:
            crc = zlib.crc32(payload, zlib.crc32(raw[:CHECKSUM_AT]))
            header.pack(0xDEADBEEF, 4, 1, 4, 0, sequence, 0, len(payload), crc)


def unpack_in_python(checksum: bool) -> None:
    """The other direction."""
    unpack = Header.layout.codec.unpack_from
    message = build(Domain.SYSTEM, Source.POLYGON_COLLECTOR, [VALUE])
    for _ in range(PYTHON_MESSAGES):
        header = unpack(message)
        if checksum and zlib.crc32(message[HEADER_SIZE:], zlib.crc32(message[:CHECKSUM_AT])) != header[-1]:
            raise AssertionError("the benchmark's own message is damaged")


def build_typed(records: list[Record]) -> None:
    """`tlv.message.build`, message by message."""
    domain, source = Domain(records[0].layout.domain or Domain.SYSTEM), Source.POLYGON_COLLECTOR
    for sequence in range(PYTHON_MESSAGES):
        build(domain, source, records, sequence=sequence)


def parse_typed(message: bytes) -> None:
    """`tlv.message.parse` of one message."""
    for _ in range(PYTHON_MESSAGES):
        parse(message)


def run(seconds: float) -> list[BenchResult]:
    """All readings, each over `seconds`."""
    batch = GapMessages()
    results = []
    for checksum, floor, label in ((False, 10.0, "no checksum"), (True, 3.0, "checksum")):
        packed = millions_per_second(pack_in_python, checksum, PYTHON_MESSAGES, seconds / 4)
        unpacked = millions_per_second(unpack_in_python, checksum, PYTHON_MESSAGES, seconds / 4)
        for name, work, baseline, rate, target in (
            ("build", batch.build, "struct.pack", packed, floor),
            ("header parse", batch.read, "struct.unpack", unpacked, floor),
            ("message check", batch.check, "struct.unpack", unpacked, None),
        ):
            value = millions_per_second(work, checksum, MESSAGES, seconds)
            results.append(
                BenchResult(f"tlv {name}, {label}", value, "M/s", f"{baseline} in Python", rate, value / rate, target)
            )
    return [*results, *run_crc(seconds), *run_python_face(seconds)]


def run_crc(seconds: float) -> list[BenchResult]:
    """CRC-32 of 64 KiB against zlib's, which is C and slices as well."""
    buf = np.random.default_rng(1).integers(0, 256, CRC_BYTES).astype(np.uint8)
    raw = buf.tobytes()
    value = millions_per_second(lambda end: crc32(buf, 0, end), CRC_BYTES, CRC_BYTES, seconds) * 1e6 / 1e9
    zlib_rate = millions_per_second(zlib.crc32, raw, CRC_BYTES, seconds) * 1e6 / 1e9
    return [BenchResult("tlv crc32 of 64 KiB", value, "GB/s", "zlib.crc32", zlib_rate, value / zlib_rate)]


def run_python_face(seconds: float) -> list[BenchResult]:
    """Typed records in and out, against bare structs of a Gap with the same checksum."""
    results = []
    packed = millions_per_second(pack_in_python, True, PYTHON_MESSAGES, seconds)
    unpacked = millions_per_second(unpack_in_python, True, PYTHON_MESSAGES, seconds)
    for label, records in (("", [VALUE]), (" of a swap", SWAP)):
        message = build(Domain(records[0].layout.domain or Domain.SYSTEM), Source.POLYGON_COLLECTOR, records)
        note = f"{len(message)} bytes, checksum and {sum(len(one.layout.kinds) for one in records)} fields"
        for name, work, argument, baseline, rate, target in (
            ("build", build_typed, records, "struct.pack", packed, 1.2),
            ("parse", parse_typed, message, "struct.unpack", unpacked, 1.6),
        ):
            value = millions_per_second(work, argument, PYTHON_MESSAGES, seconds)
            results.append(
                BenchResult(
                    f"tlv Python {name}{label}",
                    value,
                    "M/s",
                    f"{baseline} of a Gap in Python",
                    rate,
                    value / rate,
                    target,
                    note,
                )
            )
    return results
