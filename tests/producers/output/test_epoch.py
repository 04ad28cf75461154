"""The first messages of a ring's epoch."""

from __future__ import annotations

import pytest

from producers.output.epoch import OutputRing
from tests.producers.blocks.lying import LyingNode
from tests.producers.virtual import new_feed
from tlv.codes import InvalidationScope, Reason
from tlv.layout import Session, StateInvalidation


@pytest.mark.parametrize("epoch", [1, 2])
def test_only_an_epoch_after_the_first_takes_every_state_back(epoch: int) -> None:
    node = LyingNode(new_feed(ring=OutputRing(bytes(16), epoch, 1)))
    assert node.records(Session)[0].epoch == epoch
    taken_back = [(each.scope, each.reason) for each in node.records(StateInvalidation)]
    assert taken_back == [(InvalidationScope.ALL_POOLS, Reason.WRITER_RESTARTED)] * (epoch - 1)
