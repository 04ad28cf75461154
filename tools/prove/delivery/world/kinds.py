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
SENDER = ("out_kill", "out_paused", "second_sender", "unrecorded_bridge")
RECEIVER = ("in_kill", "in_paused", "consumer_deleted")
SERVER = ("connection_lost", "server_kill", "tail_lost", "server_hang", "server_full", "slow_server", "small_payload")
STREAM = ("stream_deleted", "stream_purged", "stream_limits", "shared_stream")
KINDS = (*PRODUCER, *RECORDER, *RELAY, *CLIENT, *LATER, "bridge", *SENDER, *RECEIVER, *SERVER, *STREAM)
"""A new kind comes last, so that those before it draw as they did.  Those behind `bridge` strike nothing without it."""
BRIDGED_SHARE = 0.65
"""Of the worlds that draw a bridge: it is the slowest part."""


def draw_active(seed: int) -> frozenset[str]:
    """The kinds of a seed's world: some, in one world of eight all."""
    rng = Random(f"{seed}/kinds")
    share = rng.choice((0.2, 0.4, 0.6, 1.0)) if rng.random() < 0.5 else 0.5
    drawn = frozenset(kind for kind in KINDS if rng.random() < share)
    return drawn if rng.random() < BRIDGED_SHARE else drawn - {"bridge"}


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
