"""Uniswap V4: all pools in one contract, each named by the hash of its key; the chain's own coin trades as address 0.

Amounts of a Swap are the swapper's: what goes into the pool is negative.  A swap pays the pool's fee and, on top, what
the protocol takes each way; the event says both together.  A pool may have a hook, which is asked around each swap and
may set fee and amounts: `PoolState.hooks` names it.  The manager has no functions for a pool's state, but shows its
storage.

    Initialize in the stream, poolKeys of the position manager, or a search for Initialize  --a key that is the id's-->
    PROVEN.  A key that hashes to another id says nothing: the manager hashed it, so the node is wrong.

Sources: uniswap/v4-core IPoolManager, IProtocolFees, PoolKey, PoolIdLibrary, StateLibrary, ProtocolFeeLibrary,
LPFeeLibrary; v4-periphery PositionManager.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from eth_hash.auto import keccak

from producers.kinds.events import Role, event
from producers.kinds.kind import Fee, PoolKind, Proof, StateAnswer, StateRule
from producers.kinds.proving import Case, Proven, Refuted, Standing, Verdict
from producers.node import view_calls as view
from producers.node.call_program import Question
from producers.node.hex import HexError, read_bytes
from tlv.codes import Protocol
from tlv.layout import PoolFee, PoolLiquidity, PoolState, PoolSwap

if TYPE_CHECKING:
    from producers.node.rpc_types import Log

WORD = 32
FEE_UNIT = 1_000_000
POOLS_SLOT = 6
"""Of the manager's pools (StateLibrary)."""
LIQUIDITY_SLOT = 3
"""Within a pool, whose first slot has price, tick and fees."""
KEY_WORDS = 5
ID_WORD = 25
"""Bytes of an id that PositionManager keeps keys under."""

INITIALIZE = event(
    "initialize",
    Role.POOL,
    PoolState,
    "Initialize(bytes32 indexed pool, address indexed token0, address indexed token1, uint24 fee_pips, "
    "int24 tick_spacing, address hooks, uint160 sqrt_price_x96, int24 tick)",
)


class PoolKey(NamedTuple):
    """What a pool is made from; its five words hash to the id (PoolIdLibrary.toId)."""

    token0: bytes
    token1: bytes
    fee: int
    """Beyond `FEE_UNIT`: its hook says it."""
    spacing: int
    hooks: bytes

    @property
    def id(self) -> bytes:
        """32 bytes."""
        numbers = (self.fee, self.spacing)
        words = (self.token0, self.token1, *(number.to_bytes(WORD, "big") for number in numbers), self.hooks)
        return keccak(b"".join(word.rjust(WORD, b"\0") for word in words))


def read_key(words: list[int]) -> PoolKey | None:
    """The key in five words; None if one of them cannot be a key's."""
    if len(words) != KEY_WORDS or max(words[0], words[1], words[4]) >> 160 or words[2] >> 24 or words[3] >> 15:
        return None
    token0, token1, fee, spacing, hooks = words
    return PoolKey(token0.to_bytes(20, "big"), token1.to_bytes(20, "big"), fee, spacing, hooks.to_bytes(20, "big"))


def key_in(log: Log) -> PoolKey | None:
    """The key in an Initialize log; None if it is none."""
    try:
        words = [read_bytes(text or "") for text in (*log.topics[2:4], log.data)]
    except HexError:
        return None
    joined = b"".join(words)
    if len(joined) % WORD:
        return None
    return read_key([int.from_bytes(joined[at : at + WORD], "big") for at in range(0, len(joined), WORD)][:KEY_WORDS])


def prove(case: Case) -> Verdict | None:
    """The verdict over a pool: it is one if its emitter is configured, and a key hashes to its id.

    Of an emitter that is not configured nothing is asked.
    """
    manager = next((factory for factory in case.factories if factory.address == case.address), None)
    if manager is None:
        return Refuted(Standing.UNSUPPORTED, factory=bytes.fromhex(case.address[2:]))
    for key in _keys(case, manager.positions):
        if key is not None and key.id == case.pool_id and key.token0 < key.token1:
            fee = key.fee if key.fee <= FEE_UNIT else 0
            return Proven(key.token0, key.token1, manager, fee, key.spacing, hooks=key.hooks)
    return None


def _keys(case: Case, positions: str | None) -> Iterator[PoolKey | None]:
    """The keys that are known of; the next way is tried where one hashes to another id."""
    heard = case.heard.get(INITIALIZE.topic0)
    if heard is not None:
        yield key_in(heard)
    if positions is not None:
        by_id = case.pool_id[:ID_WORD] + bytes(WORD - ID_WORD)
        said = case.ask(Question(positions, view.calling("poolKeys(bytes25)", by_id), KEY_WORDS))
        if said is None:
            return
        yield read_key(view.read_words(said)) if isinstance(said, str) else None
    case.seek(INITIALIZE.topic0)


def charged(lp_fee: int, protocol_fee: int) -> tuple[int, int]:
    """What a pool takes of token0 and of token1 that goes in (ProtocolFeeLibrary.calculateSwapFee), in pips.

    protocol_fee: both ways', as the contract packs them, 12 bits each.
    """
    of_token0, of_token1 = protocol_fee & 0xFFF, protocol_fee >> 12
    return lp_fee + of_token0 - lp_fee * of_token0 // FEE_UNIT, lp_fee + of_token1 - lp_fee * of_token1 // FEE_UNIT


def slot_of(pool: bytes) -> int:
    """Where the manager keeps the pool of this id (StateLibrary._getPoolStateSlot)."""
    return int.from_bytes(keccak(pool + POOLS_SLOT.to_bytes(WORD, "big")), "big")


def state_questions(manager: bytes, pool: bytes) -> list[Question]:
    """Its first slots, of one moment: `extsload` of the manager."""
    data = view.calling("extsload(bytes32,uint256)", slot_of(pool), LIQUIDITY_SLOT + 1)
    return [Question(f"0x{manager.hex()}", data, 2 + LIQUIDITY_SLOT + 1)]


def read_state(answers: list[list[int]]) -> StateAnswer | None:
    """From the array of slots: price, tick, fee of the protocol, fee; then two sums of fees; then liquidity."""
    words = answers[0]
    if len(words) != 3 + LIQUIDITY_SLOT or words[:2] != [WORD, LIQUIDITY_SLOT + 1] or words[-1] >> 128:
        return None
    first = words[2]
    tick, protocol_fee, lp_fee = (first >> shift & 0xFFFFFF for shift in (160, 184, 208))
    if first >> 232 or lp_fee > FEE_UNIT:
        return None
    return StateAnswer(
        sqrt_price_x96=first & (1 << 160) - 1,
        tick=tick - (tick >> 23 << 24),
        liquidity=words[-1],
        fees=charged(lp_fee, protocol_fee),
    )


KIND = PoolKind(
    name="UNISWAP_V4",
    code=Protocol.UNISWAP_V4,
    events=(
        event(
            "swap",
            Role.POOL,
            PoolSwap,
            "Swap(bytes32 indexed pool, address indexed sender, int128 -amount0, int128 -amount1, "
            "uint160 sqrt_price_x96, uint128 liquidity, int24 tick, uint24 swap_fee_pips)",
        ),
        event(
            "modify_liquidity",
            Role.POOL,
            PoolLiquidity,
            "ModifyLiquidity(bytes32 indexed pool, address indexed sender, int24 tick_lower, int24 tick_upper, "
            "int256 liquidity_delta, bytes32 salt)",
        ),
        INITIALIZE,
        event("protocol_fee_updated", Role.POOL, PoolFee, "ProtocolFeeUpdated(bytes32 indexed pool, uint24 _)"),
    ),
    proof=Proof(),
    factory_keys=("positions",),
    prove=prove,
    fee=Fee.DYNAMIC,
    state=StateRule((), read_state, state_questions),
    spacing_of_fee={},
    tick_slots=slot_of,
    quotes="exact without a hook, with `--watch-ticks` across ticks; with one SPECULATIVE",
    proven="its key, whose hash is its id; the manager is the emitter",
)
