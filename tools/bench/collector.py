"""How many log notifications a second a collector takes from a socket into a ring, on one core.

Owns the load: the recorded Polygon logs over and over, each round under new block hashes, served by the recording node
in a process of its own.  Two mixes: as recorded (one log in twenty is an event of a proven pool), and nothing but such
events, which is the worst that a chain could send.  Derived from the recording, and so no recording itself.

The baseline is the same node and the same frames into a loop that only receives them.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from websockets.asyncio.client import connect

from producers.chains import load_chain
from producers.collector import Collector, Options
from producers.recording.bundle import bundled_recording
from producers.statistics import Statistics
from ringbuf import unlink
from tools.bench.result import BenchResult
from tools.warm import warm_collector, warm_ring

MIXES = {"as recorded": False, "pool events only": True}
TARGET = 60_000.0
BLOCK_LOGS = 200
"""Logs of a block in the second mix; Polygon's busy blocks have 300 to 1,000 logs of every kind."""
SAMPLE_S = 0.002
Row = dict[str, Any]


def run(seconds: float) -> list[BenchResult]:
    """Both mixes, with as many logs as a fast machine takes in `seconds`."""
    warm_ring()
    warm_collector()
    results = []
    for name, events_only in MIXES.items():
        with served(int(seconds * TARGET), events_only) as url:
            baseline = asyncio.run(receive_only(url))
        with served(int(seconds * TARGET), events_only) as url:
            rate, statistics = asyncio.run(collect(url))
        p99_us = statistics.receive_to_ring.percentile(0.99) // 1000
        results.append(
            BenchResult(
                f"collector, {name}: socket to ring",
                rate,
                "logs/s",
                "websockets recv() of the same frames",
                baseline,
                rate / baseline,
                TARGET,
                f"{statistics.events_published} events; receive to ring p99 {p99_us} us in the burst",
            )
        )
    return results


async def collect(url: str) -> tuple[float, Statistics]:
    """Logs a second from the first to the last one, and what the collector counted."""
    ring = f"bench.{secrets.token_hex(4)}"
    options = Options(
        chain=load_chain("polygon"), urls=(url,), ring=ring, capacity=1 << 24, until_idle_s=0.5, watchdog_s=60
    )
    collector = Collector(options)
    work = asyncio.create_task(collector.run())
    seen, begin, end, first = 0, 0.0, 0.0, 0
    try:
        while not work.done():
            await asyncio.sleep(SAMPLE_S)
            received = collector.statistics.logs_received
            if received > seen:
                now = time.perf_counter()
                begin, first = (now, received) if seen == 0 else (begin, first)
                seen, end = received, now
        statistics = await work
    finally:
        unlink(ring)
    return (seen - first) / (end - begin), statistics


async def receive_only(url: str) -> float:
    """Messages a second that the library alone receives."""
    async with connect(url, compression=None, max_size=None, max_queue=4096, ping_interval=None) as socket:
        for number, kind in enumerate(("logs", "newHeads"), 1):
            await socket.send(json.dumps({"id": number, "method": "eth_subscribe", "params": [kind]}))
        received, begin, end = 0, 0.0, 0.0
        try:
            while True:
                async with asyncio.timeout(0.5):
                    await socket.recv(decode=False)
                end = time.perf_counter()
                begin = begin or end
                received += 1
        except TimeoutError:
            return received / (end - begin)


@contextmanager
def served(logs: int, events_only: bool) -> Iterator[str]:
    """The URL of a recording node, in its own process, that serves at least `logs` logs as fast as it can."""
    with tempfile.TemporaryDirectory() as folder:
        write_load(Path(folder), logs, events_only)
        node = subprocess.Popen(
            [sys.executable, "-m", "tools.cli", "node", folder, "--speed", "max", "--chain-id", "137", "--json"],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert node.stdout is not None
            yield json.loads(node.stdout.readline())["ws"]
        finally:
            node.terminate()
            node.communicate()


def write_load(folder: Path, logs: int, events_only: bool) -> None:
    """A recording of the recorded blocks, repeated under new hashes and numbers."""
    source = bundled_recording()
    rows = list(_rows(source / "recording_2021-04-20_canonical_logs.jsonl.gz"))
    if events_only:
        proven = {row["pool"] for row in _rows(source / "pools.jsonl.gz") if row["method"] == "CREATE2_verified"}
        rows = [row for row in rows if row["address"] in proven]
        blocks = [rows[at : at + BLOCK_LOGS] for at in range(0, len(rows), BLOCK_LOGS)]
    else:
        by_hash: dict[str, list[Row]] = {}
        for row in rows:
            by_hash.setdefault(row["blockHash"], []).append(row)
        blocks = list(by_hash.values())
    parent = "0x" + "11" * 32
    with (
        gzip.open(folder / "load_headers.jsonl.gz", "wb", 1) as headers,
        gzip.open(folder / "load_logs.jsonl.gz", "wb", 1) as copies,
    ):
        written = number = 0
        while written < logs:
            for block in blocks:
                number += 1
                block_hash = "0x" + hashlib.sha256(f"{number}".encode()).hexdigest()
                place = {"blockHash": block_hash, "blockNumber": hex(number)}
                head = {"number": hex(number), "hash": block_hash, "parentHash": parent, "stateRoot": parent}
                headers.write(msgspec.json.encode({**head, "timestamp": hex(1_600_000_000 + number)}) + b"\n")
                for index, row in enumerate(block):
                    # The same transaction hash for several logs of one index would make them duplicates.
                    copies.write(msgspec.json.encode({**row, **place, "logIndex": hex(index)}) + b"\n")
                parent = block_hash
                written += len(block)
    for name in ("pools", "tokens"):
        (folder / f"{name}.jsonl.gz").write_bytes((source / f"{name}.jsonl.gz").read_bytes())


def _rows(path: Path) -> Iterator[Row]:
    with gzip.open(path) as lines:
        for line in lines:
            yield msgspec.json.decode(line)
