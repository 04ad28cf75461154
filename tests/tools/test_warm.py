"""Warming: what a cache lacks is compiled once, and a killed warm-up leaves nothing for long."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ringbuf import Writer, list_rings
from ringbuf.names import list_objects, list_remains

WARM = [sys.executable, "-m", "tools.command.main", "warm"]


def warm_in(cache: Path) -> int:
    """Warm with kernels kept below `cache`; returns how many were compiled."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache)}
    said = subprocess.run(WARM, env=environment, capture_output=True, text=True, check=True).stdout
    return int(said.removesuffix(" compiled now\n").rpartition(" ")[2])


def test_warm_compiles_what_a_cache_lacks_and_finds_it_the_next_time(tmp_path: Path) -> None:
    script = "import numba, tlv.jit; print(numba.config.CACHE_DIR)"  # here a test may have had numba read it anew
    whole = Path(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout[:-1])
    lacking = shutil.ignore_patterns("consumers.journal", "*.tmp.*")  # the latter are what others write now
    shutil.copytree(whole, tmp_path / whole.parent.name / whole.name, ignore=lacking)
    assert warm_in(tmp_path) > 0
    assert warm_in(tmp_path) == 0


@pytest.mark.soak
def test_warm_compiles_into_an_empty_cache_and_finds_it_the_next_time(tmp_path: Path) -> None:
    assert warm_in(tmp_path) > 50
    assert warm_in(tmp_path) == 0


def test_warm_compiles_no_kernel_for_an_enum() -> None:
    """Given one, numba looks its type up in Python with every call: 100 us instead of 5 for a decoded log."""
    script = (
        "from tools.warm import kernels, warm; warm(lambda ready, total: None);"
        "print(sum(len(kernel.signatures) for kernel in kernels()), [kernel.py_func.__name__ for kernel in kernels()"
        " if 'Enum' in str(kernel.signatures)])"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    signatures, _, enums = ended.stdout.partition(" ")
    assert int(signatures) > 30  # of what Python calls; from a cache, what kernels call among themselves has none
    assert enums == "[]\n"


def test_warm_tells_its_progress_as_json() -> None:
    ended = subprocess.run([*WARM, "--json"], capture_output=True, text=True, check=True)
    last = json.loads(ended.stdout.splitlines()[-1])
    assert last["ready"] == last["kernels"] > 50


def test_warm_removes_what_a_warm_up_that_was_killed_left_and_no_living_ring() -> None:
    whole, parts, lock, living = (f"warm.{os.getpid()}.{what}" for what in ("whole", "parts", "lock", "living"))
    script = f"""
import os
from ringbuf import Writer
from ringbuf.names import control_object, lock_object, ring_object
from ringbuf.segment import unlink_object
writers = [Writer.create(name, capacity=1 << 16) for name in ({whole!r}, {parts!r}, {lock!r})]
unlink_object(ring_object({parts!r}))  # killed between two steps of its end, or of its beginning
unlink_object(ring_object({lock!r}))
unlink_object(control_object({lock!r}))
os._exit(9)
"""
    subprocess.run([sys.executable, "-c", script], check=False)
    with Writer.create(living, capacity=1 << 16) as writer:
        assert whole in list_rings() and {parts, lock} <= set(list_remains())
        subprocess.run(WARM, capture_output=True, check=True)
        left = {name for name in list_objects() if name.startswith(f"warm.{os.getpid()}.")}
        assert left == {living, f"{living}-ctl", f"{living}-lock"}
        writer.close(unlink=True)
