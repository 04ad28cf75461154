"""What a filter lets through, held against the recorded events; blocks stay complete whatever it drops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from producers.decode.pool_table import VerifiedEmitter
from producers.output.event_filter import EventFilter, load_filter
from tests.producers.collected import canonical_events
from tests.producers.virtual import Conversation, new_feed
from tlv.codes import Protocol, Reason, Venue
from tlv.errors import UsageError
from tlv.layout import BlockEnd, PoolRecord, PoolSwap, PoolSync, StateInvalidation

USDC = "0x2791bca1f2de4661ed88a30c99a7a9449aa84174"


def played(wanted: EventFilter) -> Conversation:
    feed = new_feed()
    feed.filter_events(wanted)
    conversation = Conversation(feed)
    conversation.connect()
    conversation.play()
    return conversation


def moved(record: PoolRecord) -> int | None:
    """The most that an event moved of USDC, in its base units; None if it tells no amount of it."""
    token = bytes.fromhex(USDC[2:])
    side = (record.token0, record.token1).index(token) if token in (record.token0, record.token1) else None
    amounts = [getattr(record, name) for name in record.__struct_fields__ if name.startswith(f"amount{side}")]
    return max(amounts) if side is not None and amounts else None


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [
        (EventFilter(events=("swap",)), lambda record: isinstance(record, PoolSwap)),
        (EventFilter(venues=("DFYN_POLYGON",)), lambda record: record.venue == Venue.DFYN_POLYGON),
        (EventFilter(tokens=(USDC,)), lambda record: bytes.fromhex(USDC[2:]) in (record.token0, record.token1)),
        (EventFilter(minimum={USDC: 100.0}), lambda record: (moved(record) or 10**8) >= 10**8),
    ],
    ids=["event", "venue", "token", "minimum"],
)
def test_feed_with_an_event_filter_publishes_what_passes(wanted: EventFilter, passes: Any) -> None:
    conversation = played(wanted)
    expected = {key: record for key, record in canonical_events().items() if passes(record)}
    assert 0 < len(expected) < len(canonical_events())
    assert conversation.story.standing == expected
    assert conversation.feed.count().filtered_events > 0
    assert conversation.feed.settled


def test_event_that_moves_just_as_much_as_is_asked_for_passes() -> None:
    amounts = sorted(filter(None, map(moved, canonical_events().values())))
    least = next(amount for amount in amounts[len(amounts) // 2 :] if amount / 10**6 * 10**6 == amount)
    standing = played(EventFilter(minimum={USDC: least / 10**6})).story.standing
    assert min(filter(None, map(moved, standing.values()))) == least


def forgotten(conversation: Conversation) -> list[StateInvalidation]:
    """What readers were told to forget because of the filter."""
    return [r for r in conversation.records(StateInvalidation) if r.reason == Reason.FILTER_CHANGED]


POOL, TOKEN0, TOKEN1 = ("0x" + name * 20 for name in ("aa", "bb", "cc"))


@pytest.mark.parametrize(
    ("wanted", "shows"),
    [
        (EventFilter(), True),
        (EventFilter(addresses=(POOL,), venues=("UNISWAP_V3",), tokens=(TOKEN1,)), True),
        (EventFilter(events=("swap", "mint", "burn")), True),
        (EventFilter(minimum={USDC: 5.0}), True),
        (EventFilter(addresses=(TOKEN0,)), False),
        (EventFilter(venues=("QUICKSWAP_V2",)), False),
        (EventFilter(tokens=(USDC,)), False),
        (EventFilter(events=("swap", "mint")), False),
        (EventFilter(minimum={TOKEN0: 0.0}), False),
    ],
)
def test_event_filter_shows_liquidity_only_if_no_event_that_moves_it_can_be_hidden(
    wanted: EventFilter, shows: bool
) -> None:
    pool = VerifiedEmitter(
        *(bytes.fromhex(name[2:]) for name in (POOL, TOKEN0, TOKEN1)), Venue.UNISWAP_V3, 18, 6, Protocol.UNISWAP_V3
    )
    assert wanted.shows_liquidity(pool) is shows


def test_event_filter_changed_on_the_way_holds_from_then_on() -> None:
    feed = new_feed()
    feed.filter_events(EventFilter(events=("swap",)))
    conversation = Conversation(feed)
    conversation.connect()
    while not any(isinstance(record, PoolSwap) for record in conversation.story.standing.values()):
        conversation.step()
    assert not any(isinstance(record, PoolSync) for record in conversation.story.standing.values())
    assert not forgotten(conversation)
    feed.filter_events(EventFilter(events=("swap",)))
    feed.filter_events(None)
    conversation.play()
    assert len(forgotten(conversation)) == 1, "what was derived from the swaps alone does not go on"
    kept = conversation.story.standing
    assert kept.items() <= canonical_events().items()
    assert any(isinstance(record, PoolSync) for record in kept.values())
    assert len(conversation.records(BlockEnd)) > 170


def test_event_filter_file_is_read_whole_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "filter.toml"
    path.write_text(f'events = ["swap"]\nvenues = ["QUICKSWAP_V2"]\n[minimum]\n"{USDC}" = 5.0\n')
    assert load_filter(path) == EventFilter(events=("swap",), venues=("QUICKSWAP_V2",), minimum={USDC: 5.0})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('events = ["Swop"]', "known event"),
        ('venues = ["NOWHERE"]', "venue 'NOWHERE': expected a u16 or one of"),
        ('adresses = ["0x00"]', "adresses"),
        ('tokens = ["0x00"]', "tokens"),
        ("[minimum]\n0x00 = -1", "minimum"),
        ("events = [", "filter"),
    ],
)
def test_event_filter_file_with_a_mistake_names_it(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "filter.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=says):
        load_filter(path)


def test_filter_file_takes_checksummed_addresses_and_tells_a_wrong_checksum_by_key(tmp_path: Path) -> None:
    checksummed = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    path = tmp_path / "filter.toml"
    path.write_text(f'addresses = ["{checksummed}"]\ntokens = ["{checksummed}"]\n[minimum]\n"{checksummed}" = 1.0\n')
    found = load_filter(path)
    assert (found.tokens, list(found.minimum)) == ((checksummed.lower(),), [checksummed.lower()])
    path.write_text(f'tokens = ["{checksummed.replace("5aA", "5Aa")}"]\n')
    with pytest.raises(UsageError, match=f"tokens: expected {checksummed} by its checksum"):
        load_filter(path)
