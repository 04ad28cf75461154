"""Kernels before an `up`: several processes that start at once would each compile the same ones."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tools.command.supervisor import Supervisor


def compile_kernels(asked: Callable[[], bool]) -> None:
    """Compile what is not in the cache, in one process; returns at once where `alphapulse warm` was run before.

    Raises:
        ChildFailed: it could not; nothing would run then.
        Interrupted: the user asked to stop.
    """
    from tlv.jit import is_warm

    if is_warm():
        return
    print("up: compiling kernels (once, up to a minute) ...", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as directory, Supervisor(Path(directory), asked) as supervisor:
        supervisor.launch("warm", ["warm", "--json"], may_end=True, environment={"NUMBA_DISABLE_JIT": "0"})
        supervisor.wait_for("warm")
