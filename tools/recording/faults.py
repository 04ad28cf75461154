"""Faults of a recording node, drawn from a seed: what real nodes and networks do to notifications.

Owns the choice of where the socket is cut, which notifications come twice and which come out of order.  The same seed
makes the same choices for the same recording.  Only notifications are changed, never answers.

The order is changed as real nodes do: the logs of one block among themselves, and a head against the logs of its block.
Blocks stay in order.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeVar

from tools.recording.timeline import Moment

T = TypeVar("T")

ABNORMAL_CLOSE = 1006  # never sent: the connection is just gone
CLOSE_CODES = (1000, 1001, ABNORMAL_CLOSE, 1011, 1012, 1013)
LONGEST_ABSENCE = 12  # steps that may pass without a subscriber after a cut; about six blocks


@dataclass(frozen=True)
class Faults:
    """How much goes wrong: number of disconnects, share of notifications doubled, share of steps out of order."""

    disconnects: int = 0
    duplicate: float = 0.0
    reorder: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Cut:
    """Connections end with `code` after `delivered` notifications of a step; the next `absence` need no subscriber."""

    delivered: int
    code: int
    absence: int


class Mischief:
    """Faults applied to one run of a recording."""

    def __init__(self, faults: Faults, steps: Sequence[Moment]) -> None:
        self._random = random.Random(faults.seed)
        self._faults = faults
        self.steps = self._disordered(steps)
        # One cut in the first half of each of as many equal slices: then there is time to come back before the next.
        cuts = min(faults.disconnects, len(steps))
        slice_length = len(steps) / max(cuts, 1)
        self._cuts_at = Counter(int((n + self._random.random() / 2) * slice_length) for n in range(cuts))
        self._cuts_owed = 0
        self._longest_absence = min(LONGEST_ABSENCE, int(slice_length / 2) - 1)

    def disturb(self, notifications: list[T]) -> list[T]:
        """The notifications of one step as they are sent: some twice, some shuffled."""
        if self._happens(self._faults.reorder):
            self._random.shuffle(notifications)
        if not self._faults.duplicate:
            return notifications
        sent: list[T] = []
        late: list[T] = []
        for notification in notifications:
            sent.append(notification)
            if self._happens(self._faults.duplicate):
                (late if self._happens(0.5) else sent).append(notification)
        return sent + late

    def cut(self, step: int, count: int, subscribed: bool) -> Cut | None:
        """Whether to cut all connections in `step`, which has `count` notifications.

        A cut in a step without a subscriber is made in the next step that has one: so as many disconnects happen as
        were asked for, if the client comes back soon enough.
        """
        self._cuts_owed += self._cuts_at[step]
        if not (self._cuts_owed and subscribed):
            return None
        self._cuts_owed -= 1
        return Cut(
            delivered=self._random.randint(0, count),
            code=self._random.choice(CLOSE_CODES),
            absence=self._random.randint(0, max(0, self._longest_absence)),
        )

    def _disordered(self, steps: Sequence[Moment]) -> list[Moment]:
        """Some heads announced after the logs of their block; the chain has moved before either."""
        disordered = list(steps)
        for index, (first, second) in enumerate(pairwise(steps)):
            head = first.announces
            if head is not None and head == second.logs_of and self._happens(self._faults.reorder):
                disordered[index] = replace(first, announces=None, logs_of=head)
                disordered[index + 1] = replace(second, announces=head, logs_of=None)
        return disordered

    def _happens(self, probability: float) -> bool:
        return probability > 0 and self._random.random() < probability
