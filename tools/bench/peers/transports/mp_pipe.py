"""`multiprocessing.Pipe`, one way: `send_bytes` and `recv_bytes`."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
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

Pipes = dict[str, list[tuple[Connection, Connection]]]


def make(folder: Path) -> Pipes:
    """A pipe for each reader."""
    return {
        THERE: [multiprocessing.Pipe(duplex=False) for _ in range(READERS)],
        BACK: [multiprocessing.Pipe(duplex=False)],
    }


def sender(made: Pipes, setting: TurnSetting) -> SendingEnd:
    """Writes into the pipe of every reader."""
    sends = [pipe[1].send_bytes for pipe in made[setting.channel][: setting.readers]]
    one = sends[0] if setting.readers == 1 else to_each(sends)
    return SendingEnd(one, one_by_one(one), nothing, nothing)


def receiver(made: Pipes, setting: TurnSetting, index: int) -> ReceivingEnd:
    """Reads its own pipe."""
    one = made[setting.channel][index][0].recv_bytes
    return ReceivingEnd(one, single(one), nothing)


def clean(made: Pipes) -> None:
    """Close our copies."""
    for pipe in made[THERE] + made[BACK]:
        for end in pipe:
            end.close()


TRANSPORT = Transport(
    name="mp.Pipe",
    library="",
    how="send_bytes() and recv_bytes()",
    three="three pipes",
    batches="",
    make=make,
    sender=sender,
    receiver=receiver,
    clean=clean,
)
