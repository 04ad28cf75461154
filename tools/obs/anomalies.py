"""What a ring of anomalies says, message after message: what lasts, what was last told, how often each kind came.

Owns what is kept of them, which is bounded whatever the ring holds.  It must never judge them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from tlv.codes import AnomalyKind, AnomalyState
from tlv.layout import SystemHealth

NEWEST = 64
"""That are over; the ring and its journal have more."""
MOST_LASTING = 1_024
"""As many as a watch for anomalies lets last at a time."""
KINDS, STATES = frozenset(AnomalyKind), frozenset(AnomalyState)


@dataclass(frozen=True)
class PastAnomaly:
    """One that is over: as it began, and as it ended.  Both are the same message if it was told once, or if its
    beginning was not seen."""

    began: SystemHealth
    ended: SystemHealth


@dataclass(frozen=True)
class AnomaliesOfRing:
    """What a ring of anomalies has said until now."""

    ring: str
    lasting: list[SystemHealth]
    newest: list[PastAnomaly]
    """The newest first."""
    counts: dict[AnomalyKind, int]
    """Of each kind, begun and once, since the ring is followed."""
    missed_frames: int


class SeenAnomalies:
    """Takes the anomalies of one ring, in the order of publication."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(AnomalyKind, 0)
        self._lasting: dict[tuple[int, bytes], SystemHealth] = {}
        self._newest: deque[PastAnomaly] = deque(maxlen=NEWEST)
        self.told = False

    def take(self, health: SystemHealth) -> None:
        """The next one."""
        if health.kind not in KINDS or health.state not in STATES:
            return  # no watch of this build says it
        self.told = True
        key = (health.kind, health.pool)
        if health.state != AnomalyState.ENDED:
            self.counts[AnomalyKind(health.kind)] += 1
        if health.state == AnomalyState.BEGUN:
            self._lasting.pop(key, None)  # the newest last
            self._lasting[key] = health
            if len(self._lasting) > MOST_LASTING:
                del self._lasting[next(iter(self._lasting))]
        else:
            began = self._lasting.pop(key, health) if health.state == AnomalyState.ENDED else health
            self._newest.appendleft(PastAnomaly(began, health))

    def lose(self) -> None:
        """Messages were lost, and the end of anything that lasts may be among them."""
        self._lasting.clear()

    def of_ring(self, ring: str, missed_frames: int) -> AnomaliesOfRing:
        """All of it at this moment."""
        return AnomaliesOfRing(ring, [*self._lasting.values()], [*self._newest], dict(self.counts), missed_frames)
