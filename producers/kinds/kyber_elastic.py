"""KyberSwap Elastic: concentrated liquidity whose fees are reinvested along the whole price range.

Its Swap, Mint, Burn and Initialize are Uniswap V3's word for word; only the factory tells them apart.  Three things
differ.  Fees are in units of ten pips, and `swapFeeUnits()` says them.  The factory's PoolCreated has V3's topic
with the fee in these units, so it is not taken for one: what it would be told as is ten times too little.  And a
swap moves on the liquidity of its event *plus* the reinvested one, which no event says: there is **no quote**.

Sources: KyberNetwork/ks-elastic-sc IPoolEvents, IFactory, IPoolStorage, Factory.createPool (salt as in Uniswap V3,
by BaseSplitCodeFactory with the hash of the whole creation code), MathConstants.FEE_UNITS, SwapMath.
"""

from __future__ import annotations

from producers.kinds.kind import Fee, PoolKind, Proof, StateAnswer, StateRule
from producers.kinds.pair_proof import prove_pair
from producers.kinds.proving import Case, Proven, Verdict, word_of
from producers.kinds.uniswap_v3 import POOL_EVENTS, read_state, salt
from tlv.codes import Protocol

UNIT_PIPS = 10
"""Pips in a fee unit: 100,000 units are all of it."""
FEE_UNITS = 100_000
LARGEST_SPACING = (1 << 14) - 1
"""Factory.enableSwapFee allows no larger tick distance."""


def prove(case: Case) -> Verdict | None:
    """As a pair's, with the fee in pips and the tick distance."""
    verdict = prove_pair(case)
    if not isinstance(verdict, Proven):
        return verdict
    answers = [case.ask(case.of_pool(function)) for function in ("swapFeeUnits()", "tickDistance()")]
    if None in answers:
        return None
    units, distance = (word_of(answer) or 0 for answer in answers)
    return verdict._replace(
        fee_pips=UNIT_PIPS * units if units < FEE_UNITS else 0,
        tick_spacing=distance if distance <= LARGEST_SPACING else 0,
    )


def read(answers: list[list[int]]) -> StateAnswer | None:
    """From `getPoolState()` (price, tick, nearest tick, locked) and `getLiquidityState()` (base liquidity, reinvested
    one, the same at its last change)."""
    state, liquidity = answers
    return read_state([state, liquidity[:1]]) if len(liquidity) == 3 else None


KIND = PoolKind(
    name="KYBER_ELASTIC",
    code=Protocol.KYBER_ELASTIC,
    events=(),
    shares=tuple(shared for shared in POOL_EVENTS if shared.name != "collect"),
    proof=Proof(salt, ("swapFeeUnits()",), lookup="getPool(address,address,uint24)"),
    fee=Fee.PROVEN,
    state=StateRule(("getPoolState()", "getLiquidityState()"), read),
    prove=prove,
)
