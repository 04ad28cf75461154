"""A journal as events: filters, ranges, gaps, damage, and the way back into a ring or a callback."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from consumers.analysis.selection import Interval
from consumers.event import Event
from consumers.journal import JournalError, JournalReader
from consumers.journal.layout import GRANT_BYTES
from consumers.journal.segment import list_segments
from consumers.store import Store
from ringbuf import Loss, Reader, Writer
from tests.consumers.journal_frames import UUID, append, block_message, heartbeat_message, open_writer, random_payloads
from tlv.codes import Domain, Flag, Reason, Source
from tlv.errors import UsageError
from tlv.kernels import put_tlv, seal
from tlv.layout import Block, BlockEnd, Economics, EventOrigin, Heartbeat, PoolSwap, PoolSync, Session, SignalIdentity
from tlv.message import build, parse
from tlv.record import Record

POOLS = [bytes([number]) * 20 for number in range(1, 5)]
TOKENS = [bytes([0xA0 + number]) * 20 for number in range(3)]


def sync(pool: bytes, block: int, *, venue: int = 400, tokens: tuple[bytes, bytes] = (TOKENS[0], TOKENS[1])) -> bytes:
    """A Sync of `pool` in `block`."""
    record = PoolSync(pool, *tokens, venue, 18, 6, 2, 1, 2)
    origin = EventOrigin(block, 0, 0, 0, 0, bytes(32), bytes(32))
    return build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, [record, origin])


def system(record: Record) -> bytes:
    """A system message."""
    return build(Domain.SYSTEM, Source.POLYGON_COLLECTOR, [record])


def vendor_message(block: int, filler: bytes) -> bytes:
    """A long message of block `block`: an origin, and a vendor's bytes that no layout is known for."""
    message = block_message(block, 0)
    data = np.zeros(len(message) + 5 + len(filler), np.uint8)
    data[: len(message)] = np.frombuffer(message, np.uint8)
    at = put_tlv(data, len(message), 253, len(filler))
    data[at:] = np.frombuffer(filler, np.uint8)
    assert seal(data, 0, data.size) == 0
    return data.tobytes()


def journal_of(directory: Path, payloads: list[bytes]) -> Store:
    """A journal that holds `payloads`."""
    with open_writer(directory) as writer:
        append(writer, payloads, 1)
    return Store.open(directory)


def sequences(store: Store) -> list[int]:
    """The sequences of the selected events."""
    return [item.sequence for item in store if isinstance(item, Event)]


def test_store_iterates_typed_events_in_order(tmp_path: Path) -> None:
    payloads = [sync(POOLS[0], 7), heartbeat_message(2), sync(POOLS[1], 8)]
    events = list(journal_of(tmp_path, payloads))
    assert all(isinstance(event, Event) for event in events)
    assert [(event.ring, event.sequence, event.header, event.records) for event in events] == [
        (UUID, number, parse(payload).header, parse(payload).records) for number, payload in enumerate(payloads, 1)
    ]
    first, second, _ = events
    assert isinstance(first.record, PoolSync) and first.origin is not None and first.origin.block_number == 7
    assert isinstance(second.record, Heartbeat) and second.origin is None and second.flags == 0


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"types": [PoolSync]}, [1, 2, 3, 6]),
        ({"types": ["Heartbeat", BlockEnd]}, [4, 5, 6]),
        ({"pools": [POOLS[0]]}, [1, 4, 5, 6]),
        ({"pools": ["0x" + POOLS[0].hex(), POOLS[2]], "types": [PoolSync]}, [1, 3, 6]),
        ({"venues": ["quickswap_v2"], "types": [PoolSync]}, [1, 3, 6]),
        ({"venues": [405]}, [2, 4, 5, 6]),
        ({"tokens": [TOKENS[2]], "types": [PoolSync]}, [3, 6]),
        ({"sequences": (2, 4)}, [2, 3, 4]),
        ({"sequences": (None, 2)}, [1, 2]),
        ({"blocks": (8, None)}, [2, 3, 5]),
        ({"blocks": (8, 8), "pools": [POOLS[1]]}, [2, 5]),
        ({"types": [PoolSwap]}, [6]),
    ],
)
def test_store_select_gives_exactly_what_is_wanted(tmp_path: Path, wanted: dict, found: list[int]) -> None:
    payloads = [
        sync(POOLS[0], 7),
        sync(POOLS[1], 8, venue=405),
        sync(POOLS[2], 9, tokens=(TOKENS[1], TOKENS[2])),
        heartbeat_message(4),
        system(BlockEnd(8, 1, 1, 0, 0, bytes(32), 1)),
        # No filter hides it: what follows cannot be understood without it.
        system(Session(bytes(16), 1, 1, 137, 1)),
    ]
    assert sequences(journal_of(tmp_path, payloads).select(**wanted)) == found


def test_store_select_finds_a_record_that_is_not_the_first(tmp_path: Path) -> None:
    identity = SignalIdentity(1, 1, 1, bytes(16), "s", 1)
    economics = Economics(1, 1, -1, 1, 1, 1, 1, TOKENS[0], POOLS[0], 18)
    signal = build(Domain.SIGNAL, Source.ARBITRAGE_STRATEGY, [identity, economics])
    store = journal_of(tmp_path, [signal, build(Domain.SIGNAL, Source.ARBITRAGE_STRATEGY, [identity])])
    assert sequences(store.select(types=[Economics])) == [1]


def test_store_select_narrows_step_by_step(tmp_path: Path) -> None:
    store = journal_of(tmp_path, [sync(POOLS[i % 2], i) for i in range(10)])
    assert sequences(store.select(pools=[POOLS[0]]).select(sequences=(4, 8))) == [5, 7]
    assert sequences(store) == list(range(1, 11))


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        ({"types": ["Swap"]}, "type 'Swap': expected one of"),
        ({"venues": ["nowhere"]}, "venue 'nowhere': expected a u16 or one of base.aerodrome"),
        ({"venues": [70000]}, "venue 70000"),
        ({"pools": ["0x12"]}, "pool '0x12': expected 20 or 32 bytes, 0x and 40 or 64 hex digits"),
        ({"blocks": (3, 2)}, "blocks: expected a first and a last, found 3 and 2"),
        ({"sequences": (1 << 63, None)}, "sequences: expected"),
        ({"times": (datetime(2021, 4, 20), None)}, "expected a time zone, found none"),
    ],
)
def test_store_select_of_what_cannot_be_is_refused(tmp_path: Path, wanted: dict, complaint: str) -> None:
    store = journal_of(tmp_path, [sync(POOLS[0], 1)])
    with pytest.raises(UsageError, match=complaint):
        store.select(**wanted)


def test_store_times_are_wall_clock_times(tmp_path: Path) -> None:
    store = journal_of(tmp_path, [block_message(i, i) for i in range(1, 101)])
    with JournalReader(tmp_path) as reader:
        walls = [frame.publish_time_ns + reader.clock_offset_ns for frame in reader.poll()]
    assert sequences(store.select(times=(walls[9], walls[19]))) == list(range(10, 21))
    later = datetime.fromtimestamp(walls[-1] / 1e9, UTC) + timedelta(hours=1)
    assert sequences(store.select(times=(later, None))) == []
    assert len(sequences(store.select(times=(None, later)))) == 100


def test_store_many_segments_ranges_skip_and_find_alike(tmp_path: Path) -> None:
    with open_writer(tmp_path, segment_bytes=GRANT_BYTES) as writer:
        for first in range(1, 301, 10):
            append(writer, [vendor_message(block, bytes(60_000)) for block in range(first, first + 10)], first)
    assert len(list_segments(tmp_path)) > 3
    store = Store.open(tmp_path)
    for first, last in [(1, 5), (90, 210), (299, 300), (301, 400)]:
        wanted = [sequence for sequence in range(first, last + 1) if sequence <= 300]
        assert sequences(store.select(sequences=(first, last))) == wanted
        assert sequences(store.select(blocks=(first, last))) == wanted
    assert store.refused == 0


def test_store_gaps_stand_where_the_frames_would_have(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        append(writer, [sync(POOLS[0], 1)], 1)
        writer.append_gap(2, 5, Reason.LAPPED)
        append(writer, [sync(POOLS[0], 2)], 6)
        writer.append_gap(7, 7, Reason.LAPPED)
    store = Store.open(tmp_path)
    items = list(store)
    assert [item if isinstance(item, Loss) else item.sequence for item in items] == [
        1,
        Loss(UUID, 2, 5, Reason.LAPPED),
        6,
        Loss(UUID, 7, 7, Reason.LAPPED),
    ]
    assert sum(item.count for item in items if isinstance(item, Loss)) == 5
    # Whatever the filter: a gap may have held it.  Outside a range it does not matter.
    assert list(store.select(types=[PoolSwap])) == [Loss(UUID, 2, 5, Reason.LAPPED), Loss(UUID, 7, 7, Reason.LAPPED)]
    assert list(store.select(sequences=(7, 9))) == [Loss(UUID, 7, 7, Reason.LAPPED)]


@pytest.mark.parametrize("is_listed", [False, True], ids=["before it was listed", "meanwhile"])
def test_store_whose_oldest_segment_was_dropped_begins_later(tmp_path: Path, is_listed: bool) -> None:
    with open_writer(tmp_path, segment_bytes=GRANT_BYTES) as writer:
        for first in range(1, 301, 10):
            append(writer, [vendor_message(i, bytes(60_000)) for i in range(first, first + 10)], first)
    segments = list_segments(tmp_path)
    assert len(segments) > 3
    segments[0].path.unlink()
    if is_listed:  # a link that leads nowhere is listed and cannot be opened, like a file dropped in between
        segments[0].path.symlink_to(tmp_path / "nowhere")
    found = sequences(Store.open(tmp_path))
    assert found == list(range(found[0], 301)) and found[0] > 1
    assert not any(isinstance(item, Loss) for item in Store.open(tmp_path))


@pytest.mark.parametrize("what", ["damaged", "removed"])
def test_store_segment_in_the_middle_that_cannot_be_read_is_a_loss_of_exactly_its_frames(
    tmp_path: Path, what: str
) -> None:
    for number in range(1, 31, 10):
        with open_writer(tmp_path, pack=False) as writer:
            append(writer, [block_message(i, i) for i in range(number, number + 10)], number)
    path = list_segments(tmp_path)[1].path
    if what == "removed":
        path.unlink()
    else:
        path.write_bytes(bytes(512) + path.read_bytes()[512:])
    store = Store.open(tmp_path)
    lost = Loss(UUID, 11, 20, Reason.DAMAGED if what == "damaged" else Reason.NOT_RETAINED)
    assert [item for item in store if isinstance(item, Loss)] == [lost]
    assert sequences(store) == [*range(1, 11), *range(21, 31)]
    assert [item for item in store.select(sequences=(15, 22)) if isinstance(item, Loss)] == [lost]


def test_store_incarnations_of_a_ring_keep_their_uuid(tmp_path: Path) -> None:
    for uuid in (UUID, bytes(16)):
        with open_writer(tmp_path, ring_uuid=uuid) as writer:
            append(writer, [sync(POOLS[0], 1)] * 2, 1)
    found = [(item.ring, item.sequence) for item in Store.open(tmp_path) if isinstance(item, Event)]
    assert found == [(UUID, 1), (UUID, 2), (bytes(16), 1), (bytes(16), 2)]


def test_store_frames_that_are_no_message_are_counted_and_left_out(tmp_path: Path) -> None:
    payloads = [sync(POOLS[0], 1), *random_payloads(50, seed=3), sync(POOLS[0], 2)]
    store = journal_of(tmp_path, payloads)
    assert sequences(store) == [1, 52]
    assert store.refused == 50
    assert store.to_arrow()["PoolSync"].num_rows == 2
    assert store.refused == 50


def test_store_is_read_while_it_is_written(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        append(writer, [sync(POOLS[0], 1)] * 3, 1)
        store = Store.open(tmp_path)
        assert sequences(store) == [1, 2, 3]
        append(writer, [sync(POOLS[0], 2)] * 2, 4)
        assert sequences(store) == [1, 2, 3, 4, 5]
        assert store.to_arrow()["PoolSync"].num_rows == 5


def test_store_damage_is_a_loss_of_exactly_what_it_held(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with open_writer(tmp_path, pack=False) as writer:
        append(writer, [sync(POOLS[0], i) for i in range(100)], 1)
    raw = list_segments(tmp_path)[0].path
    data = bytearray(raw.read_bytes())
    data[len(data) // 2] ^= 1
    raw.write_bytes(data)
    items = list(Store(tmp_path))
    (loss,) = [item for item in items if isinstance(item, Loss)]
    assert loss.count == 1
    whole = [*range(1, loss.first), loss, *range(loss.first + 1, 101)]
    assert [item if isinstance(item, Loss) else item.sequence for item in items] == whole
    assert Store(tmp_path).to_arrow()["PoolSync"].num_rows == 99
    assert f"lost {loss.first} to {loss.first}" in caplog.text


def test_store_open_of_no_journal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no journal"):
        Store.open(tmp_path / "nowhere")
    with pytest.raises(JournalError, match="expected segment files, found none"):
        Store.open(tmp_path)
    (tmp_path / "segment-00000001.journal").write_bytes(b"x" * 1000)
    with pytest.raises(JournalError, match="no segment header"):
        Store.open(tmp_path)


def test_store_open_of_another_layout_is_refused(tmp_path: Path) -> None:
    with open_writer(tmp_path, layout_digest=1) as writer:
        append(writer, [sync(POOLS[0], 1)], 1)
    with pytest.raises(JournalError, match="another version of the wire format"):
        Store.open(tmp_path)


def test_store_replay_calls_back_with_what_iteration_yields(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        append(writer, [sync(POOLS[0], 1)] * 3, 1)
        writer.append_gap(4, 5, Reason.LAPPED)
        append(writer, [sync(POOLS[0], 2)], 6)
    store = Store.open(tmp_path)
    heard: list[Event | Loss] = []
    store.replay(heard.append, speed=None)
    assert heard == list(store)


def test_store_replay_keeps_the_recorded_pauses(tmp_path: Path) -> None:
    # The writer of this journal stamps one frame every nanosecond: at a millionth of that speed 80 frames take 80 ms.
    store = journal_of(tmp_path, [sync(POOLS[0], i) for i in range(80)])
    times: list[float] = []
    began = time.monotonic()
    store.replay(lambda _: times.append(time.monotonic() - began), speed=1e-6)
    assert all(at >= 0.001 * i for i, at in enumerate(times))
    assert len(times) == 80


def test_store_replay_stops_when_asked(tmp_path: Path) -> None:
    store = journal_of(tmp_path, [sync(POOLS[0], i) for i in range(80)])
    heard: list[Event | Loss] = []
    store.replay(heard.append, speed=1e-9, asked_to_stop=lambda: bool(heard))
    assert len(heard) == 1


@pytest.mark.parametrize("speed", [0, -1, float("inf"), float("nan")])
def test_store_replay_at_no_speed_is_refused(tmp_path: Path, speed: float) -> None:
    store = journal_of(tmp_path, [sync(POOLS[0], 1)])
    with pytest.raises(UsageError, match="expected a number above 0"):
        store.replay(print, speed=speed)


def test_store_replay_into_a_ring_flags_copies_and_keeps_their_sequence(
    tmp_path: Path, new_ring_name: Callable[[], str]
) -> None:
    record = Block(1, 2, 3, 4, 5, (1 << 256) - 1, bytes(32), bytes(32))
    payloads = [
        build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, [record], sequence=100 + i, flags=Flag.BACKFILL)
        for i in range(5)
    ]
    with open_writer(tmp_path) as writer:
        append(writer, payloads, 100)
    ring = new_ring_name()
    with Writer.create(ring) as target:
        Store.open(tmp_path).select(sequences=(101, None)).replay(target, speed=None)
        with Reader.attach(ring, start="oldest") as reader:
            frames = [(frame.sequence, parse(frame.payload)) for frame in reader.poll()]
    assert [sequence for sequence, _ in frames] == [1, 2, 3, 4]
    assert [message.header.sequence for _, message in frames] == [101, 102, 103, 104]
    assert {message.header.flags for _, message in frames} == {Flag.BACKFILL | Flag.REPLAY}
    assert all(message.records == (record,) for _, message in frames)


def test_range_touches_what_overlaps() -> None:
    assert Interval(3, 5).touches(5, 9)
    assert not Interval(3, 5).touches(6, 9)
    assert Loss(bytes(16), 1, 2).count == 2
