"""Slipstream, the concentrated liquidity of Velodrome and Aerodrome: Uniswap V3's pools, one for each tick spacing.

The pools are minimal proxies (EIP-1167), and their tick spacing stands in the salt where V3 has the fee.  Their fee is
asked of a module of the factory at each swap, so it may move at any time and is in no event.

Sources: velodrome-finance/slipstream ICLPoolEvents, ICLFactory, CLFactory.createPool, CLPool.fee.
"""

from __future__ import annotations

from producers.kinds.events import Role, event
from producers.kinds.kind import Fee, PoolKind, Proof, StateRule
from producers.kinds.uniswap_v3 import POOL_EVENTS, read_state, salt
from tlv.codes import Protocol
from tlv.layout import PoolCreated

KIND = PoolKind(
    name="SLIPSTREAM",
    code=Protocol.SLIPSTREAM,
    events=(
        event(
            "pool_created",
            Role.FACTORY,
            PoolCreated,
            "PoolCreated(address indexed token0, address indexed token1, int24 indexed tick_spacing, address pool)",
        ),
    ),
    shares=POOL_EVENTS,
    proof=Proof(salt, ("tickSpacing()",), lookup="getPool(address,address,int24)"),
    fee=Fee.DYNAMIC,
    state=StateRule(("slot0()", "liquidity()"), read_state),
    spacing_of_fee={},
)
