"""A collector whose disk is full, or hangs, or holds a new filter: the feed does not notice."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import threading
from pathlib import Path

import msgspec
import pytest

from producers.chains.configuration import load_chain
from producers.collector import Collector, CollectorOptions
from tests.producers.collected import canonical_events, read_story
from tests.producers.test_disk import FULL_DISK
from tlv.layout import EventOrigin, PoolSync
from tools.recording import RecordingNode
from tools.warm import warm_collector, warm_ring

LAST_BLOCK = 13522298


def collect(node: RecordingNode, ring: str, folder: Path, **more: object) -> Collector:
    warm_ring()
    warm_collector()
    files = {name: folder / name for name in ("pool_cache", "stats_file", "state_file")}
    options = {"chain": load_chain("polygon"), "urls": (node.ws_url,), "ring": ring, **files, **more}
    return Collector(CollectorOptions(**options))  # type: ignore[arg-type]  # a dictionary has one type of value


def test_collector_on_a_full_disk_loses_nothing_and_counts_it(
    ring_name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:

    async def run() -> Collector:
        async with RecordingNode(speed=math.inf) as node:
            collector = collect(node, ring_name, tmp_path, until_idle_s=0.8)
            for name in ("pool_cache", ".stats_file.new", ".state_file.new"):
                (tmp_path / name).symlink_to(FULL_DISK)  # now, since reading it would never end
            await collector.run()
            return collector

    with caplog.at_level(logging.WARNING, "alphapulse.collector"):
        collector = asyncio.run(run())
    assert read_story(ring_name).standing == canonical_events()
    assert collector.statistics.disk_failures >= 3
    said = [record.getMessage() for record in caplog.records if "No space left" in record.getMessage()]
    assert {line.split(":")[0] for line in said} == {
        "cannot write the pool cache",
        "cannot write the state file",
        "cannot write the statistics",
    }
    assert len(said) == 3, "once each, not once a second"


def test_collector_whose_disk_hangs_collects_on_and_writes_its_last_state_at_the_end(
    ring_name: str, tmp_path: Path
) -> None:
    """Opening a FIFO for writing lasts until somebody reads it: a disk that answers when the test says so."""
    fifo = tmp_path / ".stats_file.new"
    os.mkfifo(fifo)

    def mend() -> None:
        with fifo.open("rb") as reader:
            # In one step: the collector renames what bears this name, at any moment from now on.
            ordinary = tmp_path / "ordinary"
            ordinary.write_bytes(b"")
            ordinary.replace(fifo)
            reader.read()

    async def run() -> Collector:
        async with RecordingNode(speed=200.0) as node:
            collector = collect(node, ring_name, tmp_path)
            work = asyncio.create_task(collector.run())
            async with asyncio.timeout(60):
                while collector.statistics.safe_number < LAST_BLOCK:
                    await asyncio.sleep(0.05)
            assert fifo.is_fifo(), "the disk thread still hangs in its first write"
            mending = threading.Thread(target=mend)
            mending.start()
            collector.stop()
            await work
            mending.join()
            return collector

    collector = asyncio.run(run())
    assert read_story(ring_name).standing == canonical_events()
    assert collector.statistics.disk_failures == 0
    written = msgspec.json.decode((tmp_path / "stats_file").read_bytes())
    assert written["safe_number"] == LAST_BLOCK
    assert msgspec.json.decode((tmp_path / "state_file").read_bytes())["number"] == LAST_BLOCK


def test_collector_told_to_read_its_filter_again_publishes_what_the_last_one_says(
    ring_name: str, tmp_path: Path
) -> None:
    """Two reloads at once end with the newer file; one that cannot be read changes nothing."""
    path = tmp_path / "filter.toml"
    path.write_text('events = ["swap"]\n')

    async def run() -> Collector:
        async with RecordingNode(speed=60.0) as node:
            collector = collect(node, ring_name, tmp_path, filter_file=path, until_idle_s=2.0)
            work = asyncio.create_task(collector.run())
            async with asyncio.timeout(60):
                while collector.statistics.blocks < 40:
                    await asyncio.sleep(0.02)
            path.write_text('events = ["mint"]\n')
            collector.reload_filter()
            path.write_text('events = ["sync"]\n')
            collector.reload_filter()
            await asyncio.sleep(0.2)
            path.write_text("events = 7\n")
            collector.reload_filter()
            await work
            return collector

    asyncio.run(run())
    kinds = [
        type(message.records[0]) for message in read_story(ring_name).messages if message.first(EventOrigin) is not None
    ]
    assert set(kinds[:10]) != {PoolSync}
    assert kinds[-1] is PoolSync
    swaps = [at for at, kind in enumerate(kinds) if kind is not PoolSync]
    assert swaps == list(range(len(swaps))), "from the reload on, nothing but Syncs"
