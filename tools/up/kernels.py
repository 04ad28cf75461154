"""Kernels before an `up`: several processes that start at once would each compile the same ones."""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tools.command.stderr_log import HANDLER, TEXT, tell_operator
from tools.command.supervisor import Supervisor

TERMINAL_S, PLAIN_S = 0.25, 5.0
"""How often progress is told: on one line of a terminal, or line by line."""
ERASE_TO_END = "\x1b[K"
"""ECMA-48 EL: a shorter line leaves nothing of the longer one that it overwrites."""


def compile_kernels(command: str, asked: Callable[[], bool]) -> None:
    """Compile what is not in the cache, in one process; returns at once where `alphapulse warm` was run before.

    Raises:
        ChildFailed: it could not; nothing would run then.
        Interrupted: the user asked to stop.
    """
    from tlv.kernel_cache import is_warm

    if is_warm():
        return
    terminal = sys.stderr.isatty() and HANDLER.form == TEXT
    with tempfile.TemporaryDirectory() as directory, Supervisor(Path(directory), asked) as supervisor:
        child = supervisor.launch("warm", ["warm", "--json"], may_end=True, environment={"NUMBA_DISABLE_JIT": "0"})
        due = 0.0
        while child.process.poll() is None:
            if time.monotonic() >= due:
                due = time.monotonic() + (TERMINAL_S if terminal else PLAIN_S)
                text = f"compiling kernels (once, up to a minute){progress(child.lines())} ..."
                if terminal:
                    print(f"{command}: {text}{ERASE_TO_END}", end="\r", file=sys.stderr, flush=True)
                else:
                    tell_operator(f"{command}: {text}", text, logging.INFO)
            supervisor.pause()
        supervisor.check()
        if terminal:
            print(file=sys.stderr)


def progress(lines: list[str]) -> str:
    """How far `warm --json` is, by its last line."""
    if not lines:
        return ""
    state = json.loads(lines[-1])
    return f" {state['ready']}/{state['kernels']}"
