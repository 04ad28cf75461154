"""The load of the collector's benchmarks: the recorded Polygon logs over and over, each round under new block hashes.

Owns the blocks, and the recording node that serves them from a process of its own.  The blocks are derived from the
recording; they were never on a chain.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, cycle
from pathlib import Path
from typing import Any

import msgspec

from producers.node.rpc_types import Head
from tools.recording.bundle import bundled_recording

BLOCK_LOGS = 200
"""Logs of a block that was not recorded so; Polygon's busy blocks have 300 to 1,000 logs of every kind."""
LOGS_FILE = "recording_2021-04-20_canonical_logs"
GENESIS = "0x" + "11" * 32
Row = dict[str, Any]
Blocks = list[list[Row]]


def recorded_blocks() -> Blocks:
    """The canonical blocks, as they were: one log in twenty is an event of a proven pool."""
    by_hash: dict[str, list[Row]] = {}
    for row in _rows(LOGS_FILE):
        by_hash.setdefault(row["blockHash"], []).append(row)
    return list(by_hash.values())


def event_blocks() -> Blocks:
    """Nothing but events of proven pools: the most work that a chain could send."""
    proven = {row["pool"] for row in _rows("pools") if row["method"] == "CREATE2_verified"}
    return in_blocks([row for row in chain.from_iterable(recorded_blocks()) if row["address"] in proven])


def in_blocks(rows: list[Row], size: int = BLOCK_LOGS) -> Blocks:
    """`rows` in blocks of `size` logs."""
    return [rows[at : at + size] for at in range(0, len(rows), size)]


def head_of(number: int) -> Head:
    """The header of a block of the load; block 1 is the first, and each has a timestamp of its own."""
    parent = _hash(number - 1) if number > 1 else GENESIS
    return Head(hex(number), _hash(number), parent, hex(1_600_000_000 + number))


@contextmanager
def served(
    blocks: Callable[[], Blocks], logs: int, *options: str, metadata: dict[str, list[Row]] | None = None
) -> Iterator[str]:
    """The URL of a recording node that serves `blocks` over and over, until that makes `logs` logs.

    `metadata` has other pools and tokens than the recording's.

    Nothing of the blocks stays in this process, where the collector that is measured would pay for their collection.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_load(Path(folder), blocks(), logs, metadata)
        command = [
            "-m",
            "tools.command.main",
            "node",
            folder,
            "--speed",
            "max",
            "--chain-id",
            "137",
            "--json",
            *options,
        ]
        node = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True)
        try:
            assert node.stdout is not None
            yield json.loads(node.stdout.readline())["ws"]
        finally:
            node.terminate()
            node.communicate()


def write_load(folder: Path, blocks: Blocks, logs: int, metadata: dict[str, list[Row]] | None = None) -> None:
    """The files of such a recording."""
    source = bundled_recording()
    with (
        gzip.open(folder / "load_headers.jsonl.gz", "wb", 1) as headers,
        gzip.open(folder / "load_logs.jsonl.gz", "wb", 1) as copies,
    ):
        written = 0
        for number, block in enumerate(cycle(blocks), 1):
            if written >= logs:
                break
            head = head_of(number)
            headers.write(msgspec.json.encode(_header_row(head)) + b"\n")
            place = {"blockHash": head.hash, "blockNumber": head.number}
            for index, row in enumerate(block):
                # The same transaction hash for several logs of one index would make them duplicates.
                copies.write(msgspec.json.encode({**row, **place, "logIndex": hex(index)}) + b"\n")
            written += len(block)
    for name in ("pools", "tokens"):
        content = (source / f"{name}.jsonl.gz").read_bytes()
        if metadata is not None:
            content = gzip.compress(b"\n".join(map(msgspec.json.encode, metadata[name])))
        (folder / f"{name}.jsonl.gz").write_bytes(content)


def _header_row(head: Head) -> Row:
    return {
        "number": head.number,
        "hash": head.hash,
        "parentHash": head.parent_hash,
        "stateRoot": GENESIS,
        "timestamp": head.timestamp,
    }


def _hash(number: int) -> str:
    return "0x" + hashlib.sha256(f"{number}".encode()).hexdigest()


def _rows(name: str) -> Iterator[Row]:
    with gzip.open(bundled_recording() / f"{name}.jsonl.gz") as lines:
        for line in lines:
            yield msgspec.json.decode(line)
