"""Real processes for the campaigns: forked, so that a thousand of them start in seconds, and always reaped.

Owns children and the memory shared with them.  It must never know what a child does.
"""

from __future__ import annotations

import mmap
import os
import resource
import secrets
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringbuf.names import FOLDER, ring_object
from tools.command.parent import request_death_signal


def resident_bytes() -> int:
    """Memory of this process that is in RAM."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def spawn(work: Callable[[], object]) -> int:
    """Fork a child that runs `work` and exits 0, or 1 after an exception, or with its parent; returns its pid."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    request_death_signal()  # an interrupted campaign must leave no child running
    try:
        work()
        code = 0
    finally:  # a child never returns into its parent's code, whatever was raised
        if code:
            traceback.print_exc()
        os._exit(code)


def reap(pid: int) -> int:
    """Wait for a child; returns its exit code, negative for the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def reap_within(pid: int, seconds: float) -> int:
    """`reap`, but a child that has not ended by then hangs: it is killed, and -9 is its exit code."""
    deadline = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            return reap(pid)
        time.sleep(0.001)


def kill(pid: int) -> None:
    """kill -9 and reap."""
    os.kill(pid, signal.SIGKILL)
    reap(pid)


def wait_for(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Poll every millisecond until `condition` holds; TimeoutError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the campaign's processes did not get that far")
        time.sleep(0.001)


def shared(dtype: np.dtype[np.void] | type, count: int) -> NDArray[Any]:
    """An array that children of this process share with it."""
    size = np.dtype(dtype).itemsize * count
    return np.frombuffer(mmap.mmap(-1, max(size, mmap.PAGESIZE)), dtype=dtype, count=count)


@contextmanager
def fresh_name(purpose: str) -> Iterator[str]:
    """A ring name that nobody uses; whatever was created under it is removed afterwards."""
    name = f"prove.{purpose}.{os.getpid()}.{secrets.token_hex(3)}"
    try:
        yield name
    finally:
        for path in FOLDER.glob(ring_object(name).removeprefix("/") + "*"):
            path.unlink()
