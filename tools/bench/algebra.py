"""The fee of an Algebra pool's next block: averages over a day of trades and three sigmoids."""

from __future__ import annotations

import random
import time
from math import factorial

import numpy as np

from consumers.arbitrage.algebra_fee import WINDOW_S, FeeClock, next_fee
from tlv.buffers import Longs, Structs
from tlv.jit import kernel
from tlv.layout import Timepoint
from tools.bench.result import BenchResult

BEGIN_S = 1_700_000_000
CONFIG = (2900, 12_000, 360, 600, 5900, 8500, 60, 10_000, 100)
"""None of the three sigmoids is flat where the pool is, so that each is computed."""
FEES = 10_000


@kernel
def sum_of_fees(config: Longs, points: Structs, used: int, tick: int, count: int) -> int:
    """Fees of `count` timestamps."""
    total = 0
    volume = np.uint64(1 << 60)
    for second in range(count):
        total += next_fee(config, points, used, tick, volume, np.uint64(0), points[used - 1]["timestamp"] + 1 + second)
    return total


def a_day_of_trades() -> FeeClock:
    """A pool that traded every minute for two days."""
    rng, now = random.Random(14), BEGIN_S
    clock = FeeClock(CONFIG, [Timepoint(0, 0, 0, now, 0, 0)], tick=0, fee=100, volume=0)
    while now < BEGIN_S + 2 * WINDOW_S:
        now += rng.randint(1, 120)
        clock.write(now)
        clock.trade(rng.randint(-80, 80), 10**21, 10**18, -(10**18))
    return clock


def sigmoid(x: int, gamma: int, alpha: int, beta: int) -> int:
    """What `adaptive_fee.sigmoid` computes."""
    away, whole = abs(x - beta), gamma**8
    series = sum(away**k * gamma ** (8 - k) // factorial(k) for k in range(9))
    return int(alpha * (series if x > beta else whole) // (whole + series))


def run_algebra_fee(seconds: float) -> BenchResult:
    """The next fee, jitted, beside the three sigmoids alone in Python."""
    clock = a_day_of_trades()
    arguments = (clock.config, clock.points, clock.used, clock.tick)
    sum_of_fees(*arguments, 1)
    found, plain, end = float("inf"), float("inf"), time.perf_counter() + seconds
    while True:
        began = time.perf_counter()
        sum_of_fees(*arguments, FEES)
        between = time.perf_counter()
        for _ in range(FEES // 100):
            sigmoid(100, 59, 2900, 360), sigmoid(100, 8500, 12_000, 600), sigmoid(900, 1000, 9000, 60)
        now = time.perf_counter()
        found, plain = min(found, (between - began) / FEES), min(plain, (now - between) / (FEES // 100))
        if now > end:
            value, baseline = found * 1e6, plain * 1e6
            return BenchResult(
                "strategy fee of an Algebra pool",
                value,
                "us",
                "its sigmoids in Python",
                baseline,
                baseline / value,
                5.0,
            )
