"""What a client of the feed is, and the events that all of them decode.

Owns what is compared: an event's amounts by the log's place.  It must never know how one is decoded.

Source of the events: uniswap/v2-core IUniswapV2Pair.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple

from eth_hash.auto import keccak

EVENTS: dict[str, tuple[tuple[str, str, bool], ...]] = {
    "Swap": (
        ("sender", "address", True),
        ("amount0In", "uint256", False),
        ("amount1In", "uint256", False),
        ("amount0Out", "uint256", False),
        ("amount1Out", "uint256", False),
        ("to", "address", True),
    ),
    "Sync": (("reserve0", "uint112", False), ("reserve1", "uint112", False)),
    "Mint": (("sender", "address", True), ("amount0", "uint256", False), ("amount1", "uint256", False)),
    "Burn": (
        ("sender", "address", True),
        ("amount0", "uint256", False),
        ("amount1", "uint256", False),
        ("to", "address", True),
    ),
}
"""Name, and of each argument its name, its type, and whether it is indexed."""
TOPICS = {
    "0x" + keccak(f"{name}({','.join(kind for _, kind, _ in fields)})".encode()).hex(): name
    for name, fields in EVENTS.items()
}
KEPT = 2000
"""Events of the first logs, that are compared."""
FEWEST = 600
"""Logs of a turn, however short: some blocks are complete then, with every kind of event."""
SILENCE_S = 5.0
OPTIONS: dict[str, Any] = {"compression": None, "max_size": None, "ping_interval": None, "close_timeout": 0.2}
"""Of the `websockets` library, the same for all."""

LogPlace = tuple[str, int]
"""(hash of the block, index of the log)."""
Amounts = tuple[str, tuple[int, ...]]
"""(name of the event, what its data holds)."""


class FeedOutcome(NamedTuple):
    """What a client made of the feed."""

    logs: int
    seconds: float
    """From the first log to the last."""
    decoded: dict[LogPlace, Amounts]


class Task(NamedTuple):
    """What a client is to follow."""

    url: str
    logs: int
    """That the node sends at least."""
    events: int
    """Among them, that all clients decode."""
    seconds: float
    """After which it may end sooner."""
    folder: Path
    """Files of the run."""


class FeedClient(NamedTuple):
    """One way to get events."""

    name: str
    library: str
    how: str
    most_per_s: int
    """Logs a second, that it cannot exceed: what the node need not prepare."""
    follow: Callable[[Task], Coroutine[Any, Any, FeedOutcome]]


class Stint:
    """Counts logs from the first one on, and says when it is enough."""

    def __init__(self, task: Task) -> None:
        self._wanted = task.logs
        self._limit_s = task.seconds
        self._begin = 0.0
        self._now = 0.0
        self.logs = 0

    def one_more(self) -> bool:
        """A log is done; whether that was the last."""
        self._now = time.perf_counter()
        self.logs += 1
        self._begin = self._begin or self._now
        is_long_enough = self._now - self._begin > self._limit_s and self.logs >= FEWEST
        return is_long_enough or self.logs >= self._wanted

    def followed(self, decoded: dict[LogPlace, Amounts]) -> FeedOutcome:
        """The outcome."""
        return FeedOutcome(self.logs, self._now - self._begin, decoded)


def subscriptions() -> list[str]:
    """The requests for logs and heads: the recording node waits for both."""
    return [
        json.dumps({"jsonrpc": "2.0", "id": number, "method": "eth_subscribe", "params": params})
        for number, params in enumerate((["logs", {}], ["newHeads"]), 1)
    ]
