"""Runs of a sweep share the journal: what each has for itself is a small part of it."""

from __future__ import annotations

import json
import mmap
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from tools.backtest.memory import private_bytes
from tools.bench.backtest import write_journal

BATCHES = 300
MOST_SHARE = 0.05
MIB = 1 << 20


def test_run_of_a_sweep_has_less_than_a_twentieth_of_the_data_for_itself(tmp_path: Path) -> None:
    write_journal(tmp_path / "journal", BATCHES)
    command = [sys.executable, "-m", "tools.command.main", "backtest", str(tmp_path / "journal"), "--json"]
    options = ["--strategy", "consumers.examples.native_mover:NativeMover", "--sweep", "threshold_pips=100,200"]
    done = subprocess.run([*command, *options, "--jobs", "2"], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 2
    for line in lines:
        assert line["data_bytes"] > 300 * MIB
        assert MIB < line["private_bytes"] < MOST_SHARE * line["data_bytes"]


def test_private_bytes_are_those_that_were_written_and_no_page_of_the_map(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(bytes(64 * MIB))
    with path.open("r+b") as file:
        data = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY), np.uint8)
    address = int(data.ctypes.data)
    before = private_bytes([address])
    assert int(data.sum()) == 0
    assert private_bytes([address]) - before < 8 * MIB
    data[: 16 * MIB] = 1
    # The rest of this process may give back a little meanwhile.
    assert 12 * MIB <= private_bytes([address]) - before < 24 * MIB
    mine = np.ones(32 * MIB, np.uint8)
    assert private_bytes([address]) - before >= 44 * MIB
    assert mine[0] == 1


def test_memory_of_a_parent_is_not_that_of_a_fork() -> None:
    kept = np.ones(64 * MIB, np.uint8)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, str(private_bytes([])).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert int(os.read(reading, 100)) < 32 * MIB
    assert kept[-1] == 1
    os.close(reading)
    os.close(writing)
