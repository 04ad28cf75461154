"""Runs of a sweep share the journal: what each has for itself is a small part of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tools.bench.backtest import write_journal

BATCHES = 300
MOST_SHARE = 0.05
MIB = 1 << 20


def test_run_of_a_sweep_has_less_than_a_twentieth_of_the_data_for_itself(tmp_path: Path) -> None:
    swept(tmp_path / "small", 1)  # a process that compiles has its compiler for itself
    lines = swept(tmp_path / "journal", BATCHES)
    assert len(lines) == 2
    for line in lines:
        assert line["data_bytes"] > 300 * MIB
        assert MIB < line["private_bytes"] < MOST_SHARE * line["data_bytes"]


def swept(journal: Path, batches: int) -> list[dict[str, Any]]:
    """What two runs over a journal of so many batches say."""
    write_journal(journal, batches)
    command = [sys.executable, "-m", "tools.command.main", "backtest", str(journal), "--json"]
    options = ["--strategy", "consumers.examples.native_mover:NativeMover", "--sweep", "threshold_pips=100,200"]
    done = subprocess.run([*command, *options, "--jobs", "2"], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


MEASURE = """
import mmap, os, sys
import numpy as np
from tools.backtest.memory import private_bytes

MIB = 1 << 20
with open(sys.argv[1], "r+b") as file:
    data = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY), np.uint8)
address = int(data.ctypes.data)
before = private_bytes([address])
total = int(data.sum())
read = private_bytes([address]) - before
data[: 16 * MIB] = 1
written = private_bytes([address]) - before
mine = np.ones(32 * MIB, np.uint8)
with_mine = private_bytes([address]) - before
child = os.fork()
if child == 0:
    os.write(1, f"{private_bytes([address]) - before} ".encode())
    os._exit(0)
os.waitpid(child, 0)
print(total, read, written, with_mine, int(mine[0]))
"""


def test_private_bytes_are_those_that_were_written_and_are_not_a_forks(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(bytes(64 * MIB))
    done = subprocess.run([sys.executable, "-c", MEASURE, path], capture_output=True, text=True, check=True)
    of_a_fork, total, read, written, with_mine, one = map(int, done.stdout.split())
    assert (total, one) == (0, 1)
    assert read < 8 * MIB
    assert 12 * MIB <= written < 24 * MIB
    assert 44 * MIB <= with_mine < 56 * MIB
    assert of_a_fork < 8 * MIB
