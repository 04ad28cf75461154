"""The verdict of a delivery campaign: whether every consumer got what was promised to it.

Owns the promises as numbers.  It must never know what was killed.

    clients    named clients of a relay    every message at least once
    copies     journal and far ring        every message exactly once
    readers    plain readers of a ring     every message once, or reported lost once
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tools.prove.delivery.witness import ConsumerWitness

Witnesses = Mapping[str, ConsumerWitness]


@dataclass(frozen=True)
class DeliveryVerdict:
    """The counts of all witnesses, and a complaint for each promise that was broken."""

    published: int
    missing: int
    invented: int
    reported_lost: int
    repeats: int
    readers_lost: int
    complaints: tuple[str, ...]

    def summary(self, clients: int) -> str:
        """The counts in one line."""
        return (
            f"{self.published} messages, {self.missing} missing, {self.invented} invented, "
            f"{self.reported_lost} told lost "
            f"at {clients} named clients ({self.repeats} repeats), journal and far ring; "
            f"plain readers told exactly of {self.readers_lost} lost"
        )


def judge(published: int, clients: Witnesses, copies: Witnesses, readers: Witnesses) -> DeliveryVerdict:
    """Hold every witness against the sequences 1 to `published`."""
    durable = {**clients, **copies}
    complaints = [
        f"{name} lacks {one.missing(published)}, was told of {one.reported_lost()} lost, "
        f"invented {one.invented(published)}"
        for name, one in durable.items()
        if one.missing(published) or one.reported_lost() or one.invented(published)
    ]
    complaints += [f"{name} holds {one.repeated()} twice" for name, one in copies.items() if one.repeated()]
    inexact = (name for name, one in readers.items() if not one.is_exact(published))
    complaints += [f"{name}: delivered + lost is not what was published" for name in inexact]
    return DeliveryVerdict(
        published,
        missing=sum(one.missing(published) for one in durable.values()),
        invented=sum(one.invented(published) for one in durable.values()),
        reported_lost=sum(one.reported_lost() for one in durable.values()),
        repeats=sum(one.repeated() for one in clients.values()),
        readers_lost=sum(one.reported_lost() for one in readers.values()),
        complaints=tuple(complaints),
    )
