"""KyberSwap Elastic: concentrated liquidity whose fees are reinvested along the whole price range.

Its Swap, Mint, Burn and Initialize are Uniswap V3's word for word; only the factory tells them apart.  Two things
differ.  A swap moves on the liquidity of its event *plus* the reinvested one, which no event says: there is **no
quote**, and `fee_pips` is 0, as of every pool that cannot be quoted.  And fees are in units of ten pips: the factory's
PoolCreated has V3's topic with the fee in these units, so it is not taken for one, which would tell a tenth of it.

Sources: KyberNetwork/ks-elastic-sc IPoolEvents, IFactory, IPoolStorage, Factory.createPool (salt as in Uniswap V3, by
BaseSplitCodeFactory with the hash of the whole creation code), SwapMath.
"""

from __future__ import annotations

from producers.kinds.kind import Fee, PoolKind, Proof, StateAnswer, StateRule
from producers.kinds.pair_proof import prove_pair
from producers.kinds.proving import Case, Proven, Verdict, word_of
from producers.kinds.uniswap_v3 import POOL_EVENTS, read_state, salt
from tlv.codes import Protocol

LARGEST_SPACING = (1 << 14) - 1
"""Factory.enableSwapFee allows no larger tick distance."""


def prove(case: Case) -> Verdict | None:
    """As a pair's, with the tick distance."""
    verdict = prove_pair(case)
    if not isinstance(verdict, Proven):
        return verdict
    answer = case.ask(case.of_pool("tickDistance()"))
    if answer is None:
        return None
    distance = word_of(answer) or 0
    return verdict._replace(tick_spacing=distance if distance <= LARGEST_SPACING else 0)


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
    fee=Fee.DYNAMIC,
    state=StateRule(("getPoolState()", "getLiquidityState()"), read),
    prove=prove,
)
