"""What can go wrong in a world, by name, and when: a kind that is switched off changes nothing else of a seed.

Owns the names, the windows of time in which each kind is active, and the draws: each kind has its own random numbers.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from tlv.units import MS, NS

ANSWERS = (
    "null",
    "unknown_block",
    "empty_call",
    "empty_logs",
    "partial_logs",
    "other_branch",
    "stale_head",
    "rate",
    "range",
    "size",
    "policy",
    "transient",
    "pruned",
    "early_block",
    "garbled",
    "huge",
    "hollow",
    "doubled",
    "late",
    "mute",
)
"""An answer that is wrong, refused, late or none."""
NODE = (
    "lag",
    "standstill",
    "broken_blocks",
    "spelling",
    "zero_bloom",
    "no_bloom",
    "no_hash_calls",
    "no_hash_logs",
    "no_batches",
    "rate_limited",
)
PUSHES = (
    "lost_pushes",
    "doubled_pushes",
    "reordered_heads",
    "shuffled_logs",
    "tip_only",
    "dead_logs",
    "dead_heads",
    "removed_logs",
    "late_heads",
    "nonsense_heads",
    "garbled_pushes",
)
NETWORK = ("close", "stall", "delay", "refuse_connection", "chain_id_refused", "sleeps")
KILLS = ("kill_ring", "kill_state", "kill_bare")
CHAIN = ("reorgs", "deep_reorgs", "returns", "state_sync", "idle", "small_ring")
ENDPOINTS = ("fallback", "useless_first", "other_chain", "second", "second_renumbered", "second_lies")
SECOND_LIES = frozenset({"null", "empty_logs", "partial_logs", "transient", "late", "lag"})
"""What a second endpoint does that is no better than the first."""
ALL = (*ANSWERS, *NODE, *PUSHES, *NETWORK, *KILLS, *CHAIN, *ENDPOINTS)
CLAIMS = ("claimed_places",)
"""A log is pushed once more behind itself, as that of a transaction that nobody knows.  Drawn apart, like markets."""
MARKETS = ("lookups", "hubs", "coins", "forks", "liars")
"""What trades beside pools that CREATE2 proves (`tools.prove.world.markets`); no fault of anybody's but a liar's."""
HONEST = frozenset({"reorgs", "returns", "state_sync", "second"})
"""No fault of any node's: with these alone nothing may be declared missing."""


class FaultWindow(NamedTuple):
    """When a kind is active, and how often it strikes then."""

    begin_ns: int
    end_ns: int
    share: float


class FaultPlan:
    """The kinds of one run."""

    def __init__(self, seed: int, kinds: frozenset[str], honest_from_ns: int) -> None:
        self.kinds = kinds
        self.honest_from_ns = honest_from_ns
        self._rngs = {kind: Random(f"{seed}:{kind}") for kind in sorted(kinds)}
        self._windows = {kind: draw_windows(rng, honest_from_ns) for kind, rng in self._rngs.items()}

    def __contains__(self, kind: str) -> bool:
        return kind in self.kinds

    def rng(self, kind: str) -> Random:
        """The random numbers of one kind."""
        return self._rngs[kind]

    def windows(self, kind: str) -> list[FaultWindow]:
        """When the kind is active; empty if it is switched off."""
        return self._windows.get(kind, [])

    @property
    def bloom_is_honest(self) -> bool:
        """Whether every header tells its topics."""
        return not self.kinds & {"zero_bloom", "no_bloom"}

    def window(self, kind: str, now_ns: int) -> FaultWindow | None:
        """In which the kind is active now."""
        windows = self._windows.get(kind, ())
        return next((window for window in windows if window.begin_ns <= now_ns < window.end_ns), None)

    def delay_ns(self, now_ns: int) -> int:
        """How much longer a frame takes now."""
        return self._rngs["delay"].randrange(100, 2000) * MS if self.strikes("delay", now_ns) else 0

    def strikes(self, kind: str, now_ns: int) -> bool:
        """Whether the kind strikes now."""
        window = self.window(kind, now_ns)
        return window is not None and self._rngs[kind].random() < window.share


def draw_kinds(rng: Random) -> frozenset[str]:
    """The kinds of a seed: mostly a few, sometimes none but those of honest nodes, sometimes many."""
    draw = rng.random()
    if draw < 0.08:
        return frozenset(kind for kind in sorted(HONEST) if rng.random() < 0.5)
    kinds = set(rng.sample(ALL, rng.randrange(1, 5) if draw < 0.7 else rng.randrange(5, 16)))
    if rng.random() < 0.6:
        kinds.add("reorgs")
    if kinds & {"other_chain", "useless_first"}:
        kinds.add("fallback")
    if kinds & {"second_renumbered", "second_lies"}:
        kinds.add("second")
    if "small_ring" in kinds:
        kinds.add("kill_ring")
    return frozenset(kinds)


def draw_markets(rng: Random) -> frozenset[str]:
    """The markets of a seed: none in a third of them."""
    return frozenset(rng.sample(MARKETS, rng.choice((0, 1, 2))))


def draw_claims(rng: Random) -> frozenset[str]:
    """In an eighth of the seeds a node pushes logs of transactions that nobody knows."""
    return frozenset(CLAIMS) if rng.random() < 0.125 else frozenset()


def draw_windows(rng: Random, end_ns: int) -> list[FaultWindow]:
    """When a kind is active before `end_ns`."""
    windows = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        begin = rng.randrange(end_ns) if rng.random() < 0.8 else 0
        length = rng.choice((NS, 5 * NS, 20 * NS, 60 * NS, end_ns))
        windows.append(FaultWindow(begin, min(begin + length, end_ns), rng.choice((0.2, 0.5, 1.0))))
    return windows
