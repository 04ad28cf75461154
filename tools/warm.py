"""`alphapulse warm`: compile every kernel before it is needed.

Owns a step for each part that holds kernels.  A kernel is compiled by calling it: each step does
what the pipeline does, on a ring and a journal of its own.  Kernels that are in the cache are loaded from there.
"""

from __future__ import annotations

import importlib
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from tools.command.progress import progress, progress_option

WITH_KERNELS = (
    "ringbuf",
    "producers.output.outbox",
    "consumers.arbitrage.book_kernels",
    "consumers.arbitrage.warm",
    "consumers.journal",
    "consumers.native.warm",
    "consumers.relay.warm",
)
"""Modules that the steps use; imported first, so that the kernels can be counted."""
Told = Callable[[int, int], None]
"""Called with the number of kernels ready and the number there are."""


def warm(tell: Told) -> int:
    """Run every step; returns how many kernels had to be compiled."""
    from numba.core.event import Event, Listener, install_listener

    from tlv.kernel_cache import mark_warm

    class Count(Listener):  # type: ignore[misc]  # numba is untyped
        """Counts compilations; one kernel compiles those that it calls within its own."""

        compiled = 0

        def on_start(self, event: Event) -> None:
            self.compiled += 1

        def on_end(self, event: Event) -> None:
            tell(sum(bool(kernel.overloads) for kernel in found), len(found))

    for module in WITH_KERNELS:
        importlib.import_module(module)
    remove_leftovers()
    found = kernels()
    count = Count()
    with install_listener("numba:compile", count):
        for step in STEPS:
            step()
    tell(len(found), len(found))
    mark_warm()
    return count.compiled


def remove_leftovers() -> None:
    """Remove the rings of warm-ups that were killed, and their parts; a living one holds its ring's lock."""
    from ringbuf import collect_garbage

    collect_garbage(closed=True, prefix="warm.")


def kernels() -> set[Any]:
    """Every compiled function of the packages that are imported."""
    from numba.core.dispatcher import Dispatcher

    from tlv.kernel_cache import KERNEL_PACKAGES

    modules = [module for name, module in sys.modules.items() if name.partition(".")[0] in KERNEL_PACKAGES]
    return {value for module in modules for value in vars(module).values() if isinstance(value, Dispatcher)}


def warm_ring() -> None:
    """Publish, poll, seek and wait."""
    import ringbuf

    ringbuf.warm()


def warm_messages() -> None:
    """Make ready what builds and reads typed messages."""
    from tlv.message import Message
    from tlv.record_kernels import frames_reader, message_reader, rows_reader
    from tlv.record_writing import message_writer

    message_writer()
    message_reader(Message)
    frames_reader()
    rows_reader()


def warm_collector() -> None:
    """Decode one Sync event of a made-up pool, and take it back as a reorg does."""
    import numpy as np

    from producers.decode.pool_table import PoolTable, unverified
    from producers.kinds.events import EVENTS, Role
    from producers.node.frames import cut_plain_frames
    from producers.node.rpc_types import Log
    from producers.node.timers import Clock
    from producers.output.outbox import Outbox
    from tlv.codes import Source

    cut_plain_frames(np.frombuffer(b"", dtype=np.uint8), 0, *np.empty((2, 1), dtype=np.int64))
    sync = next(event for event in EVENTS if event.name == "sync")
    pools = PoolTable([unverified(bytes(20), sync.protocols[0], Role.POOL)])
    outbox = Outbox(Source.POLYGON_COLLECTOR, Clock(), pools, 1)
    log = msgspec.convert(
        {
            "address": "0x" + "00" * 20,
            "topics": [sync.topic0],
            "data": "0x" + "00" * 64,
            "blockNumber": "0x1",
            "blockHash": "0x" + "00" * 32,
            "transactionHash": "0x" + "00" * 32,
            "transactionIndex": "0x0",
            "logIndex": "0x0",
        },
        Log,
    )
    segment, _, _ = outbox.put_events([log], [0], 0, 0)
    if segment is not None:
        outbox.put_copies(segment, removed=True)


def warm_strategy() -> None:
    """Find one cycle between two made-up pools."""
    from consumers.arbitrage.warm import warm as find_one

    find_one()


def warm_native() -> None:
    """Hand one frame to native strategies, and have them look at a ring."""
    from consumers.native.warm import warm as run_silent_ones

    run_silent_ones()


def warm_dashboard() -> None:
    """Fold a made-up pool's event, and take back what it said."""
    from tools.dashboard.pools import warm as fold_one

    fold_one()


def warm_journal() -> None:
    """Record one frame and read it again."""
    import numpy as np

    from consumers.journal.writer import JournalWriter
    from ringbuf.layout import INDEX_ROWS, LENGTH_ROW, SEQUENCE_ROW
    from tlv.codes import Domain, Source
    from tlv.layout import Heartbeat
    from tlv.message import build

    message = build(Domain.SYSTEM, Source.POLYGON_COLLECTOR, [Heartbeat(0, 0, 0, 0, 0, 0, 0, 0, 1)], sequence=1)
    index = np.zeros((INDEX_ROWS, 1), dtype=np.int64)
    index[SEQUENCE_ROW] = 1
    index[LENGTH_ROW] = len(message)
    payload = np.zeros((len(message) + 7) // 8 * 8, dtype=np.uint8)
    payload[: len(message)] = np.frombuffer(message, dtype=np.uint8)
    with (
        tempfile.TemporaryDirectory() as directory,
        JournalWriter(Path(directory) / "journal", ring_name="warm", ring_uuid=bytes(16)) as journal,
    ):
        journal.append(payload, index, 1)


def warm_relay() -> None:
    """Pack one message and split it again."""
    from consumers.relay.warm import warm as pack_one

    pack_one()


STEPS = (
    warm_ring,
    warm_messages,
    warm_collector,
    warm_strategy,
    warm_native,
    warm_dashboard,
    warm_journal,
    warm_relay,
)


@click.command("warm", epilog="Example:  alphapulse warm")
@progress_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def command(as_json: bool) -> None:
    """Compile every kernel, so that later starts find them cached.

    Takes about a minute the first time, and again after an update; otherwise a second or two.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with progress("compiling", None, "kernels") as bar:

        def tell(ready: int, total: int) -> None:
            if as_json:
                click.echo(msgspec.json.encode({"kernels": total, "ready": ready}))
                sys.stdout.flush()
            bar.total = total
            bar.to(ready)

        try:
            compiled = warm(tell)
        except KeyboardInterrupt:
            remove_leftovers()
            raise
    if not as_json:
        click.echo(f"{len(kernels())} kernels ready, {compiled} compiled now")


if __name__ == "__main__":
    from tools.command.main import run_command

    run_command(command, "warm")
