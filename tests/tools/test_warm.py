"""Warming: everything is compiled once, the next time nothing is, and a killed warm-up leaves nothing for long."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from ringbuf import Writer, list_rings

WARM = [sys.executable, "-m", "tools.cli", "warm"]


def test_warm_compiles_into_an_empty_cache_and_finds_it_the_next_time(tmp_path: Path) -> None:
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    first = subprocess.run(WARM, env=environment, capture_output=True, text=True, check=True)
    assert " 0 compiled now" not in first.stdout
    second = subprocess.run(WARM, env=environment, capture_output=True, text=True, check=True)
    assert second.stdout.endswith(" 0 compiled now\n")


def test_warm_compiles_no_kernel_for_an_enum() -> None:
    """Given one, numba looks its type up in Python with every call: 100 us instead of 5 for a decoded log."""
    script = (
        "from tools.warm import kernels, warm; warm(lambda ready, total: None);"
        "print(sum(len(kernel.signatures) for kernel in kernels()), [kernel.py_func.__name__ for kernel in kernels()"
        " if 'Enum' in str(kernel.signatures)])"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    signatures, _, enums = ended.stdout.partition(" ")
    assert int(signatures) > 50
    assert enums == "[]\n"


def test_warm_tells_its_progress_as_json() -> None:
    ended = subprocess.run([*WARM, "--json"], capture_output=True, text=True, check=True)
    last = json.loads(ended.stdout.splitlines()[-1])
    assert last["ready"] == last["kernels"] > 50


def test_warm_removes_the_ring_of_a_warm_up_that_was_killed_and_no_living_one() -> None:
    dead, living = f"warm.{os.getpid()}.dead", f"warm.{os.getpid()}.living"
    script = f"import os; from ringbuf import Writer; Writer.create({dead!r}, capacity=1 << 16); os._exit(9)"
    subprocess.run([sys.executable, "-c", script], check=False)
    with Writer.create(living, capacity=1 << 16) as writer:
        assert dead in list_rings()
        subprocess.run(WARM, capture_output=True, check=True)
        assert dead not in list_rings()
        assert living in list_rings()
        writer.close(unlink=True)
