"""Algebra 1.x, as QuickSwap V3 runs it: concentrated liquidity, one pool for two tokens, a fee that moves.

Algebra renamed the arguments of V3's events and kept their types, so pool events share V3's topics: only the emitter's
factory tells the two apart.  `tickTable` is V3's `tickBitmap` by another name.  The fee is computed anew by the first
swap of a block, which pays it and says it in a Fee event: the fee of the next block follows from the pool's FeeState
(`producers.output.fee_states`), not from that event.  CommunityFee divides what a swap pays and changes no amount, so
it is not decoded.

Sources: cryptoalgebra/AlgebraV1 IAlgebraPoolEvents, IAlgebraPoolState, IAlgebraFactory, AlgebraPoolDeployer.
"""

from __future__ import annotations

from eth_hash.auto import keccak

from producers.kinds.events import Role, event
from producers.kinds.kind import Fee, PoolKind, Proof, StateRule
from producers.kinds.uniswap_v3 import POOL_EVENTS, read_state
from tlv.codes import Protocol
from tlv.layout import PoolCreated, PoolFee


def salt(token0: bytes, token1: bytes, _: tuple[int, ...]) -> bytes:
    """Hash of the ABI-encoded tokens."""
    return keccak(token0.rjust(32, b"\0") + token1.rjust(32, b"\0"))


FACTORY_EVENTS = (
    event(
        "pool_created",
        Role.FACTORY,
        PoolCreated,
        "Pool(address indexed token0, address indexed token1, address pool)",
    ),
)
FEE_EVENT = event("fee", Role.POOL, PoolFee, "Fee(uint16 fee_pips)")

KIND = PoolKind(
    name="ALGEBRA",
    code=Protocol.ALGEBRA,
    events=(*FACTORY_EVENTS, FEE_EVENT),
    shares=POOL_EVENTS,
    proof=Proof(salt, lookup="poolByPair(address,address)"),
    fee=Fee.DYNAMIC,
    state=StateRule(("globalState()", "liquidity()"), read_state),
    spacing_of_fee={},
    tick_bitmap="tickTable(int16)",
    fee_states=True,
    quotes="exact, with `--watch-ticks`, which tells what its fee follows from",
)
