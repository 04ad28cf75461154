"""Solidly and its forks that kept its events (Dystopia, Velodrome V1): volatile and stable pairs of one factory.

A pair emits Uniswap V2's Swap, Mint and Burn, and a Sync of its own, of whole words: only Sync and the factory tell the
two apart.  What was taken as fee leaves the pair at once, so its reserves grow by less than its Swap says.

Sources: Solidly BaseV1Pair, BaseV1Factory; dystopia-exchange DystPair, DystFactory; velodrome-finance/v1 Pair,
PairFactory.
"""

from __future__ import annotations

from eth_hash.auto import keccak

from producers.kinds import uniswap_v2
from producers.kinds.events import Role, event
from producers.kinds.kind import Fee, PoolKind, Proof, StateAnswer, StateRule
from tlv.codes import Curve, Protocol
from tlv.layout import PoolBurn, PoolCreated, PoolMint, PoolSwap, PoolSync

BASIS_POINT = 100
"""Pips of what a factory's `getFee` counts in."""


def salt(token0: bytes, token1: bytes, words: tuple[int, ...]) -> bytes:
    """Hash of the packed tokens and of whether the pair is stable."""
    return keccak(token0 + token1 + bytes([words[0] != 0]))


def read_state(answers: list[list[int]]) -> StateAnswer | None:
    """From `getReserves()`: reserve0, reserve1, time of the last change."""
    words = answers[0]
    return StateAnswer(reserve0=words[0], reserve1=words[1]) if len(words) == 3 else None


SYNC = event("sync", Role.POOL, PoolSync, "Sync(uint256 reserve0, uint256 reserve1)")
STATE = StateRule(("getReserves()",), read_state)
SWAP, MINT, BURN = (named for named in uniswap_v2.KIND.events if named.record in (PoolSwap, PoolMint, PoolBurn))

KIND = PoolKind(
    name="SOLIDLY",
    code=Protocol.SOLIDLY,
    events=(
        SYNC,
        event(
            "pair_created",
            Role.FACTORY,
            PoolCreated,
            "PairCreated(address indexed token0, address indexed token1, bool _, address pool, uint256 _)",
        ),
    ),
    shares=(SWAP, MINT, BURN),
    proof=Proof(salt, ("stable()",), lookup="getPair(address,address,bool)"),
    fee=Fee.FACTORY,
    fee_unit=BASIS_POINT,
    state=STATE,
    synced=(PoolSwap, PoolMint, PoolBurn),
    stable_curve=Curve.SOLIDLY,
    quotes="exact, volatile and stable",
)
