"""The numbers that header and records carry, with their names.  Facts of the wire format; nothing here computes."""

from __future__ import annotations

from enum import IntEnum, IntFlag

MAGIC = 0xDEADBEEF
VERSION = 1
MAX_MESSAGE = 1 << 16
"""Largest message in bytes, header included: a frame must fit a ring of 64 KiB x 8 and a Unix socket's buffer."""
UNKNOWN_DECIMALS = 255


class Domain(IntEnum):
    """What a message is about; each domain owns a range of TLV types (`TYPE_RANGES`)."""

    MARKET_DATA = 1
    SIGNAL = 2
    EXECUTION = 3
    SYSTEM = 4


TYPE_RANGES = {
    Domain.MARKET_DATA: range(1, 20),
    Domain.SIGNAL: range(20, 40),
    Domain.EXECUTION: range(40, 80),
    Domain.SYSTEM: range(80, 120),
}
VENDOR_TYPES = range(200, 255)
"""Free for users, in any domain."""
ANY_DOMAIN = 255
"""Stands for the domain of a vendor type in `tlv.layout.DOMAIN_OF_TYPE`; never in a header."""
EXTENDED = 255
"""First byte of the extended TLV form; never a type."""


class Source(IntEnum):
    """Who built a message.  1-19 collectors, 20-39 strategies, 40-59 execution, 60-79 system, 80-99 relays."""

    ETHEREUM_COLLECTOR = 1
    POLYGON_COLLECTOR = 4
    BASE_COLLECTOR = 5
    ARBITRAGE_STRATEGY = 20
    USER_STRATEGY = 21
    PAPER_EXECUTOR = 40
    SUPERVISOR = 60
    ANOMALY_WATCH = 61
    RELAY = 80
    RELAY_CLIENT = 81
    BRIDGE = 82


class Flag(IntFlag):
    """Header flags.  A bit that is not here is an error."""

    LAST_IN_BLOCK = 1
    SNAPSHOT = 2
    BACKFILL = 4
    REMOVED = 8
    UNPROVEN = 16
    """Of an emitter that is not proven to be a pool: tokens, venue and decimals of the event are not known."""
    TRACED = 32
    REPLAY = 64


KNOWN_FLAGS = 127


class Protocol(IntEnum):
    """The contract family of a pool: decides what its events mean."""

    UNISWAP_V2 = 2
    UNISWAP_V3 = 3
    ALGEBRA = 4
    UNISWAP_V4 = 5
    ALGEBRA_INTEGRAL = 6
    SOLIDLY = 7
    VELODROME = 8
    BALANCER_V2 = 9
    CURVE = 10
    DODO = 11
    PANCAKESWAP_V3 = 12
    KYBER_ELASTIC = 13
    WOOFI = 14
    SLIPSTREAM = 15


class Curve(IntEnum):
    """What a pair of Solidly's type keeps when it swaps (`PoolState.curve`); 0 of all others."""

    VOLATILE = 1
    """xy = k."""
    SOLIDLY = 2
    """x^3 y + y^3 x = k, as Solidly, Dystopia and Velodrome V1 solve it."""
    VELODROME = 3
    """As Velodrome V2 and Aerodrome solve it."""
    SUPERCHAIN = 4
    """As Velodrome solves it since October 2024."""


class EmitterProof(IntEnum):
    """What is known of an emitter (`Unproven.standing`)."""

    UNKNOWN = 0
    """Nobody can say yet."""
    POOL = 1
    NO_POOL = 2
    """Proven to be none: it speaks like one."""
    UNSUPPORTED = 3
    """Proven to be of no configured factory."""


class NotPublished(IntEnum):
    """Why swaps of an emitter are not published (`Uncovered.reason`)."""

    UNPROVEN = 1
    """Nobody can say yet whether it is a pool."""
    NO_POOL = 2
    """Proven to be none."""
    UNSUPPORTED = 3
    """Of no configured factory."""
    FILTERED = 4
    """The operator's filter asks for others."""
    REFUSED = 5
    """The log is no swap of its emitter's kind."""


class FeeKind(IntEnum):
    """Who decides a pool's fee (`PoolFee.fee_kind`)."""

    PAID = 0
    """Of an event, at the place of its EventOrigin: what the first swap of a block set and paid, in a pool whose fee
    moves (Algebra's Fee)."""

    FACTORY = 1
    """One fee for all pools of the factory."""
    POOL = 2
    """Each pool has its own, for ever."""
    DYNAMIC = 3


class Venue(IntEnum):
    """Where a pool trades.  Decided by the pool's factory, never by an event's topic."""

    POLYGON = 202
    UNISWAP_V2 = 300
    UNISWAP_V3 = 301
    SUSHISWAP = 302
    QUICKSWAP_V2 = 400
    SUSHISWAP_POLYGON = 401
    CURVE_POLYGON = 402
    BALANCER_POLYGON = 404
    UNISWAP_V3_POLYGON = 405
    QUICKSWAP_V3 = 406
    DFYN_POLYGON = 407
    APESWAP_POLYGON = 408
    UNISWAP_V2_POLYGON = 409


class Completeness(IntEnum):
    """How a block's set of logs is known to be complete (`BlockEnd.verdict`)."""

    UNKNOWN = 0
    PUSHED = 1
    TOMBSTONE = 2
    REFETCHED = 3
    BLOOM_NEGATIVE = 4
    CROSS_CHECKED = 5


class GapScope(IntEnum):
    """What the two ends of a `Gap` count."""

    RING_SEQUENCES = 1
    BLOCK_NUMBERS = 2


class Reason(IntEnum):
    """Why a gap, a back-fill or an invalidation happened."""

    LAPPED = 1
    NOT_RETAINED = 2
    NODE_HAS_NO_BLOCK = 3
    DISCONNECTED = 4
    STARTED = 5
    REORG = 6
    RANGE_REFUSED = 7
    WRITER_RESTARTED = 8
    CHAIN_BROKEN = 9
    LATE_LOGS = 10
    FILTER_CHANGED = 11
    END_UNKNOWN = 12
    """A ring was replaced, and nobody saw its last message: how many are missing is not known."""
    DAMAGED = 13
    """Bytes that no writer writes stood where these messages were."""


class InvalidationScope(IntEnum):
    """How much state a `StateInvalidation` takes back."""

    ALL_POOLS = 1
    ONE_POOL = 2


class FeedState(IntEnum):
    """The state of the collector's connection, in its heartbeats."""

    CONNECTING = 1
    BACKFILLING = 2
    LIVE = 3
    DISCONNECTED = 4
    CIRCUIT_OPEN = 5


class FeedReason(IntEnum):
    """Whether a feed is well, and if not, what is wrong with its endpoint (`Heartbeat.reason`)."""

    OK = 1
    """Blocks end, or the node answers and nobody knows a newer head."""
    CONNECTING = 2
    """Nothing has ended on this connection yet."""
    UNREACHABLE = 3
    REFUSED = 4
    """The handshake, the subscriptions or every request are refused."""
    CLOSED = 5
    """The node closed the connection."""
    SILENT = 6
    NOT_ANSWERING = 7
    """It pushes and answers nothing."""
    NO_BLOCK_ENDS = 8
    """It pushes and answers, and no block gets complete."""
    ONLY_GAPS = 9
    """Blocks pass only as gaps."""
    STALE = 10
    """No newer head within the chain's usual time, or another endpoint knows one."""
    WRONG_CHAIN = 11
    TOO_LARGE = 12
    """A message exceeded the limit."""
    UNUSABLE = 13
    """What it says cannot be read."""
    CIRCUIT_OPEN = 14
    """So many attempts failed that all endpoints are left alone for a while."""
    RING_LOST = 15
    """The ring's name is gone or means another ring: nobody new reads what is published here."""


class AnomalyKind(IntEnum):
    """What is not as usual (`SystemHealth.kind`).  Units of its value and threshold: RATE in hundredths of the usual
    number of events; SILENCE and LATENCY_DRIFT in milliseconds; GAP in frames, blocks or events; REORG_DEPTH in blocks;
    PRICE_JUMP, LIQUIDITY_DROP and UNPROVEN_SHARE in basis points."""

    RATE = 1
    """Events of the newest blocks against those of the blocks before."""
    SILENCE = 2
    """No new block."""
    GAP = 3
    """Frames, blocks or events are missing."""
    REORG_DEPTH = 4
    """Blocks left the chain."""
    PRICE_JUMP = 5
    """A pool's price left that of the other pools of its pair."""
    LIQUIDITY_DROP = 6
    """Liquidity left a pool."""
    LATENCY_DRIFT = 7
    """Blocks are published later after their own time than usual."""
    UNPROVEN_SHARE = 8
    """Too much of the newest blocks' events is of emitters that are not proven."""


class AnomalyState(IntEnum):
    """Whether an anomaly lasts (`SystemHealth.state`)."""

    BEGUN = 1
    ENDED = 2
    ONCE = 3
    """It was over when it was seen, or is of one moment."""


class QuoteVerdict(IntEnum):
    """How far the expected output of a signal can be trusted.  The fee of an Algebra pool moves with time: it is that
    of a block that comes as long after the signal's as this came after the one before."""

    EXACT = 1
    WITHIN_SEGMENT = 2
    SPECULATIVE = 3


class WithdrawalReason(IntEnum):
    """Why a signal does not hold any more (`SignalWithdrawn.reason`)."""

    GONE = 1
    """A pool of it moved, and the cycle earns nothing now."""
    EXPIRED = 2
    """Its last block ended."""
    REORG = 3
    """The block of its state left the chain."""
    STATE_UNKNOWN = 4
    """The state of a pool of it is not known any more."""


class OrderState(IntEnum):
    """What became of an order (`OrderStatus.state`, `ExecutionReport.state`)."""

    ACCEPTED = 1
    REJECTED = 2
    """Not attempted: it broke a limit, or cannot be filled at all."""
    FILLED = 3
    FAILED = 4
    """Attempted, reverted, its gas paid."""
    EXPIRED = 5
    """Its last block ended without an attempt."""
    WITHDRAWN = 6
    """Its strategy took it back before it was attempted."""
    UNDONE = 7
    """The block in which it was filled or failed left the chain."""


class OrderReason(IntEnum):
    """Why an order was refused or failed, or the circuit breaker opened."""

    NONE = 0
    MALFORMED = 1
    """Its legs do not follow each other, or an amount is 0."""
    DUPLICATE = 2
    UNKNOWN_POOL = 3
    """A pool that was never announced, or is not proven to be one."""
    NOT_QUOTABLE = 4
    """A pool of a kind, or with a token, that cannot be quoted exactly."""
    STATE_UNKNOWN = 5
    STALE = 6
    """The state that it was decided on, or a pool's, is older than the limit in blocks."""
    LATE = 7
    """It came when its block had ended already."""
    POSITION = 8
    EXPOSURE = 9
    LOSS = 10
    RATE = 11
    BREAKER_OPEN = 12
    UNPRICED = 13
    """No pool gives its token a price in the chain's coin, so no limit can be checked."""
    LIQUIDITY = 14
    """A pool does not reach as far as the amount asks."""
    TOO_LITTLE_OUT = 15
    """The outcome is below the least that it accepts."""
    FAILURES = 16
    """Too many attempts failed one after the other."""
    COOLED_DOWN = 17
    CLOCK = 18
    """Times jumped by more than the limit."""
    REORG = 19
    PREDICTION = 20
    """Fills fell short of what the orders expected by more than the limit."""


class BreakerState(IntEnum):
    """State of the circuit breaker (`CircuitBreaker.state`)."""

    CLOSED = 1
    """Orders pass."""
    OPEN = 2
    """All orders are refused."""
    HALF_OPEN = 3
    """One order is tried; its outcome closes or opens it."""


class StreamStart(IntEnum):
    """Where a relay's stream begins (`Subscribe.start`)."""

    LATEST = 1
    OLDEST = 2
    SEQUENCE = 3
    ACKNOWLEDGED = 4


class FilterKind(IntEnum):
    """What the value of a `Filter` is."""

    VENUE = 1
    POOL = 2
    TOKEN = 3


class FarewellReason(IntEnum):
    """Why a relay ended a connection."""

    SHUTTING_DOWN = 1
    TOO_SLOW = 2
    BAD_HELLO = 3
    HELLO_TIMEOUT = 4
    LAYOUT_DIFFERS = 5
    NAME_IN_USE = 6
    NAME_REFUSED = 7
    SEQUENCE_IN_FUTURE = 8
    TOO_MANY_CLIENTS = 9
    BAD_MESSAGE = 10
    RING_UNREADABLE = 11
    NO_RESOURCES = 12
    """The relay lacks descriptors, memory or disk for this client just now; `found` is the errno."""
    CURSOR_REFUSED = 13
    """The file of what the name acknowledged cannot be opened, and will not be by itself; `found` is the errno."""
