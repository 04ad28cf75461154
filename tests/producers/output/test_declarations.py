"""What is asked anew when readers are told to doubt."""

from __future__ import annotations

import pytest

from producers.blocks.chain import Chain
from producers.chains.configuration import load_chain
from producers.context import Context
from producers.decode.pool_table import PoolTable
from producers.node.rpc_types import Head
from producers.node.timers import Clock
from producers.output.block_messages import BlockMessages
from producers.output.declarations import Declarations
from producers.output.fee_states import FeeStates
from producers.output.introductions import Introductions
from producers.output.outbox import Outbox
from producers.output.pool_readings import NOTHING_WATCHED
from producers.output.snapshots import Snapshots
from producers.output.tick_maps import TickMaps
from tests.producers.collected import proven_pools
from tlv.codes import Reason, Source


def asked_since(doubted: int, head: int | None) -> set[int]:
    """As of which blocks, and later, the states of three pools are of use once readers doubt from one on."""
    context, chain = Context.of(load_chain("polygon"), Clock()), Chain(256)
    if head is not None:
        added = chain.add(
            Head(number=hex(head), hash="0x" + "11" * 32, parent_hash="0x" + "22" * 32, timestamp="0x1"), 0
        )
        found = chain.branch(added, 1000)
        assert isinstance(found, list)
        chain.adopt(found)
    table = PoolTable(list(proven_pools().values())[:3])
    outbox = Outbox(Source.POLYGON_COLLECTOR, context.clock, table, 1)
    introductions = Introductions(outbox, table, {})
    introductions.introduce(range(3))
    snapshots = Snapshots(context, introductions, chain.is_canonical)
    tick_maps = TickMaps(context, introductions, outbox, chain.is_canonical, NOTHING_WATCHED)
    fee_states = FeeStates(context, introductions, outbox, chain.is_canonical, NOTHING_WATCHED)
    Declarations(chain, BlockMessages(context, outbox), snapshots, tick_maps, fee_states).gap(
        doubted, doubted, Reason.LATE_LOGS
    )
    assert len(snapshots.due) == 3
    return {due.since_block for due in snapshots.due}


@pytest.mark.parametrize(
    ("doubted", "head", "since"), [(90, 100, 100), (100, 100, 100), (101, 100, 101), (90, None, 90)]
)
def test_states_after_a_doubt_are_asked_as_of_the_head_at_least(doubted: int, head: int | None, since: int) -> None:
    """Events of blocks up to the head are told: an older state would undo them."""
    assert asked_since(doubted, head) == {since}
