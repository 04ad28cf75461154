"""Every struct of the wire format.  The one place where an offset is decided.

A record is declared once, as a class whose fields are kinds of `tlv.fields`.  Its numpy dtype, its `struct` codec, the
table in LAYOUT.md and the digest that rings, journals and relays carry are all derived from that declaration.

Rules, asserted at import: little-endian; every field at its natural alignment; zeroed `_padding` at the end up to a
multiple of 8; a type number is used once and lies in its domain's range.

    message = header (32 bytes) | TLV | TLV | ...
    TLV     = type u8 | length u8 | value           or   255 | 0 | type u8 | length u16 | value
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from tlv.codes import ANY_DOMAIN, TYPE_RANGES, VENDOR_TYPES
from tlv.fields import (
    I32,
    I64,
    I128,
    I256,
    U8,
    U16,
    U32,
    U64,
    U128,
    U256,
    Address,
    Bytes32,
    Hash,
    PoolId,
    Text20,
    Text64,
    Uuid,
)
from tlv.record import RECORDS, Layout, Record, record


@record(type=0)
class Header(Record, frozen=True):
    """What every message begins with."""

    magic: U32
    domain: U8
    version: U8
    source: U8
    flags: U8
    sequence: I64
    timestamp_ns: I64
    payload_size: U32
    checksum: U32


@record(type=0)
class InstrumentKey(Record, frozen=True):
    """An instrument's identity (`tlv.instrument`): the first `length` bytes of `name` count."""

    venue: U16
    asset_type: U8
    length: U8
    name: Bytes32


# ---- market data, 1-19


class PoolRecord(Record, frozen=True):
    """The 80 bytes every pool record begins with, so that one frame can be understood alone.  `protocol` is the code
    of the pool's kind, which decides what its events mean."""

    pool: PoolId
    token0: Address
    token1: Address
    venue: U16
    decimals0: U8
    decimals1: U8
    protocol: U32


@record(type=4)
class Timepoint(Record, frozen=True):
    """An entry of an Algebra pool's record of trades (v1-core: DataStorage.Timepoint).  `sequence` counts them from 0,
    on through the contract's ring of 65,536; timestamp in seconds; volatility, volume and tick are sums over time.
    Seconds per liquidity, which no fee follows from, are left out."""

    volatility: U128
    volume: U128
    tick_cumulative: I64
    timestamp: U64
    sequence: U32
    average_tick: I32


@record(type=5)
class FeeState(PoolRecord, frozen=True):
    """All that decides what an Algebra pool takes from the end of a block on, in front of `count` Timepoint records by
    rising sequence: its last and the one before it; those around the moment a day before the block and after it; and
    the oldest.  The fee of a block follows exactly (`consumers.arbitrage.algebra_fee`) for each timestamp a day before
    which is not behind the last Timepoint around that moment; swaps, mints and burns of later blocks write the next
    ones.  A reorg below the block voids it.  `fee_pips` is what the last swap paid, `volume` what trades since the last
    Timepoint add to the next (AlgebraPool.volumePerLiquidityInBlock); the rest is AdaptiveFee.Configuration."""

    volume: U128
    block_number: I64
    block_hash: Hash
    tick: I32
    fee_pips: U32
    beta1: U32
    beta2: U32
    volume_beta: U32
    alpha1: U16
    alpha2: U16
    gamma1: U16
    gamma2: U16
    volume_gamma: U16
    base_fee: U16
    count: U32


@record(type=6)
class PoolCoin(Record, frozen=True):
    """One coin of a pool of more than two, behind the pool's PoolState: coin `index` as the pool counts them."""

    token: Address
    symbol: Text20
    index: U8
    decimals: U8


@record(type=7)
class PoolLiquidity(PoolRecord, frozen=True):
    """Liquidity of a position between two ticks of a V4 pool changed by `liquidity_delta`, negative = removed; the
    amounts that it is worth are in no event."""

    liquidity_delta: I256
    tick_lower: I32
    tick_upper: I32
    sender: Address
    salt: Bytes32


@record(type=8)
class PoolFee(PoolRecord, frozen=True):
    """What a pool takes of a swap, in hundredths of a basis point, as of the end of a block: `fee_pips` of token0 that
    goes in, `fee_pips_back` of token1.  Where `fee_kind` (a `FeeKind`) is DYNAMIC the next block's fee follows from the
    pool's own record of trades up to `last_trade` (seconds), and these are what its last swap paid.  A pair of
    Solidly's type has none, since its factory changes its fee without an event of the pair: its PoolStates say it."""

    block_number: I64
    last_trade: U64
    fee_pips: U32
    fee_pips_back: U32
    fee_kind: U8


@record(type=9)
class TickLiquidity(Record, frozen=True):
    """An initialised tick: liquidity of all positions that begin or end there, and what crossing it upwards adds."""

    liquidity_gross: U128
    liquidity_net: I128
    tick: I32


@record(type=10)
class PoolTicks(PoolRecord, frozen=True):
    """A part of a V3 pool's tick map at the end of a block, in front of `count` TickLiquidity records by rising tick.
    Every initialised tick from `first_tick` to `last_tick`, both included, is among them.  A map is whole when its
    parts, which follow each other in the ring and name one pool and block, cover all of -887272 to 887272.
    Mint and Burn of later blocks change it; a reorg below the block voids it."""

    block_number: I64
    block_hash: Hash
    first_tick: I32
    last_tick: I32
    tick_spacing: I32
    count: U32


@record(type=11)
class PoolSwap(PoolRecord, frozen=True):
    """A swap of two coins, in the order of their addresses.  Uniswap V2 reports four amounts; V3's signed pair is split
    by sign (positive = into the pool), which loses nothing.  Price, liquidity and tick are V3's state after the swap
    and 0 for V2.  `swap_fee_pips` is the fee where its event says it, else 0.  A pool of more than two coins names
    the two that moved."""

    amount0_in: U256
    amount1_in: U256
    amount0_out: U256
    amount1_out: U256
    sqrt_price_x96: U256
    liquidity: U128
    tick: I32
    sender: Address
    recipient: Address
    swap_fee_pips: U32 = 0


@record(type=12)
class PoolMint(PoolRecord, frozen=True):
    """Liquidity added.  `amount` (liquidity), ticks and owner are V3's and 0 for V2."""

    amount0: U256
    amount1: U256
    amount: U128
    tick_lower: I32
    tick_upper: I32
    sender: Address
    owner: Address


@record(type=13)
class PoolBurn(PoolRecord, frozen=True):
    """Liquidity removed.  V2 names a sender (here `owner`) and a recipient, V3 the position's owner and its ticks."""

    amount0: U256
    amount1: U256
    amount: U128
    tick_lower: I32
    tick_upper: I32
    owner: Address
    recipient: Address


@record(type=14)
class PoolCollect(PoolRecord, frozen=True):
    """Fees and burnt liquidity paid out of a V3 position."""

    amount0: U256
    amount1: U256
    tick_lower: I32
    tick_upper: I32
    owner: Address
    recipient: Address


@record(type=15)
class PoolState(PoolRecord, frozen=True):
    """A pool's identity and state, for late joiners.  With SNAPSHOT: its verified identity and last state.  With an
    EventOrigin: the Initialize event of V3 or V4, which sets the first price.

    `fee_pips_back` is what token1 that goes in pays where that may be another fee than token0's, as in V4; else 0.
    A V4 pool's fees are those at its price, 0 included, and unknown where that is 0.  `hooks` is the contract that it
    calls, which may change what a swap pays; zero for none.  `curve` (a `Curve`) is how a pair of Solidly's type swaps,
    0 of others."""

    reserve0: U256
    reserve1: U256
    sqrt_price_x96: U256
    liquidity: U128
    block_number: I64
    fee_pips: U32
    tick: I32
    tick_spacing: I32
    factory: Address
    symbol0: Text20
    symbol1: Text20
    fee_pips_back: U32 = 0
    hooks: Address = bytes(20)
    curve: U8 = 0


@record(type=16)
class PoolSync(PoolRecord, frozen=True):
    """Reserves of a V2 pool after a change."""

    reserve0: U256
    reserve1: U256


@record(type=17)
class PoolCreated(PoolRecord, frozen=True):
    """A factory made a pool.  Fee in hundredths of a basis point (3000 = 0.3 %)."""

    fee_pips: U32
    tick_spacing: I32
    factory: Address


@record(type=18)
class Block(Record, frozen=True):
    """A header the node announced.  Base fee in wei, 0 before EIP-1559; timestamp in seconds."""

    number: I64
    timestamp: U64
    gas_used: U64
    gas_limit: U64
    receive_time_ns: I64
    base_fee: U256
    hash: Hash
    parent_hash: Hash


@record(type=19)
class EventOrigin(Record, frozen=True):
    """Where on the chain an event stands.  (block_hash, transaction_hash, log_index) is its identity."""

    block_number: I64
    block_timestamp: U64
    receive_time_ns: I64
    transaction_index: U32
    log_index: U32
    block_hash: Hash
    transaction_hash: Hash


# ---- signals, 20-39


@record(type=20)
class SignalIdentity(Record, frozen=True):
    """Which strategy published the signal, and for which message."""

    signal_id: U64
    trigger_sequence: I64
    trigger_receive_time_ns: I64
    trigger_ring: Uuid
    strategy: Text20
    strategy_version: U32


@record(type=21)
class SignalWithdrawn(Record, frozen=True):
    """An earlier signal of the same strategy must not be acted on any more, as of block `block_number`, for `reason`
    (a `WithdrawalReason`).  The SignalIdentity in front of it is this message's own."""

    signal_id: U64
    opportunity: U64
    block_number: I64
    block_hash: Hash
    reason: U8


@record(type=22)
class Economics(Record, frozen=True):
    """What a signal is worth, in base units of `profit_token`; gas price in wei.

    `gas_cost` = ceil(gas_price * gas_units * rate_profit / rate_native): `rate_profit` units of the profit token are
    worth `rate_native` wei, by the reserves of `rate_pool` (zero if the profit token is the wrapped coin itself).
    Both rates 0: no pool gives a price, and gas is not in `net`."""

    gross: U256
    gas_cost: U256
    net: I256
    gas_price: U256
    rate_native: U256
    rate_profit: U256
    gas_units: U64
    profit_token: Address
    rate_pool: PoolId
    profit_decimals: U8


@record(type=32)
class ArbitrageSignal(Record, frozen=True):
    """A round trip that begins and ends with `token_in`, with all that is needed to recompute its outcome: a CycleLeg
    for each of its `legs` pools follows in the order of trade, and the WayTick records of these.

    `opportunity` is equal in all signals about one cycle as long as it earns without interruption.  A signal holds
    until the strategy publishes a newer one of the same opportunity, withdraws it (SignalWithdrawn), or block
    `expires_block` has ended."""

    block_number: I64
    expires_block: I64
    opportunity: U64
    block_hash: Hash
    amount_in: U256
    amount_out: U256
    token_in: Address
    decimals_in: U8
    legs: U8
    verdict: U8


@record(type=33)
class WayTick(Record, frozen=True):
    """An initialised tick that a leg's swap crosses, or the next one behind its end; `leg` counts from 1.  They stand
    behind the CycleLegs in order of leg and crossing.  A V3 pool without any was quoted within its current range."""

    liquidity_net: I128
    tick: I32
    tick_spacing: I32
    leg: U8


@record(type=34)
class CycleLeg(Record, frozen=True):
    """One swap of an ArbitrageSignal, `leg` counting from 1, and the state of its pool.

    `reserve_in` and `reserve_out` are in the direction of the trade (V2).  Price, liquidity and tick are V3's; `curve`
    (a `Curve`) is that of a pair of Solidly's type."""

    amount_in: U256
    amount_out: U256
    reserve_in: U256
    reserve_out: U256
    sqrt_price_x96: U256
    liquidity: U128
    tick: I32
    fee_pips: U32
    pool: PoolId
    token_in: Address
    token_out: Address
    venue: U16
    protocol: U8
    decimals_in: U8
    decimals_out: U8
    leg: U8
    curve: U8 = 0


# ---- execution, 40-79


@record(type=40)
class OrderRequest(Record, frozen=True):
    """A strategy asks to swap `amount_in` of `token_in` through the pools of the OrderLegs that follow, one after the
    other, for at least `min_amount_out` of `token_out`, in a block above `block_number` (whose state it was decided
    on) and not above `expires_block`.  The trigger is the frame that it was decided on."""

    order_id: U64
    trigger_sequence: I64
    trigger_receive_time_ns: I64
    block_number: I64
    expires_block: I64
    amount_in: U256
    min_amount_out: U256
    trigger_ring: Uuid
    strategy: Text20
    strategy_version: U32
    token_in: Address
    token_out: Address
    legs: U8


@record(type=43)
class OrderLeg(Record, frozen=True):
    """One swap of an OrderRequest, `leg` counting from 1."""

    pool: PoolId
    token_in: Address
    token_out: Address
    leg: U8


class OrderRecord(Record, frozen=True):
    """What every record about an order begins with: the frame that asked for it, and its id (of an ArbitrageSignal
    its signal's).  Ring and sequence together are the order's identity."""

    order_sequence: I64
    order_id: U64
    order_ring: Uuid


@record(type=41)
class OrderStatus(OrderRecord, frozen=True):
    """What became of an order at the end of block `block_number`: `state` is an `OrderState`, `reason` an
    `OrderReason`.  An order ends once; only UNDONE may follow, when its block left the chain."""

    block_number: I64
    block_hash: Hash
    state: U8
    reason: U8


@record(type=42)
class Fill(OrderRecord, frozen=True):
    """One swap of an order that was filled on paper, against its pool's exact state in block `block_number` behind
    `swaps_before` of that block's own swaps of the pool.  `expected_out` is what the order's own state promised, 0 if
    it states none."""

    block_number: I64
    block_hash: Hash
    amount_in: U256
    amount_out: U256
    expected_out: U256
    pool: PoolId
    token_in: Address
    token_out: Address
    fee_pips: U32
    swaps_before: U32
    venue: U16
    protocol: U8
    decimals_in: U8
    decimals_out: U8
    leg: U8


@record(type=45)
class ExecutionReport(OrderRecord, frozen=True):
    """What an order that was attempted gave and cost, were it included: `net` = `gross` - `gas_cost`, in base units of
    `token`, the one that comes out.  `gross` is `amount_out` - `amount_in` of a round trip, else `amount_out`.
    A failed attempt has no amounts and costs its gas.

    It is included with a probability of `inclusion_ppm` in a million, which `net` does not contain: p = 1.
    `expected_net` does.  The gas cost is computed as in Economics.  `latency_ns` is from the receive time of the event
    behind the order to the order, as recorded; -1 if unknown."""

    block_number: I64
    latency_ns: I64
    block_hash: Hash
    amount_in: U256
    amount_out: U256
    expected_out: U256
    gross: I256
    gas_cost: U256
    net: I256
    expected_net: I256
    gas_price: U256
    rate_native: U256
    rate_profit: U256
    gas_units: U64
    rate_pool: PoolId
    token: Address
    inclusion_ppm: U32
    state: U8
    reason: U8
    decimals: U8
    legs: U8


@record(type=60)
class RiskDecision(OrderRecord, frozen=True):
    """Whether an order may be attempted: `reason` (an `OrderReason`) is NONE if so.  `found` passed `limit`, in the
    unit of the reason's limit."""

    block_number: I64
    found: I256
    limit: I256
    approved: U8
    reason: U8


@record(type=71)
class CircuitBreaker(Record, frozen=True):
    """The executor's circuit breaker went to `state` (a `BreakerState`) because of `reason` (an `OrderReason`) at the
    end of block `block_number`; OPEN, it stays so until block `until_block` has ended."""

    block_number: I64
    until_block: I64
    loss: I256
    failures: U32
    state: U8
    reason: U8


# ---- system, 80-119


@record(type=100)
class Heartbeat(Record, frozen=True):
    """The writer runs: its head, its safe block, its last sequence, and whether its node serves it.

    `head_age_ms` is the time since the newest head came, `blocks_behind` counts the blocks between `safe_number` and
    `head_number`, `held_back` the logs whose emitter is not proven yet, `endpoint` is an index of the configured
    list."""

    head_number: I64
    safe_number: I64
    last_sequence: I64
    head_age_ms: U32
    blocks_behind: U32
    held_back: U32
    feed_state: U8
    endpoint: U8
    reason: U8


@record(type=101)
class Session(Record, frozen=True):
    """A writer began an epoch of a ring: the first message of every epoch, and once more when it learned which chain
    its node serves.  `genesis` is the hash of the chain's first block, or of the early block that the chain file names;
    zeros as long as it is unknown."""

    ring_uuid: Uuid
    epoch: I64
    first_sequence: I64
    chain_id: U64
    layout_digest: U64
    genesis: Hash = bytes(32)


@record(type=102)
class Gap(Record, frozen=True):
    """A loss: `first` to `last`, both included, are missing; `scope` (a `GapScope`) says what they count."""

    first: I64
    last: I64
    scope: U8
    reason: U8


@record(type=103)
class Reorg(Record, frozen=True):
    """Blocks above the fork point left the chain; a REMOVED copy of each of their events follows, newest first.
    A zero `fork_hash` means that the common ancestor is unknown."""

    fork_number: I64
    old_head_number: I64
    new_head_number: I64
    depth: U32
    removed_events: U32
    fork_hash: Hash
    old_head_hash: Hash
    new_head_hash: Hash


@record(type=104)
class BackfillBegin(Record, frozen=True):
    """Blocks `first` to `last` are being fetched; what follows is flagged BACKFILL."""

    first: I64
    last: I64
    reason: U8


@record(type=105)
class BackfillEnd(Record, frozen=True):
    """The back-fill is done; `events` of it were new."""

    first: I64
    last: I64
    events: U32
    rounds: U32


@record(type=106)
class StateInvalidation(Record, frozen=True):
    """State derived from earlier messages must not be trusted until a snapshot or a new event of the pool."""

    since_block: I64
    scope: U8
    reason: U8
    pool: PoolId


@record(type=107)
class SystemHealth(Record, frozen=True):
    """An anomaly in the frames of a ring: what `kind` (an `AnomalyKind`, which says the unit of `value` and
    `threshold`) was seen, and whether it began, ended or is over already (`state`).  The evidence is `first_sequence`
    to `last_sequence` of `ring`, whose last is the frame at which it was seen; `time_ns` is that frame's wall time.
    One of a kind and pool lasts at a time; `pool` and `venue` are zero for what concerns the chain.  The block has a
    zero hash where only its number is known, and number -1 where no block is."""

    value: I64
    threshold: I64
    time_ns: I64
    block_number: I64
    first_sequence: I64
    last_sequence: I64
    chain_id: U64
    block_hash: Hash
    ring: Uuid
    pool: PoolId
    evidence: Text64
    venue: U16
    kind: U8
    state: U8


@record(type=108)
class Uncovered(Record, frozen=True):
    """Swaps of one emitter in the block of the BlockEnd in front, as far as they were not published, and why (a
    `NotPublished`).  `emitter` is a pool's address or id, `protocol` the kind whose swap it emits, `factory` what made
    it as far as the emitter says, else zero.  Beyond 32 of them in a block the others are
    summed by kind and reason, with a zero emitter."""

    emitter: PoolId
    factory: Address
    swaps: U32
    protocol: U32
    reason: U8


@record(type=109)
class BlockEnd(Record, frozen=True):
    """Block `number` is closed: nothing of it is missing, and `verdict` (a `Completeness`) says how that is known.
    `log_count` counts the logs that the node sent, `event_count` the events published, `held_back` the logs whose
    emitters are not proven yet.  `swap_count` counts the logs whose first topic is a swap of any kind that the
    collector knows: they are published, or in the Uncovered records that follow in the same message."""

    number: I64
    log_count: U32
    event_count: U32
    held_back: U32
    swap_count: U32
    hash: Hash
    verdict: U8


@record(type=110)
class Subscribe(Record, frozen=True):
    """A relay client's first message; `Resume` and `Filter` records may follow in it.  `start` is a `StreamStart`.
    Bit n of `types` asks for TLV type n, 0 for all.  A named client may acknowledge; only one may hold a name."""

    layout_digest: U64
    types: U256
    start: U8
    at_least_once: U8
    name: Text20


@record(type=111)
class SubscribeAck(Record, frozen=True):
    """The relay's answer, once per ring that it serves and again when a ring appears: the ring's number within this
    connection, its identity, and the sequence its stream begins at."""

    first_sequence: I64
    layout_digest: U64
    ring_uuid: Uuid
    ring_index: U32
    ring_name: Text64


@record(type=112)
class Ack(Record, frozen=True):
    """Everything of the ring up to `sequence` was handled; a named client resumes after it."""

    sequence: I64
    ring_uuid: Uuid


@record(type=113)
class Resume(Record, frozen=True):
    """Where a subscriber goes on in one ring: the first sequence that it lacks.  A zero uuid means any ring; the name
    says which rings follow `ring_uuid` where that is gone, and empty text leaves it to the uuid."""

    sequence: I64
    ring_uuid: Uuid
    ring_name: Text64


@record(type=114)
class Filter(Record, frozen=True):
    """One wanted value: a venue, a pool, or a token (`address`, with 12 zero bytes behind it), as `kind` (a
    `FilterKind`) says.  Values of one kind add up, kinds restrict each other."""

    venue: U16
    kind: U8
    address: PoolId


@record(type=115)
class Batch(Record, frozen=True):
    """The next `count` messages are what the filter left of the ring's sequences `first` to `last`."""

    first: I64
    last: I64
    ring_index: U32
    count: U32


@record(type=116)
class Farewell(Record, frozen=True):
    """The relay ends the connection: why (a `FarewellReason`), and the two numbers that disagree if there are any."""

    expected: I64
    found: I64
    reason: U16


@record(type=117)
class VenueName(Record, frozen=True):
    """The name of a venue code, as instruments spell it: `polygon.uniswap_v3`.  Stands behind the Session of every
    epoch, once for each venue of the collector's chain."""

    code: U16
    name: Text64


@record(type=118)
class Unproven(Record, frozen=True):
    """An emitter could not be proven to be a pool in time; `standing` (an `EmitterProof`) says what is known now.
    `emitter` is its address, or the pool's id; of a pool of several coins each pair has a record of its own.
    Of its events since block `since_block`, `held_back` are not published and `marked` are, flagged UNPROVEN.
    UNKNOWN: it is asked on.  POOL: the marked ones are confirmed, those held back were published with BACKFILL.
    NO_POOL, UNSUPPORTED: the marked ones were taken back by REMOVED copies in front of this record, outside any Reorg,
    but for the `marked` ones of blocks that the collector no longer keeps: these are none either."""

    since_block: I64
    held_back: U64
    marked: U64
    protocol: U32
    emitter: PoolId
    standing: U8


@record(type=119)
class RingReplaced(Record, frozen=True):
    """A ring of this name was made anew: the old one ended with `last_sequence`, -1 if nobody knows.  A relay says it
    between the two; what follows are the new one's messages, from its first on."""

    last_sequence: I64
    old_uuid: Uuid
    new_uuid: Uuid


# ---- the dtypes, for kernels: numba sees module globals, not class attributes

HEADER = Header.layout.dtype
HEADER_SIZE = Header.layout.size
CHECKSUM_AT = Header.layout.offsets["checksum"]
POOL_SYNC = PoolSync.layout.dtype
POOL_CREATED = PoolCreated.layout.dtype
BLOCK = Block.layout.dtype
EVENT_ORIGIN = EventOrigin.layout.dtype
BLOCK_END = BlockEnd.layout.dtype
GAP = Gap.layout.dtype


def _size_of_type() -> np.ndarray[Any, np.dtype[np.int64]]:
    sizes = np.full(256, -1, dtype=np.int64)
    for number, cls in RECORDS.items():
        sizes[number] = cls.layout.size
    sizes.flags.writeable = False
    return sizes


SIZE_OF_TYPE = _size_of_type()
"""int64[256]: the fixed size of each TLV type that has a layout, -1 for the others."""


def _domain_of_type() -> np.ndarray[Any, np.dtype[np.int64]]:
    domains = np.zeros(256, dtype=np.int64)
    for domain, types in TYPE_RANGES.items():
        domains[types] = domain
    domains[VENDOR_TYPES] = ANY_DOMAIN
    domains.flags.writeable = False
    return domains


DOMAIN_OF_TYPE = _domain_of_type()
"""int64[256]: the domain that owns each TLV type, `ANY_DOMAIN` for a vendor's, 0 for a number that is no type."""

POOL_TYPES: frozenset[int] = frozenset(number for number, cls in RECORDS.items() if issubclass(cls, PoolRecord))
"""The TLV types of pool records: what a filter by venue, pool or token looks at."""
NEVER_HIDDEN: frozenset[int] = frozenset(
    cls.layout.type for cls in (Session, Gap, Reorg, StateInvalidation, VenueName, Unproven, RingReplaced)
)
"""The TLV types that pass every filter: later messages cannot be understood without them."""


def digest(layouts: Iterable[Layout]) -> int:
    """63 bits of SHA-256 over every name, kind, offset and size of `layouts`."""
    text = "\n".join(
        f"{layout.type} {layout.name} {layout.dtype.descr} {[kind.name for kind in layout.kinds.values()]}"
        for layout in layouts
    )
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


LAYOUTS = (Header.layout, InstrumentKey.layout, *(RECORDS[number].layout for number in sorted(RECORDS)))
"""Every layout of the wire format: the header, what records embed, then the TLVs by type."""
LAYOUT_DIGEST = digest(LAYOUTS)
"""63 bits that change with any field of any layout.  Rings, journals and relays carry it; a mismatch is refused."""
