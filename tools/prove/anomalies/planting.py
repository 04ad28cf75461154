"""One anomaly planted into a stream of recorded frames, or less than one: a decoy that stays below the threshold.

Owns how each kind looks in frames, as a collector would publish it.  What is planted is drawn from a seed: where, in
which pool, how much.  The rest of the stream stays as it was recorded.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from math import ceil, isqrt
from typing import Any, NamedTuple

from msgspec.structs import replace

from consumers.anomalies import AnomalyThresholds
from consumers.anomalies.chain import RATE_BLOCKS, SHARE_BLOCKS
from consumers.anomalies.flow import LATENCY_BLOCKS
from consumers.anomalies.pools import FRESH_BLOCKS
from tlv.codes import AnomalyKind, Domain, FeedReason, FeedState, Flag, GapScope, Reason
from tlv.layout import (
    BackfillBegin,
    Block,
    BlockEnd,
    EventOrigin,
    Gap,
    Heartbeat,
    PoolBurn,
    PoolRecord,
    PoolSwap,
    PoolSync,
    Reorg,
)
from tlv.units import MS, NS
from tools.prove.anomalies.recorded import RecordedFrame, Stream, framed, other_hash

LIMITS = AnomalyThresholds()
BPS = 10_000
LEAST, MOST = 1.1, 4.0
"""A plant is so many thresholds high, a decoy so many:"""
DECOY_LEAST, DECOY_MOST = 0.3, 0.8
QUIET_BLOCKS = 40
"""At the stream's beginning: what is usual is learned there."""
DENSE = 20
"""Events in a block, on average."""
ABOUT_EVENTS = frozenset(
    (AnomalyKind.RATE, AnomalyKind.PRICE_JUMP, AnomalyKind.LIQUIDITY_DROP, AnomalyKind.UNPROVEN_SHARE)
)
"""Kinds that are planted where there are many."""
BLOCKS_BEHIND = 24
"""What a plant leads to is seen within so many blocks."""
BEAT_NS = 5 * NS
OTHER_BRANCH = 1 << 20
"""Blocks of a made-up branch get the hashes of this round."""


class Planted(NamedTuple):
    """A stream, and what a watch should say of it."""

    frames: Stream
    lost: dict[int, int]
    """By place in the stream, how many frames a reader lost in front of it."""
    kind: AnomalyKind
    blocks: range
    """Blocks at which it may be seen."""
    pool: bytes = bytes(20)
    is_decoy: bool = False


class Field:
    """A stream, and where in it things are."""

    def __init__(self, frames: Stream) -> None:
        self.frames = frames
        self.ends = [at for at, frame in enumerate(frames) if isinstance(frame.record, BlockEnd)]
        self.heads: dict[bytes, int] = {
            frame.record.hash: at for at, frame in enumerate(frames) if isinstance(frame.record, Block)
        }
        self.events: dict[bytes, list[int]] = defaultdict(list)
        """Places of the events of each block that stand."""
        self._states: dict[int, dict[bytes, int]] = {}
        for at, frame in enumerate(frames):
            origin = frame.origin
            if origin is not None and not frame.message.header.flags & (Flag.REMOVED | Flag.UNPROVEN):
                self.events[origin.block_hash].append(at)

    @property
    def is_dense(self) -> bool:
        """Whether its blocks have events enough for the kinds that are about them."""
        return sum(map(len, self.events.values())) >= DENSE * len(self.ends)

    def end(self, index: int) -> BlockEnd:
        """The end of the block `index` in order of their ends."""
        record = self.frames[self.ends[index]].record
        assert isinstance(record, BlockEnd)
        return record

    def last_states(self, index: int) -> dict[bytes, int]:
        """Where each pool's newest price stands, up to the end of a block, if no liquidity moved since."""
        if index not in self._states:
            found: dict[bytes, int] = {}
            for n in range(max(index - FRESH_BLOCKS + 1, 0), index + 1):
                for at in self.events[self.end(n).hash]:
                    if has_price(self.frames[at]):
                        found[pool_at(self, at)] = at
                    elif isinstance(self.frames[at].record, PoolBurn):
                        found.pop(pool_at(self, at), None)
            self._states[index] = found
        return self._states[index]

    def some_end(self, rng: random.Random, behind: int, events: int = 0) -> int:
        """The index of a block that is known, has so many events and `behind` blocks behind it."""
        while True:
            index = rng.randrange(QUIET_BLOCKS, len(self.ends) - behind)
            if len(self.events[self.end(index).hash]) >= events and self.end(index).hash in self.heads:
                return index


Plant = Callable[[Field, random.Random, float], Planted]
"""Plants something so many thresholds high."""


def plant(kind: AnomalyKind, field: Field, rng: random.Random, *, decoy: bool) -> Planted:
    """Something of this kind, or a decoy."""
    height = rng.uniform(DECOY_LEAST, DECOY_MOST) if decoy else rng.uniform(LEAST, MOST)
    planted = PLANTS[kind](field, rng, height)
    return planted._replace(frames=ended_behind(planted), is_decoy=decoy)


def ended_behind(planted: Planted) -> Stream:
    """The stream up to some blocks behind those of the plant."""
    last = planted.blocks.stop + BLOCKS_BEHIND
    for at, frame in enumerate(planted.frames):
        if isinstance(frame.record, BlockEnd) and frame.record.number >= last:
            return planted.frames[: at + 1]
    return planted.frames


def plant_rate(field: Field, rng: random.Random, height: float) -> Planted:
    """A burst: a block's events several times over; or, of a real one half the time, hardly any are left."""
    first = field.some_end(rng, 3 * RATE_BLOCKS)
    ends = range(first, first + 2 * RATE_BLOCKS)
    fewer = rng.random() < 0.5
    times = 1 / (height * 100 / LIMITS.rate_low_pct) if fewer else height * LIMITS.rate_high_pct / 100
    out: dict[int, list[RecordedFrame]] = {}
    for index in ends:
        end, places = field.end(index), field.events[field.end(index).hash]
        wanted = ceil(len(places) * times) if height < 1 else int(len(places) * times)
        for n, at in enumerate(places):
            copies = wanted // len(places) + (n < wanted % len(places))
            out[at] = [copy_of(field.frames[at], n) for n in range(copies)]
        at = field.ends[index]
        out[at] = [field.frames[at].with_records(replace(end, event_count=wanted, held_back=0))]
    frames = rebuilt(field.frames, out)
    return Planted(frames, {}, AnomalyKind.RATE, blocks_of(field, ends))


def plant_silence(field: Field, rng: random.Random, height: float) -> Planted:
    """No block for a while: the chain halts, or the feed does and catches up; heartbeats come, or nothing."""
    index = field.some_end(rng, 4)
    at, end = field.ends[index] + 1, field.end(index)
    before, behind = field.frames[:at], field.frames[at:]
    head_ns = max(frame.time_ns for frame in before if isinstance(frame.record, Block))
    next_ns = next(frame.time_ns for frame in behind if isinstance(frame.record, Block))
    # Heartbeats come each few seconds: a decoy is not seen where the time between two would do.
    pause_ns = max(int(height * LIMITS.silence_ms) * MS - (next_ns - head_ns), 0)
    resumed_ns = next_ns + pause_ns
    told: list[RecordedFrame] = []
    if rng.random() < 0.5:
        for beat_ns in range(before[-1].time_ns + BEAT_NS, resumed_ns, BEAT_NS):
            age_ms = (beat_ns - head_ns) // MS
            beat = Heartbeat(end.number, end.number, 0, age_ms, 0, 0, FeedState.LIVE, 0, FeedReason.OK)
            told.append(framed(beat_ns, Domain.SYSTEM, [beat]))
    behind = tuple(frame for frame in behind if not (isinstance(frame.record, Heartbeat) and frame.time_ns < next_ns))
    if rng.random() < 0.5:
        resumed = [halted(frame, pause_ns) for frame in behind]
    else:
        missed = [
            frame.record.number for frame in behind if isinstance(frame.record, Block) and frame.time_ns < resumed_ns
        ]
        begin = BackfillBegin(end.number + 1, max(missed, default=end.number), Reason.DISCONNECTED)
        told.append(framed(resumed_ns, Domain.SYSTEM, [begin]))
        resumed = [frame.later(max(resumed_ns - frame.time_ns, 0)) for frame in behind]
    return Planted((*before, *told, *resumed), {}, AnomalyKind.SILENCE, range(end.number, end.number + 3))


def halted(frame: RecordedFrame, pause_ns: int) -> RecordedFrame:
    """The same behind a pause of the chain, whose next blocks are younger."""
    record = frame.record
    if isinstance(record, Block):
        frame = frame.with_records(replace(record, timestamp=record.timestamp + pause_ns // NS))
    return frame.later(pause_ns)


def plant_gap(field: Field, rng: random.Random, height: float) -> Planted:
    """Frames that a reader lost, events or blocks that vanish without a word, or a Gap; a decoy is a block that is
    fetched again, with all its events."""
    index = field.some_end(rng, 8, events=2)
    end = field.end(index)
    if height < 1:
        at, head = field.ends[index], field.heads[end.hash]
        again = [frame for frame in field.frames[head : at + 1] if not isinstance(frame.record, Heartbeat)]
        frames = (*field.frames[: at + 1], *again, *field.frames[at + 1 :])
        return Planted(frames, {}, AnomalyKind.GAP, range(end.number, end.number + 2))
    how = rng.randrange(4)
    places = field.events[end.hash]
    if how == 0:
        first = rng.choice(places)
        count = rng.randrange(1, 40)
        frames = field.frames[:first] + field.frames[first + count :]
        return Planted(frames, {first: count}, AnomalyKind.GAP, range(-1, end.number + 8))
    if how == 1:
        gone = set(rng.sample(places, rng.randrange(1, len(places) + 1)))
        frames = tuple(frame for at, frame in enumerate(field.frames) if at not in gone)
        return Planted(frames, {}, AnomalyKind.GAP, range(end.number, end.number + 1))
    if how == 2:
        count = rng.randrange(1, 4)
        frames = field.frames[: field.ends[index] + 1] + field.frames[field.ends[index + count] + 1 :]
        return Planted(frames, {}, AnomalyKind.GAP, range(end.number, end.number + count + 2))
    at = field.ends[index] + 1
    gap = Gap(end.number + 1, end.number + rng.randrange(1, 9), GapScope.BLOCK_NUMBERS, Reason.NODE_HAS_NO_BLOCK)
    frames = (*field.frames[:at], framed(field.frames[at].time_ns, Domain.SYSTEM, [gap]), *field.frames[at:])
    return Planted(frames, {}, AnomalyKind.GAP, range(end.number, end.number + 10))


def plant_reorg(field: Field, rng: random.Random, height: float) -> Planted:
    """The newest blocks leave the chain, and come again with other hashes."""
    depth = max(int(height * LIMITS.reorg_blocks), 1 if height < 1 else LIMITS.reorg_blocks)
    index = field.some_end(rng, 2)
    at, now_ns = field.ends[index] + 1, field.frames[field.ends[index]].time_ns
    told = [frame.record for frame in field.frames[:at] if isinstance(frame.record, Block)]
    root = next(end for end in map(field.end, range(index, -1, -1)) if end.number <= told[-1].number - depth)
    # A block may be announced before the one below it is ended: it leaves the chain with the others.
    heads = [block for block in told if block.number > root.number]
    gone = {block.hash for block in heads}
    dropped = [frame for frame in field.frames[:at] if hash_of(frame) in gone and stands(frame)]
    events = [frame for frame in dropped if frame.origin is not None]
    hashes = (root.hash, heads[-1].hash, other_hash(heads[-1].hash, OTHER_BRANCH))
    newest = heads[-1].number
    reorg = Reorg(root.number, newest, newest, newest - root.number, len(events), *hashes)
    removed = [removed_copy(frame, now_ns) for frame in reversed(events)]
    again = [on_other_branch(frame, now_ns) for frame in dropped]
    behind = [on_other_branch(frame) if hash_of(frame) in gone else frame for frame in field.frames[at:]]
    frames = (*field.frames[:at], framed(now_ns, Domain.SYSTEM, [reorg]), *removed, *again, *behind)
    return Planted(frames, {}, AnomalyKind.REORG_DEPTH, range(root.number, newest + 1))


def plant_price(field: Field, rng: random.Random, height: float) -> Planted:
    """A pool's price leaves that of the pair's others, until its next event."""
    away_bps = int(height * LIMITS.price_jump_bps)
    while True:
        index = field.some_end(rng, 1, events=1)
        end = field.end(index)
        last = field.last_states(index)
        mine = [
            at for at in field.events[end.hash] if has_price(field.frames[at]) and last.get(pool_at(field, at)) == at
        ]
        mine = [at for at in mine if compared(field, last, at)]
        if mine:
            break
    at = rng.choice(mine)
    up = rng.random() < 0.5
    frame = field.frames[at]
    factor = (BPS + away_bps, BPS) if up else (BPS, BPS + away_bps)
    frames = rebuilt(field.frames, {at: [with_price(frame, reference_price(field, last, at), *factor)]})
    # Below the reference the same ratio is a little less in basis points; the watch measures against the others.
    return Planted(frames, {}, AnomalyKind.PRICE_JUMP, range(end.number, end.number + 1), pool_at(field, at))


def plant_liquidity(field: Field, rng: random.Random, height: float) -> Planted:
    """Liquidity leaves a pool: a V2 pool's reserves shrink, a V3 position at the tick is burnt."""
    drop_bps = min(int(height * LIMITS.liquidity_drop_bps), BPS)
    while True:
        index = field.some_end(rng, 1, events=1)
        end = field.end(index)
        last = field.last_states(index)
        mine = [at for at in field.events[end.hash] if last.get(pool_at(field, at)) == at]
        mine = [at for at in mine if known_before(field, index, pool_at(field, at))]
        if mine:
            break
    at = rng.choice(mine)
    frame, left = field.frames[at], BPS - drop_bps
    record = frame.record
    assert isinstance(record, PoolSync | PoolSwap)
    if isinstance(record, PoolSync):
        shrunk = replace(record, reserve0=record.reserve0 * left // BPS, reserve1=record.reserve1 * left // BPS)
        new = [frame.with_records(shrunk, *frame.message.records[1:])]
        frames = rebuilt(field.frames, {at: new})
    else:
        burnt = record.liquidity * drop_bps // BPS + 1
        same: dict[str, Any] = {name: getattr(record, name) for name in PoolRecord.__struct_fields__}
        burn = PoolBurn(
            **same,
            amount0=0,
            amount1=0,
            amount=burnt,
            tick_lower=record.tick - 10,
            tick_upper=record.tick + 10,
            owner=bytes(20),
            recipient=bytes(20),
        )
        frames = rebuilt(
            field.frames,
            {at: [frame, frame.with_records(burn, *frame.message.records[1:])], **one_more(field, index)},
        )
    return Planted(frames, {}, AnomalyKind.LIQUIDITY_DROP, range(end.number, end.number + 1), pool_at(field, at))


def plant_latency(field: Field, rng: random.Random, height: float) -> Planted:
    """Blocks are published later after their own time, for a while; others keep their pace."""
    first = field.some_end(rng, 4 * LATENCY_BLOCKS)
    ends = range(first, first + rng.randrange(2 * LATENCY_BLOCKS, 3 * LATENCY_BLOCKS))
    by_ns = int(height * LIMITS.latency_drift_ms) * MS
    begin, stop = field.heads[field.end(first).hash], field.ends[ends[-1]] + 1
    late = tuple(frame.later(by_ns) for frame in field.frames[begin:stop])
    frames = field.frames[:begin] + late + field.frames[stop:]
    return Planted(frames, {}, AnomalyKind.LATENCY_DRIFT, blocks_of(field, ends))


def plant_unproven(field: Field, rng: random.Random, height: float) -> Planted:
    """Events of emitters that nobody proves: held back, or published with a flag."""
    first = field.some_end(rng, 2 * SHARE_BLOCKS)
    ends = range(first, first + SHARE_BLOCKS + 4)
    share = min(height * LIMITS.unproven_share_bps / BPS, 0.95)
    flagged = rng.random() < 0.5
    out: dict[int, list[RecordedFrame]] = {}
    for index in ends:
        end, places = field.end(index), field.events[field.end(index).hash]
        wanted = round(len(places) * share)
        chosen = rng.sample(places, min(wanted, len(places)))
        for at in chosen:
            frame = field.frames[at]
            flags = frame.message.header.flags | Flag.UNPROVEN
            out[at] = [frame.with_records(*frame.message.records, flags=flags)] if flagged else []
        if not flagged:
            counts = {"event_count": end.event_count - len(chosen), "held_back": len(chosen)}
            at = field.ends[index]
            out[at] = [field.frames[at].with_records(replace(end, **counts))]
    return Planted(rebuilt(field.frames, out), {}, AnomalyKind.UNPROVEN_SHARE, blocks_of(field, ends))


PLANTS: dict[AnomalyKind, Plant] = {
    AnomalyKind.RATE: plant_rate,
    AnomalyKind.SILENCE: plant_silence,
    AnomalyKind.GAP: plant_gap,
    AnomalyKind.REORG_DEPTH: plant_reorg,
    AnomalyKind.PRICE_JUMP: plant_price,
    AnomalyKind.LIQUIDITY_DROP: plant_liquidity,
    AnomalyKind.LATENCY_DRIFT: plant_latency,
    AnomalyKind.UNPROVEN_SHARE: plant_unproven,
}


def rebuilt(frames: Stream, out: dict[int, list[RecordedFrame]]) -> Stream:
    """The stream with other frames in some places, none or several."""
    return tuple(new for at, frame in enumerate(frames) for new in out.get(at, (frame,)))


def blocks_of(field: Field, ends: range) -> range:
    """The numbers of these blocks."""
    return range(field.end(ends[0]).number, field.end(ends[-1]).number + 1)


def copy_of(frame: RecordedFrame, n: int) -> RecordedFrame:
    """The event once more, in another transaction."""
    if n == 0:
        return frame
    records = (
        replace(record, transaction_hash=other_hash(record.transaction_hash, n))
        if isinstance(record, EventOrigin)
        else record
        for record in frame.message.records
    )
    return frame.with_records(*records)


def one_more(field: Field, index: int) -> dict[int, list[RecordedFrame]]:
    """The end of a block with an event more."""
    at, end = field.ends[index], field.end(index)
    return {at: [field.frames[at].with_records(replace(end, event_count=end.event_count + 1))]}


def hash_of(frame: RecordedFrame) -> bytes | None:
    """The block that a frame is about."""
    match frame.record:
        case Block(hash=block_hash) | BlockEnd(hash=block_hash):
            return block_hash
    return frame.origin.block_hash if frame.origin is not None else None


def stands(frame: RecordedFrame) -> bool:
    """Whether it is no copy that takes an event back."""
    return not frame.message.header.flags & Flag.REMOVED


def removed_copy(frame: RecordedFrame, now_ns: int) -> RecordedFrame:
    """The copy that takes an event back."""
    flags = frame.message.header.flags | Flag.REMOVED
    return framed(now_ns, Domain.MARKET_DATA, frame.message.records, flags)


def on_other_branch(frame: RecordedFrame, now_ns: int | None = None) -> RecordedFrame:
    """The same of a block with another hash."""

    def one(record: object) -> object:
        match record:
            case Block():
                changes = {"parent_hash": other_hash(record.parent_hash, OTHER_BRANCH)}
                return replace(record, hash=other_hash(record.hash, OTHER_BRANCH), **changes)
            case BlockEnd():
                return replace(record, hash=other_hash(record.hash, OTHER_BRANCH))
            case EventOrigin():
                return replace(record, block_hash=other_hash(record.block_hash, OTHER_BRANCH))
        return record

    header = frame.message.header
    time_ns = frame.time_ns if now_ns is None else now_ns
    return framed(time_ns, Domain(header.domain), map(one, frame.message.records), header.flags)  # type: ignore[arg-type]


# ---- pools


def pool_at(field: Field, at: int) -> bytes:
    """The pool of an event."""
    record = field.frames[at].record
    assert isinstance(record, PoolRecord)
    return record.pool


def has_price(frame: RecordedFrame) -> bool:
    """Whether it says its pool's price."""
    match frame.record:
        case PoolSync(reserve0=reserve0, reserve1=reserve1):
            return bool(reserve0 and reserve1)
        case PoolSwap(sqrt_price_x96=price):
            return bool(price)
    return False


def known_before(field: Field, index: int, pool: bytes) -> bool:
    """Whether something came of the pool before this block, without another event of it in the block."""
    inside = [at for at in field.events[field.end(index).hash] if pool_at(field, at) == pool]
    return pool in field.last_states(index - 1) and len([at for at in inside if has_price(field.frames[at])]) == 1


def price_of(frame: RecordedFrame) -> int:
    """Token1 for token0, times 2^192."""
    record = frame.record
    if isinstance(record, PoolSync):
        return (record.reserve1 << 192) // record.reserve0
    assert isinstance(record, PoolSwap)
    return record.sqrt_price_x96**2


def others_of(field: Field, last: dict[bytes, int], at: int) -> Iterator[int]:
    """Prices of the pair's other pools."""
    record = field.frames[at].record
    assert isinstance(record, PoolRecord)
    for pool, place in last.items():
        other = field.frames[place].record
        assert isinstance(other, PoolRecord)
        if pool != record.pool and (other.token0, other.token1) == (record.token0, record.token1):
            yield price_of(field.frames[place])


def reference_price(field: Field, last: dict[bytes, int], at: int) -> int:
    """The median price of the pair's other pools."""
    prices = sorted(others_of(field, last, at))
    middle = len(prices) // 2
    return prices[middle] if len(prices) % 2 else (prices[middle - 1] + prices[middle]) // 2


def compared(field: Field, last: dict[bytes, int], at: int) -> bool:
    """Whether the pair has another pool with about this price, and the pool has a price of before."""
    if not any(others_of(field, last, at)):
        return False
    reference, price = reference_price(field, last, at), price_of(field.frames[at])
    index = next(n for n, place in enumerate(field.ends) if place > at)
    near = abs(price - reference) * BPS // reference < LIMITS.price_jump_bps // 6
    return near and known_before(field, index, pool_at(field, at))


def with_price(frame: RecordedFrame, price: int, numerator: int, denominator: int) -> RecordedFrame:
    """The event with another price: `price` times a fraction; the product of reserves stays."""
    record, wanted = frame.record, price * numerator // denominator
    if isinstance(record, PoolSync):
        product = record.reserve0 * record.reserve1
        reserve0 = isqrt((product << 192) // wanted)
        return frame.with_records(
            replace(record, reserve0=reserve0, reserve1=product // reserve0), *frame.message.records[1:]
        )
    assert isinstance(record, PoolSwap)
    return frame.with_records(replace(record, sqrt_price_x96=isqrt(wanted)), *frame.message.records[1:])
