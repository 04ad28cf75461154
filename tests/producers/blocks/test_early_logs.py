"""Logs whose block is not known: kept within bounds, and never half believed."""

from __future__ import annotations

from itertools import count

import msgspec

from producers.blocks.early_logs import LIFETIME_NS, MAX_SIZE, OVERHEAD, Strays
from producers.node.rpc_types import Log
from producers.node.timers import Timers
from tests.producers.collected import canonical_events
from tests.producers.virtual import Conversation, new_feed


def log_of(block: int, data: str = "0x") -> Log:
    return Log("0x" + "aa" * 20, data=data, block_number="0x1", block_hash=hex(block))


def test_strays_of_many_made_up_blocks_stay_within_their_bound() -> None:
    timers, sought = Timers(), list[str]()
    strays = Strays(timers, lambda block_hash, number: sought.append(block_hash))
    for block in range(3 * MAX_SIZE // OVERHEAD):
        strays.keep(hex(block), log_of(block), 0)
    assert len(strays._waiting) <= MAX_SIZE // OVERHEAD
    assert len(timers._heap) == 2 * len(strays._waiting)
    timers.run(LIFETIME_NS)
    assert strays._waiting == {}
    assert len(set(sought)) == len(sought) <= MAX_SIZE // OVERHEAD
    strays.keep("0x1", log_of(1), LIFETIME_NS)
    assert strays.adopt("0x1") == [log_of(1)]


def test_strays_turned_away_make_their_blocks_doubtful_for_as_long_as_they_could_wait() -> None:
    strays = Strays(Timers(), lambda block_hash, number: None)
    strays.keep("0x1", log_of(1), 0)
    assert not strays.overflowed("0x1", 0)
    strays.keep("0x1", log_of(1, "0x" + "00" * MAX_SIZE), 5)
    assert strays.overflowed("0x1", 5)
    strays.keep("0x1", log_of(1), 6)
    assert strays.adopt("0x1") == [], "a part of a block is nothing"
    strays.keep("0x2", log_of(2, "0x" + "00" * MAX_SIZE), 7)
    assert strays.overflowed("0x2", 7)
    assert strays.overflowed("0x2", 6 + LIFETIME_NS)
    assert not strays.overflowed("0x2", 7 + LIFETIME_NS)


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
