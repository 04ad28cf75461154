"""Messages as the polls of a ring that has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ringbuf import Loss, Poll, Status
from tests.consumers.journal_frames import UUID, layout
from tlv.codes import Domain, Source
from tlv.message import build
from tlv.record import Record


class Published:
    """Numbers messages as a ring does."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []

    def put(self, domain: Domain, records: Iterable[Record], flags: int = 0) -> None:
        """Append one message."""
        sequence = len(self.payloads) + 1
        self.payloads.append(build(domain, Source.POLYGON_COLLECTOR, records, sequence=sequence, flags=flags))


def poll_of(payloads: Sequence[bytes], first: int = 1, lost: int = 0) -> Poll:
    """A poll that brings `payloads`, the first with sequence `first`, behind a loss of so many frames."""
    buffer, table, count = layout(payloads, first)
    loss = Loss(UUID, first - lost, first - 1) if lost else None
    buffer = np.array(buffer)
    return Poll(Status.OK, loss, 0, buffer, buffer.data, table[:, :count])
