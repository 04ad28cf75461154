"""What a delivery campaign showed: did everybody get what was promised to them.

Owns the promises as numbers.  It must never know who was killed.

    clients    named clients of a relay    every message at least once
    copies     journal and far ring        every message exactly once
    readers    plain readers of a ring     every message once, or told lost once
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tools.prove.delivery.witness import ConsumerWitness

Witnesses = Mapping[str, ConsumerWitness]


@dataclass(frozen=True)
class DeliveryVerdict:
    """The counts of all witnesses, and a sentence for each that did not get its due."""

    published: int
    missing: int
    invented: int
    told_lost: int
    repeats: int
    readers_lost: int
    complaints: tuple[str, ...]

    def summary(self, clients: int) -> str:
        """The counts in one line."""
        return (
            f"{self.published} messages, {self.missing} missing, {self.invented} invented, {self.told_lost} told lost "
            f"at {clients} named clients ({self.repeats} repeats), journal and far ring; "
            f"plain readers told exactly of {self.readers_lost} lost"
        )


def judge(published: int, clients: Witnesses, copies: Witnesses, readers: Witnesses) -> DeliveryVerdict:
    """Hold every witness against the sequences 1 to `published`."""
    durable = {**clients, **copies}
    complaints = [
        f"{name} lacks {one.missing(published)}, was told of {one.told_lost()} lost, invented {one.invented(published)}"
        for name, one in durable.items()
        if one.missing(published) or one.told_lost() or one.invented(published)
    ]
    complaints += [f"{name} holds {one.repeated()} twice" for name, one in copies.items() if one.repeated()]
    inexact = (name for name, one in readers.items() if not one.is_exact(published))
    complaints += [f"{name}: delivered + lost is not what was published" for name in inexact]
    return DeliveryVerdict(
        published,
        missing=sum(one.missing(published) for one in durable.values()),
        invented=sum(one.invented(published) for one in durable.values()),
        told_lost=sum(one.told_lost() for one in durable.values()),
        repeats=sum(one.repeated() for one in clients.values()),
        readers_lost=sum(one.told_lost() for one in readers.values()),
        complaints=tuple(complaints),
    )
