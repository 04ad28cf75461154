"""What can happen in a world, by name: each kind has its own random numbers, so that one switched off changes no other.

Owns the names and the draws.
"""

from __future__ import annotations

from random import Random

PRODUCER = ("replace", "unaware_writer", "take_over", "bursts", "nameless_pause")
RECORDER = ("slow_recorder", "recorder_kill", "recorder_away", "evicted", "retention", "damage", "late_journal")
RELAY = ("relay_kill", "partial_sends", "cursors_unsaved")
CLIENT = ("busy", "client_kill", "cancel", "late_acks", "disconnect", "filtered", "companions")
LATER = ("full_disk", "journal_removed", "no_slot", "recorder_stop", "closes", "reboot", "co_located")
"""Behind all others: what an older seed draws stays."""
KINDS = (*PRODUCER, *RECORDER, *RELAY, *CLIENT, *LATER)


def draw_active(seed: int) -> frozenset[str]:
    """The kinds of a seed's world: some, in one world of eight all."""
    rng = Random(f"{seed}/kinds")
    share = rng.choice((0.2, 0.4, 0.6, 1.0)) if rng.random() < 0.5 else 0.5
    return frozenset(kind for kind in KINDS if rng.random() < share)


class Chances:
    """The draws of the `active` kinds, until `honest`."""

    def __init__(self, seed: int, active: frozenset[str]) -> None:
        self.active = active
        self.honest = False
        self._random = {kind: Random(f"{seed}/{kind}") for kind in KINDS}

    def strikes(self, kind: str, probability: float) -> bool:
        """Whether it happens now."""
        drawn = self._random[kind].random() < probability
        return drawn and kind in self.active and not self.honest

    def number(self, kind: str, least: int, most: int) -> int:
        """How much of it."""
        return self._random[kind].randint(least, most)

    def seconds(self, kind: str, most: float) -> float:
        """How long; often short, seldom near `most`."""
        return most * self._random[kind].random() ** 3
