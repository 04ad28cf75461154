"""A machine that reboots: rings, counters and sockets are gone, journals, cursors and the state file are there.

A reboot is every process killed at once, and what lies in memory removed, the run-time directory with it; the node is
elsewhere and goes on.  Where both outlive a boot (a machine that is restored from a snapshot), they stay: with that
boot's id, and with the ids of processes that are others now.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from consumers.client import Item, Loss, RelayClient
from consumers.journal import JournalReader
from ringbuf import Frame
from ringbuf.identity import checksum
from ringbuf.layout import HEADER, HEADER_BYTES
from ringbuf.names import ring_object
from ringbuf.segment import path_of
from tests.system.up_rig import ALPHAPULSE, SHARED_MEMORY, UpRig, alive, wait_for
from tlv.codes import Reason
from tlv.layout import BlockEnd, Gap, RingReplaced
from tlv.message import parse

PIPELINE = """
[up]
settle = 1
[recorder]
ring = "{name}.market"
out = "journal"
[relay]
ring = ["{name}.market"]
socket = "run/market.sock"
journal = ["journal"]
cursors = "cursors"
[collector]
url = "ws://127.0.0.1:{port}"
ring = "{name}.market"
pool_cache = "none"
state = "state.json"
"""
FRAMES = 80
BLOCKS = 5


class Place(NamedTuple):
    """Ring and sequence of a message."""

    ring: bytes
    sequence: int


@pytest.fixture
def rig() -> Iterator[UpRig]:
    with tempfile.TemporaryDirectory(prefix="ap") as folder:
        rig = UpRig(Path(folder), PIPELINE)
        command = [*ALPHAPULSE, "node", "--port", str(rig.port), "--speed", "20"]
        with subprocess.Popen(command, env=rig.environment, stdout=subprocess.PIPE) as node:
            assert node.stdout is not None
            assert node.stdout.readline()
            yield rig
            rig.end()
            node.kill()


def read(rig: UpRig, enough: Callable[[list[Item | Loss]], bool]) -> list[Item | Loss]:
    """What a named client that must miss nothing gets, each acknowledged, until that is enough."""
    got: list[Item | Loss] = []
    with RelayClient(
        rig.folder / "run" / "market.sock",
        name="desk",
        start="acknowledged",
        at_least_once=True,
        wait_s=60,
        max_silence_s=60,
    ) as client:
        for item in client:
            got.append(item)
            if enough(got):
                break
    return got


def reboot(rig: UpRig, everything_stays: bool) -> None:
    supervised = rig.directory.who()
    assert supervised is not None
    pids = [supervised.pid, *rig.pids().values()]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for pid in pids:
        wait_for(lambda pid=pid: not alive(pid), "the end of a killed process")
    if not everything_stays:
        for segment in rig.segments():
            (SHARED_MEMORY / segment).unlink()
        shutil.rmtree(rig.folder / "x" / "alphapulse")
        shutil.rmtree(rig.folder / "run")
        return
    of_another_boot(path_of(ring_object(f"{rig.name}.market")))
    directory = rig.directory.directory
    said = json.loads((directory / "up.json").read_bytes())
    (directory / "up.json").write_text(json.dumps(said | {"pid": os.getpid()}))
    for path in (directory / "supervisord.pid", *rig.folder.rglob("*.lock")):
        path.write_text(f"{os.getpid()}\n")


def of_another_boot(ring: Path) -> None:
    with ring.open("r+b") as file:
        header = np.frombuffer(bytearray(file.read(HEADER_BYTES)), dtype=np.uint8)
        header.view(HEADER)[0]["boot_id"] = 0
        header.view(HEADER)[0]["crc"] = checksum(header)
        file.seek(0)
        file.write(header.tobytes())


def recorded(rig: UpRig) -> list[tuple[Place, bytes]]:
    reader = JournalReader(rig.folder / "journal")
    return [(Place(reader.uuid, item.sequence), bytes(item.payload)) for item in reader if isinstance(item, Frame)]


def blocks_of(messages: list[bytes]) -> list[int]:
    """The blocks that ended or were declared lost, in the order in which that was told."""
    found: list[int] = []
    for record in (record for data in messages for record in parse(data, verify=False).records):
        if isinstance(record, BlockEnd):
            found.append(record.number)
        elif isinstance(record, Gap):
            found += range(record.first, record.last + 1)
    return found


@pytest.mark.parametrize("everything_stays", [False, True], ids=["all gone", "all stays"])
def test_named_client_misses_nothing_across_a_reboot(rig: UpRig, everything_stays: bool) -> None:
    rig.up()
    before = read(rig, lambda got: len(got) > FRAMES)[:FRAMES]  # the last one is not acknowledged
    cursor = rig.folder / "cursors" / "market_data" / "desk.json"
    wait_for(lambda: FRAMES in json.loads(cursor.read_bytes())["acknowledged"].values(), "the cursor on the disk")
    wait_for((rig.folder / "state.json").exists, "a state on the disk")
    reboot(rig, everything_stays)
    old, state = recorded(rig), json.loads((rig.folder / "state.json").read_bytes())
    status = rig.run("status")
    assert status.returncode == 1
    assert ("was killed, and its processes ended with it" if everything_stays else "is not up") in status.stdout

    rig.up()
    told = [data for _, data in old]
    last = blocks_of(told)[-1]
    after = read(rig, lambda got: isinstance(got[-1], Item) and last + BLOCKS in blocks_of([got[-1].data]))
    places = [Place(item.ring.uuid, item.sequence) for item in (*before, *after) if isinstance(item, Item)]
    # All that was recorded of the old ring, then that its end is not known, then the new one from its first frame.
    assert places[: len(old)] == [place for place, _ in old]
    unknown_end, replaced, *new = after[len(old) - FRAMES :]
    assert unknown_end == Loss(old[0][0].ring, len(old) + 1, len(old), Reason.END_UNKNOWN)
    assert isinstance(replaced, Item)
    assert replaced.message.first(RingReplaced)
    assert places[len(old) + 1 :] == [Place(places[-1].ring, number) for number in range(1, len(new) + 1)]
    # The collector went on behind the block of its state file: none is missing, few are told again.
    again = blocks_of([item.data for item in new if isinstance(item, Item)])
    assert again[0] == state["number"] + 1 <= last + 1
    assert set(range(again[0], last + BLOCKS)) <= set(again)
    wait_for(lambda: rig.status()["healthy"], "a pipeline that is well")
