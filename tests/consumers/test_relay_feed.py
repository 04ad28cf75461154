"""Who may enter a ring, and who has to go round its damage."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from consumers.relay.counters import Counters
from consumers.relay.errors import Farewell
from consumers.relay.feed import OUT_OF_RING, FeedPosition, RingFeed
from ringbuf import Reader
from tests.consumers.relay_rig import make_ring, publish


@pytest.fixture
def feed(ring_name: str) -> Iterator[RingFeed]:
    """Of a ring with ten messages."""
    with make_ring(ring_name) as writer, Reader.attach(ring_name) as reader:
        publish(writer, 10)
        yield RingFeed(ring_name, writer.uuid, 0, reader, None, Counters(), lambda: None)


def enters(feed: RingFeed, sequence: int = 3, damaged_at: int = 0) -> bool:
    place = FeedPosition(feed, OUT_OF_RING, sequence, sequence, at_least_once=False, damaged_at=damaged_at)
    entered = feed.enter_ring(place)
    assert entered == (place.position != OUT_OF_RING)
    return entered


def test_place_enters_a_sound_ring_at_what_it_holds_or_publishes_next(feed: RingFeed) -> None:
    assert [enters(feed, sequence) for sequence in (1, 10, 11)] == [True, True, True]
    with pytest.raises(Farewell):
        enters(feed, 12)


def test_place_enters_no_ring_that_cannot_be_read_from_anywhere(feed: RingFeed) -> None:
    feed.damage = "no sound record is left"
    assert not enters(feed)


def test_place_enters_no_ring_whose_map_was_given_back(feed: RingFeed) -> None:
    feed.lose_map()
    assert not enters(feed)


def test_place_enters_no_ring_at_the_frame_that_is_damaged_and_at_others(feed: RingFeed) -> None:
    assert not enters(feed, 3, damaged_at=3)
    assert enters(feed, 4, damaged_at=3)
