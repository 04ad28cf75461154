"""Who may enter a ring, who has to go round its damage, and what is ready for whoever waits at its end."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from consumers.relay.counters import Counters
from consumers.relay.errors import Farewell
from consumers.relay.feed import OUT_OF_RING, FeedPosition, RingFeed
from consumers.relay.kernels import BATCH_BYTES
from consumers.relay.runs import RUNS
from ringbuf import Reader, Writer
from tests.consumers.relay_rig import make_ring, market_message, publish
from tlv.filter import EVERYTHING, MessageFilter
from tlv.layout import PoolSwap

MOMENT_NS = 1_000_000
PATIENCE_NS = 10_000_000_000
SWAPS = MessageFilter.of(types=[PoolSwap])


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


def at_the_end(feed: RingFeed, wanted: MessageFilter = EVERYTHING) -> FeedPosition:
    """A client that has everything of the ring."""
    place = FeedPosition(feed, OUT_OF_RING, 11, 11, at_least_once=False)
    assert feed.enter_ring(place) and not feed.next_chunk(place, wanted)
    return place


@pytest.fixture
def small(ring_name: str) -> Iterator[tuple[Writer, RingFeed]]:
    """A ring that holds some hundred messages, ten of them published, and its feed."""
    with make_ring(ring_name, 1 << 16) as writer, Reader.attach(ring_name) as reader:
        publish(writer, 10)
        yield writer, RingFeed(ring_name, writer.uuid, 0, reader, None, Counters(), lambda: None)


def test_await_frames_without_news_ends_with_its_time(feed: RingFeed) -> None:
    at_the_end(feed)
    assert not feed.await_frames(MOMENT_NS)


@pytest.mark.parametrize(("wanted", "due"), [(EVERYTHING, [11, 12, 13]), (SWAPS, [13])])
def test_await_frames_has_the_run_ready_for_all_who_stand_there(
    small: tuple[Writer, RingFeed], wanted: MessageFilter, due: list[int]
) -> None:
    writer, feed = small
    places = [at_the_end(feed, wanted) for _ in range(2)]
    publish(writer, 3)
    assert feed.await_frames(PATIENCE_NS)
    publish(writer, 1)  # comes with the next poll
    runs = [bytes(feed.next_chunk(place, wanted)) for place in places]
    assert [place.sequence for place in places] == [14, 14]
    assert runs[0] == runs[1]
    assert runs[0][BATCH_BYTES:] == b"".join(map(market_message, due))


def test_await_frames_sleeps_until_the_next_commit(small: tuple[Writer, RingFeed]) -> None:
    writer, feed = small
    place = at_the_end(feed)
    later = threading.Timer(0.05, publish, (writer, 1))
    later.start()
    # A wait on a futex may end early.
    assert any(feed.await_frames(PATIENCE_NS) for _ in range(10))
    later.join()
    assert feed.next_chunk(place, EVERYTHING) and place.sequence == 12


def test_await_frames_of_a_lapped_client_leaves_the_loss_to_its_poll(small: tuple[Writer, RingFeed]) -> None:
    writer, feed = small
    place = at_the_end(feed)
    publish(writer, 1000)
    assert feed.await_frames(MOMENT_NS)
    assert feed.next_chunk(place, EVERYTHING) and place.sequence > 500


def test_await_frames_where_nobody_came_to_the_end_says_that_a_turn_is_due(feed: RingFeed) -> None:
    feed.seen_end = 64
    assert feed.await_frames(PATIENCE_NS)
    feed.lose_map()
    assert feed.await_frames(PATIENCE_NS)


def from_the_first(feed: RingFeed) -> FeedPosition:
    """A client that has nothing of the ring."""
    place = FeedPosition(feed, OUT_OF_RING, 1, 1, at_least_once=False)
    assert feed.enter_ring(place)
    return place


def test_run_is_packed_once_for_clients_that_come_to_its_place_later(small: tuple[Writer, RingFeed]) -> None:
    writer, feed = small
    feed.runs.several = True
    first, second, third, fourth = (from_the_first(feed) for _ in range(4))
    runs = [bytes(feed.next_chunk(first, EVERYTHING))]
    for _ in range(3):
        publish(writer, 2)
        runs.append(bytes(feed.next_chunk(first, EVERYTHING)))
    publish(writer, 1000)  # the ring has nothing of them any more
    assert [bytes(feed.next_chunk(second, EVERYTHING)) for _ in runs] == runs
    assert (second.position, second.sequence, second.since, second.lags) == (first.position, 17, 17, False)
    assert b"".join(run[BATCH_BYTES:] for run in runs) == b"".join(map(market_message, range(1, 17)))
    # Of another filter, or once they are forgotten: a loss, as the ring says.
    assert feed.next_chunk(third, SWAPS) and third.sequence > 500
    feed.runs.clear()
    assert feed.next_chunk(fourth, EVERYTHING) and fourth.sequence > 500


def test_runs_of_one_client_take_one_buffer_and_of_several_no_more_than_are_kept(ring_name: str) -> None:
    with make_ring(ring_name) as writer, Reader.attach(ring_name) as reader:
        feed = RingFeed(ring_name, writer.uuid, 0, reader, None, Counters(), lambda: None)
        for several, buffers in ((False, 1), (True, RUNS)):
            feed.runs.several = several
            place = FeedPosition(feed, OUT_OF_RING, writer.next_sequence, writer.next_sequence, at_least_once=False)
            assert feed.enter_ring(place)
            found = set()
            for _ in range(2 * RUNS):
                publish(writer, 1)
                found.add(np.frombuffer(feed.next_chunk(place, EVERYTHING), np.uint8).ctypes.data)
            assert len(found) == buffers
