"""WOOFi: one contract (WooPP) that swaps any of its coins for any other at a price that an oracle posts.

The contract is the chain file's, at a fixed address; there is no other proof, and none is needed.  Its swap event grew:
first without, then with a rebate's receiver, then with volume and fee in the quote token.  The price is the oracle's,
not the pool's: there is **no quote**.

Sources: woonetwork/woofi_swap_smart_contracts IWooPP, IWooPPV2; woonetwork/WooPoolV2 IWooPPV2 (WooSwap).
"""

from __future__ import annotations

from producers.kinds.events import Role, event
from producers.kinds.kind import Fee, PoolKind, Proof
from producers.kinds.proving import Case, Proven, Refuted, Standing, Verdict, hub_of, ordered
from tlv.codes import Protocol
from tlv.layout import PoolSwap


def prove(case: Case) -> Verdict | None:
    """By its address."""
    hub, pair = hub_of(case), ordered(case.coins)
    if hub is None:
        return Refuted(Standing.UNSUPPORTED)
    return Refuted(Standing.FALSE) if pair is None else Proven(pair.token0, pair.token1, hub, flipped=pair.flipped)


SWAP = (
    "WooSwap(address indexed coin_in, address indexed coin_out, uint256 amount_in, uint256 amount_out, "
    "address sender, address indexed recipient"
)

KIND = PoolKind(
    name="WOOFI",
    code=Protocol.WOOFI,
    events=tuple(
        event("swap", Role.POOL, PoolSwap, f"{SWAP}{more})")
        for more in ("", ", address _", ", address _, uint256 _, uint256 _")
    ),
    proof=Proof(),
    fee=Fee.DYNAMIC,
    state=None,
    prove=prove,
    proven="its address, which is configured",
)
