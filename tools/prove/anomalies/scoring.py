"""What a watch says of planted streams, against what was planted: precision and recall of each kind.

Owns the judgement.  What the stream without plants shows is recorded, and neither right nor wrong.  A plant is found if
its kind begins, or comes once, at one of its blocks and in its pool; whatever else a planted stream shows is false.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from consumers.anomalies import AnomalyWatch
from consumers.strategy import Driver
from tlv.codes import AnomalyKind, AnomalyState
from tlv.layout import SystemHealth
from tools.prove.anomalies.planting import ABOUT_EVENTS, Field, Planted, plant
from tools.prove.anomalies.recorded import RING, Stream

Mark = tuple[int, bytes, int, int]


@dataclass
class Score:
    """Of one kind."""

    kind: AnomalyKind
    planted: int = 0
    found: int = 0
    decoys: int = 0
    false: int = 0
    """Anomalies of this kind where none was planted, decoys included."""
    missed: list[int] = field(default_factory=list)
    """Numbers of the plants that were not found."""

    @property
    def recall(self) -> float:
        """Of the plants, the share that was found."""
        return self.found / self.planted if self.planted else 1.0

    @property
    def precision(self) -> float:
        """Of what was said, the share that was planted."""
        return self.found / (self.found + self.false) if self.found + self.false else 1.0


def watched_stream(frames: Stream, lost: dict[int, int] | None = None) -> list[SystemHealth]:
    """What a watch says of a stream; `lost` frames are missing in front of these places."""
    watch = AnomalyWatch()
    driver = Driver(watch, RING)
    said, sequence = [], 0
    for at, frame in enumerate(frames):
        missing = (lost or {}).get(at, 0)
        if missing:
            said += driver.lose(sequence + 1, sequence + missing)
            sequence += missing
        sequence += 1
        said += driver.deliver(sequence, frame.time_ns, frame.payload)
    assert not driver.poisoned, driver.poison[0].reason
    return [health for draft in said for health in draft.records if isinstance(health, SystemHealth)]


def mark_of(health: SystemHealth) -> Mark:
    """What tells it in one stream as in another, whose sequences differ."""
    return health.kind, health.pool, health.block_number, health.state


def score(
    fields: Iterable[Field],
    kinds: Iterable[AnomalyKind],
    plants: int,
    seed: int,
    progress: Callable[[AnomalyKind, int], object] = lambda kind, done: None,
) -> list[Score]:
    """Plant `plants` anomalies and as many decoys of each kind, one in a stream."""
    known = [(one, {mark_of(health) for health in watched_stream(one.frames)}) for one in fields]
    scores = {kind: Score(kind) for kind in AnomalyKind}
    wanted = list(kinds)
    for kind in wanted:
        for number in range(plants):
            for decoy in (False, True):
                rng = random.Random(f"{seed} {kind.name} {number} {decoy}")
                fit = [one for one in known if one[0].is_dense or kind not in ABOUT_EVENTS]
                place, recorded = rng.choice(fit)
                judge(plant(kind, place, rng, decoy=decoy), recorded, scores, number)
            progress(kind, number + 1)
    return [scores[kind] for kind in wanted]


def judge(planted: Planted, recorded: set[Mark], scores: dict[AnomalyKind, Score], number: int) -> None:
    """Hold what is said of one stream against what was planted."""
    own = scores[planted.kind]
    found = False
    for health in watched_stream(planted.frames, planted.lost):
        if health.state == AnomalyState.ENDED or mark_of(health) in recorded:
            continue
        if is_of(health, planted) and not planted.is_decoy:
            found = True
        else:
            scores[AnomalyKind(health.kind)].false += 1
    if planted.is_decoy:
        own.decoys += 1
    else:
        own.planted += 1
        own.found += found
        if not found:
            own.missed.append(number)


def is_of(health: SystemHealth, planted: Planted) -> bool:
    """Whether it is what was planted."""
    return health.kind == planted.kind and health.pool == planted.pool and health.block_number in planted.blocks
