"""What goes into the ring of a batch of logs, and under which sequences."""

from __future__ import annotations

import msgspec

from producers.decode.cold import Refusal
from producers.node.timers import Clock
from producers.output.outbox import Outbox
from tests.producers.decode.test_batch import GOOD, trusting_table
from tlv.codes import Flag, Source

BAD = msgspec.structs.replace(GOOD, data="0x")


def test_events_that_are_all_refused_put_nothing_out_and_use_no_sequence() -> None:
    table = trusting_table([GOOD])
    row = table.row_of[GOOD.address]
    outbox = Outbox(Source.POLYGON_COLLECTOR, Clock(), table, 7)
    assert outbox.put_events([BAD, BAD], [row, row], Flag.BACKFILL, 1) == (None, None, [0, 1])
    assert outbox.put_events([BAD, GOOD], [row, row], 0, 1) == (None, 0, []), "nothing behind a garbled log"
    assert (outbox.take(), outbox.next_sequence, outbox.events_by_type) == ([], 7, {})
    assert outbox.refused == {Refusal.WRONG_DATA_SIZE: 3}
    segment, garbled, _ = outbox.put_events([BAD, GOOD], [row, row], Flag.BACKFILL, 1)
    assert segment is not None and garbled is None
    assert (len(segment.offsets), outbox.next_sequence) == (1, 8)
