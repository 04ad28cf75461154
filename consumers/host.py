"""Runs a strategy of one's own, in one call: `run_strategy(MyStrategy(), ring=..., signals=...)`, or over a journal.

Owns how rings and journal are opened for it, and that Ctrl-C and SIGTERM end it between two frames.  What a strategy is
stands in `consumers.strategy`; `alphapulse strategy` puts several together with `open_runner`.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from consumers.foreign_prints import prints_to_stderr
from consumers.held_ids import HeldMessages
from consumers.journal import JournalReader
from consumers.native.runner import NativeRunner
from consumers.native.strategy import NativeStrategy
from consumers.runner import FrameSource, Runner, StrategyCounts
from consumers.strategy import Driver, Strategy
from consumers.symbols import SymbolFilter
from consumers.waiting import NO_RING, when_there
from consumers.watchdog import LIMIT_S, watching
from ringbuf import Reader, SharedCounters, Wait, Writer
from ringbuf.playback import never
from tlv.errors import UsageError
from tlv.filter import MessageFilter
from tlv.layout import LAYOUT_DIGEST

log = logging.getLogger("alphapulse.strategy")

SIGNAL_CAPACITY = 1 << 20
"""Bytes of the signal ring: some thousand signals, hours of a busy market."""


def run_strategy(
    strategy: Strategy | NativeStrategy,
    *,
    signals: str,
    ring: str | None = None,
    journal: str | Path | None = None,
    until_closed: bool = False,
    wait_s: float | None = None,  # None: as long as it takes
    asked_to_stop: Callable[[], bool] = never,
    signals_journal: str | Path | None = None,
    handler_limit_s: float = LIMIT_S,
) -> StrategyCounts:
    """Run `strategy` on a ring, or over a journal to its end, and publish what it emits into the ring `signals`.

    Of a ring it gets what is still in it, then what comes: until Ctrl-C or SIGTERM, until `asked_to_stop` says so, or
    with `until_closed` until the ring is closed and read to its end.  A ring that is not there yet is waited for.  What
    `signals` holds already, or its journal `signals_journal`, is not published again.  Returns what was counted.

    Raises:
        UsageError: neither ring nor journal, or both.
        RingNotFound: there is no such ring after `wait_s`.
        NotOwner: another process publishes into `signals`.
        StrategyStopped: the strategy raised on too many frames, or did not return from a method within
            `handler_limit_s` (0: as long as it takes; only a program's main thread can tell).
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
        runner = open_runner(
            stack, strategy, reader, signals, signals_journal=Path(signals_journal) if signals_journal else None
        )
        watch = stack.enter_context(containing([runner], handler_limit_s))

        def stop_between_polls() -> bool:
            watch()
            return stop()

        runner.run(stop_between_polls, until_closed=until_closed, follow=journal is None)
        return runner.counts


def open_runner(
    stack: ExitStack,
    strategy: Strategy | NativeStrategy,
    reader: Reader | FrameSource,
    signals: str,
    *,
    signals_journal: Path | None = None,
    wait: Wait = Wait.BACKOFF,
    shared: SharedCounters | None = None,
    wanted: MessageFilter | SymbolFilter | None = None,
) -> Runner | NativeRunner:
    """A runner of `strategy`, with the ring `signals` open and what it holds noted; `stack` closes both.

    Raises:
        NotOwner: another process publishes into `signals`.
        UsageError: `signals_journal` is of another ring; or a native strategy on a relay, or with a filter.
        JournalError: `signals_journal` is damaged.
    """
    writer = stack.enter_context(Writer.open_or_create(signals, capacity=SIGNAL_CAPACITY, layout_digest=LAYOUT_DIGEST))
    held = HeldMessages(signals)
    overwritten = held.note_ring()
    if signals_journal is not None:
        held.note_journal(signals_journal)
    elif overwritten:
        text = (
            "ring %(ring)s has overwritten its first %(count)d messages, of which some may be published once more; its"
        )
        log.warning(text + " journal would say which", {"ring": signals, "count": overwritten})
    runner: Runner | NativeRunner
    if isinstance(strategy, NativeStrategy):
        if not isinstance(reader, Reader | JournalReader) or wanted is not None:
            raise UsageError(
                f"strategy {strategy.name}: a native one reads a ring or a journal, and filters by `wants`"
            )
        runner = NativeRunner(strategy, reader, writer, wait=wait, shared=shared, held=held)
    else:
        driver = Driver(strategy, reader.uuid)
        runner = Runner(driver, reader, writer, wait=wait, shared=shared, held=held, wanted=wanted)
    stack.callback(runner.close)
    return runner


@contextmanager
def containing(runners: list[Any], handler_limit_s: float = LIMIT_S) -> Iterator[Callable[[], None]]:
    """While strategies run: watch that their methods return, and have what they print go to stderr.

    Gives what is to be called between two polls, as `watching`.

    Where Ctrl-C is noted, as by `noting_interrupts`, a KeyboardInterrupt in a method is the strategy's own doing.
    """
    drivers = [runner.driver for runner in runners if isinstance(runner, Runner)]
    for driver in drivers:
        driver.obeys_interrupts = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    process = os.getpid()
    try:
        with prints_to_stderr(), watching(drivers, handler_limit_s) as watch:
            yield watch
    finally:
        if os.getpid() != process:  # a strategy forked, and its child came back: the rings and stdout are its parent's
            os._exit(1)


@contextmanager
def noting_interrupts() -> Iterator[Callable[[], bool]]:
    """Whether SIGINT or SIGTERM has come, noted instead of obeyed: nothing is interrupted in the middle of a publish.
    Asking takes the signals back, if a strategy has set them.

    Only a program's main thread can note them; in another they do what they did before.
    """
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield came.is_set
        return

    def note(_number: int, _frame: FrameType | None) -> None:
        came.set()

    def asked() -> bool:
        for number in before:
            if signal.getsignal(number) is not note:
                name = signal.Signals(number).name
                log.warning("a strategy has set %(signal)s, by which it is ended: it ends it again", {"signal": name})
                signal.signal(number, note)
        return came.is_set()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
