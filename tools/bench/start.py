"""How soon the commands answer that an operator types to look: `--help`, `ringstat --once`, `status`.

Owns these readings.  They look at 16 rings with a heartbeat each; `status` once more beside an `alphapulse up` of eight
relays.  Each round starts every command once and a bare `python -c pass` beside them: the ratio is to that, and a busy
machine slows both.
"""

from __future__ import annotations

import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ringbuf import Writer, unlink
from tlv.codes import Domain, FeedReason, FeedState, Source
from tlv.layout import LAYOUT_DIGEST, Heartbeat
from tlv.message import build
from tools.bench.result import BenchResult
from tools.command.supervisor import command_line
from tools.rig.processes import wait_for

LEAST_ROUNDS = 5
RINGS = 16
PROCESSES = 8
BARE = [sys.executable, "-c", "pass"]
HELP, LOOK = command_line(["--help"]), [sys.executable, "-P", "-m", "tools.ringstat", "--once"]
STATUS = command_line(["status"])
MOST_S = {"alphapulse --help": 0.3, "ringstat --once": 0.5, "alphapulse status": 0.5}
HEARTBEAT = Heartbeat(7, 7, 0, 0, 0, 0, FeedState.LIVE, 0, FeedReason.OK)


def run(seconds: float) -> list[BenchResult]:
    """All readings, `seconds` for each."""
    with ExitStack() as stack:
        runtime = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ap")))
        environment = os.environ | {"XDG_RUNTIME_DIR": str(runtime), "PYTHONPATH": os.pathsep.join(sys.path[1:])}
        names = stack.enter_context(rings())
        alone = dict(zip(MOST_S, (HELP, LOOK, STATUS), strict=True))
        results = readings(alone, environment, seconds)
        stack.enter_context(up(names, runtime, environment))
        return [*results, *readings({"alphapulse status": STATUS}, environment, seconds, f", {PROCESSES} processes up")]


def readings(
    commands: Mapping[str, list[str]], environment: Mapping[str, str], seconds: float, setting: str = ""
) -> list[BenchResult]:
    """The median of each command in seconds, and its best in the note; in turns, for `seconds` each."""
    took: dict[str, list[float]] = {name: [] for name in ("bare", *commands)}
    end = time.monotonic() + seconds * len(commands)
    while len(took["bare"]) < LEAST_ROUNDS or time.monotonic() < end:
        for name, command in {"bare": BARE, **commands}.items():
            took[name].append(seconds_of(command, environment))
    bare = statistics.median(took.pop("bare"))
    return [
        BenchResult(
            f"start: {name}{setting}",
            statistics.median(times),
            "s",
            "python -c pass",
            bare,
            bare / statistics.median(times),
            MOST_S[name],
            f"best of {len(times)}: {min(times):.3f} s; {RINGS} rings",
        )
        for name, times in took.items()
    ]


def seconds_of(command: list[str], environment: Mapping[str, str]) -> float:
    """From the start of a command to its end.  What it judges unwell (exit code 1) may be another's."""
    began = time.perf_counter()
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    took = time.perf_counter() - began
    if ended.returncode not in (0, 1) or "Traceback" in ended.stderr:
        raise RuntimeError(f"{command[-1]} ended with {ended.returncode}: {ended.stderr}")
    return took


@contextmanager
def rings() -> Iterator[list[str]]:
    """Living rings, each with a collector's heartbeat."""
    names = [f"bench.start.{secrets.token_hex(4)}.{number}" for number in range(RINGS)]
    message = build(Domain.SYSTEM, Source.POLYGON_COLLECTOR, [HEARTBEAT], sequence=1)
    with ExitStack() as stack:
        for name in names:
            stack.callback(unlink, name)
            writer = stack.enter_context(Writer.create(name, capacity=1 << 16, layout_digest=LAYOUT_DIGEST))
            writer.publish(message)
        yield names


@contextmanager
def up(names: list[str], runtime: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """An `alphapulse up` of relays, a ring each, until all listen; everything of it is removed."""
    config = runtime / "bench.toml"
    sockets = [runtime / f"{number}.sock" for number in range(PROCESSES)]
    tables = [f'[relay.r{i}]\nring = ["{names[i]}"]\nsocket = "{path}"\n' for i, path in enumerate(sockets)]
    config.write_text("[up]\nsettle = 1\n" + "".join(tables), encoding="utf-8")
    run_quietly(["up", "-c", str(config), "--detach"], environment)
    try:
        wait_for(lambda: all(path.exists() for path in sockets), 60.0)
        yield
    finally:
        run_quietly(["down", "-c", str(config), "--purge"], environment)


def run_quietly(arguments: list[str], environment: Mapping[str, str]) -> None:
    """Run `alphapulse ARGUMENTS`, which must succeed; what it says on stdout is not the benchmark's."""
    subprocess.run(command_line(arguments), env=environment, check=True, stdout=subprocess.DEVNULL)
