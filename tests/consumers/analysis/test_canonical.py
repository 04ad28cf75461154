"""The canonical view of a journal against a chain whose truth is known: reorgs, incarnations, copies, any block."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from consumers.analysis import canonical, tables
from consumers.event import Event
from consumers.journal.segment import list_segments
from consumers.store import Store
from tests.consumers.analysis.chain_history import HEAD, History, Identity, marked
from tests.consumers.journal_frames import append, open_writer
from tlv.codes import Domain, Flag, Source
from tlv.errors import UsageError
from tlv.layout import EventOrigin, PoolSync, Session
from tlv.message import build

SEEDS = range(6)


def identities(table: Any) -> list[Identity]:
    """The identities of the rows of a table, sorted."""
    columns = [table[name].to_pylist() for name in ("block_hash", "transaction_hash", "log_index")]
    return sorted(zip(*columns, strict=True))


def syncs(store: Store, **view: Any) -> list[Identity]:
    """The identities of the Sync events of a view."""
    return identities(store.select(types=[PoolSync]).to_arrow(**view)["PoolSync"])


def streamed(store: Store) -> list[Identity]:
    """The identities of the events that iteration yields, sorted."""
    origins = [event.origin for event in store if isinstance(event, Event) and event.origin]
    return sorted((origin.block_hash, origin.transaction_hash, origin.log_index) for origin in origins)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "told",
    [
        {},
        {"reorgs": False},
        {"removals": False},
        {"reorgs": False, "removals": False},
        {"headers": False},
        {"headers": False, "reorgs": False},
    ],
    ids=lambda told: "without " + " and ".join(told) if told else "all told",
)
def test_view_after_reorgs_is_the_chain(tmp_path: Path, seed: int, told: dict[str, bool]) -> None:
    history = History(seed, **told).run(120)
    history.write(tmp_path, messages_a_segment=200)
    assert len(list_segments(tmp_path)) > 1
    store = Store.open(tmp_path)
    assert syncs(store) == history.canonical() == streamed(store)
    everything = store.to_arrow(canonical=False)["PoolSync"]
    assert identities(everything) == streamed(store.select(canonical=False))
    assert everything.num_rows > len(history.canonical())
    if history.headers:
        whole = store.to_arrow()
        assert whole["Block"]["hash"].to_pylist() == [block.hash for block in history.chain]
        assert whole["BlockEnd"]["hash"].to_pylist() == [block.hash for block in history.chain]
        assert set(whole["PoolSync"]["flags"].to_pylist()) == {0}


@pytest.mark.parametrize("seed", SEEDS)
def test_view_as_of_a_block_is_what_was_known_then(tmp_path: Path, seed: int) -> None:
    history = History(seed).run(80)
    history.write(tmp_path, messages_a_segment=150)
    store = Store.open(tmp_path)
    for number in range(98, max(history.known_at) + 1):
        known = history.known_at.get(number, [])
        assert syncs(store, as_of=number) == known, number
        if number % 20 == 0:
            assert streamed(store.select(as_of=number)) == known
    assert syncs(store, as_of=1 << 30) == history.canonical()


@pytest.mark.parametrize("seed", SEEDS)
def test_view_over_incarnations_and_copies_has_each_event_once(tmp_path: Path, seed: int) -> None:
    history = History(seed).run(60)
    history.restart(known=7, lost=2)
    history.run(30)
    history.restart(known=20)
    history.replay(0.2, 0.7)
    history.run(20)
    history.tell_again(12)
    history.replay(0.0, 0.4)
    history.write(tmp_path, messages_a_segment=170)
    store = Store.open(tmp_path)
    assert syncs(store) == history.canonical() == streamed(store)
    blocks = store.to_arrow()["Block"]["hash"].to_pylist()
    assert sorted(blocks) == sorted(block.hash for block in history.chain)


@pytest.mark.parametrize("settled", [1, 50, 400])
@pytest.mark.parametrize("kept", [1, 100])
def test_view_that_keeps_few_statements_reads_again_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settled: int, kept: int
) -> None:
    monkeypatch.setattr(tables, "SETTLED", settled)
    monkeypatch.setattr(canonical, "KEPT_STATEMENTS", kept)
    history = History(5).run(60)
    history.restart(known=10, lost=1)
    history.run(60)
    history.tell_again(5)
    history.replay(0.1, 0.3)
    history.write(tmp_path, messages_a_segment=60)
    store = Store.open(tmp_path)
    assert syncs(store) == history.canonical() == streamed(store)
    first, last = history.chain[3].number, history.chain[-4].number
    wanted = sorted(identity for block in history.chain[3:-3] for identity in block.identities)
    assert syncs(store.select(blocks=(first, last))) == wanted


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_view_as_of_a_block_that_keeps_few_statements_is_what_was_known_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(canonical, "KEPT_STATEMENTS", 1)
    history = History(seed).run(80)
    history.write(tmp_path, messages_a_segment=20)
    store = Store.open(tmp_path)
    for number in range(98, max(history.known_at) + 1, 7):
        assert syncs(store, as_of=number) == history.known_at.get(number, []), number


def test_view_of_replays_alone_is_the_chain_once(tmp_path: Path) -> None:
    history = History(9).run(60)
    copies = [marked(message) for message in history.incarnations[0]]
    history.incarnations = [copies, copies]
    history.write(tmp_path)
    assert syncs(Store.open(tmp_path)) == history.canonical()


def event(number: int, block: bytes, index: int, flags: int = 0) -> bytes:
    """A Sync of the tests' pool."""
    records = [PoolSync(*HEAD, 5, 6), EventOrigin(number, 0, 0, 0, index, block * 32, b"t" * 32)]
    return build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, records, flags=flags)


def test_range_that_holds_only_a_removal_or_only_its_original_shows_neither(tmp_path: Path) -> None:
    messages = [event(7, b"a", 1), event(7, b"a", 2), event(8, b"c", 1), event(7, b"a", 2, Flag.REMOVED)]
    with open_writer(tmp_path) as writer:
        append(writer, messages, 1)
    store = Store.open(tmp_path)
    for sequences, left in (((1, 2), 1), ((2, 2), 0), ((3, 4), 1), ((4, 4), 0), ((None, None), 2)):
        assert len(syncs(store.select(sequences=sequences))) == left
    assert len(syncs(store, as_of=7)) == 2


def test_chains_that_share_numbers_do_not_judge_each_other(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        append(writer, [session(137), event(7, b"a", 1), session(1), event(7, b"e", 1), event(8, b"f", 1)], 1)
    assert len(syncs(Store.open(tmp_path))) == 3


def session(chain_id: int) -> bytes:
    """The beginning of an epoch on a chain."""
    record = Session(bytes(16), 1, 1, chain_id, 1, chain_id.to_bytes(32, "big"))
    return build(Domain.SYSTEM, Source.POLYGON_COLLECTOR, [record])


@pytest.mark.parametrize("as_of", [-1, 1 << 40, True, "7"])
def test_as_of_what_is_no_block_is_refused(tmp_path: Path, as_of: Any) -> None:
    with open_writer(tmp_path) as writer:
        append(writer, [event(7, b"a", 1)], 1)
    with pytest.raises(UsageError, match="expected a block number from 0 to"):
        Store.open(tmp_path, as_of=as_of)
    with pytest.raises(UsageError, match="expected a block number from 0 to"):
        Store.open(tmp_path).to_arrow(as_of=as_of)
