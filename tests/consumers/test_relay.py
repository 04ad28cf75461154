"""The relay and its client on a real socket: starts, filters, losses, acknowledgements, the journal's part."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from consumers.client import Farewell, Item, Loss, RelayClient, RelayUnreachable
from consumers.journal import Fsync, JournalWriter
from consumers.recorder import Recorder
from consumers.relay import Relay, SocketRefused
from consumers.relay.counters import Counters
from consumers.relay.cursors import decode
from ringbuf import Reader, Writer
from tests.consumers.relay_rig import VENUES, address, make_ring, market_message, publish, sequences, serving, take
from tlv.codes import FarewellReason, Reason
from tlv.errors import UsageError
from tlv.filter import MessageFilter, Wanted
from tlv.layout import Heartbeat, PoolRecord, PoolSwap, PoolSync, RingReplaced, StateInvalidation


def record_now(writer: Writer, journal: Path) -> None:
    """Write what the ring holds now to a journal."""
    with Recorder(writer.name, journal, report=print, fsync=Fsync.NEVER) as recorder:
        recorder.run(lambda: recorder.next_sequence == writer.next_sequence, until_closed=False)


def wait_for(condition: Callable[[], bool], patience_s: float = 10.0) -> None:
    """Return as soon as `condition` holds."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def test_relay_counts_begin_at_0() -> None:
    assert {name: count for name, count in Counters().to_dict().items() if count} == {}


def test_client_from_oldest_gets_every_message_byte_for_byte(ring_name: str) -> None:
    with make_ring(ring_name) as writer:
        publish(writer, 3000)
        with serving(ring_name) as rig, rig.client(start="oldest") as client:
            items = take(client, 3000)
            publish(writer, 10)
            items += take(client, 10)
            assert sequences(items) == list(range(1, 3011))
            assert all(item.data == market_message(item.sequence) for item in items if isinstance(item, Item))
            assert [ring.name for ring in client.rings.values()] == [ring_name]
            message = items[2].message  # type: ignore[union-attr]
            assert message.first(PoolSwap).amount0_in == 3 << 128


def test_client_live_gets_what_comes(ring_name: str) -> None:
    with make_ring(ring_name) as writer:
        publish(writer, 50)
        with serving(ring_name) as rig, rig.client() as client:
            wait_for(lambda: bool(rig.relay._connections))
            assert client.receive() == []
            publish(writer, 3)
            assert sequences(take(client, 3)) == [51, 52, 53]


def test_client_from_sequence_begins_there(ring_name: str) -> None:
    with make_ring(ring_name) as writer:
        publish(writer, 100)
        with serving(ring_name) as rig:
            with rig.client(start={writer.uuid: 42}) as client:
                assert sequences(take(client, 59)) == list(range(42, 101))
            with rig.client(start={writer.uuid: 101}) as client:
                assert client.receive() == []
                publish(writer, 1)
                assert sequences(take(client, 1)) == [101]


def test_client_from_the_future_is_refused(ring_name: str) -> None:
    with make_ring(ring_name) as writer:
        publish(writer, 10)
        with serving(ring_name) as rig, rig.client(start={writer.uuid: 12}) as client:
            with pytest.raises(Farewell, match="sequence in future: expected 0xb, found 0xc") as raised:
                take(client, 1)
            assert raised.value.reason == FarewellReason.SEQUENCE_IN_FUTURE


def test_client_asyncio_gets_the_same(ring_name: str) -> None:
    async def read(client: RelayClient) -> list[int]:
        found = []
        async for item in client:
            assert isinstance(item, Item)
            found.append(item.sequence)
            if len(found) == 500:
                break
        return found

    with make_ring(ring_name) as writer:
        publish(writer, 500)
        with serving(ring_name) as rig, rig.client(start="oldest") as client:
            assert asyncio.run(read(client)) == list(range(1, 501))


FILTERS: dict[str, tuple[Wanted, Callable[[PoolRecord], bool]]] = {
    "type": ({"types": [PoolSync]}, lambda record: isinstance(record, PoolSync)),
    "venue": ({"venues": [VENUES[1]]}, lambda record: record.venue == VENUES[1]),
    "pools": ({"pools": [address(103), address(100)]}, lambda record: record.pool in (address(103), address(100))),
    "token": (
        {"tokens": [address(201), address(305)]},
        lambda record: bool({record.token0, record.token1} & {address(201), address(305)}),
    ),
    "all": (
        {"types": [PoolSwap], "venues": VENUES[:2], "tokens": [address(200)]},
        lambda record: isinstance(record, PoolSwap) and record.venue in VENUES[:2] and record.token0 == address(200),
    ),
    "nothing": ({"pools": [address(1)]}, lambda record: False),
}


@pytest.mark.parametrize("name", FILTERS)
def test_client_filter_gets_exactly_what_it_asked_for(ring_name: str, name: str) -> None:
    options, wants = FILTERS[name]
    wanted = []
    for sequence in range(1, 2001):
        record = parse_first(sequence)
        if isinstance(record, PoolRecord):
            passes = wants(record)
        else:
            # No filter hides an invalidation; a heartbeat passes unless types were named.
            passes = isinstance(record, StateInvalidation) or (isinstance(record, Heartbeat) and "types" not in options)
        if passes:
            wanted.append(sequence)
    with make_ring(ring_name) as writer:
        publish(writer, 2000)
        with (
            serving(ring_name) as rig,
            rig.client(start="oldest", name="filtered", wanted=MessageFilter.of(**options)) as client,
        ):
            items = take(client, len(wanted))
            assert sequences(items) == wanted
            client.ack(items[-1])
            # What the filter kept back is covered too, so that the cursor moves on.
            (ring,) = client.rings.values()
            while ring.next_sequence < 2001:
                assert client.receive() == []
            client.receive()
            saved = rig.directory / "cursors" / "market_data" / "filtered.json"
            wait_for(lambda: decode(saved.read_bytes()) == {f"{ring_name}/{writer.uuid.hex()}": 2000})


def parse_first(sequence: int) -> object:
    """The first record of message `sequence`."""
    from tlv.message import parse

    return parse(market_message(sequence)).records[0]


def test_client_lapped_is_told_the_exact_loss(ring_name: str) -> None:
    with make_ring(ring_name, capacity=1 << 16) as writer:
        publish(writer, 5)
        with serving(ring_name) as rig, rig.client(start={writer.uuid: 1}) as client:
            assert sequences(take(client, 5)) == [1, 2, 3, 4, 5]
        publish(writer, 1000)
        with Reader.attach(ring_name, start="oldest") as reader:
            oldest = reader.sequence
        with serving(ring_name) as rig, rig.client(start={writer.uuid: 6}) as client:
            lost, *items = take(client, 1 + 1005 - oldest + 1)
            assert isinstance(lost, Loss)
            assert (lost.first, lost.last, lost.reason) == (6, oldest - 1, Reason.NOT_RETAINED)
            assert sequences(items) == list(range(oldest, 1006))
            assert client.lost == oldest - 6


def test_client_at_least_once_gets_from_the_journal_what_the_ring_lost(ring_name: str, tmp_path: Path) -> None:
    with make_ring(ring_name, capacity=1 << 16) as writer:
        for _ in range(20):
            publish(writer, 70)
            record_now(writer, tmp_path / "journal")
        publish(writer, 20)
        with serving(ring_name, journals={ring_name: tmp_path / "journal"}) as rig:
            with rig.client(start={writer.uuid: 3}, at_least_once=True) as client:
                items = take(client, 1418)
                publish(writer, 30)
                items += take(client, 30)
            assert sequences(items) == list(range(3, 1451))
            assert all(item.data == market_message(item.sequence) for item in items if isinstance(item, Item))
            with rig.client(start="oldest", at_least_once=True, wanted=MessageFilter.of(types=[PoolSync])) as client:
                found = sequences(take(client, 300))
                assert (
                    found
                    == [s for s in range(1, 1451) if isinstance(parse_first(s), PoolSync | StateInvalidation)][:300]
                )
            with rig.client(start={writer.uuid: 3}) as client:
                assert isinstance(take(client, 1)[0], Loss)


def test_client_at_least_once_without_a_journal_is_told_the_loss(ring_name: str) -> None:
    with make_ring(ring_name, capacity=1 << 16) as writer:
        publish(writer, 1000)
        with serving(ring_name) as rig, rig.client(start={writer.uuid: 1}, at_least_once=True) as client:
            lost, item = take(client, 2)
            assert isinstance(lost, Loss)
            assert isinstance(item, Item)
            assert (lost.first, lost.last + 1) == (1, item.sequence)


def test_client_journal_with_a_loss_delivers_the_loss(ring_name: str, tmp_path: Path) -> None:
    with make_ring(ring_name, capacity=1 << 16) as writer:
        publish(writer, 50)
        record_now(writer, tmp_path)
        publish(writer, 1000)
        record_now(writer, tmp_path)
        publish(writer, 1000)
        record_now(writer, tmp_path)
        options = {"start": {writer.uuid: 1}, "at_least_once": True}
        with serving(ring_name, journals={ring_name: tmp_path}) as rig, rig.client(**options) as client:
            expected = 1
            losses = 0
            while expected <= 2050:
                (item,) = take(client, 1)
                if isinstance(item, Loss):
                    assert item.first == expected
                    losses += 1
                    expected = item.last + 1
                else:
                    assert item.sequence == expected
                    expected = item.covers + 1
            assert losses == 2


def test_client_named_goes_on_behind_its_last_acknowledgement(ring_name: str) -> None:
    with make_ring(ring_name) as writer:
        publish(writer, 100)
        with serving(ring_name) as rig:
            with rig.client(start="oldest", name="risk", acknowledge="manual") as client:
                items = take(client, 60)
                client.ack(items[39])
            with rig.client(start="acknowledged", name="risk") as client:
                assert sequences(take(client, 20)) == list(range(41, 61))
                # Asking for the next one says that the one before was handled: 59 are, the last is not.
            with rig.client(start="acknowledged", name="risk") as client:
                assert sequences(take(client, 41)) == list(range(60, 101))
    assert rig.relay.counters.accepted == 3


def test_client_named_is_remembered_by_the_next_relay(ring_name: str, tmp_path: Path) -> None:
    with make_ring(ring_name) as writer:
        publish(writer, 20)
        with serving(ring_name) as rig:
            home = rig.directory / "cursors"
            with rig.client(start="oldest", name="a") as client:
                take(client, 11)
            wait_for(lambda: not rig.relay._connections)
            saved = {path.name: path.read_bytes() for path in (home / "market_data").glob("*.json")}
        directory = tmp_path / "second"
        (directory / "cursors" / "market_data").mkdir(parents=True)
        directory.chmod(0o700)
        for name, content in saved.items():
            (directory / "cursors" / "market_data" / name).write_bytes(content)
        with serving(ring_name, directory=directory) as rig, rig.client(start="acknowledged", name="a") as client:
            assert sequences(take(client, 10)) == list(range(11, 21))


def test_client_name_in_use_is_refused_until_it_is_free(ring_name: str) -> None:
    with make_ring(ring_name), serving(ring_name) as rig:
        with rig.client(name="one") as first:
            first.receive()
            with rig.client(name="one") as second, pytest.raises(Farewell, match="name in use"):
                take(second, 1)
        wait_for(lambda: not rig.relay._connections)
        with rig.client(name="one") as third:
            third.receive()


@pytest.mark.parametrize("name", ["../../etc/x", "a/b", ".hidden", "with space", "nul\x01", "\u00e9", "x" * 65])
def test_client_name_that_is_a_path_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="name: expected at most"):
        RelayClient("relay.sock", name=name)


def test_client_acknowledging_the_future_is_dismissed(ring_name: str) -> None:
    with make_ring(ring_name) as writer:
        publish(writer, 3)
        with serving(ring_name) as rig, rig.client(start="oldest", name="x", acknowledge="manual") as client:
            (item,) = take(client, 1)
            client.ack(item._replace(covers=99))
            client._next_ack = 0
            with pytest.raises(Farewell, match="sequence in future"):
                while True:
                    client.receive()


def test_client_reconnects_and_misses_nothing(ring_name: str) -> None:
    with make_ring(ring_name) as writer:
        publish(writer, 10)
        with serving(ring_name) as rig:
            home = rig.directory
            client = RelayClient(rig.path, start="oldest")
            found = sequences(take(client, 10))
            for fd in list(rig.relay._connections):
                os.close(os.dup(fd))
            kept = home
            assert kept.exists()
        publish(writer, 5)
        done = threading.Event()

        def read_on() -> None:
            found.extend(sequences(take(client, 10)))
            done.set()

        reader = threading.Thread(target=read_on)
        reader.start()
        time.sleep(0.3)
        home.mkdir(mode=0o700)
        with serving(ring_name, directory=home):
            publish(writer, 5)
            assert done.wait(60)
            client.close()
        reader.join()
        shutil.rmtree(home)
    assert found == list(range(1, 21))
    assert client.connections == 2


def test_relay_frame_that_is_no_message_is_left_out_and_counted(ring_name: str) -> None:
    with make_ring(ring_name) as writer:
        publish(writer, 2)
        writer.publish(b"this is no message at all, but it is long enough for a header")
        writer.publish(b"")
        publish(writer, 2)
        with serving(ring_name) as rig, rig.client(start="oldest") as client:
            assert sequences(take(client, 4)) == [1, 2, 5, 6]
            wait_for(lambda: rig.relay.counters.malformed_frames >= 2)
    assert rig.relay.counters.malformed_frames == 2


def test_relay_serves_two_rings_and_says_which(new_ring_name: Callable[[], str]) -> None:
    names = (new_ring_name(), new_ring_name())
    with make_ring(names[0]) as first, make_ring(names[1]) as second:
        publish(first, 700)
        publish(second, 500)
        with serving(*names) as rig, rig.client(start="oldest") as client:
            items = take(client, 1200)
            for name, count in zip(names, (700, 500), strict=True):
                ours = [item.sequence for item in items if isinstance(item, Item) and item.ring.name == name]
                assert ours == list(range(1, count + 1))


def test_relay_takes_up_a_ring_that_was_replaced(ring_name: str) -> None:
    writer = make_ring(ring_name)
    publish(writer, 5)
    with serving(ring_name) as rig, rig.client(start="oldest") as client:
        assert sequences(take(client, 5)) == [1, 2, 3, 4, 5]
        writer.close(unlink=True)
        with make_ring(ring_name) as second:
            publish(second, 3)
            told, *items = take(client, 4)
            assert isinstance(told, Item)
            assert told.message.records == (RingReplaced(5, writer.uuid, second.uuid),)
            assert sequences(items) == [1, 2, 3]
            assert {item.ring.uuid for item in items if isinstance(item, Item)} == {second.uuid}


def test_relay_before_its_ring_serves_it_from_its_first_message(ring_name: str) -> None:
    with serving(ring_name) as rig, rig.client() as client:
        assert rig.relay.missing == [ring_name]
        wait_for(lambda: bool(rig.relay._connections))
        with make_ring(ring_name) as writer:
            publish(writer, 3)
            assert sequences(take(client, 3)) == [1, 2, 3]
            assert rig.relay.missing == []


def test_relay_socket_is_ours_alone_whatever_the_umask(ring_name: str) -> None:
    """P9."""
    before = os.umask(0)
    try:
        with make_ring(ring_name), serving(ring_name) as rig:
            assert stat.S_IMODE(rig.path.stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_relay_second_one_is_refused_and_a_stale_socket_replaced(ring_name: str) -> None:
    with make_ring(ring_name) as writer:
        publish(writer, 1)
        with serving(ring_name) as rig:
            with pytest.raises(SocketRefused, match="another relay serves there"):
                Relay("market_data", rig.path, rings=[ring_name], cursors=rig.directory)
            home = rig.directory
            with rig.client(start="oldest") as client:
                assert sequences(take(client, 1)) == [1]
        home.mkdir(mode=0o700)
        import socket

        stale = socket.socket(socket.AF_UNIX)
        stale.bind(str(home / "relay.sock"))
        stale.close()
        with serving(ring_name, directory=home) as rig, rig.client(start="oldest") as client:
            assert sequences(take(client, 1)) == [1]
        assert not (home / "relay.sock").exists()
        shutil.rmtree(home)


@pytest.mark.parametrize("bait", ["file", "directory", "link", "open directory", "long path", "foreign parent"])
def test_relay_bad_place_is_refused_and_untouched(ring_name: str, tmp_path: Path, bait: str) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    path = home / "relay.sock"
    if bait == "file":
        path.write_text("precious")
    elif bait == "directory":
        path.mkdir()
    elif bait == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif bait == "open directory":
        home.chmod(0o755)
    elif bait == "long path":
        path = home / ("x" * (108 - len(os.fsencode(home)) - 1))
        assert len(os.fsencode(path)) == 108
    else:
        home.rmdir()
        home.symlink_to(tmp_path)
    before = {entry: entry.lstat().st_mode for entry in tmp_path.rglob("*")}
    with make_ring(ring_name), pytest.raises(SocketRefused, match="expected"):
        Relay("market_data", path, rings=[ring_name], cursors=tmp_path)
    after = {entry: entry.lstat().st_mode for entry in tmp_path.rglob("*") if not entry.name.endswith(".lock")}
    assert after == before
    assert bait != "file" or path.read_text() == "precious"


def test_client_nobody_listens_says_so(tmp_path: Path) -> None:
    with pytest.raises(RelayUnreachable, match="no relay listens there"):
        RelayClient(tmp_path / "absent.sock")


def test_relay_stopping_sends_what_the_ring_holds_and_says_farewell(ring_name: str) -> None:
    with make_ring(ring_name) as writer:
        publish(writer, 5000)
        found: list[int] = []
        with serving(ring_name) as rig:
            client = rig.client(start="oldest")
            found += sequences(take(client, 1))
            reading = threading.Thread(target=lambda: read_to_the_end(client, found))
            reading.start()
        reading.join(60)
        assert found == list(range(1, 5001))
        client.close()


def read_to_the_end(client: RelayClient, found: list[int]) -> None:
    """Append what still comes; the end must be a farewell."""
    with pytest.raises(Farewell, match="shutting down"):
        for item in client:
            found.extend(sequences([item]))


def test_journal_writer_is_not_needed_by_lossy_clients(ring_name: str, tmp_path: Path) -> None:
    with JournalWriter(tmp_path, ring_name=ring_name, ring_uuid=bytes(16)):
        pass
    with make_ring(ring_name) as writer:
        publish(writer, 5)
        with serving(ring_name, journals={ring_name: tmp_path}) as rig, rig.client(start="oldest") as client:
            assert sequences(take(client, 5)) == [1, 2, 3, 4, 5]
