"""FAULTS row 53: a relay that lacks descriptors, disk or memory refuses for now, leaks no lock, and serves on."""

from __future__ import annotations

import resource
import selectors
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from consumers.client import Farewell, Item, RelayClient
from consumers.relay import protocol
from consumers.relay.address import connect
from consumers.relay.feed import CHUNK_BYTES
from consumers.relay.journal_reading import READERS
from consumers.relay.windows import CACHE_BYTES, WINDOW_BYTES
from ringbuf import Writer
from tests.consumers.relay_rig import publish_numbered
from tests.own_mounts import OWN_MOUNTS
from tests.system.relay_process import RelayProcess, relay_process
from tlv.codes import FarewellReason, StreamStart
from tlv.layout import LAYOUT_DIGEST, Resume
from tools.rig.numbered import is_genuine, numbered_message
from tools.rig.processes import wait_for
from tools.rig.recorded_ring import fill_recorded

FEW = 6
"""Descriptors that are left to the relay: the last clients find none for their sockets or their cursors."""
CLIENTS = 256
RECORDED = 200_000
VERIFIED = 3000
"""Of these, how many at the end one client verifies."""
ENOUGH_BYTES = 1 << 19
"""Each client must have got so much before memory is looked at: some chunks, read window by window."""
RING_BYTES = 1 << 22
READER_BYTES = WINDOW_BYTES + WINDOW_BYTES // 5 + (150 << 10)
SLACK_BYTES = 16 << 20
"""For what the allocator keeps and the interpreter needs."""
PATIENCE_S = 240.0


def make(name: str, capacity: int = 1 << 20) -> Writer:
    """A ring whose messages say their sequence."""
    return Writer.create(name, capacity=capacity, layout_digest=LAYOUT_DIGEST)


def read_to(client: RelayClient, last: int) -> list[int]:
    """The sequences up to `last`, each message verified."""
    found = []
    for item in client:
        assert isinstance(item, Item) and is_genuine(item.sequence, item.data)
        found.append(item.sequence)
        if item.sequence >= last:
            break
    return found


def limit_descriptors(pid: int, free: int) -> tuple[int, int]:
    """Leave so many descriptors to a process; returns the limits that it had."""
    used = {int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()}
    limit = next(limit for limit in range(1 << 20) if limit - sum(fd < limit for fd in used) == free)
    return resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]))


def test_relay_without_descriptors_refuses_for_now_and_serves_on(
    ring_name: str, home: Path, tell: Callable[[str], None]
) -> None:
    got: dict[int, list[int]] = {}
    with make(ring_name) as writer, relay_process(home, f"--ring={ring_name}") as relay:
        publish_numbered(writer, 10)
        with relay.client(start="oldest", name="first") as served:
            assert read_to(served, 10) == list(range(1, 11))
            limits = limit_descriptors(relay.pid, FEW)
            before = resource.prlimit(relay.pid, resource.RLIMIT_NOFILE)
            assert before[0] < limits[0]
            others = [relay.client(start="oldest", name=f"n{number}") for number in range(3 * FEW)]

            def read(number: int) -> None:
                got[number] = read_to(others[number], 20)

            readers = [threading.Thread(target=read, args=(number,)) for number in range(len(others))]
            for reader in readers:
                reader.start()
            # A socket and a lock each.
            refused = len(others) - FEW // 2
            wait_for(lambda: sum(client.refusal is not None for client in others) >= refused, PATIENCE_S)
            assert {client.refusal.reason for client in others if client.refusal} == {FarewellReason.NO_RESOURCES}
            publish_numbered(writer, 10)
            assert read_to(served, 20) == list(range(11, 21))
            wait_for(lambda: relay.counts["shortages"], PATIENCE_S)
            resource.prlimit(relay.pid, resource.RLIMIT_NOFILE, limits)
            for reader in readers:
                reader.join(PATIENCE_S)
            for client in others:
                client.close()
        assert relay.log.count("turned away") <= 2
    assert got == {number: list(range(1, 21)) for number in range(len(others))}
    tell(
        f"row 53: {len(others)} names, descriptors for {FEW // 2}: {refused} temporary refusals, 0 names locked, 0 lost"
    )


def test_relay_whose_disk_of_cursors_is_full_refuses_names_for_now_and_holds_no_lock(
    ring_name: str, home: Path, tell: Callable[[str], None]
) -> None:
    small = 'mkdir "$0"; mount -t tmpfs -o size=64k,nr_inodes=3 none "$0" && exec "$@"'
    below = [*OWN_MOUNTS, "sh", "-c", small, str(home / "cursors")]
    with make(ring_name) as writer, relay_process(home, f"--ring={ring_name}", below=below) as relay:
        publish_numbered(writer, 10)
        # As the relay sees it: the file system is its own.
        disk = Path(f"/proc/{relay.pid}/root{home}/cursors")
        with relay.client(start="oldest") as nameless:
            assert read_to(nameless, 10)[-1] == 10
            (disk / "ballast").write_bytes(b"")
            refused = relay.client(start="oldest", name="risk", reconnect=False)
            with pytest.raises(Farewell, match=r"no resources \(ENOSPC\)") as farewell:
                read_to(refused, 10)
            publish_numbered(writer, 10)
            assert read_to(nameless, 20)[-1] == 20
            (disk / "ballast").unlink()
        # There is room for the lock, and none for the cursor: it is kept in memory.
        with relay.client(start="acknowledged", name="risk", reconnect=False) as client:
            assert read_to(client, 20) == list(range(1, 21))
            wait_for(lambda: relay.counts["failed_cursor_saves"], PATIENCE_S)
    assert not farewell.value.final
    tell("row 53: no inode for a name's cursor: 1 temporary refusal, and the name is free once there is one")


def test_relay_with_256_clients_far_behind_stays_within_its_bound(
    ring_name: str, home: Path, tell: Callable[[str], None]
) -> None:
    bound = CACHE_BYTES + READERS * READER_BYTES + CLIENTS * CHUNK_BYTES + RING_BYTES + SLACK_BYTES
    with make(ring_name, RING_BYTES) as writer:
        recorded = fill_recorded(writer, home / "journal", numbered_message(1), RECORDED - VERIFIED)
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        with relay_process(home, f"--ring={ring_name}", f"--journal={home / 'journal'}", "--max-clients=300") as relay:
            before = relay.memory("VmRSS")
            live = relay.client()
            live.receive()
            starts = np.linspace(1, recorded // 2, CLIENTS).astype(int).tolist()
            socks = [behind(relay, writer.uuid, start) for start in starts]
            received = drain(socks, live, writer)
            grown = relay.memory("VmHWM") - before
            for sock in socks:
                sock.close()
            live.close()
    assert min(received) >= ENOUGH_BYTES
    assert grown < bound, f"the relay grew by {grown >> 20} MiB"
    tell(
        f"row 53: {CLIENTS} clients up to {recorded:,} messages behind: the relay grew by {grown >> 20} MiB "
        f"(bound {bound >> 20}), each got {min(received) >> 10} KiB or more"
    )


def behind(relay: RelayProcess, uuid: bytes, start: int) -> socket.socket:
    """A connection that wants everything from `start` on."""
    sock = connect(relay.path, 60)
    sock.sendall(protocol.subscribe(start=StreamStart.SEQUENCE, resume=[Resume(start, uuid, "")], at_least_once=True))
    sock.setblocking(False)
    return sock


def drain(socks: list[socket.socket], live: RelayClient, writer: Writer) -> list[int]:
    """Read until each connection got ENOUGH_BYTES, while `live` gets each message that is published; bytes of each."""
    received = [0] * len(socks)
    room = bytearray(1 << 18)
    deadline = time.monotonic() + PATIENCE_S
    with selectors.DefaultSelector() as selector:
        for number, sock in enumerate(socks):
            selector.register(sock, selectors.EVENT_READ, number)
        turn = 0
        while min(received) < ENOUGH_BYTES:
            assert time.monotonic() < deadline, f"the slowest got {min(received)} bytes"
            for key, _ in selector.select(1.0):
                received[key.data] += key.fileobj.recv_into(room)  # type: ignore[union-attr]
            turn += 1
            if turn % 10 == 0:
                publish_numbered(writer, 1)
                assert read_to(live, writer.next_sequence - 1) == [writer.next_sequence - 1]
    return received
