"""The numbers of a heartbeat: age of the head, blocks behind, as the collector's statistics have them too."""

from __future__ import annotations

import pytest

from producers.chains.configuration import load_chain
from producers.context import Context
from producers.decode.pool_table import PoolTable
from producers.node.timers import Clock
from producers.output.heartbeats import Heartbeats
from producers.output.outbox import Outbox
from tlv.codes import FeedReason, FeedState, Source
from tlv.layout import Heartbeat
from tlv.message import parse
from tlv.units import MS

WALL_NS = 1_700_000_000_000_000_000
U32_MAX = (1 << 32) - 1


@pytest.mark.parametrize(
    ("head", "safe", "later_ns", "behind", "age_ms"),
    [
        (1000, 997, 1234 * MS + MS - 1, 3, 1234),
        (1000, 1000, 0, 0, 0),
        (1000, 1001, 7 * MS, 0, 7),
        (1000, -1, 5 * MS, 1001, 5),
        (1 << 33, 0, (U32_MAX + 9) * MS, U32_MAX, U32_MAX),
    ],
)
def test_heartbeat_tells_how_old_the_head_is_and_how_far_behind_its_end(
    head: int, safe: int, later_ns: int, behind: int, age_ms: int
) -> None:
    clock = Clock(0, WALL_NS)
    context = Context.of(load_chain("polygon"), clock)
    outbox = Outbox(Source.POLYGON_COLLECTOR, clock, PoolTable(), 1)
    heartbeats = Heartbeats(context, outbox)
    for now_ns in (0, later_ns):
        clock.now_ns = now_ns
        heartbeats.put(head, safe, 4, state=FeedState.LIVE, endpoint=2, reason=FeedReason.OK)
    beat = parse([item for item in outbox.take() if isinstance(item, bytes)][-1]).records[0]
    assert isinstance(beat, Heartbeat)
    assert (beat.blocks_behind, beat.head_age_ms) == (behind, age_ms)
    assert (beat.head_number, beat.safe_number, beat.held_back, beat.endpoint) == (head, safe, 4, 2)
    assert (context.stats.blocks_behind, context.stats.head_age_ms) == (behind, age_ms)
