"""What a world finds: broken rules, and the history that leads to them."""

from __future__ import annotations

from typing import NamedTuple

from tools.prove.delivery.world.clock import DeliveryClock

MOST_KEPT = 20


class Broken(NamedTuple):
    """A rule that was broken."""

    rule: str
    words: str
    at: float


class Findings:
    """Of one seed; `told` is its history."""

    def __init__(self, clock: DeliveryClock) -> None:
        self.broken: list[Broken] = []
        self.told: list[tuple[float, str]] = []
        self._clock = clock

    def note(self, words: str) -> None:
        """Add to the history."""
        self.told.append((self._clock.now, words))

    def break_rule(self, rule: str, words: str) -> None:
        """A rule was broken."""
        self.note(f"BROKEN {rule}: {words}")
        if len(self.broken) < MOST_KEPT:
            self.broken.append(Broken(rule, words, self._clock.now))
