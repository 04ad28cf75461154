"""Algebra 1.x, as QuickSwap V3 runs it: concentrated liquidity, one pool for two tokens, a fee that moves.

Algebra renamed the arguments of V3's events and kept their types, so pool events share V3's topics: only the emitter's
factory tells the two apart.  Its pools keep `tickTable` in place of `tickBitmap`; no contract of theirs is here to hold
a reading against, so tick maps are not read.

Sources: cryptoalgebra/Algebra (1.x) IAlgebraPoolEvents, IAlgebraPoolState, IAlgebraFactory, AlgebraPoolDeployer.
"""

from __future__ import annotations

from eth_hash.auto import keccak

from producers.kinds.events import Role, event
from producers.kinds.kind import Fee, PoolKind, Proof, StateRule
from producers.kinds.uniswap_v3 import POOL_EVENTS, read_state
from tlv.codes import Protocol
from tlv.layout import PoolCreated


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

KIND = PoolKind(
    name="ALGEBRA",
    code=Protocol.ALGEBRA,
    events=FACTORY_EVENTS,
    shares=POOL_EVENTS,
    proof=Proof(salt, lookup="poolByPair(address,address)"),
    fee=Fee.DYNAMIC,
    state=StateRule(("globalState()", "liquidity()"), read_state),
    spacing_of_fee={},
)
