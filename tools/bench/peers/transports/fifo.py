"""faster-fifo: a queue in shared memory under a process-shared mutex; bytes as they are, nothing is pickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tools.bench.peers.ends import (
    BACK,
    READERS,
    THERE,
    Content,
    ReceivingEnd,
    SendingEnd,
    Transport,
    TurnSetting,
    nothing,
    to_each,
)

QUEUE_BYTES = 1 << 22
WAIT_S = 60.0
Queues = dict[str, list[Any]]


def unchanged(content: Any) -> bytes:
    """In the place of pickle."""
    return bytes(content)


def make(folder: Path) -> Queues:
    """A queue for each reader."""
    import faster_fifo

    def queue() -> Any:
        return faster_fifo.Queue(QUEUE_BYTES, loads=unchanged, dumps=unchanged)

    return {THERE: [queue() for _ in range(READERS)], BACK: [queue()]}


def sender(made: Queues, setting: TurnSetting) -> SendingEnd:
    """Puts into the queue of every reader."""
    queues = made[setting.channel][: setting.readers]
    if setting.readers == 1:
        return SendingEnd(queues[0].put, queues[0].put_many, nothing, nothing)
    one, many = to_each([queue.put for queue in queues]), to_each([queue.put_many for queue in queues])
    return SendingEnd(one, many, nothing, nothing)


def receiver(made: Queues, setting: TurnSetting, index: int) -> ReceivingEnd:
    """Takes from its own queue."""
    queue = made[setting.channel][index]

    def one() -> Content:
        content: bytes = queue.get(True, WAIT_S)
        return content

    def many(most: int) -> tuple[int, Content]:
        contents = queue.get_many(True, WAIT_S, most)
        return len(contents), contents[0]

    return ReceivingEnd(one, many, nothing)


TRANSPORT = Transport(
    name="faster-fifo",
    library="faster_fifo",
    how="raw bytes, no pickle",
    three="three queues",
    batches="put_many() and get_many()",
    make=make,
    sender=sender,
    receiver=receiver,
    clean=nothing,
)
