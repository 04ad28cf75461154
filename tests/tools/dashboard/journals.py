"""Journals to travel in, and pages of them that were folded from the journal's beginning."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from consumers.arbitrage.book_strategy import BookStrategy
from consumers.journal import Fsync, JournalReader, JournalWriter
from consumers.strategy import Driver
from tests.consumers.journal_frames import RING, UUID
from tests.tools.dashboard.histories import RandomMarket
from tests.tools.dashboard.test_pools import Held, Named, held_by_book, held_in, tokens_of
from tlv.layout import BlockEnd
from tlv.message import parse
from tlv.units import NS
from tools.dashboard.pools import PoolStates
from tools.dashboard.recorded_fold import RecordedFold
from tools.dashboard.recorded_journal import RecordedJournal, ends_in
from tools.dashboard.shapes import Update
from tools.rig.long_journal import append
from tools.rig.processes import wait_for

PATIENCE_S = 120.0
"""Longer than any machine is busy."""


def history(seed: int, blocks: int = 150) -> list[bytes]:
    """The messages of a random market, with reorgs, losses and tick maps."""
    market = RandomMarket(random.Random(seed))
    market.run(blocks)
    return market.ring.payloads


def parted(payloads: list[bytes], parts: int) -> list[list[bytes]]:
    """The messages in so many parts."""
    size = -(-len(payloads) // parts)
    return [payloads[first : first + size] for first in range(0, len(payloads), size)]


def open_market(directory: Path, **options: Any) -> JournalWriter:
    """A writer of a ring of the market; each begins a segment."""
    return JournalWriter(directory, **{"ring_name": RING, "ring_uuid": UUID, "fsync": Fsync.NEVER, **options})


def record(journal: JournalWriter, payloads: Sequence[bytes], at: int = 0) -> None:
    """Append messages that were published ten a second, the first of them as number `at`."""
    append(journal, [((at + number) * NS // 10, payload) for number, payload in enumerate(payloads, 1)])


def write_parts(directory: Path, parts: Sequence[Sequence[bytes]], **options: Any) -> None:
    """A journal with a segment for each part."""
    at = 0
    for part in parts:
        with open_market(directory, **options) as journal:
            record(journal, part, at)
        at += len(part)


@contextmanager
def travelling(directory: Path, name: str = "travelled") -> Iterator[RecordedJournal]:
    """The journal in `directory`, indexed as far as it is recorded."""
    journal = RecordedJournal(name, directory)
    journal.start()
    try:
        wait_for(lambda: journal.row().indexed == 1.0 or journal.row().problem, PATIENCE_S)
        yield journal
    finally:
        journal.close()


def plain_pages(directory: Path) -> dict[int, Update]:
    """The page of each block that ended, as of its last end, folded from the journal's beginning."""
    pages = {}
    fold = RecordedFold()
    with JournalReader(directory) as reader:
        for end in ends_in(reader, fold):
            pages[end.number] = fold.page(end)
    return pages


def plain_pools(directory: Path) -> dict[int, dict[Named, Held]]:
    """What the strategy's book held when each block ended, the last time."""
    keeper, held = BookStrategy(), {}
    driver = Driver(keeper, UUID)
    with JournalReader(directory) as reader:
        while len(poll := reader.poll()):
            driver.ring = reader.uuid
            if poll.loss is not None:
                driver.lose(poll.loss.first, poll.loss.last)
            for frame in poll:
                driver.deliver(frame.sequence, frame.sequence * NS, frame.payload)
                match parse(frame.payload, verify=False).records:
                    case (BlockEnd() as end, *_):
                        held[end.number] = held_by_book(keeper.book)
    return held


def pools_on(page: Update, pools: PoolStates) -> dict[Named, Held]:
    """What a page shows of pools."""
    return {(row.pool, *tokens_of(row)): held_in(row, pools) for row in page.pools or ()}
