"""The journal: what a recorder can append, what a reader can scan, beside the disk and the memory of the same run."""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from consumers.journal import Fsync, JournalReader, JournalWriter
from consumers.recorder import Recorder
from ringbuf import Writer
from ringbuf import warm as warm_ring
from ringbuf.layout import INDEX_ROWS, LENGTH_ROW, OFFSET_ROW, SEQUENCE_ROW
from tlv.codes import Domain, Source
from tlv.layout import LAYOUT_DIGEST, EventOrigin, PoolSync
from tlv.message import build
from tools.bench.processes import SPAWN
from tools.bench.result import BenchResult

FRAMES = 4000
"""Per batch: what a poll brings a recorder that has fallen behind a little."""
MILLION = 1e6
RING_BYTES = 1 << 26


def run(seconds: float) -> list[BenchResult]:
    """Append, record, scan."""
    warm_ring()
    with tempfile.TemporaryDirectory(prefix="bench-journal") as directory:
        home = Path(directory)
        buffer, table = batch()
        append(home / "warm", buffer, table, 0.01)
        written, disk = disk_rate(home / "disk", int(table[LENGTH_ROW].sum()) + FRAMES * 32, seconds)
        appended = append(home / "append", buffer, table, seconds)
        recorded = record(home / "record", seconds)
        copied, scanned = scan(home / "append", seconds)
    return [
        BenchResult(
            "journal.append", appended, "M frames/s", "write(2) of the same bytes", written, appended / written, 5.0
        ),
        BenchResult(
            "journal.record",
            recorded,
            "M frames/s",
            "the disk itself, write(2) and fdatasync(2)",
            disk,
            recorded / disk,
            1.0,
            "ring to disk under back-pressure, fsync interval; the publisher has the other core",
        ),
        BenchResult("journal.scan", scanned, "M frames/s", "read(2) of the same bytes", copied, scanned / copied, 12.0),
    ]


def message() -> bytes:
    """A Sync event, 254 bytes."""
    sync = PoolSync(bytes(20), bytes(20), bytes(20), 400, 18, 6, 2, 1 << 200, 1 << 100)
    return build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, [sync, EventOrigin(1, 0, 0, 0, 0, bytes(32), bytes(32))])


def batch() -> tuple[Any, Any]:
    """(buffer, table) of a poll of FRAMES messages."""
    payload = message()
    stride = (len(payload) + 7) // 8 * 8
    table = np.zeros((INDEX_ROWS, FRAMES), np.int64)
    table[OFFSET_ROW] = np.arange(FRAMES) * stride
    table[LENGTH_ROW] = len(payload)
    return np.frombuffer(payload.ljust(stride, b"\0") * FRAMES, np.uint8), table


def disk_rate(path: Path, size: int, seconds: float) -> tuple[float, float]:
    """(batches of `size` bytes that `write` takes, and that the disk has taken), both in million frames a second."""
    data = bytes(size)
    batches = 0
    writing = 0.0
    with path.open("wb", buffering=0) as file:
        begin = time.perf_counter()
        while time.perf_counter() - begin < seconds or not batches:
            file.seek(0)
            began = time.perf_counter()
            while file.tell() < RING_BYTES:
                file.write(data)
                batches += 1
            writing += time.perf_counter() - began
            os.fdatasync(file.fileno())
        elapsed = time.perf_counter() - begin
    return batches * FRAMES / writing / MILLION, batches * FRAMES / elapsed / MILLION


def append(directory: Path, buffer: Any, table: Any, seconds: float) -> float:
    """Million frames a second that a journal takes."""
    uuid = bytes(16)
    retain = 8 * RING_BYTES
    with JournalWriter(directory, ring_name="bench", ring_uuid=uuid, pack=False, retain_bytes=retain) as journal:
        begin = time.perf_counter()
        while time.perf_counter() - begin < seconds:
            table[SEQUENCE_ROW] = np.arange(journal.frames + 1, journal.frames + 1 + FRAMES)
            journal.append(buffer, table, FRAMES)
        return journal.frames / (time.perf_counter() - begin) / MILLION


def scan(directory: Path, seconds: float) -> tuple[float, float]:
    """(read(2) of a journal's bytes, scan of it), both in million frames a second; every checksum is verified."""
    frames = 0
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        with JournalReader(directory) as reader:
            while (poll := reader.poll()) and time.perf_counter() - begin < seconds:
                frames += len(poll)
    scanned = frames / (time.perf_counter() - begin) / MILLION
    per_frame = (len(message()) + 7) // 8 * 8 + 32
    room = bytearray(1 << 20)
    size = 0
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        with sorted(directory.glob("*.journal"))[0].open("rb", buffering=0) as file:
            while (count := file.readinto(room)) and time.perf_counter() - begin < seconds:
                size += count
    return size / per_frame / (time.perf_counter() - begin) / MILLION, scanned


def record(directory: Path, seconds: float) -> float:
    """Million frames a second from a ring into a journal, the ring's writer held back by the recorder."""
    name = f"bench.{os.getpid()}.{secrets.token_hex(3)}"
    with Writer.create(name, capacity=RING_BYTES, layout_digest=LAYOUT_DIGEST):
        pass
    publisher = SPAWN.Process(target=publish_flat_out, args=(name, seconds))
    try:
        options: dict[str, Any] = {"fsync": Fsync.INTERVAL, "pack": False, "retain_bytes": 8 * RING_BYTES}
        with Recorder(name, directory, report=lambda line: None, **options) as recorder:
            publisher.start()
            recorder.run(lambda: recorder.recorded.frames > 0, until_closed=False)
            begin, before = time.perf_counter(), recorder.recorded.frames
            recorder.run(lambda: time.perf_counter() - begin > seconds, until_closed=False)
            frames = recorder.recorded.frames - before
            elapsed = time.perf_counter() - begin
        return frames / elapsed / MILLION
    finally:
        publisher.join()
        with Writer.open(name, layout_digest=LAYOUT_DIGEST) as writer:
            writer.close(unlink=True)


def publish_flat_out(name: str, seconds: float) -> None:
    """In a process of its own: publish as fast as the recorder lets us."""
    warm_ring()
    payload = message()
    stride = (len(payload) + 7) // 8 * 8
    count = 1000
    buffer = np.frombuffer(payload.ljust(stride, b"\0") * count, np.uint8).copy()
    offsets = np.arange(count, dtype=np.int64) * stride
    lengths = np.full(count, len(payload), np.int64)
    with Writer.open(name, layout_digest=LAYOUT_DIGEST, full_timeout_s=2.0) as writer:
        deadline = time.monotonic() + seconds + 1.0
        while time.monotonic() < deadline:
            writer.publish_many(buffer, offsets, lengths)
