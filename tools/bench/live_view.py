"""What it costs to look: the picture of a running demo, and that of `ringstat --watch` with 16 rings.

Owns these readings: processor time of the process that draws, on a terminal of 200 x 50 that somebody reads.  The demo
runs at its own pace, some ten frames a second with bursts; its other processes are not counted.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from fcntl import ioctl
from struct import pack
from termios import TIOCSWINSZ

from tools.bench.obs import processor_ms
from tools.bench.result import BenchResult
from tools.bench.start import rings
from tools.command.supervisor import command_line
from tools.rig.processes import wait_for

COLUMNS, ROWS = 200, 50
LEAST_S = 2.0
"""A process' times are counted in hundredths of a second."""
MOST_MS = 30.0
START_S = 300.0
"""Kernels may have to be compiled."""
PICTURED = b"Ctrl-C"
"""In both pictures."""


def run(seconds: float) -> list[BenchResult]:
    """Both readings, `seconds` for each, at least 2."""
    seconds = max(seconds, LEAST_S)
    watch = [sys.executable, "-P", "-m", "tools.ringstat", "--watch"]
    with ExitStack() as stack:
        runtime = stack.enter_context(tempfile.TemporaryDirectory(prefix="ap"))
        environment = os.environ | {
            "XDG_RUNTIME_DIR": runtime,
            "PYTHONPATH": os.pathsep.join(sys.path[1:]),
            "TERM": "xterm-256color",
        }
        demo = reading("live view: demo", command_line(["demo", "--no-dashboard"]), environment, seconds)
        names = stack.enter_context(rings())
        return [demo, reading("live view: ringstat --watch", [*watch, *names], environment, seconds)]


def reading(name: str, command: list[str], environment: Mapping[str, str], seconds: float) -> BenchResult:
    """Processor time of a second."""
    with drawing(command, environment) as process:
        before, began = processor_ms(process.pid), time.perf_counter()
        time.sleep(seconds)
        spent_ms = (processor_ms(process.pid) - before) / (time.perf_counter() - began)
    idle = 1000.0
    note = f"of processor time in a second, over {seconds:g} s, at {COLUMNS} x {ROWS}"
    return BenchResult(name, spent_ms, "ms", "a second of one core", idle, idle / max(spent_ms, 0.1), MOST_MS, note)


@contextmanager
def drawing(command: list[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A command that draws on a terminal; it is ended by SIGINT."""
    leader, follower = os.openpty()
    ioctl(follower, TIOCSWINSZ, pack("HHHH", ROWS, COLUMNS, 0, 0))
    process = subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, env=environment, start_new_session=True
    )
    os.close(follower)
    written = bytearray()

    def drain() -> None:
        with open(leader, "rb", buffering=0, closefd=False) as terminal:
            try:
                while data := terminal.read(1 << 16):
                    written.extend(data)
            except OSError:
                return  # nobody has the terminal open any more

    draining = threading.Thread(target=drain, daemon=True)
    draining.start()
    try:
        wait_for(lambda: PICTURED in written or process.poll() is not None, START_S)
        if process.poll() is not None:
            raise RuntimeError(
                f"{command[-1]} ended with {process.returncode}: {bytes(written).decode(errors='replace')}"
            )
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=START_S)
        draining.join()
        os.close(leader)
