"""The pipeline over the bundled recording, each part a process that can be killed and started again, and its dashboard.

Owns the parts and how they are started.  Nothing here looks at what they do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ringbuf.counters import remove_dead_counters
from ringbuf.names import FOLDER, ring_object
from tools.command.ports import free_port
from tools.command.supervisor import Supervisor

READY_S = 120.0
"""A part compiles its kernels first, on a machine that is busy with everything else."""
PARTS = ("node", "collector", "strategy", "recorder", "obs")
"""In the order in which they are started."""


class RecordedPipeline:
    """Node, collector, strategy, recorder and obs.

    Args:
        prefix: what the names of its rings begin with.
        speed: of the recording: times its pace, or `max`.
        at_end: what follows it, see `alphapulse node`.
    """

    def __init__(
        self, supervisor: Supervisor, directory: Path, prefix: str, speed: str = "max", at_end: str = "stay"
    ) -> None:
        self.market, self.signals = f"{prefix}.market.polygon", f"{prefix}.signal.flash_arbitrage"
        self.journal = directory / "polygon"
        self._supervisor = supervisor
        node, port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{port}"
        waiting = ("--wait-for-ring", str(READY_S), "--json")
        state = ("--pool-cache", "none", "--state", str(directory / "state"))
        self._arguments: dict[str, list[str]] = {
            "node": ["node", "--port", str(node), "--speed", speed, "--at-end", at_end, "--json"],
            "collector": ["collect", "--url", f"ws://127.0.0.1:{node}", "--ring", self.market, *state, "--json"],
            "strategy": ["strategy", "--ring", self.market, "--signals", self.signals, "--start", "oldest", *waiting],
            "recorder": ["record", "--ring", self.market, "--out", str(self.journal), "--fsync", "never", *waiting],
            "obs": ["obs", "--port", str(port), "--ring", self.market, "--ring", self.signals],
        }
        self._arguments["obs"] += ["--journal", str(self.journal), "--json"]
        self._environment = {"XDG_RUNTIME_DIR": str(directory)}

    def start(self, *parts: str) -> None:
        """Start these, each when the one before it is ready.

        Raises:
            ChildFailed: one ended, or was not ready in time.
        """
        for part in parts:
            self._supervisor.start(part, self._arguments[part], ready_s=READY_S, environment=self._environment)

    def kill(self, part: str) -> None:
        """kill -9."""
        child = self._supervisor.children.pop(part)
        child.process.kill()
        child.process.wait()

    def has_played(self) -> bool:
        """Whether the node has pushed the whole recording."""
        return any(json.loads(line).get("ended") for line in self._supervisor.children["node"].lines())


@contextmanager
def recorded_pipeline(
    directory: Path, prefix: str, speed: str = "max", at_end: str = "stay"
) -> Iterator[RecordedPipeline]:
    """The pipeline with all parts ready; behind the block they have ended, and their rings are removed.

    Raises:
        ChildFailed: a part ended, or was not ready in time.
    """
    try:
        with Supervisor(directory) as supervisor:
            pipeline = RecordedPipeline(supervisor, directory, prefix, speed, at_end)
            pipeline.start(*PARTS)
            yield pipeline
    finally:
        remove_dead_counters(f"{prefix}.")
        for path in FOLDER.glob(ring_object(prefix).removeprefix("/") + ".*"):
            path.unlink(missing_ok=True)
