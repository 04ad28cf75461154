"""What ends Live without `reconnect`, and what a damaged ring shows to its readers."""

from __future__ import annotations

import asyncio
import itertools
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import numpy as np
import pytest

from consumers.event import Event
from consumers.live import Live
from ringbuf import CorruptRing, Reader, Status, Writer, unlink
from ringbuf.layout import ANCHOR_0, ANCHORS, DATA, SEQUENCE_WORD
from ringbuf.names import FOLDER, ring_object
from tests.consumers.relay_rig import make_ring, market_message, publish, serving
from tlv.layout import LAYOUT_DIGEST

PATIENCE_S = 60.0
WRITER = """
import sys, time
from tests.consumers.relay_rig import make_ring, publish
writer = make_ring(sys.argv[1])
publish(writer, 10)
print("ready", flush=True)
time.sleep(600)
"""


def writer_process(ring: str) -> subprocess.Popen[str]:
    """A process that has published ten messages, and lives."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, ring], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


async def read_async(live: Live) -> list[object]:
    return [item async for item in live]


@pytest.mark.parametrize("read", [list, lambda live: asyncio.run(asyncio.wait_for(read_async(live), PATIENCE_S))])
def test_live_without_reconnect_ends_with_the_death_of_the_writer(
    ring_name: str, read: Callable[[Live], list[Event]]
) -> None:
    with writer_process(ring_name) as process, Live(ring_name, start="oldest", reconnect=False) as live:
        killer = threading.Timer(0.3, process.send_signal, (signal.SIGKILL,))
        killer.start()
        assert [event.sequence for event in read(live)] == list(range(1, 11))
        killer.join()
    unlink(ring_name)


def test_live_without_reconnect_ends_where_the_next_writer_begins(ring_name: str) -> None:
    with make_ring(ring_name) as writer:
        publish(writer, 10)
        with Live(ring_name, start="oldest", reconnect=False) as live:
            writer.close()
            with Writer.open(ring_name, layout_digest=LAYOUT_DIGEST) as second:
                publish(second, 5)
                assert len(list(live)) == 10
                assert list(live) == []


def test_live_without_reconnect_ends_with_its_relay(ring_name: str) -> None:
    with make_ring(ring_name) as writer:
        publish(writer, 10)
        with serving(ring_name) as rig:
            live = Live(rig.path, start="oldest", reconnect=False)
            assert len(list(itertools.islice(live, 10))) == 10
        assert list(live) == []
        live.close()


def damage(ring: str, sequence: int) -> None:
    """Flip a bit in the sequence of one frame, and hide the anchors."""
    words = np.memmap(FOLDER / ring_object(ring)[1:], np.int64, "r+")
    position = sum((32 + len(market_message(number)) + 63) & -64 for number in range(1, sequence))
    words[DATA + position // 8 + SEQUENCE_WORD] ^= 1 << 40
    words[ANCHOR_0 + 1 : ANCHOR_0 + ANCHORS] = -1
    words.flush()


def test_damaged_ring_gives_what_is_whole_and_then_says_where_it_is_not(ring_name: str) -> None:
    with make_ring(ring_name) as writer:
        publish(writer, 1000)
        damage(ring_name, 600)
        with Reader.attach(ring_name, start="oldest") as reader:
            got = 0
            while poll := reader.poll():
                got += len(poll)
            assert (got, poll.status, reader.sequence) == (599, Status.CORRUPT, 600)
            with pytest.raises(CorruptRing, match=f"ring {ring_name}: no frame at position .*, sequence 600"):
                next(iter(reader))
        with Live(ring_name, start="oldest") as live:
            events: list[int] = []
            with pytest.raises(CorruptRing, match=f"ring {ring_name}: no frame at position"):
                for item in live:
                    events.append(item.sequence)  # type: ignore[union-attr]
            assert events == list(range(1, 600))
            with pytest.raises(CorruptRing):
                next(iter(live))
        with Live(ring_name) as live:
            publish(writer, 1)
            assert next(iter(live)).sequence == 1001  # type: ignore[union-attr]
