"""The first messages of a ring's epoch."""

from __future__ import annotations

import pytest

from producers.chains.configuration import load_chain
from producers.decode.pool_table import PoolTable
from producers.node.timers import Clock
from producers.output.epoch import Epoch, OutputRing
from producers.output.outbox import Outbox
from tests.producers.blocks.lying import LyingNode
from tests.producers.virtual import new_feed
from tlv.codes import InvalidationScope, Reason, Source
from tlv.layout import Session, StateInvalidation
from tlv.message import parse


@pytest.mark.parametrize("epoch", [1, 2])
def test_only_an_epoch_after_the_first_takes_every_state_back(epoch: int) -> None:
    node = LyingNode(new_feed(ring=OutputRing(bytes(16), epoch, 1)))
    assert node.records(Session)[0].epoch == epoch
    taken_back = [(each.scope, each.reason) for each in node.records(StateInvalidation)]
    assert taken_back == [(InvalidationScope.ALL_POOLS, Reason.WRITER_RESTARTED)] * (epoch - 1)


def test_session_comes_again_once_when_the_chain_became_known() -> None:
    outbox = Outbox(Source.POLYGON_COLLECTOR, Clock(), PoolTable(()), 1)
    epoch = Epoch(load_chain("polygon"), OutputRing(bytes(16), 1, 1), outbox)
    epoch.open(bytes(32))
    outbox.take()
    for genesis in (b"\0" * 32, b"g" * 32, bytes(bytearray(b"g" * 32))):
        epoch.learn(genesis)
    (message,) = [parse(payload) for payload in outbox.take() if isinstance(payload, bytes)]
    session = message.first(Session)
    assert session is not None and session.genesis == b"g" * 32
