"""Live events from rings and relays: what comes, what is missing, and what outlives its writer."""

from __future__ import annotations

import asyncio
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from consumers.event import Event
from consumers.journal import Fsync
from consumers.live import Live
from consumers.recorder import Recorder
from consumers.relay.errors import RelayUnreachable
from consumers.sources import RelaySource, Start
from consumers.store import Store
from ringbuf import Loss, RingNotFound, Writer, unlink
from tests.consumers.relay_rig import address, make_ring, market_message, publish, serving
from tlv.codes import Domain, Protocol, Source, Venue
from tlv.errors import UsageError
from tlv.layout import (
    LAYOUT_DIGEST,
    Economics,
    PoolSwap,
    PoolSync,
    PoolTicks,
    RingReplaced,
    SignalIdentity,
    StateInvalidation,
    TickLiquidity,
)
from tlv.message import build, parse

PATIENCE_S = 10.0


def take(live: Live, count: int) -> list[Event | Loss]:
    """The next `count` items."""
    return list(itertools.islice(live, count))


def expected(uuid: bytes, first: int, last: int) -> list[Event]:
    """The events of `relay_rig`'s market messages."""
    messages = [(sequence, parse(market_message(sequence))) for sequence in range(first, last + 1)]
    return [Event(uuid, sequence, message.header, message.records) for sequence, message in messages]


def test_live_ring_and_relay_and_store_give_equal_events(ring_name: str, tmp_path: Path) -> None:
    with make_ring(ring_name) as writer:
        publish(writer, 1000)
        with Recorder(ring_name, tmp_path, report=print, fsync=Fsync.NEVER) as recorder:
            recorder.run(lambda: recorder.next_sequence == 1001, until_closed=False)
        with Live(ring_name, start="oldest") as live:
            from_ring = take(live, 1000)
        with serving(ring_name) as rig, Live(rig.path, start="oldest") as live:
            from_relay = take(live, 1000)
        uuid = writer.uuid
    assert from_ring == expected(uuid, 1, 1000)
    assert from_relay == from_ring
    assert list(Store.open(tmp_path)) == from_ring


@pytest.mark.parametrize("through_relay", [False, True])
@pytest.mark.parametrize(
    "wanted",
    [
        {"types": [PoolSwap]},
        {"types": ["PoolSync", "Heartbeat"]},
        {"pools": [address(103), "0x" + address(105).hex()], "types": [PoolSync, PoolSwap]},
        {"venues": ["quickswap_v2"], "tokens": [address(201)]},
        {"types": ["EventOrigin"]},
    ],
)
def test_live_filters_mean_the_same_everywhere(
    ring_name: str, tmp_path: Path, wanted: dict, through_relay: bool
) -> None:
    with make_ring(ring_name) as writer:
        publish(writer, 500)
        with Recorder(ring_name, tmp_path, report=print, fsync=Fsync.NEVER) as recorder:
            recorder.run(lambda: recorder.next_sequence == 501, until_closed=False)
        stored = list(Store.open(tmp_path).select(**wanted))
        assert 0 < len(stored) < 500
        if through_relay:
            with serving(ring_name) as rig, Live(rig.path, start="oldest", **wanted) as live:
                assert take(live, len(stored)) == stored
        else:
            with Live(ring_name, start="oldest", **wanted) as live:
                assert take(live, len(stored)) == stored


@pytest.mark.parametrize("through_relay", [False, True])
def test_live_filter_by_pool_holds_for_tick_maps(ring_name: str, through_relay: bool) -> None:
    with make_ring(ring_name) as writer:
        for number in (1, 2, 1):
            head = (address(number), address(3), address(4), Venue.UNISWAP_V3_POLYGON, 18, 6, Protocol.UNISWAP_V3)
            part = PoolTicks(*head, 77, bytes(32), -887272, 887272, 10, 1)
            records = [part, TickLiquidity(7, -7, number)]
            sequence = writer.next_sequence
            writer.publish(build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, records, sequence=sequence, flags=2))
        with serving(ring_name) as rig:
            target = rig.path if through_relay else ring_name
            with Live(target, start="oldest", pools=[address(1)]) as live:
                found = take(live, 2)
    assert [(event.sequence, event.records[1]) for event in found if isinstance(event, Event)] == [
        (1, TickLiquidity(7, -7, 1)),
        (3, TickLiquidity(7, -7, 1)),
    ]


@pytest.mark.parametrize("through_relay", [False, True])
def test_live_type_of_a_later_record_yields_its_messages(ring_name: str, through_relay: bool) -> None:
    head = (address(1), address(3), address(4), Venue.UNISWAP_V3_POLYGON, 18, 6, Protocol.UNISWAP_V3)
    part = PoolTicks(*head, 77, bytes(32), -887272, 887272, 10, 1)
    with make_ring(ring_name) as writer:
        for records in ([part], [part, TickLiquidity(7, -7, 2)]):
            sequence = writer.next_sequence
            writer.publish(build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, records, sequence=sequence, flags=2))
        with serving(ring_name) as rig:
            target = rig.path if through_relay else ring_name
            with Live(target, start="oldest", types=["TickLiquidity"]) as live:
                [event] = take(live, 1)
    assert isinstance(event, Event) and event.sequence == 2


def test_live_signal_is_found_by_its_second_record_through_a_relay(ring_name: str) -> None:
    identity = SignalIdentity(1, 1, 1, bytes(16), "s", 1)
    economics = Economics(1, 1, -1, 1, 1, 1, 1, address(1), address(2), 18)
    with make_ring(ring_name) as writer:
        for records in ([identity], [identity, economics]):
            writer.publish(build(Domain.SIGNAL, Source.ARBITRAGE_STRATEGY, records, sequence=writer.next_sequence))
        with serving(ring_name) as rig, Live(rig.path, start="oldest", types=[Economics]) as live:
            [event] = take(live, 1)
    assert isinstance(event, Event) and event.records == (identity, economics) and event.sequence == 2


def test_live_ring_lapped_says_exactly_what_is_missing(ring_name: str) -> None:
    with make_ring(ring_name, capacity=1 << 16) as writer:
        with Live(ring_name) as live:
            publish(writer, 1000)
            items = take(live, 2)
            assert isinstance(items[0], Loss) and isinstance(items[1], Event)
            assert (items[0].ring, items[0].first, items[0].last) == (writer.uuid, 1, items[1].sequence - 1)
            assert live.lost == items[0].count > 500
        writer.close()


def test_live_asyncio_gets_the_same(ring_name: str) -> None:
    async def read(live: Live) -> list[Event | Loss]:
        found: list[Event | Loss] = []
        async for item in live:
            found.append(item)
            if len(found) == 600:
                break
        return found

    with make_ring(ring_name) as writer:
        publish(writer, 300)
        with Live(ring_name, start="oldest") as live:
            later = threading.Timer(0.1, publish, (writer, 300))
            later.start()
            found = asyncio.run(asyncio.wait_for(read(live), PATIENCE_S))
            later.join()
        assert found == expected(writer.uuid, 1, 600)


def test_live_run_calls_back_until_asked_to_stop(ring_name: str) -> None:
    heard: list[int] = []
    gaps: list[Loss] = []
    with make_ring(ring_name, capacity=1 << 16) as writer, Live(ring_name) as live:
        publish(writer, 1000)
        live.run(lambda event: heard.append(event.sequence), gaps.append, lambda: 1000 in heard)
    assert sum(gap.count for gap in gaps) == live.lost
    assert live.lost + len(heard) == 1000 == heard[-1]


def test_live_without_reconnect_ends_with_the_ring(ring_name: str) -> None:
    with make_ring(ring_name) as writer:
        publish(writer, 10)
        with Live(ring_name, start="oldest", reconnect=False) as live:
            writer.close()
            assert len(list(live)) == 10


def test_live_next_writer_of_a_ring_is_followed(ring_name: str) -> None:
    told: list[int] = []
    with make_ring(ring_name) as writer:
        publish(writer, 10)
    with Live(ring_name, start="oldest", on_reconnect=lambda live: told.append(live.reconnections)) as live:
        assert len(take(live, 10)) == 10
        with Writer.open(ring_name, layout_digest=LAYOUT_DIGEST) as second:
            publish(second, 5)
            assert take(live, 5) == expected(second.uuid, 11, 15)
    assert told == [1]


def test_live_ring_made_anew_is_found_again_with_its_own_uuid(ring_name: str) -> None:
    told: list[Live] = []
    with make_ring(ring_name) as writer:
        publish(writer, 10)
        first = writer.uuid
    with Live(ring_name, start="oldest", on_reconnect=told.append) as live:
        assert len(take(live, 10)) == 10
        unlink(ring_name)
        with make_ring(ring_name) as second:
            publish(second, 3)
            assert second.uuid != first
            replaced, *events = take(live, 4)
            assert isinstance(replaced, Event)
            assert replaced.record == RingReplaced(10, first, second.uuid)
            assert events == expected(second.uuid, 1, 3)
        assert told == [live]


def test_live_relay_that_went_away_is_come_back_to(ring_name: str, tmp_path: Path) -> None:
    home = tmp_path / "r"
    home.mkdir(mode=0o700)
    told: list[int] = []
    with make_ring(ring_name) as writer:
        publish(writer, 20)
        with serving(ring_name, directory=home) as rig:
            live = Live(rig.path, start="oldest", on_reconnect=lambda live: told.append(live.reconnections))
            assert take(live, 20) == expected(writer.uuid, 1, 20)
        publish(writer, 20)
        with serving(ring_name, directory=home):
            assert take(live, 20) == expected(writer.uuid, 21, 40)
            live.close()
    assert told == [1]


def test_live_after_hundreds_of_reconnections_tells_each_number_once(ring_name: str) -> None:
    told: list[int] = []
    with make_ring(ring_name) as writer, serving(ring_name) as rig:
        publish(writer, 20)
        with Live(rig.path, start="oldest", on_reconnect=lambda live: told.append(live.reconnections)) as live:
            assert isinstance(live._source, RelaySource)
            live._source._client.connections = 400
            for _ in range(10):
                take(live, 2)
    assert told == [399]


def test_live_durable_name_goes_on_behind_what_was_handled(ring_name: str) -> None:
    with make_ring(ring_name) as writer, serving(ring_name) as rig:
        with Live(rig.path, name="risk", at_least_once=True) as live:
            publish(writer, 100)
            assert take(live, 100) == expected(writer.uuid, 1, 100)
            publish(writer, 1)
            # To ask for more is to have handled everything before; this one is given, and nothing is asked after it.
            assert take(live, 1) == expected(writer.uuid, 101, 101)
        publish(writer, 1)
        with Live(rig.path, name="risk", at_least_once=True) as live:
            assert take(live, 2) == expected(writer.uuid, 101, 102)


def test_live_frames_that_are_no_message_are_counted_and_left_out(ring_name: str) -> None:
    with make_ring(ring_name) as writer:
        writer.publish(b"no message")
        publish(writer, 2)
        with Live(ring_name, start="oldest") as live:
            assert [item.sequence for item in take(live, 2) if isinstance(item, Event)] == [2, 3]
            assert live.refused == 1


def test_live_invalidation_passes_every_filter(ring_name: str) -> None:
    with make_ring(ring_name) as writer:
        record = StateInvalidation(1, 1, 4, bytes(20))
        writer.publish(build(Domain.SYSTEM, Source.POLYGON_COLLECTOR, [record], sequence=1))
        with Live(ring_name, start="oldest", types=[PoolSwap], pools=[address(1)]) as live:
            [event] = take(live, 1)
    assert isinstance(event, Event) and event.record == record


@pytest.mark.parametrize("start", ["latest", "oldest"])
def test_live_on_a_ring_that_is_not_there_yet_waits_for_it_and_reads_all_of_it(ring_name: str, start: Start) -> None:
    with ThreadPoolExecutor(1) as elsewhere:
        opened = elsewhere.submit(Live, ring_name, start=start, wait_s=60.0)
        with pytest.raises(TimeoutError):
            opened.result(0.2)
        with make_ring(ring_name) as writer:
            publish(writer, 2)
            with opened.result(60) as live:
                assert [item.sequence for item in take(live, 2) if isinstance(item, Event)] == [1, 2]


def test_live_on_a_ring_that_does_not_come_says_so_after_its_time(ring_name: str, tmp_path: Path) -> None:
    with pytest.raises(RingNotFound):
        Live(ring_name, wait_s=0.1)
    with pytest.raises(RelayUnreachable):
        Live(tmp_path / "nobody.sock", wait_s=0.1)
    with pytest.raises(UsageError, match="wait_s"):
        Live(ring_name, wait_s=-1.0)


def test_live_target_that_is_nothing_is_refused(ring_name: str, tmp_path: Path) -> None:
    with pytest.raises(RingNotFound):
        Live(ring_name)
    with pytest.raises(RelayUnreachable):
        Live(tmp_path / "nobody.sock")
    with pytest.raises(UsageError, match="expected a ring's name or a relay's socket, found neither"):
        Live(tmp_path)
    with pytest.raises(UsageError, match="only a relay's socket has durable clients"):
        Live(ring_name, name="risk")
