"""The account of swaps: what counts, what a reorg, a loss and a later verdict make of it."""

from __future__ import annotations

from tests.tools.coverage.told import FACTORY, NOBODY, POOL, STRANGER, V2, Told, hash_of, uncovered
from tlv.codes import EmitterProof, GapScope, NotPublished, Reason, Venue
from tlv.layout import Gap, Reorg, Uncovered, Unproven
from tools.coverage.account import Miscounted, MissingRange, SwapPool


def test_swap_is_published_or_said_to_be_not_and_what_is_neither_is_named() -> None:
    told = Told()
    told.state()
    told.block(1)
    told.swap(1, 0)
    told.swap(1, 1)
    told.end(1, 5, uncovered(2, NotPublished.UNSUPPORTED), uncovered(1, NotPublished.REFUSED, POOL, FACTORY))
    told.block(2)
    told.swap(2)
    told.end(2, 4, uncovered(1, NotPublished.UNPROVEN))
    told.block(3)
    told.swap(3)
    told.end(3, 0)
    account = told.closed()
    assert (account.blocks, account.swaps, account.published) == (3, 9, {SwapPool(V2, Venue.DFYN_POLYGON, POOL): 4})
    assert account.emitters[STRANGER, V2].swaps == {NotPublished.UNSUPPORTED: 2, NotPublished.UNPROVEN: 1}
    assert account.emitters[POOL, V2].factory == account.factory_of[POOL] == FACTORY
    assert account.miscounted == [Miscounted(2, hash_of(2), 2), Miscounted(3, hash_of(3), -1)]
    assert account.uncounted == 3, "what is too many makes up for nothing"


def test_block_counts_by_its_newest_end_and_an_event_once() -> None:
    told = Told()
    told.block(1)
    told.end(1, 2, uncovered(2, NotPublished.UNPROVEN))
    told.swap(1, 0)
    told.swap(1, 1)
    told.swap(1, 1)
    told.end(1, 2)
    account = told.closed()
    assert (account.swaps, account.published.total(), account.uncounted, account.emitters) == (2, 2, 0, {})


def test_block_that_left_the_chain_counts_no_more_until_it_is_back() -> None:
    told = Told()
    for number in (1, 2, 3):
        told.whole(number)
    told.put(Reorg(1, 3, 2, 2, 2, hash_of(1), hash_of(3), hash_of(2, 1)))
    told.swap(3, removed=True)
    told.swap(2, removed=True)
    told.whole(2, branch=1)
    told.put(Reorg(1, 2, 2, 1, 1, hash_of(1), hash_of(2, 1), hash_of(2)))
    told.swap(2, branch=1, removed=True)
    told.whole(2)
    account = told.closed()
    assert (account.blocks, account.swaps, account.published.total(), account.uncounted) == (2, 2, 2, 0)


def test_flagged_event_that_was_taken_back_is_no_swap_of_its_pool() -> None:
    told = Told()
    told.whole(1)
    told.swap(1, removed=True)
    told.end(1, 1, uncovered(1, NotPublished.NO_POOL))
    account = told.closed()
    assert (account.published.total(), account.uncounted) == (0, 0)


def test_later_verdict_holds_for_what_earlier_ends_left_open() -> None:
    told = Told()
    told.block(1)
    told.end(1, 3, uncovered(1, NotPublished.UNPROVEN), uncovered(2, NotPublished.UNPROVEN, b"\x66" * 20))
    told.put(Unproven(1, 1, 0, V2, STRANGER, EmitterProof.UNKNOWN))
    told.put(Unproven(1, 0, 0, V2, STRANGER, EmitterProof.UNSUPPORTED))
    told.put(Unproven(1, 0, 0, V2, b"\x66" * 20, EmitterProof.POOL))
    account = told.closed()
    assert account.emitters[STRANGER, V2].swaps == {NotPublished.UNSUPPORTED: 1}
    assert account.emitters[b"\x66" * 20, V2].swaps == {NotPublished.UNPROVEN: 2}


def test_block_of_which_a_part_is_missing_is_left_out() -> None:
    told = Told()
    told.swap(1)
    told.end(1, 7)  # begun before the first message
    told.whole(2)
    told.block(3)
    told.swap(3)
    told.account.lose(10, 12)
    told.end(3, 2)
    told.block(4)
    told.put(Gap(20, 21, GapScope.RING_SEQUENCES, Reason.LAPPED))
    told.whole(5)
    told.put(Gap(6, 8, GapScope.BLOCK_NUMBERS, Reason.NODE_HAS_NO_BLOCK))
    account = told.closed()
    assert (account.blocks, account.cut, account.open, account.uncounted) == (2, 2, 1, 0)
    assert account.gaps == [
        MissingRange("frames", 10, 12),
        MissingRange("frames", 20, 21),
        MissingRange("blocks", 6, 8),
    ]


def test_block_whose_reorg_is_missing_gives_way_to_another() -> None:
    told = Told()
    told.whole(1)
    told.whole(2)
    told.account.lose(5, 9)
    told.whole(2, branch=1)
    assert told.closed().swaps == 2


def test_long_stream_is_added_up_on_the_way_and_counts_nothing_twice() -> None:
    told = Told(depth=4)
    for number in range(1, 101):
        told.whole(number)
    assert told.account.blocks >= 90 and len(told.account._known) <= 9
    told.end(3, 1)
    told.block(3)
    told.swap(3)
    account = told.closed()
    assert (account.blocks, account.swaps, account.published.total(), account.late) == (100, 100, 100, 1)


def test_another_chain_begins_anew_and_a_ring_that_follows_does_not() -> None:
    told = Told(depth=4)
    told.session(chain_id=0)
    told.session(genesis=b"\x0a" * 32)
    for number in range(1, 21):
        told.whole(number)
    told.account.begin_ring()
    told.session(b"r" * 16, genesis=b"\x0a" * 32)
    told.whole(20)
    assert told.account.swaps + len(told.account._canonical) == 20
    told.session(b"s" * 16, genesis=b"\x0b" * 32)
    told.whole(1)
    assert told.closed().swaps == 21


def test_codes_of_a_later_collector_are_counted_as_what_nobody_can_say() -> None:
    told = Told()
    told.block(1)
    told.end(1, 5, Uncovered(STRANGER, NOBODY, 2, V2, 200), uncovered(3, NotPublished.UNSUPPORTED, POOL))
    told.put(Unproven(1, 2, 0, V2, STRANGER, 201))
    account = told.closed()
    assert (account.swaps, account.uncounted) == (5, 0)
    assert account.emitters[STRANGER, V2].swaps == {NotPublished.UNPROVEN: 2}
