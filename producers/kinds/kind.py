"""What a pool kind declares: everything about one contract family that a collector must know.

Owns the shape of a declaration.  What a valid one is: `producers.kinds.checks`; which there are: `producers.kinds`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from producers.kinds.events import ContractEvent
from producers.kinds.pair_proof import prove_pair
from producers.kinds.proving import Case, Verdict
from tlv.layout import PoolRecord

if TYPE_CHECKING:
    from producers.node.call_program import Question


class Fee(Enum):
    """Who says what a pool charges."""

    FACTORY = "factory"
    """`fee_pips` of the factory in the chain file."""
    OWN = "own"
    """The pool, once and for all: `fee()`."""
    DYNAMIC = "dynamic"
    """It changes all the time, or nothing that is asked says it: 0 in records."""


class StateAnswer(NamedTuple):
    """What a pool holds after a block; zeros where that is not known."""

    reserve0: int = 0
    reserve1: int = 0
    sqrt_price_x96: int = 0
    liquidity: int = 0
    tick: int = 0
    block_number: int = 0
    fees: tuple[int, int] | None = None
    """What it takes of token0 and of token1 that goes in, where that is part of the state; else None."""


class StateRule(NamedTuple):
    """How a pool's state is asked."""

    functions: tuple[str, ...]
    """View functions without arguments, `slot0()`."""
    read: Callable[[list[list[int]]], StateAnswer | None]
    """The state from the unsigned words of each answer, in the order of `functions`; None if it cannot be."""
    questions: Callable[[bytes, bytes], list[Question]] | None = None
    """What is asked in place of `functions` about a pool that is no contract, from its factory and its id."""


class Proof(NamedTuple):
    """What a factory passes to CREATE2 (EIP-1014): the pool that hashes to its own address is proven; or what it is
    asked about its pools."""

    salt: Callable[[bytes, bytes, tuple[int, ...]], bytes] | None = None
    """From token0, token1 (20 bytes each) and the words that `functions` answered; None: its factories use no
    CREATE2, or none that can be recomputed."""
    functions: tuple[str, ...] = ()
    """View functions of the pool whose answers are part of the salt, besides `token0()` and `token1()`."""
    lookup: str = ""
    """The factory's view function from what identifies a pool to its address: the tokens, then the types of
    `functions`.  It proves the pools of a factory without an init code hash; of others `alphapulse validate` asks it,
    as a second opinion.  "" = there is none."""


@dataclass(frozen=True)
class PoolKind:
    """One contract family."""

    name: str
    """What a chain file's `protocol` says: upper case."""
    code: int  # u8, `protocol` of every record: a member of tlv.codes.Protocol, or from 128 on
    events: tuple[ContractEvent, ...]
    """The events that this kind declares."""
    proof: Proof
    fee: Fee
    state: StateRule | None
    """None: never asked; readers wait for the next event."""
    shares: tuple[ContractEvent, ...] = ()
    """Events of another kind that this one emits alike, argument for argument; only the factory tells them apart."""
    spacing_of_fee: Mapping[int, int] | None = None
    """Tick spacings that follow from the fee, others are asked of `tickSpacing()`; None: the kind has no ticks."""
    tick_bitmap: str = ""
    """View function of the bitmap of its ticks, `tickBitmap(int16)`, if it keeps these and `ticks(int24)` as Uniswap V3
    does; else its tick maps are not read (`producers.output.tick_program`)."""
    tick_slots: Callable[[bytes], int] | None = None
    """From the id to the slot under which the factory keeps the pool and its ticks (Uniswap V4)."""
    fee_states: bool = False
    """Whether `producers.output.fee_program` can read what decides its fee: as Algebra V1 keeps it."""
    synced: tuple[type[PoolRecord], ...] = ()
    """Records that a pool never causes without a PoolSync in the same transaction: one alone is a lookalike's."""
    fee_unit: int = 1
    """Pips of what a factory's `fee_call` counts in."""
    stable_curve: int = 0
    """How a pool swaps whose `stable()` is true (`tlv.codes.Curve`), one whose is not is VOLATILE; 0: it has none."""
    quotes: str = ""
    """What strategies and books quote of its pools, in words for the documents: "exact" where that is computed to the
    wei as the contract does, and what else there is to say; "" = they are not quoted."""
    proven: str = ""
    """What else than its address or its factory's lookup proves a pool of it, in words for the documents."""
    factory_keys: tuple[str, ...] = ()
    """What of a factory in a chain file its `prove` reads besides what a pair's does: `positions`, `custom_deployers`,
    `lookup`.  Of another kind they are refused there."""
    prove: Callable[[Case], Verdict | None] = prove_pair
    """How a pool of it is proven, given what was said so far; None = not yet."""
