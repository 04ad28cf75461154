"""What stands for clock, sockets, files and ring memory in the project's own code while a world runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any

import consumers.client
import consumers.follower
import consumers.held
import consumers.recorder
import consumers.relay.feed
import consumers.relay.line
import consumers.relay.session
import consumers.sources
from consumers.incarnations import Extent, Replaced, RingCursor, Step, next_step
from tools.prove.delivery.world.clock import DeliveryClock
from tools.prove.delivery.world.journal_writer import JournalDesk
from tools.prove.delivery.world.live import SimulatedReaders, WorldBell
from tools.prove.delivery.world.relay_oracle import RelayOracle
from tools.prove.delivery.world.rings import seek_latest, seek_oldest

LOGGERS = ("alphapulse.client", "alphapulse.relay")


@contextmanager
def stand_ins(
    clock: DeliveryClock,
    rng: Random,
    connect: Callable[..., object],
    cursor: Callable[..., object],
    desk: JournalDesk,
    follows: RelayOracle,
) -> Iterator[None]:
    """Put them in place for a while; the steps of a reader without relay are shown to `follows`."""

    def shown_step(cursor: RingCursor, rings: Sequence[Extent], recorded: Sequence[Extent]) -> Step:
        step = next_step(cursor, rings, recorded)
        if isinstance(step, Replaced):
            follows.replaced(step, [ring.uuid for ring in rings], recorded=False)
        return step

    places: list[tuple[Any, str, object]] = [
        (consumers.client, "time", clock),
        (consumers.client, "random", rng),
        (consumers.client, "connect", connect),
        (consumers.held, "seek_oldest", seek_oldest),
        (consumers.held, "seek_latest", seek_latest),
        (consumers.relay.feed, "time", clock),
        (consumers.relay.line, "time", clock),
        (consumers.relay.session, "Cursor", cursor),
        (consumers.recorder, "time", clock),
        (consumers.recorder, "JournalWriter", desk.open),
        (consumers.recorder, "RecordedRings", lambda _: desk.journal),
        (consumers.recorder, "Reader", desk),
        (consumers.follower, "time", clock),
        (consumers.follower, "next_step", shown_step),
        (consumers.follower, "Reader", SimulatedReaders(desk.name)),
        (consumers.sources, "time", clock),
        (consumers.sources, "Reader", SimulatedReaders(desk.name)),
        (consumers.sources, "RingBell", WorldBell),
    ]
    with in_place(places, LOGGERS):
        yield


@contextmanager
def in_place(places: Sequence[tuple[Any, str, object]], loggers: Sequence[str]) -> Iterator[None]:
    """Put each object in the place of a module's attribute for a while, and let these loggers be quiet."""
    before = [getattr(module, name) for module, name, _ in places]
    quiet = [logging.getLogger(name) for name in loggers]
    spoke = [logger.disabled for logger in quiet]
    for module, name, stand_in in places:
        setattr(module, name, stand_in)
    for logger in quiet:
        logger.disabled = True
    try:
        yield
    finally:
        for (module, name, _), kept in zip(places, before, strict=True):
            setattr(module, name, kept)
        for logger, was in zip(quiet, spoke, strict=True):
            logger.disabled = was
