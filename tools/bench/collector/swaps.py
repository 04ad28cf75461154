"""How fast the swaps of each kind are decoded: made-up logs of every shape, beside Uniswap V3's.

Kinds that keep several coins in a pool, or several pools in a contract, are looked up by a name that a log's words
make; others by their emitter alone.
"""

from __future__ import annotations

import time
from random import Random

from producers.decode.batch import BatchDecoder
from producers.decode.pool_table import PoolTable, unverified
from producers.kinds.emitter_key import id_of, key_of
from producers.kinds.events import EVENTS, Argument, ContractEvent
from producers.kinds.registry import name_of
from producers.node.rpc_types import Log
from tlv.codes import Protocol, Source
from tlv.layout import PoolSwap
from tools.bench.result import BenchResult

BATCH = 100
FEW_COINS = 3
SHORT_BITS = 80
MOST_SLOWER = 1.3
"""By how much a kind's swap may take longer than Uniswap V3's."""


def run(seconds: float) -> BenchResult:
    """The slowest kind beside Uniswap V3, each with its fastest pass; passes take turns, so that the machine's other
    work meets all alike."""
    rng = Random(1)
    cases = [_Swaps(event, rng) for event in EVENTS if event.record is PoolSwap]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for case in cases:
            case.run()
    v3 = next(case.best_s for case in cases if Protocol.UNISWAP_V3 in case.event.protocols)
    slowest = max(cases, key=lambda case: case.best_s)
    rate, v3_rate = BATCH / slowest.best_s, BATCH / v3
    note = f"{name_of(slowest.event.protocols[0])}, of {len(cases)} shapes of swaps"
    return BenchResult(
        "decode, the slowest kind's swaps",
        rate,
        "logs/s",
        "Uniswap V3's",
        v3_rate,
        rate / v3_rate,
        v3_rate / MOST_SLOWER,
        note,
    )


class _Swaps:
    """A batch of one event, of as many pools."""

    def __init__(self, event: ContractEvent, rng: Random) -> None:
        self.event, self.best_s = event, float("inf")
        self._logs = [made_up(event, rng) for _ in range(BATCH)]
        table = PoolTable()
        for log in self._logs:
            table.add(unverified(id_of(key_of(log)), event.protocols[0]), key_of(log))
        self._decoder = BatchDecoder(table, Source.POLYGON_COLLECTOR)

    def run(self) -> None:
        """Decode the batch once."""
        began = time.perf_counter()
        context = self._decoder.context(BATCH)
        context["row"] = self._decoder.rows(self._logs)
        decoded = self._decoder.decode(self._logs, context, first_sequence=1, timestamp_ns=0)
        self.best_s = min(self.best_s, time.perf_counter() - began)
        assert len(decoded.offsets) == BATCH, "a refused log takes no time"


def made_up(event: ContractEvent, rng: Random) -> Log:
    """A log of an event, of values that can be."""
    return Log(
        f"0x{rng.randbytes(20).hex()}",
        (event.topic0, *(f"0x{_word(argument, rng):064x}" for argument in event.indexed)),
        "0x" + "".join(f"{_word(argument, rng):064x}" for argument in event.words),
        block_number="0x10",
        transaction_hash="0x" + "aa" * 32,
        transaction_index="0x2",
        block_hash="0x" + "bb" * 32,
        log_index="0x3",
    )


def _word(argument: Argument, rng: Random) -> int:
    if argument.coin and argument.type != "address":
        return FEW_COINS if argument.coin == "coin_out" else rng.randrange(FEW_COINS)
    if argument.bounds is not None:
        return rng.randint(max(argument.bounds.least, 0), argument.bounds.most)
    wide = argument.type in ("address", "bytes32")
    return rng.getrandbits(argument.bits if wide else min(argument.bits - 1, SHORT_BITS))
