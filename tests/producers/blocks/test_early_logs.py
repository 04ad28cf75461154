"""Logs whose block is not known: kept within bounds, and never half believed."""

from __future__ import annotations

from itertools import count

import msgspec

from producers.blocks.arrivals import Arrivals, HeadMissing
from producers.blocks.early_logs import LIFETIME_NS, MAX_SIZE, OVERHEAD, EarlyLogs
from producers.node.rpc_types import Log
from producers.node.timers import Clock, Timers
from tests.producers.collected import canonical_events
from tests.producers.virtual import Conversation, new_feed


def log_of(block: int, data: str = "0x") -> Log:
    return Log("0x" + "aa" * 20, data=data, block_number="0x1", block_hash=hex(block))


def new_early_logs() -> tuple[EarlyLogs, Clock, Timers, Arrivals]:
    clock = Clock()
    timers, arrivals = Timers(clock), Arrivals()
    return EarlyLogs(clock, timers, arrivals), clock, timers, arrivals


def test_early_logs_of_many_made_up_blocks_stay_within_their_bound() -> None:
    early, clock, timers, arrivals = new_early_logs()
    for block in range(3 * MAX_SIZE // OVERHEAD):
        early.keep(hex(block), log_of(block))
    assert len(early._waiting) <= MAX_SIZE // OVERHEAD
    assert len(timers) == 2 * len(early._waiting)
    clock.now_ns = LIFETIME_NS
    timers.run()
    assert early._waiting == {}
    sought = [arrived.block_hash for arrived in arrivals if isinstance(arrived, HeadMissing)]
    assert len(set(sought)) == len(sought) == len(arrivals) <= MAX_SIZE // OVERHEAD
    early.keep("0x1", log_of(1))
    assert early.adopt("0x1") == [log_of(1)]


def test_early_logs_turned_away_make_their_blocks_doubtful_for_as_long_as_they_could_wait() -> None:
    early, clock, _, _ = new_early_logs()
    early.keep("0x1", log_of(1))
    assert not early.overflowed("0x1")
    clock.now_ns = 5
    early.keep("0x1", log_of(1, "0x" + "00" * MAX_SIZE))
    assert early.overflowed("0x1")
    clock.now_ns = 6
    early.keep("0x1", log_of(1))
    assert early.adopt("0x1") == [], "a part of a block is nothing"
    clock.now_ns = 7
    early.keep("0x2", log_of(2, "0x" + "00" * MAX_SIZE))
    assert early.overflowed("0x2")


def test_feed_flooded_with_logs_of_made_up_blocks_loses_nothing() -> None:
    """Twice what may wait, in large logs between those of the first blocks, each of another block."""
    flooded, names = 0, count(1)

    def flood(frame: bytes) -> list[bytes]:
        nonlocal flooded
        if b'"address"' not in frame or flooded > 2 * MAX_SIZE:
            return [frame]
        notice = msgspec.json.decode(frame)
        made_up = []
        for _ in range(4):
            result = {**notice["params"]["result"], "blockHash": f"0x{next(names):064x}", "data": "0x" + "00" * 100_000}
            made_up.append(msgspec.json.encode({**notice, "params": {**notice["params"], "result": result}}))
            flooded += len(result["data"])
        return [*made_up, frame]

    conversation = Conversation(new_feed(), pushed=flood)
    conversation.connect()
    conversation.play()
    assert flooded > 2 * MAX_SIZE
    assert conversation.story.standing == canonical_events()
    assert not conversation.story.twice.total()
