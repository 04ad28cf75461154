"""FAULTS rows 29 and 30: clients that send garbage, half a hello or nothing, reset, or never read, harm nobody else."""

from __future__ import annotations

import gc
import itertools
import os
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from consumers.client import Farewell, Item, Loss, RelayError
from consumers.relay import address, protocol
from consumers.relay.errors import Farewell as FarewellError
from consumers.relay.protocol import Inbox
from consumers.relay.stream import ClientStream
from tests.consumers.relay_rig import Rig, make_ring, market_message, publish, sequences, serving, take
from tests.consumers.test_relay import wait_for
from tlv.codes import FarewellReason, FeedReason, StreamStart
from tlv.layout import Ack, Batch, Gap, Header, Heartbeat, Resume, Subscribe, SubscribeAck
from tlv.layout import Farewell as FarewellRecord
from tlv.message import parse


def connect(rig: Rig) -> socket.socket:
    """A bare connection."""
    return address.connect(rig.path, 10)


def read_all(sock: socket.socket) -> bytes:
    """Everything until the relay hangs up."""
    found = b""
    while data := sock.recv(1 << 20):
        found += data
    return found


def split(data: bytes) -> list[bytes]:
    """The whole messages in `data`."""
    messages = []
    while data:
        size = 32 + Header.unpack(data).payload_size
        messages.append(data[:size])
        data = data[size:]
    return messages


def last_words(data: bytes) -> FarewellRecord:
    """The Farewell that ends a stream."""
    found = parse(split(data)[-1]).first(FarewellRecord)
    assert found is not None
    return found


def descriptors() -> int:
    """How many files this process, and so the relay in it, has open; what earlier tests left is closed first."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


HELLOS = {
    "garbage": (os.urandom(40), FarewellReason.BAD_MESSAGE),
    "http": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", FarewellReason.BAD_MESSAGE),
    "no hello": (protocol.acknowledge(1, bytes(16)), FarewellReason.BAD_HELLO),
    "flipped bit": (bytes([*protocol.subscribe()[:-1], 1]), FarewellReason.BAD_MESSAGE),
    "oversize": (
        Header(0xDEADBEEF, 4, 1, 81, 0, 0, 0, 1 << 30, 0).pack(),
        FarewellReason.BAD_MESSAGE,
    ),
    "other layout": (protocol.from_client(Subscribe(7, 0, 1, 0, "")), FarewellReason.LAYOUT_DIFFERS),
    "layout beyond i64": (protocol.from_client(Subscribe(1 << 63, 0, 1, 0, "")), FarewellReason.LAYOUT_DIFFERS),
    "unknown start": (protocol.subscribe(start=9), FarewellReason.BAD_HELLO),  # type: ignore[arg-type]
    "name that is a path": (protocol.subscribe(name="../../etc/x"), FarewellReason.NAME_REFUSED),
    "hidden name": (protocol.subscribe(name=".hidden"), FarewellReason.NAME_REFUSED),
    "nameless cursor": (protocol.subscribe(start=StreamStart.ACKNOWLEDGED), FarewellReason.NAME_REFUSED),
}


@pytest.mark.parametrize("hello", HELLOS)
def test_relay_bad_hello_is_told_why(ring_name: str, hello: str) -> None:
    data, reason = HELLOS[hello]
    with make_ring(ring_name), serving(ring_name) as rig, connect(rig) as sock:
        sock.sendall(data)
        assert last_words(read_all(sock)).reason == reason


def test_farewell_to_another_layout_says_both_digests_and_what_to_do() -> None:
    said = str(Farewell(FarewellReason.LAYOUT_DIFFERS, 6, -1))
    assert "layout differs: expected 0x6, found 0xffffffffffffffff; " in said
    assert said.endswith("update whichever of relay and client is the older version")
    assert "update" not in str(Farewell(FarewellReason.SHUTTING_DOWN))


def test_relay_hello_that_does_not_come_times_out(ring_name: str) -> None:
    halves = (b"", protocol.subscribe()[:20], protocol.subscribe()[:-1])
    with make_ring(ring_name), serving(ring_name) as rig:
        waiting = [connect(rig) for _ in halves]
        for sock, sent in zip(waiting, halves, strict=True):
            sock.sendall(sent)
        for sock in waiting:
            assert last_words(read_all(sock)).reason == FarewellReason.HELLO_TIMEOUT
            sock.close()


def test_relay_hello_byte_by_byte_is_understood(ring_name: str) -> None:
    with make_ring(ring_name) as writer, serving(ring_name) as rig, connect(rig) as sock:
        publish(writer, 1)
        for byte in protocol.subscribe(start=StreamStart.OLDEST):
            sock.sendall(bytes([byte]))
        found = b""
        while len(split_whole(found)) < 3:
            found += sock.recv(4096)
        accepted, batch, message = split_whole(found)[:3]
        assert parse(accepted).first(SubscribeAck).ring_name == ring_name  # type: ignore[union-attr]
        assert parse(batch).first(Batch) == Batch(1, 1, 0, 1)
        assert message == market_message(1)


def split_whole(data: bytes) -> list[bytes]:
    """The messages in `data`, without a last half one."""
    found = []
    while len(data) >= 32 and len(data) >= 32 + Header.unpack(data).payload_size:
        size = 32 + Header.unpack(data).payload_size
        found.append(data[:size])
        data = data[size:]
    return found


def test_relay_storm_of_resets_and_half_closes_leaves_no_descriptor(ring_name: str) -> None:
    with make_ring(ring_name) as writer, serving(ring_name) as rig, rig.client(start="oldest") as client:
        publish(writer, 10)
        assert sequences(take(client, 10)) == list(range(1, 11))
        before = descriptors()
        for turn in range(300):
            sock = connect(rig)
            if turn % 3 == 0:
                sock.sendall(protocol.subscribe(start=StreamStart.OLDEST))
            if turn % 3 == 1:
                sock.shutdown(socket.SHUT_WR)
            sock.close()
        publish(writer, 10)
        assert sequences(take(client, 10)) == list(range(11, 21))
        deadline = time.monotonic() + 60
        while (rig.relay.counters.accepted < 301 or descriptors() != before) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert descriptors() == before
    assert rig.relay.counters.accepted == 301


def test_relay_too_many_clients_are_turned_away(ring_name: str) -> None:
    with make_ring(ring_name), serving(ring_name, max_clients=3) as rig:
        held = [rig.client() for _ in range(3)]
        for client in held:
            client.receive()
        with rig.client() as fourth, pytest.raises(Farewell, match="too many clients: expected 0x3, found 0x4"):
            take(fourth, 1)
        for client in held:
            client.close()


def test_relay_client_that_never_reads_is_evicted_and_told(ring_name: str) -> None:
    with make_ring(ring_name, capacity=1 << 20) as writer, serving(ring_name, patience_s=0.5) as rig:
        stuck = connect(rig)
        stuck.sendall(protocol.subscribe(start=StreamStart.OLDEST))
        with rig.client(start="oldest") as client:
            expected = 1
            while expected <= 20_000:
                if writer.next_sequence <= 20_000 and writer.next_sequence - expected < 1000:
                    publish(writer, 500)
                for item in take(client, 100):
                    assert not isinstance(item, Loss)
                    assert item.sequence == expected
                    expected += 1
            deadline = time.monotonic() + 60
            while rig.relay.counters.evicted == 0 and time.monotonic() < deadline:
                time.sleep(0.01)
        assert rig.relay.counters.evicted == 1
        stream = split(read_all(stuck))
        stuck.close()
    assert parse(stream[-1]).first(FarewellRecord).reason == FarewellReason.TOO_SLOW  # type: ignore[union-attr]
    # What it got is a stream without a hole up to there.
    state = ClientStream()
    items: list[Item | Loss] = []
    with pytest.raises(FarewellError):
        for message in stream:
            state.take(message, items)
    covered = [(item.first if isinstance(item, Loss) else item.sequence) for item in items]
    assert covered == list(range(1, len(covered) + 1))


def test_relay_counts_the_wait_for_a_client_that_reads_late(ring_name: str) -> None:
    """A chunk that a socket took by halves is counted when it has all of it, each frame from its publishing."""
    late_s = 0.3
    with make_ring(ring_name) as writer, serving(ring_name, patience_s=3600.0) as rig:
        publish(writer, 5)
        late = connect(rig)
        late.sendall(protocol.subscribe(start=StreamStart.OLDEST))
        delay = rig.relay.counters.ring_to_client
        wait_for(lambda: rig.relay.counters.chunks > 0)
        assert delay.count == 0, "these were there before the client"
        publish(writer, 8000)  # 2 MB; its socket takes half a MB
        wait_for(lambda: any(connection.stuck_since for connection in rig.relay._connections.values()))
        taken, in_socket = delay.count, rig.relay.counters.bytes
        (stuck,) = (connection for connection in rig.relay._connections.values())
        (feed,) = rig.relay._feeds()
        assert stuck.untaken_times.size and not np.shares_memory(stuck.untaken_times, feed._table)
        time.sleep(late_s)
        assert delay.count == taken < 8000
        stream: list[bytes] = []
        reading = threading.Thread(target=lambda: stream.append(read_all(late)))
        reading.start()
        wait_for(lambda: delay.count == 8000)
        assert delay.percentile(taken / 8000 + 0.01) >= late_s * 1e9, "what waited has waited all of it"
    reading.join()
    late.close()
    ends = itertools.accumulate(map(len, messages := split(stream[0])))
    whole = [parse(message).header.sequence for message, end in zip(messages, ends, strict=True) if end <= in_socket]
    assert taken <= sum(sequence > 5 for sequence in whole), "none was counted that the socket had not taken"


def test_relay_sixteen_of_sixty_four_never_read_and_the_others_miss_nothing(ring_name: str) -> None:
    """P4: a slow client costs only itself."""
    total, readers = 4000, 48
    found: dict[int, int] = {}
    with make_ring(ring_name, capacity=1 << 20) as writer, serving(ring_name, patience_s=3600.0) as rig:
        stuck = [connect(rig) for _ in range(16)]
        for sock in stuck:
            sock.sendall(protocol.subscribe(start=StreamStart.OLDEST))
        clients = [rig.client(start="oldest") for _ in range(readers)]

        def read(number: int) -> None:
            found[number] = 0
            for item in clients[number]:
                assert isinstance(item, Item)
                found[number] += 1
                assert item.sequence == found[number]
                if item.sequence == total:
                    return

        threads = [threading.Thread(target=read, args=(number,)) for number in range(readers)]
        for thread in threads:
            thread.start()
        for _ in range(total // 100):
            publish(writer, 100)
            # The readers are 48 threads of this one process; the ring holds 2,000 messages.
            while min(found.values()) < writer.next_sequence - 1500:
                ended = [number for number, thread in enumerate(threads) if not thread.is_alive()]
                assert all(found[number] == total for number in ended), "one lost a message, or was told to go"
                time.sleep(0.01)
        for thread in threads:
            thread.join(60)
        rig.relay.patience_s = 1.0  # only now: on a busy machine a reader may not get its turn for a second
        deadline = time.monotonic() + 60
        while rig.relay.counters.evicted < 16 and time.monotonic() < deadline:
            time.sleep(0.05)
        for client in clients:
            client.close()
        assert list(found.values()) == [total] * readers
        assert rig.relay.counters.evicted == 16
        for sock in stuck:
            assert last_words(read_all(sock)).reason == FarewellReason.TOO_SLOW
            sock.close()
    print(f"row 29: {readers} readers got all of {total}, 16 of 64 never read and were told")


@pytest.mark.parametrize("position", range(0, 58, 3))
def test_client_corrupted_stream_is_refused(tmp_path: Path, position: int) -> None:
    """A peer that flips one byte of its Batch: the client must not give out anything behind it."""
    from consumers.client import RelayClient

    accepted = protocol.accept(0, "market.x", bytes(16), 1)
    batch = bytearray(protocol.from_relay(Batch(1, 1, 0, 1)))
    batch[position] ^= 0x20
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        with RelayClient(tmp_path / "s", reconnect=False, max_silence_s=0.3) as client:
            peer, _ = listener.accept()
            peer.sendall(accepted + bytes(batch) + market_message(1))
            with pytest.raises(RelayError):
                take(client, 1)
            peer.close()


def batch_of(first: int, last: int, count: int, index: int = 0) -> bytes:
    """A Batch message."""
    return protocol.from_relay(Batch(first, last, index, count))


ACCEPTED = protocol.accept(0, "market.x", bytes(16), 5)
BROKEN_STREAMS = {
    "hole": [ACCEPTED, batch_of(6, 6, 1)],
    "repeat": [ACCEPTED, batch_of(5, 5, 0), batch_of(5, 5, 0)],
    "too many": [ACCEPTED, batch_of(5, 5, 2)],
    "unannounced ring": [ACCEPTED, batch_of(5, 5, 1, index=1)],
    "message without batch": [ACCEPTED, market_message(5)],
    "message behind batch": [ACCEPTED, batch_of(5, 5, 1), market_message(5), market_message(6)],
    "short batch": [ACCEPTED, batch_of(5, 6, 2), market_message(5), batch_of(7, 7, 1)],
    "gap with a hole": [ACCEPTED, batch_of(5, 5, 0), protocol.from_relay(Gap(8, 9, 1, 1))],
    "gap of no ring": [ACCEPTED, protocol.from_relay(Gap(5, 9, 1, 1))],
}


@pytest.mark.parametrize("name", BROKEN_STREAMS)
def test_stream_that_breaks_the_protocol_is_refused(name: str) -> None:
    stream = ClientStream()
    items: list[Item | Loss] = []
    with pytest.raises(RelayError):
        for message in BROKEN_STREAMS[name]:
            stream.take(message, items)


def test_stream_batch_gap_and_filtered_sequences_continue_each_other() -> None:
    stream = ClientStream()
    items: list[Item | Loss] = []
    for message in (
        ACCEPTED,
        batch_of(5, 6, 2),
        market_message(5),
        market_message(6),
        batch_of(7, 9, 1),
        market_message(8),
        batch_of(10, 12, 0),
        protocol.from_relay(Gap(13, 20, 1, 1)),
        protocol.heartbeat(),
        batch_of(21, 21, 1),
        market_message(21),
    ):
        stream.take(message, items)
    assert [(item.last, True) if isinstance(item, Loss) else (item.covers, False) for item in items] == [
        (5, False),
        (6, False),
        (12, False),
        (20, True),
        (21, False),
    ]


def test_stream_filtered_sequences_behind_a_loss_are_handled_with_it_and_not_lost() -> None:
    stream = ClientStream()
    items: list[Item | Loss] = []
    for message in (
        ACCEPTED,
        batch_of(5, 5, 0),
        protocol.from_relay(Gap(6, 9, 1, 1)),
        batch_of(10, 12, 0),
        batch_of(13, 14, 0),
    ):
        stream.take(message, items)
    (loss,) = items
    assert isinstance(loss, Loss) and (loss.first, loss.last, loss.count) == (6, 9, 4)
    ring = stream.rings[loss.ring]
    assert ring.handled == 5
    ring.note_handled(8)
    assert ring.handled == 8
    ring.note_handled(loss.last)
    assert ring.handled == 14


def test_inbox_any_portions_give_the_same_messages() -> None:
    messages = [
        protocol.subscribe(name="n", resume=[Resume(4, bytes(16), "market.test")]),
        protocol.acknowledge(3, b"u" * 16),
        protocol.from_relay(Heartbeat(1, 2, 3, 0, 0, 0, 3, 0, FeedReason.OK)),
    ]
    data = b"".join(messages)
    for size in (1, 7, 31, 32, 33, len(data)):
        inbox = Inbox()
        found = []
        for at in range(0, len(data), size):
            found += inbox.feed(data[at : at + size])
        assert found == [parse(message) for message in messages]
    assert found[1].first(Ack) == Ack(3, b"u" * 16)
