"""What the dashboard's server tells its page.

Owns the shapes; docs/dashboard.md has each field as a table.  Integers beyond 2**53 are decimal strings, since a
browser's numbers are doubles.  Times are milliseconds since 1970, but for `_ns` durations.

    /dashboard          WebSocket: Hello, then Update after Update; ?journal=J&block=N&speed=S replays a journal instead
    /api/at             the same, as one Update, as it was when block N had ended:  ?journal=J&block=N
    /api/journals       which journals can be travelled in
    /api/pool           PoolDetail of one pool, live or at a block:
                          ?ring=R&venue=V&pool=P[&token0=A&token1=B][&journal=J&block=N]
    /api/trace          the way of one message (tools.trace.model.TraceAnswer):  ?ring=R&sequence=S

An Update carries only what changed since the last one; `whole` ones carry everything and replace what the page had.

Rows hold no cycles and are many, so the garbage collector need not look at them (`gc=False`).
"""

from __future__ import annotations

from typing import Any

import msgspec

from tools.trace.model import TraceAnswer


class PoolToken(msgspec.Struct, frozen=True, gc=False):
    """A side of a pool."""

    address: str
    symbol: str
    """As its contract says it, which may be anything: markup, control characters, another token's name.  Empty if it
    is not known."""
    decimals: int
    """255 if they are not known, and then an amount is its base units."""


class Amount(msgspec.Struct, frozen=True, gc=False):
    """So many base units of a token."""

    units: str
    """Decimal digits, exact; a minus sign in front of a loss."""
    token: PoolToken


class SwapRow(msgspec.Struct, frozen=True, gc=False):
    """A swap."""

    ring: str
    sequence: int
    """(`ring`, `sequence`) names it until the ring is made anew."""
    time_ms: int
    block: int
    log_index: int
    transaction: str
    venue: str
    pool: str
    sold: list[Amount]
    """What went into the pool: one amount, two for a flash swap that pays in both."""
    bought: list[Amount]
    flags: list[str]
    """`removed`, `backfill`, `unproven`, `replay`, ..., as `tlv.codes.Flag` names them, in lower case."""


class PoolStateRow(msgspec.Struct, frozen=True, gc=False):
    """A pool's state after its newest event that stands.  One of more than two coins has a row for each pair that it
    trades: `ring`, `pool` and both tokens name a row."""

    ring: str
    venue: str
    pool: str
    kind: str
    """Of `producers.kinds`, as the wire format names it: `uniswap_v2`, `uniswap_v3`, ..."""
    token0: PoolToken
    token1: PoolToken
    fee_pips: int | None
    """Hundredths of a basis point; null if it is not known."""
    known: bool
    """Whether the state can be trusted; false after a gap, until the next event that sets it."""
    stateless: bool
    """Whether its kind's events say no state (Balancer, Curve, DODO, WOOFi): `known` stays false."""
    block: int
    sequence: int
    price: str | None
    """Whole token1 for one whole token0, 15 significant digits, cut off; null if there is none."""
    reserve0: str
    reserve1: str
    sqrt_price_x96: str
    liquidity: str
    tick: int | None
    """The last four are of a concentrated pool, `reserve` of one with reserves; else "0" or null."""
    events: int
    """Seen since this process began (or in the journal up to that block)."""


class SignalLeg(msgspec.Struct, frozen=True, gc=False):
    """One swap of a round trip."""

    venue: str
    pool: str
    amount_in: Amount
    amount_out: Amount


class SignalRow(msgspec.Struct, frozen=True, gc=False):
    """An opportunity that a strategy published."""

    ring: str
    sequence: int
    signal_id: str
    opportunity: str
    """Equal in all signals about one cycle as long as it earns; both are 64 bits, as decimal digits."""
    time_ms: int
    strategy: str
    block: int
    expires_block: int
    """It holds until this block has ended."""
    market_ring: str
    """Name of the ring whose message triggered it; empty if it is none that is looked at."""
    trigger_sequence: int
    legs: list[SignalLeg]
    """In the order of trade."""
    amount_in: Amount
    amount_out: Amount
    gross: Amount
    gas_cost: Amount
    net: Amount
    gas_priced: bool
    """Whether a pool gave a price for gas; if not, `net` lacks it."""
    verdict: str
    """`tlv.codes`' name in lower case."""
    state: str
    """`stands` as long as it holds; else `tools.dashboard.opportunities` has what it may be."""
    reason: str
    """Why its strategy withdrew it; empty if it did not."""
    latency_ns: int | None
    """From the arrival of what triggered it to its own publishing."""


class FillRow(msgspec.Struct, frozen=True, gc=False):
    """One swap of an order, on paper."""

    venue: str
    pool: str
    amount_in: Amount
    amount_out: Amount
    expected_out: Amount | None
    """What the state that the order was decided on promised; null if it states none."""
    swaps_before: int


class OrderRow(msgspec.Struct, frozen=True, gc=False):
    """An order, as the newest message about it leaves it."""

    ring: str
    """Of the executor."""
    order_ring: str
    """Name of the ring that asked for it; its uuid if that is none that is looked at."""
    order_sequence: int
    """(`ring`, `order_ring`, `order_sequence`) names it."""
    order_id: str
    sequence: int
    """Of the newest message about it."""
    time_ms: int
    block: int
    state: str
    """`approved`, `refused`, or `tlv.codes.OrderState` in lower case."""
    reason: str
    """`tlv.codes.OrderReason` in lower case; empty if there is none."""
    found: str
    limit: str
    """Of a refusal: what passed which limit, as digits; else empty."""
    legs: list[FillRow]
    gross: Amount | None
    """These four are null until it was attempted."""
    gas_cost: Amount | None
    net: Amount | None
    expected_net: Amount | None
    """`net` were it certain to be included; this one with the probability that is stated."""
    inclusion_ppm: int
    gas_priced: bool
    latency_ns: int | None


class ProfitRow(msgspec.Struct, frozen=True, gc=False):
    """What the orders of an executor earned in one token, since this process began."""

    ring: str
    token: PoolToken
    filled: int
    failed: int
    gross: Amount
    gas_cost: Amount
    net: Amount
    expected_net: Amount


class BreakerRow(msgspec.Struct, frozen=True, gc=False):
    """The circuit breaker of an executor."""

    ring: str
    state: str
    """`tlv.codes.BreakerState` in lower case."""
    reason: str
    block: int
    until_block: int
    loss: str
    """Wei, as decimal digits."""
    failures: int


class BlockRow(msgspec.Struct, frozen=True, gc=False):
    """A block of a collector's chain."""

    ring: str
    number: int
    hash: str
    time_ms: int
    """Its own timestamp."""
    received_ms: int | None
    ended_ms: int | None
    """When its BlockEnd was published; null while it is open."""
    verdict: str
    """`tlv.codes.Completeness` in lower case; `open`; or `removed` when a reorg took it."""
    logs: int
    events: int
    held_back: int
    gas_used: int
    gas_limit: int
    base_fee: str


class Happening(msgspec.Struct, frozen=True, gc=False):
    """What else a ring said: a reorg, a gap, a back-fill, an invalidation, an emitter held back, a new writer."""

    ring: str
    sequence: int
    time_ms: int
    kind: str
    """`reorg`, `gap`, `backfill_begin`, `backfill_end`, `invalidation`, `unproven`, `session`, `ring_replaced`,
    `lost` (frames that this process did not read in time: the page may lack something)."""
    first: int
    last: int
    """Blocks (or, of `lost` and a gap of frames, sequences) that it is about; -1 for none."""
    text: str
    """In words."""


class FeedRow(msgspec.Struct, frozen=True):
    """A collector's feed."""

    ring: str
    state: str
    reason: str
    healthy: bool
    endpoint: int
    head: int
    head_age_ms: int
    blocks_behind: int
    held_back: int
    heartbeat_age_ms: int


class PageSummary(msgspec.Struct, frozen=True):
    """Totals since this process began, and rates smoothed with a half-life of one second."""

    time_ms: int
    """Of what is shown: now, or when block N had ended."""
    block: int
    """The newest; -1 if there is none."""
    events: int
    swaps: int
    signals: int
    withdrawn: int
    """Signals that their strategies took back."""
    orders: int
    """About which an executor decided."""
    reorgs: int
    gaps: int
    lost_frames: int
    """That this process did not read in time."""
    refused_frames: int
    """That are no message."""
    pools: int
    events_per_s: float
    frames_per_s: float
    feeds: list[FeedRow]


class HopRow(msgspec.Struct, frozen=True, gc=False):
    """A hop's durations within the last interval, over all processes (docs/obs.md has the table of hops)."""

    hop: str
    count: int
    p50_ns: int
    p90_ns: int
    p99_ns: int
    p999_ns: int
    longest_ns: int


class RateSample(msgspec.Struct, frozen=True, gc=False):
    """One point of the charts."""

    time_ms: int
    events_per_s: float
    frames_per_s: float
    hops: list[HopRow]


class HealthBox(msgspec.Struct, frozen=True):
    """A process, a ring, a relay or a condition, as a small box."""

    kind: str
    """`process`, `ring`, `relay`, `condition`, `endpoint`, `journal`."""
    name: str
    role: str
    ok: bool
    text: str
    """Why not, or how it stands, in words."""
    facts: list[tuple[str, str]]
    """For its popover: what, value."""


class AnomalyRow(msgspec.Struct, frozen=True):
    """An anomaly that lasts or is over (`/api/anomalies` has all of it)."""

    ring: str
    kind: str
    subject: str
    evidence: str
    block: int | None
    begun: str | None
    ended: str | None


class Health(msgspec.Struct, frozen=True):
    """How everything stands; replaces the last one."""

    healthy: bool
    boxes: list[HealthBox]
    anomalies: list[AnomalyRow]


class JournalRow(msgspec.Struct, frozen=True):
    """A journal that can be travelled in."""

    name: str
    """What `?journal=` takes."""
    ring: str
    first_block: int
    last_block: int
    first_ms: int
    last_ms: int
    recording: bool
    """Whether a recorder writes it now."""
    indexed: float
    """Share of it that is ready for time travel, 0 to 1."""
    problem: str


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """The first message of a connection."""

    build: str
    """Digest of the page's files; a page of another build asks its user to load it again."""
    version: str
    time_ms: int
    stale_after_ms: int
    """Without an Update for so long the page says that its data are stale."""
    mode: str
    """`live` or `past`."""
    journals: list[JournalRow]


class Update(msgspec.Struct, frozen=True, tag="update", omit_defaults=True):
    """What changed.  A topic that is absent did not change."""

    time_ms: int
    whole: bool = False
    skipped_swaps: int = 0
    """Swaps of this interval beyond those that are sent: the newest are."""
    summary: PageSummary | None = None
    swaps: list[SwapRow] | None = None
    """Oldest first; a REMOVED copy is a row of its own."""
    pools: list[PoolStateRow] | None = None
    signals: list[SignalRow] | None = None
    """Oldest first; one whose state changed comes again."""
    orders: list[OrderRow] | None = None
    """Oldest first; one about which more was said comes again."""
    profits: list[ProfitRow] | None = None
    """All of them, if one changed."""
    breakers: list[BreakerRow] | None = None
    """All of them, if one changed."""
    blocks: list[BlockRow] | None = None
    happenings: list[Happening] | None = None
    rates: list[RateSample] | None = None
    health: Health | None = None


class PageFarewell(msgspec.Struct, frozen=True, tag="farewell"):
    """The last message of a connection that the server ends: in words, and whether to come back."""

    text: str
    again: bool


class LiquidityStep(msgspec.Struct, frozen=True):
    """Liquidity in force from this tick on, up to the next step."""

    tick: int
    price: str
    liquidity: str


class PoolDetail(msgspec.Struct, frozen=True):
    """One pool, near by."""

    row: PoolStateRow
    ticks_block: int | None
    """Block of the tick map; null if none is known, and then `steps` is empty."""
    steps: list[LiquidityStep]
    """Around the price, by rising tick; empty for a pool with reserves."""
    prices: list[tuple[int, int, str]]
    """The newest changes of its price, oldest first: time_ms, block, price."""


DASHBOARD_ANSWERS: dict[str, Any] = {
    "/dashboard": Hello | Update | PageFarewell,
    "/api/at": Update,
    "/api/journals": list[JournalRow],
    "/api/pool": PoolDetail,
    "/api/trace": TraceAnswer,
}
"""What each path answers."""
