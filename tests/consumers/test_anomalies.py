"""The watch for anomalies on made-up frames: each kind at its bounds, what lasts, what is lost, and starting again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from consumers.anomalies import (
    AnomalyThresholds,
    AnomalyWatch,
    PublishedAnomalies,
    block_book,
    published_in,
    watched_pools,
)
from consumers.anomalies.announcements import MOST_LASTING
from consumers.anomalies.chain import LEAST_HISTORY, RATE_BLOCKS, SHARE_BLOCKS
from consumers.anomalies.flow import LATENCY_BLOCKS, LEAST_LATENCIES, FrameClock
from consumers.anomalies.pools import USUAL_AFTER_BLOCKS
from consumers.anomalies.published import KEPT_RINGS
from consumers.runner import Runner
from consumers.strategy import Driver
from ringbuf import Reader, Writer
from tests.consumers.three_coins import pairs_of_three_coins, state_of, swap_of
from tlv.codes import (
    AnomalyKind,
    AnomalyState,
    Completeness,
    Domain,
    FeedReason,
    FeedState,
    Flag,
    GapScope,
    InvalidationScope,
    Protocol,
    Reason,
    Source,
    Venue,
)
from tlv.layout import (
    LAYOUT_DIGEST,
    BackfillBegin,
    Block,
    BlockEnd,
    EventOrigin,
    Gap,
    Heartbeat,
    PoolBurn,
    PoolMint,
    PoolRecord,
    PoolState,
    PoolSwap,
    PoolSync,
    Reorg,
    Session,
    StateInvalidation,
    SystemHealth,
)
from tlv.message import build, parse
from tlv.record import Record
from tlv.units import MS, NS

RING = b"r" * 16
BLOCK_NS = 2 * NS
FIRST = 1_000
BEGUN, ENDED, ONCE = AnomalyState.BEGUN, AnomalyState.ENDED, AnomalyState.ONCE
A, B, C = (bytes([letter]) * 20 for letter in b"ABC")
TOKENS = (b"0" * 20, b"1" * 20)
Told = tuple[AnomalyKind, AnomalyState, int]


def hash_of(number: int, branch: int = 0) -> bytes:
    return number.to_bytes(31, "big") + bytes([branch + 1])


def sync(pool: bytes, reserve0: int, reserve1: int) -> PoolSync:
    return PoolSync(pool, *TOKENS, Venue.QUICKSWAP_V2, 18, 6, Protocol.UNISWAP_V2, reserve0, reserve1)


def swap(pool: bytes, price: int, liquidity: int, tick: int = 0) -> PoolSwap:
    head = (pool, *TOKENS, Venue.UNISWAP_V3_POLYGON, 18, 6, Protocol.UNISWAP_V3)
    return PoolSwap(*head, 1, 0, 0, 1, price, liquidity, tick, bytes(20), bytes(20))


def burn(pool: bytes, amount: int, lower: int = -10, upper: int = 10) -> PoolBurn:
    head = (pool, *TOKENS, Venue.UNISWAP_V3_POLYGON, 18, 6, Protocol.UNISWAP_V3)
    return PoolBurn(*head, 0, 0, amount, lower, upper, bytes(20), bytes(20))


def mint(pool: bytes, amount: int, lower: int = -10, upper: int = 10) -> PoolMint:
    head = (pool, *TOKENS, Venue.UNISWAP_V3_POLYGON, 18, 6, Protocol.UNISWAP_V3)
    return PoolMint(*head, 0, 0, amount, lower, upper, bytes(20), bytes(20))


class Market:
    """Frames of a made-up chain with a block each 2 s, as a collector would publish them."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, int, bytes]] = []
        self.number = FIRST
        self.now_ns = 1_700_000_000 * NS
        self.put(Session(RING, 1, 1, 137, 0))

    def put(self, *records: Record, flags: int = 0) -> int:
        """One message; its sequence."""
        domain = records[0].layout.domain
        assert domain is not None
        data = build(Domain(domain), Source.POLYGON_COLLECTOR, records, timestamp_ns=self.now_ns, flags=flags)
        self.frames.append((len(self.frames) + 1, self.now_ns, data))
        return len(self.frames)

    def head(self, number: int, *, age_ms: int = 0, branch: int = 0) -> None:
        timestamp = (self.now_ns - age_ms * MS) // NS
        block = Block(number, timestamp, 0, 0, 0, 0, hash_of(number, branch), hash_of(number - 1, branch))
        self.put(block)

    def event(self, number: int, record: PoolRecord, *, branch: int = 0, flags: int = 0) -> None:
        self.put(record, EventOrigin(number, 0, 0, 0, 0, hash_of(number, branch), bytes(32)), flags=flags)

    def end(self, number: int, events: int, *, held_back: int = 0, branch: int = 0) -> None:
        logs = events + held_back
        self.put(BlockEnd(number, logs, events, held_back, 0, hash_of(number, branch), Completeness.TOMBSTONE))

    def block(self, *events: PoolRecord, held_back: int = 0, age_ms: int = 0, flags: int = 0) -> int:
        """The next block, whole; its number."""
        self.now_ns += BLOCK_NS
        self.number += 1
        self.head(self.number, age_ms=age_ms)
        for record in events:
            self.event(self.number, record, flags=flags)
        self.end(self.number, len(events), held_back=held_back)
        return self.number

    def blocks(self, count: int, *events: PoolRecord, held_back: int = 0, age_ms: int = 0) -> None:
        for _ in range(count):
            self.block(*events, held_back=held_back, age_ms=age_ms)

    def beat(self, head_age_ms: int) -> None:
        head = self.number
        self.put(Heartbeat(head, head, 0, head_age_ms, 0, 0, FeedState.LIVE, 0, FeedReason.OK))


def healths(frames: list[tuple[int, int, bytes]], watch: AnomalyWatch) -> list[SystemHealth]:
    """What a watch says of frames; a hole in their sequences is a loss, as a ring's reader tells it."""
    driver, expected, drafts = Driver(watch, RING), frames[0][0], []
    for sequence, published_ns, payload in frames:
        if sequence > expected:
            drafts += driver.lose(expected, sequence - 1)
        drafts += driver.deliver(sequence, published_ns, payload)
        expected = sequence + 1
    assert not driver.poisoned, driver.poison[0].reason
    said = [draft.records[0] for draft in drafts]
    assert all(draft.domain == Domain.SYSTEM for draft in drafts)
    return [health for health in said if isinstance(health, SystemHealth)]


def judged(market: Market, **limits: int) -> list[SystemHealth]:
    return healths(market.frames, AnomalyWatch(AnomalyThresholds(**limits)))


def told(market: Market, **limits: int) -> list[Told]:
    return [told_of(health) for health in judged(market, **limits)]


def told_of(health: SystemHealth) -> Told:
    return AnomalyKind(health.kind), AnomalyState(health.state), health.value


# ---- rate and unproven share


def rates(events: int) -> Market:
    """Ten events in each block, then so many in the newest ones, then ten again."""
    market = Market()
    market.blocks(LEAST_HISTORY + RATE_BLOCKS, *[sync(A, 10, 10)] * 10)
    market.blocks(RATE_BLOCKS, *[sync(A, 10, 10)] * events)
    market.blocks(3 * RATE_BLOCKS, *[sync(A, 10, 10)] * 10)
    return market


def test_rate_burst_begins_once_and_ends_once_with_the_numbers_that_show_it() -> None:
    begun, ended = judged(rates(70))
    assert told_of(begun) == (AnomalyKind.RATE, BEGUN, 550)
    assert (begun.threshold, begun.chain_id, begun.ring, begun.pool) == (500, 137, RING, bytes(20))
    assert begun.block_hash == hash_of(begun.block_number)
    assert begun.first_sequence < begun.last_sequence
    assert (ended.kind, ended.state, ended.first_sequence) == (begun.kind, ENDED, begun.first_sequence)
    assert ended.value <= 250


def test_rate_below_the_threshold_is_none_and_so_is_a_handful_on_a_quiet_chain() -> None:
    assert told(rates(45)) == []
    quiet = Market()
    quiet.blocks(LEAST_HISTORY + RATE_BLOCKS)
    quiet.block(*[sync(A, 10, 10)] * 99)
    quiet.blocks(RATE_BLOCKS)
    assert told(quiet) == []
    quiet.block(*[sync(A, 10, 10)] * 150)
    assert [one[:2] for one in told(quiet)] == [(AnomalyKind.RATE, BEGUN)]


def test_rate_that_falls_to_a_tenth_begins_and_ends() -> None:
    begun, ended = judged(rates(0))
    assert (begun.kind, begun.state, begun.threshold) == (AnomalyKind.RATE, BEGUN, 10)
    assert begun.value <= 10 and ended.state == ENDED and ended.value >= 20


@pytest.mark.parametrize(("held_back", "value"), [(5, None), (10, 5_000)])
def test_unproven_share_of_events_held_back(held_back: int, value: int | None) -> None:
    market = Market()
    market.blocks(SHARE_BLOCKS, *[sync(A, 10, 10)] * 10)
    market.blocks(SHARE_BLOCKS, *[sync(A, 10, 10)] * 10, held_back=held_back)
    market.blocks(SHARE_BLOCKS, *[sync(A, 10, 10)] * 10)
    found = told(market)
    if value is None:
        assert found == []
    else:
        assert [one[:2] for one in found] == [(AnomalyKind.UNPROVEN_SHARE, state) for state in (BEGUN, ENDED)]
        assert found[0][2] == value


def test_unproven_share_counts_events_that_are_flagged() -> None:
    market = Market()
    for _ in range(SHARE_BLOCKS):
        market.block(*[sync(A, 10, 10)] * 10, flags=Flag.UNPROVEN)
    assert told(market) == [(AnomalyKind.UNPROVEN_SHARE, BEGUN, 10_000)]


# ---- silence and latency


@pytest.mark.parametrize(("seconds", "expected"), [(29, []), (30, [(AnomalyKind.SILENCE, ONCE, 30_000)])])
def test_silence_in_which_nothing_came_is_told_when_it_is_over(seconds: int, expected: list[Told]) -> None:
    market = Market()
    market.blocks(3)
    market.now_ns += seconds * NS - BLOCK_NS
    market.block()
    assert told(market) == expected


def test_silence_beside_heartbeats_begins_while_it_lasts_and_ends_with_the_next_block() -> None:
    market = Market()
    market.blocks(3)
    silent = market.number
    for age_ms in range(5_000, 45_000, 5_000):
        market.now_ns += 5 * NS
        market.beat(age_ms)
    market.block()
    market.blocks(5)
    begun, ended = judged(market)
    assert told_of(begun) == (AnomalyKind.SILENCE, BEGUN, 30_000)
    assert (begun.block_number, begun.evidence) == (silent, f"no block for 30000 ms after {silent}")
    assert told_of(ended) == (AnomalyKind.SILENCE, ENDED, 42_000)
    assert ended.block_number == silent + 1


def test_silence_that_a_watch_comes_into_is_as_old_as_the_heartbeat_says() -> None:
    market = Market()
    market.beat(29_000)
    market.now_ns += NS
    market.beat(30_000)
    (begun,) = judged(market)
    assert told_of(begun) == (AnomalyKind.SILENCE, BEGUN, 30_000)
    assert (begun.block_number, begun.evidence) == (-1, "no block for 30000 ms")


@pytest.mark.parametrize(
    ("wall_s", "published_s", "replayed", "elapsed_s"),
    [(2, 2, False, 2), (3_600, 2, False, 2), (-3_600, 2, False, 0), (3_600, 2, True, 3_600), (5, -100, False, 5)],
    ids=["usual", "the wall clock steps on", "and back", "a replay", "another boot"],
)
def test_frame_clock_believes_no_step(wall_s: int, published_s: int, replayed: bool, elapsed_s: int) -> None:
    clock = FrameClock()
    clock.advance(1_000 * NS, 500 * NS, replayed=replayed)
    assert clock.advance((1_000 + wall_s) * NS, (500 + published_s) * NS, replayed=replayed) == elapsed_s * NS


def late(age_ms: int, blocks: int) -> Market:
    market = Market()
    market.blocks(LEAST_LATENCIES + LATENCY_BLOCKS)
    market.blocks(blocks, age_ms=age_ms)
    market.blocks(3)
    return market


def test_latency_drift_needs_blocks_running_and_ends_with_the_first_in_time() -> None:
    assert told(late(3_000, LATENCY_BLOCKS - 1)) == []
    assert told(late(2_000, LATENCY_BLOCKS)) == []
    begun, ended = judged(late(3_000, LATENCY_BLOCKS))
    assert told_of(begun) == (AnomalyKind.LATENCY_DRIFT, BEGUN, 3_000)
    assert told_of(ended) == (AnomalyKind.LATENCY_DRIFT, ENDED, 0)


def test_latency_of_blocks_that_are_fetched_or_of_another_branch_is_none() -> None:
    for record in (
        BackfillBegin(FIRST + 21, FIRST + 40, Reason.DISCONNECTED),
        Reorg(FIRST + 20, FIRST + 20, FIRST + 40, 1, 0, hash_of(FIRST + 20), bytes(32), bytes(32)),
    ):
        market = Market()
        market.blocks(20)
        market.put(record)
        market.blocks(20, age_ms=60_000)
        assert told(market) == []


def test_latency_that_stays_becomes_usual() -> None:
    market = late(3_000, 60)
    states = [AnomalyState(health.state) for health in judged(market)]
    assert states == [BEGUN, ENDED]
    assert judged(market)[1].block_number < FIRST + 60


# ---- gaps and reorgs


def test_lost_frames_are_a_gap_and_nothing_else() -> None:
    """Whatever stood in them, blocks with another price, burst and pause, is no anomaly of its own."""
    market = Market()
    for _ in range(LEAST_HISTORY):
        market.block(*[sync(pool, 1_000, 1_000) for pool in (A, B, C)] * 4)
    first = len(market.frames) + 1
    market.now_ns += 100 * NS
    market.blocks(3, *[sync(A, 1_000, 2_000)] * 200)
    last = len(market.frames)
    market.blocks(20, *[sync(A, 1_000, 2_000), *[sync(B, 1_000, 1_000), sync(C, 1_000, 1_000)] * 5])
    found = healths(market.frames[: first - 1] + market.frames[last:], AnomalyWatch())
    assert [told_of(health) for health in found] == [(AnomalyKind.GAP, ONCE, last - first + 1)]
    assert (found[0].first_sequence, found[0].last_sequence, found[0].ring) == (first, last, RING)


def test_loss_in_the_middle_of_a_block_says_nothing_of_its_events() -> None:
    market = Market()
    market.blocks(2)
    market.block(*[sync(A, 10, 10)] * 5)
    del market.frames[-4:-2]
    assert [one[:2] for one in told(market)] == [(AnomalyKind.GAP, ONCE)]


def test_events_that_never_came_are_a_gap_of_their_block() -> None:
    market = Market()
    market.blocks(3)
    market.now_ns += BLOCK_NS
    number = market.number + 1
    market.head(number)
    announced = len(market.frames)
    market.event(number, sync(A, 10, 10))
    market.end(number, 3)
    (found,) = judged(market)
    assert told_of(found) == (AnomalyKind.GAP, ONCE, 2)
    assert (found.block_number, found.block_hash, found.first_sequence) == (number, hash_of(number), announced)


def test_events_of_a_block_told_before_the_watch_began_are_not_missed() -> None:
    market = Market()
    market.block(*[sync(A, 10, 10)] * 5)
    assert healths(market.frames[2:], AnomalyWatch()) == []


def test_late_events_and_a_second_end_are_no_gap() -> None:
    market = Market()
    number = market.block(sync(A, 10, 10))
    market.block()
    market.put(StateInvalidation(number, InvalidationScope.ALL_POOLS, Reason.LATE_LOGS, bytes(20)))
    market.event(number, sync(B, 10, 10), flags=Flag.BACKFILL)
    market.end(number, 2)
    assert told(market) == []


def test_blocks_that_neither_ended_nor_are_declared_are_a_gap() -> None:
    market = Market()
    market.blocks(3)
    market.put(Gap(FIRST + 4, FIRST + 5, GapScope.BLOCK_NUMBERS, Reason.NODE_HAS_NO_BLOCK))
    market.number += 4
    market.block()
    declared, missing = judged(market)
    assert (told_of(declared), declared.block_number) == ((AnomalyKind.GAP, ONCE, 2), FIRST + 4)
    assert (told_of(missing), missing.block_number) == ((AnomalyKind.GAP, ONCE, 2), FIRST + 4)
    assert "neither end nor gap" in missing.evidence and "NODE_HAS_NO_BLOCK" in declared.evidence


def test_gap_below_its_threshold_is_not_told() -> None:
    market = Market()
    market.put(Gap(5, 6, GapScope.RING_SEQUENCES, 200))
    assert told(market) == [(AnomalyKind.GAP, ONCE, 2)]
    assert told(market, gap_count=3) == []


def reorganised(depth: int) -> Market:
    """Blocks leave the chain, each with an event, and come again on another branch."""
    market = Market()
    market.blocks(10)
    fork = market.number
    market.blocks(depth, sync(A, 10, 10))
    old, new = hash_of(market.number), hash_of(market.number, 1)
    market.put(Reorg(fork, market.number, market.number, depth, depth, hash_of(fork), old, new))
    for number in range(market.number, fork, -1):
        market.event(number, sync(A, 10, 10), flags=Flag.REMOVED)
    for number in range(fork + 1, market.number + 1):
        market.head(number, branch=1)
        market.event(number, sync(A, 10, 10), branch=1)
        market.end(number, 1, branch=1)
    market.blocks(3)
    return market


@pytest.mark.parametrize(("depth", "expected"), [(2, []), (3, [(AnomalyKind.REORG_DEPTH, ONCE, 3)])])
def test_reorg_at_its_threshold_is_told_once_and_leads_to_nothing_else(depth: int, expected: list[Told]) -> None:
    market = reorganised(depth)
    assert told(market) == expected
    for health in judged(market):
        assert (health.block_number, health.block_hash) == (FIRST + 13, hash_of(FIRST + 13, 1))
        assert health.evidence == f"blocks {FIRST + 11} to {FIRST + 13} left the chain"


# ---- pools


def traded(reserve1: int, *, others: int = 1_000_000) -> Market:
    """Pool A moves to this price within a block, away from two others, and trades there once more."""
    market = Market()
    market.block(*[sync(pool, 1_000_000, 1_000_000) for pool in (A, B, C)])
    market.block(sync(A, 1_000_000, reserve1), sync(B, 1_000_000, others), sync(C, 1_000_000, others))
    market.block(sync(A, 1_000_000, reserve1))
    return market


@pytest.mark.parametrize(
    ("reserve1", "value"),
    [(1_029_999, None), (1_030_001, 300), (970_001, None), (969_999, 300), (10**40, (10**34 - 1) * 10**4)],
)
def test_price_jump_at_its_threshold_in_whole_basis_points(reserve1: int, value: int | None) -> None:
    found = judged(traded(reserve1), liquidity_drop_bps=10_000)
    assert [told_of(health) for health in found] == (
        [] if value is None else [(AnomalyKind.PRICE_JUMP, BEGUN, min(value, (1 << 63) - 1))]
    )
    for health in found:
        assert (health.pool, health.venue, health.block_number) == (A, Venue.QUICKSWAP_V2, FIRST + 2)


def test_price_that_all_pools_of_the_pair_follow_is_no_jump() -> None:
    assert told(traded(1_100_000, others=1_100_000)) == []


def test_price_that_is_back_within_its_block_is_no_jump() -> None:
    market = traded(1_000_000)
    market.block(sync(A, 1_000_000, 2_000_000), sync(A, 1_000_000, 1_000_000))
    assert told(market) == []


def test_price_of_a_pair_with_one_pool_is_compared_with_nothing() -> None:
    market = Market()
    market.block(sync(A, 1_000, 1_000))
    market.block(sync(A, 1_000, 2_000))
    assert told(market) == []


def test_price_jump_ends_once_when_half_of_the_threshold_is_reached() -> None:
    market = traded(1_100_000)
    market.block(sync(A, 1_000_000, 1_020_000))
    assert [one[:2] for one in told(market)] == [(AnomalyKind.PRICE_JUMP, BEGUN)]
    market.block(sync(B, 1_000_000, 1_010_000), sync(C, 1_000_000, 1_010_000))
    market.block(sync(A, 1_000_000, 1_000_000))
    begun, ended = judged(market)
    assert (ended.state, ended.pool, ended.first_sequence) == (ENDED, A, begun.first_sequence)
    assert ended.value == 99


def test_price_that_stays_away_becomes_usual() -> None:
    market = traded(1_100_000)
    market.blocks(USUAL_AFTER_BLOCKS)
    begun, ended = judged(market)
    assert ended.block_number - begun.block_number == USUAL_AFTER_BLOCKS


@pytest.mark.parametrize("forgets", ["removed", "invalidation", "one pool", "gap"])
def test_price_that_is_not_known_any_more_has_not_jumped(forgets: str) -> None:
    market = Market()
    market.block(*[sync(pool, 1_000, 1_000) for pool in (A, B, C)])
    if forgets == "removed":
        market.event(market.number, sync(A, 1_000, 1_000), flags=Flag.REMOVED)
    elif forgets == "gap":
        market.put(Gap(1, 1, GapScope.BLOCK_NUMBERS, Reason.NODE_HAS_NO_BLOCK))
    else:
        scope = InvalidationScope.ONE_POOL if forgets == "one pool" else InvalidationScope.ALL_POOLS
        market.put(StateInvalidation(0, scope, Reason.DISCONNECTED, A))
    market.block(sync(A, 1_000, 2_000))
    assert AnomalyKind.PRICE_JUMP not in [one[0] for one in told(market)]


def test_price_and_liquidity_of_a_concentrated_pool_are_those_of_its_swaps() -> None:
    market = Market()
    price = 1 << 96
    market.block(swap(A, price, 10**18), swap(B, price, 10**18))
    market.block(swap(A, price * 11 // 10, 10**18))
    (found,) = judged(market)
    assert told_of(found) == (AnomalyKind.PRICE_JUMP, BEGUN, 2_099)


def test_pool_of_three_coins_has_no_price_and_no_liquidity_to_compare() -> None:
    market = Market()
    heads = [head for head, _ in pairs_of_three_coins()]
    others = [PoolSync(pool, *heads[1][1:3], Venue.QUICKSWAP_V2, 18, 8, Protocol.UNISWAP_V2, 9, 9) for pool in (B, C)]
    market.put(state_of(heads[0], ("DAI", "USDC")), flags=Flag.SNAPSHOT)
    for amount in (1, 10**30, 1):
        market.block(*others, *[swap_of(head, amount) for head in heads])
    assert told(market) == []


def test_snapshot_is_what_a_pool_was_before_its_first_event() -> None:
    market = Market()
    head = (A, *TOKENS, Venue.QUICKSWAP_V2, 18, 6, Protocol.UNISWAP_V2)
    state = PoolState(*head, 1_000_000, 1_000_000, 0, 0, FIRST, 3000, 0, 0, bytes(20), "A", "B")
    market.put(state, flags=Flag.SNAPSHOT)
    market.block(sync(A, 500_000, 500_000))
    assert told(market) == [(AnomalyKind.LIQUIDITY_DROP, ONCE, 5_000)]


@pytest.mark.parametrize(("left", "value"), [(700_001, None), (700_000, 3_000), (0, 10_000)])
def test_liquidity_that_leaves_a_pool_at_the_threshold(left: int, value: int | None) -> None:
    market = Market()
    market.block(sync(A, 1_000_000, 1_000_000))
    market.block(sync(A, left, left))
    market.block(sync(A, left, left))
    assert told(market) == ([] if value is None else [(AnomalyKind.LIQUIDITY_DROP, ONCE, value)])


def test_liquidity_that_leaves_in_parts_is_summed_over_blocks() -> None:
    market = Market()
    for reserve in range(1_000_000, 650_000, -50_000):
        market.block(sync(A, reserve, reserve))
    assert told(market) == [(AnomalyKind.LIQUIDITY_DROP, ONCE, 3_000)]


def test_liquidity_is_not_moved_by_trades() -> None:
    market = Market()
    market.block(sync(A, 1_000_000, 1_000_000))
    market.block(sync(A, 4_000_000, 250_001))
    assert told(market) == []


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([burn(A, 300)], [(AnomalyKind.LIQUIDITY_DROP, ONCE, 3_000)]),
        ([burn(A, 299)], []),
        ([burn(A, 300, lower=10, upper=20)], []),
        ([mint(A, 9_000), burn(A, 9_000)], []),
        ([swap(A, 1 << 96, 10, tick=5)], []),
        ([burn(A, 300), swap(A, 1 << 96, 7_000, tick=5)], [(AnomalyKind.LIQUIDITY_DROP, ONCE, 3_000)]),
    ],
    ids=["at the tick", "below the threshold", "elsewhere", "just in time", "another range", "then another range"],
)
def test_liquidity_of_a_concentrated_pool_is_what_is_active(events: list[PoolRecord], expected: list[Told]) -> None:
    market = Market()
    market.block(swap(A, 1 << 96, 1_000))
    market.block(*events)
    assert told(market) == expected


# ---- bounds, poison, starting again


def test_pools_and_blocks_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched_pools, "MOST_POOLS", 50)
    monkeypatch.setattr(block_book, "MOST_BLOCKS", 40)
    market, watch = Market(), AnomalyWatch()
    for n in range(120):
        market.block(sync(n.to_bytes(20, "big"), 10, 10))
    healths(market.frames, watch)
    assert watch.held == {"pools": 50, "blocks": 40}


def test_anomalies_that_last_are_bounded_and_one_more_is_told_once() -> None:
    published = PublishedAnomalies()
    (begun,) = judged(traded(1_100_000))
    for n in range(MOST_LASTING):
        values = {name: getattr(begun, name) for name in begun.__struct_fields__}
        published.add(SystemHealth(**values | {"pool": b"\xff" + n.to_bytes(19, "big"), "ring": b"o" * 16}))
    watch = AnomalyWatch(published=published)
    found = healths(traded(1_100_000).frames, watch)
    assert [told_of(health)[:2] for health in found] == [(AnomalyKind.PRICE_JUMP, ONCE)]
    assert len(watch.lasting) == MOST_LASTING


def test_frame_that_is_no_message_is_a_gap_and_the_rest_is_judged() -> None:
    market = Market()
    market.blocks(3)
    driver = Driver(AnomalyWatch(), RING)
    said = [driver.deliver(*frame) for frame in market.frames]
    said.append(driver.deliver(99, market.now_ns, b"garbage" * 9))
    (health,) = [draft.records[0] for drafts in said for draft in drafts]
    assert isinstance(health, SystemHealth)
    assert (told_of(health), health.last_sequence) == ((AnomalyKind.GAP, ONCE, 1), 99)


def test_published_anomalies_of_rings_long_gone_are_forgotten() -> None:
    published = PublishedAnomalies()
    (health,) = judged(reorganised(3))
    values = {name: getattr(health, name) for name in health.__struct_fields__}
    rings = [bytes([n]) * 16 for n in range(1, KEPT_RINGS + 3)]
    for ring in rings:
        published.add(SystemHealth(**values | {"ring": ring}))
    said = [published.includes(SystemHealth(**values | {"ring": ring})) for ring in rings]
    assert said == [False] * 2 + [True] * KEPT_RINGS


def eventful() -> Market:
    """A jump that lasts, lost events, a reorg, and heartbeats."""
    market = traded(1_100_000)
    market.blocks(3)
    number = market.number + 1
    market.head(number)
    market.end(number, 3)
    market.number += 1
    market.put(Reorg(FIRST, market.number, market.number, 9, 0, hash_of(FIRST), bytes(32), hash_of(5)))
    market.number += 1
    for _ in range(8):
        market.now_ns += 5 * NS
        market.beat(0)
    return market


def test_watch_started_again_says_nothing_twice_and_ends_what_lasted(new_ring_name: Callable[[], str]) -> None:
    """However far the watch before it came: all of it together says what one watch says."""
    market = eventful()
    market.block()
    source, whole = new_ring_name(), new_ring_name()
    places = range(1, len(market.frames) + 1)
    with (
        Writer.create(source, capacity=1 << 20, layout_digest=LAYOUT_DIGEST) as writer,
        Writer.create(whole, capacity=1 << 20, layout_digest=LAYOUT_DIGEST) as output,
    ):
        for at in places:
            writer.publish(market.frames[at - 1][2])
            with Reader.attach(source, start="oldest") as reader:
                watch = AnomalyWatch(published=published_in(whole))
                runner = Runner(Driver(watch, reader.uuid), reader, output)
                while runner.driver.frames < at:
                    runner.step()
        said = read_all(whole)
        with Reader.attach(source, start="oldest") as reader:
            frames = [(frame.sequence, frame.publish_time_ns, bytes(frame.payload)) for frame in reader.poll()]
            at_once = healths(frames, AnomalyWatch())
    kinds = [AnomalyKind(health.kind) for health in said]
    assert {AnomalyKind.PRICE_JUMP, AnomalyKind.GAP, AnomalyKind.REORG_DEPTH} <= set(kinds)
    assert [key(health) for health in said] == [key(health) for health in at_once]


def key(health: SystemHealth) -> tuple[int, int, int, int, bytes]:
    return health.kind, health.state, health.last_sequence, health.value, health.pool


def read_all(ring: str) -> list[SystemHealth]:
    with Reader.attach(ring, start="oldest") as reader:
        found = [parse(frame.payload).first(SystemHealth) for frame in reader.poll()]
    return [health for health in found if health is not None]


def test_published_in_a_ring_that_is_not_there_is_nothing(new_ring_name: Callable[[], str]) -> None:
    published = published_in(new_ring_name())
    assert (published.lasting, published.chain_ids) == ({}, {})
