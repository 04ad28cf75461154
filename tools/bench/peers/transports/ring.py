"""Ours: a ring each way.  Reliable readers, so that nothing is lost and the writer waits for the slowest."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

from tools.bench.peers.ends import BACK, THERE, Content, ReceivingEnd, SendingEnd, Transport, TurnSetting, nothing

CAPACITY = 1 << 22
PATIENCE_S = 60.0
"""Longer than any turn: a reader that is evicted would lose frames."""


def make(folder: Path) -> str:
    """The rings' common name.  Here kernels that were never compiled are: no turn has the time for that."""
    from ringbuf.warm import warm

    warm()
    return f"bench.{os.getpid()}.{secrets.token_hex(4)}"


def sender(made: str, setting: TurnSetting) -> SendingEnd:
    """A writer; it need not look for sleepers where readers spin."""
    from ringbuf import Writer

    writer = Writer.create(
        f"{made}.{setting.channel}", capacity=CAPACITY, no_wake=setting.spin, full_timeout_s=PATIENCE_S
    )
    return SendingEnd(writer.publish, writer.publish_many, nothing, lambda: writer.close(unlink=True))


def receiver(made: str, setting: TurnSetting, index: int) -> ReceivingEnd:
    """A reader."""
    from ringbuf import Reader, Wait

    reader = Reader.attach(f"{made}.{setting.channel}", reliable=True)
    how = Wait.SPIN if setting.spin else Wait.BACKOFF
    take_many = reader.take_many

    def many(most: int) -> tuple[int, Content]:
        while not (frames := take_many(most)):
            reader.wait(None, how)
        assert isinstance(frames, list), frames  # a loss: the writer did not wait
        return len(frames), frames[0]

    take = cast(Callable[[], Content], partial(reader.take, None, how))  # a loss is no content, and found to be none
    return ReceivingEnd(take, many, reader.close)


def clean(made: str) -> None:
    """Remove the rings of writers that were killed."""
    from ringbuf import unlink
    from ringbuf.errors import RingNotFound

    for channel in (THERE, BACK):
        with contextlib.suppress(RingNotFound):
            unlink(f"{made}.{channel}")


TRANSPORT = Transport(
    name="AlphaPulse",
    library="",
    how="ring, publish() and take()",
    three="one ring",
    batches="publish_many() and take_many() of bytes objects",
    make=make,
    sender=sender,
    receiver=receiver,
    clean=clean,
)
