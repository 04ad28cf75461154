"""`multiprocessing.Queue`: pickled, and sent by a thread of the sender's."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

from tools.bench.peers.ends import (
    BACK,
    READERS,
    THERE,
    ReceivingEnd,
    SendingEnd,
    Transport,
    TurnSetting,
    nothing,
    one_by_one,
    single,
    to_each,
)
from tools.bench.processes import SPAWN

QUEUED = 4096
Queues = dict[str, list["multiprocessing.Queue[bytes]"]]


def make(folder: Path) -> Queues:
    """A queue for each reader."""
    return {THERE: [SPAWN.Queue(QUEUED) for _ in range(READERS)], BACK: [SPAWN.Queue(QUEUED)]}


def sender(made: Queues, setting: TurnSetting) -> SendingEnd:
    """Puts into the queue of every reader."""
    puts = [queue.put for queue in made[setting.channel][: setting.readers]]
    one = puts[0] if setting.readers == 1 else to_each(puts)
    return SendingEnd(one, one_by_one(one), nothing, nothing)


def receiver(made: Queues, setting: TurnSetting, index: int) -> ReceivingEnd:
    """Takes from its own queue."""
    one = made[setting.channel][index].get
    return ReceivingEnd(one, single(one), nothing)


def clean(made: Queues) -> None:
    """Close our copies."""
    for queue in made[THERE] + made[BACK]:
        queue.close()


TRANSPORT = Transport(
    name="mp.Queue",
    library="",
    how="put() and get()",
    three="three queues",
    batches="",
    make=make,
    sender=sender,
    receiver=receiver,
    clean=clean,
)
