"""Runs a strategy of one's own, in one call: `run_strategy(MyStrategy(), ring=..., signals=...)`, or over a journal.

Owns how rings and journal are opened for it, and that Ctrl-C and SIGTERM end it between two frames.  What a strategy is
stands in `consumers.strategy`; whoever wants other waiting, counters or several strategies composes `consumers.runner`.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from consumers.journal import JournalReader
from consumers.runner import Runner, StrategyCounts
from consumers.strategy import Driver, Strategy
from consumers.waiting import NO_RING, when_there
from ringbuf import Reader, Writer
from ringbuf.playback import never
from tlv.errors import UsageError
from tlv.layout import LAYOUT_DIGEST

log = logging.getLogger("alphapulse.strategy")

SIGNAL_CAPACITY = 1 << 20
"""Bytes of the signal ring: some thousand signals, hours of a busy market."""


def run_strategy(
    strategy: Strategy,
    *,
    signals: str,
    ring: str | None = None,
    journal: str | Path | None = None,
    until_closed: bool = False,
    wait_s: float | None = None,  # None: as long as it takes
    asked_to_stop: Callable[[], bool] = never,
) -> StrategyCounts:
    """Run `strategy` on a ring, or over a journal to its end, and publish what it emits into the ring `signals`.

    Of a ring it gets what is still in it, then what comes: until Ctrl-C or SIGTERM, until `asked_to_stop` says so, or
    with `until_closed` until the ring is closed and read to its end.  A ring that is not there yet is waited for.
    Returns what was counted.

    Raises:
        UsageError: neither ring nor journal, or both.
        RingNotFound: there is no such ring after `wait_s`.
        NotOwner: another process publishes into `signals`.
        StrategyStopped: the strategy raised on too many frames.
        CorruptRing, JournalError: what is read is damaged.
    """
    if (ring is None) == (journal is None):
        raise UsageError(f"expected a ring or a journal, found ring={ring!r} and journal={journal!r}")
    with ExitStack() as stack:
        interrupted = stack.enter_context(noting_interrupts())

        def stop() -> bool:
            return interrupted() or asked_to_stop()

        reader: Reader | JournalReader
        if journal is not None:
            reader = stack.enter_context(JournalReader(Path(journal)))
        else:
            attach = partial(Reader.attach, str(ring), start="oldest", layout_digest=LAYOUT_DIGEST)
            tell = partial(log.warning, "waiting for ring %s: its producer has not made it yet", ring)
            try:
                reader = stack.enter_context(when_there(attach, wait_s, stop, tell))
            except NO_RING:
                if stop():
                    return StrategyCounts()
                raise
        writer = stack.enter_context(
            Writer.open_or_create(signals, capacity=SIGNAL_CAPACITY, layout_digest=LAYOUT_DIGEST)
        )
        runner = Runner(Driver(strategy, reader.uuid), reader, writer)
        stack.callback(runner.close)
        runner.run(stop, until_closed=until_closed, follow=journal is None)
        return runner.counts


@contextmanager
def noting_interrupts() -> Iterator[Callable[[], bool]]:
    """Whether SIGINT or SIGTERM has come, noted instead of obeyed: nothing is interrupted in the middle of a publish.

    Only a program's main thread can note them; in another they do what they did before.
    """
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield came.is_set
        return
    before = {number: signal.signal(number, lambda *_: came.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
