"""Row 22, the codec's part: every wei of a 256-bit integer comes back, from bytes, from kernels and from JSON."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from msgspec.structs import replace

from tests.tlv.limbs import column_of_ints, ints_of_column
from tests.tlv.plain import both
from tests.tlv.samples import random_record
from tlv.buffers import Bytes
from tlv.codes import Domain
from tlv.jit import kernel
from tlv.kernels import find_tlv
from tlv.layout import POOL_SYNC, Economics, PoolSwap, PoolSync
from tlv.message import build, parse
from tlv.text import record_to_dict

POOL_SWAP, ECONOMICS = PoolSwap.layout.dtype, Economics.layout.dtype
SEED = 22
RANDOM_VALUES = 100_000
ADDRESS = b"\7" * 20
SYNC, SYNC_SIZE = PoolSync.layout.type, PoolSync.layout.size
SWAP, SWAP_SIZE = PoolSwap.layout.type, PoolSwap.layout.size


def edges(bits: int) -> list[int]:
    """0, and every 2^k and 2^k +- 1 that fits `bits` bits."""
    around = {(1 << k) + d for k in range(bits + 1) for d in (-1, 0, 1)}
    return sorted(value for value in around if 0 <= value < 1 << bits)


def signed_edges() -> list[int]:
    return sorted({sign * value for value in edges(255) for sign in (1, -1)} | {-(1 << 255)})


def sync(reserve0: int, reserve1: int) -> PoolSync:
    return PoolSync(ADDRESS, ADDRESS, ADDRESS, 405, 18, 6, 2, reserve0, reserve1)


def test_every_value_survives_bytes_limbs_and_json() -> None:
    """P7."""
    rng = random.Random(SEED)
    values = edges(256) + [rng.getrandbits(256) for _ in range(RANDOM_VALUES)]
    packed = []
    for value in values:
        record = sync(value, value ^ 1)
        packed.append(record.pack())
        assert PoolSync.unpack(packed[-1]) == record
        fields = json.loads(json.dumps(record_to_dict(record)))
        assert (int(fields["reserve0"]), int(fields["reserve1"])) == (value, value ^ 1)
    table = np.frombuffer(b"".join(packed), dtype=POOL_SYNC)
    assert ints_of_column(table["reserve0"]) == values
    assert ints_of_column(table["reserve1"]) == [value ^ 1 for value in values]
    assert column_of_ints(values).tobytes() == table["reserve0"].tobytes()
    print(f"row 22: {len(values)} values of 256 bits through bytes, limbs and JSON, 0 changed (seed {SEED})")


@kernel
def copy_amounts(buf: Bytes, length: int, out: Bytes) -> int:
    """Read the amounts of every message in `buf` limb by limb and write them into `out`, as a strategy would."""
    for i in range(buf.size // length):
        start, end = i * length, (i + 1) * length
        at_sync = find_tlv(buf, start, end, SYNC)
        at_swap = find_tlv(buf, start, end, SWAP)
        if at_sync == -1 or at_swap == -1:
            return -1
        reserves = buf[at_sync : at_sync + SYNC_SIZE].view(POOL_SYNC)[0]
        swap = buf[at_swap : at_swap + SWAP_SIZE].view(POOL_SWAP)[0]
        copied = out[i * SWAP_SIZE : (i + 1) * SWAP_SIZE].view(POOL_SWAP)[0]
        for k in range(4):
            copied["amount0_in"][k] = reserves["reserve0"][k]
            copied["amount1_in"][k] = swap["amount1_in"][k]
        for k in range(2):
            copied["liquidity"][k] = swap["liquidity"][k]
        copied["tick"] = swap["tick"]
    return buf.size // length


@pytest.mark.parametrize("copy", both(copy_amounts))
def test_every_edge_survives_kernels(copy) -> None:
    values = edges(256)
    messages = []
    for value in values:
        amounts = {"amount1_in": value ^ (1 << 255), "liquidity": value % (1 << 128)}
        tick = value % (1 << 32) - (1 << 31)
        swap = replace(random_record(random.Random(SEED), PoolSwap), **amounts, tick=tick)
        messages.append(build(Domain.MARKET_DATA, 4, [sync(value, 0), swap]))
    buf = np.frombuffer(bytearray(b"".join(messages)), dtype=np.uint8)
    out = np.zeros(len(values) * SWAP_SIZE, dtype=np.uint8)
    assert copy(buf, len(messages[0]), out) == len(values)
    table = out.view(POOL_SWAP)
    assert ints_of_column(table["amount0_in"]) == values
    assert ints_of_column(table["amount1_in"]) == [value ^ (1 << 255) for value in values]
    assert ints_of_column(table["liquidity"]) == [value % (1 << 128) for value in values]
    assert table["tick"].tolist() == [value % (1 << 32) - (1 << 31) for value in values]


def test_every_signed_edge_survives_messages_limbs_and_json() -> None:
    values = signed_edges()
    rows = []
    for value in values:
        worth = replace(random_record(random.Random(SEED), Economics), net=value)
        rows.append(worth.pack())
        assert parse(build(Domain.SIGNAL, 20, [worth])).records == (worth,)
        assert int(json.loads(json.dumps(record_to_dict(worth)))["net"]) == value
    table = np.frombuffer(b"".join(rows), dtype=ECONOMICS)
    assert ints_of_column(table["net"], signed=True) == values
