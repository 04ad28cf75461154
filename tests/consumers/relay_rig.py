"""A relay on a real socket, beside a real ring, for tests: the relay runs in a thread of the test."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from consumers.client import Item, Loss, RelayClient
from consumers.relay import Relay
from ringbuf import Writer
from tlv.codes import Domain, FeedReason, Source, Venue
from tlv.layout import LAYOUT_DIGEST, EventOrigin, Heartbeat, PoolSwap, PoolSync, StateInvalidation
from tlv.message import build
from tlv.record import Record
from tools.rig.numbered import numbered_message

VENUES = (Venue.QUICKSWAP_V2, Venue.SUSHISWAP_POLYGON, Venue.UNISWAP_V3_POLYGON)


def address(number: int) -> bytes:
    """A made-up address."""
    return number.to_bytes(20, "big")


def market_message(sequence: int) -> bytes:
    """One message whose kind, pool, venue and tokens follow from its sequence; every eleventh is no pool event."""
    if sequence % 11 == 0:
        if sequence % 22 == 0:
            invalidation = StateInvalidation(sequence, 1, 4, bytes(20))
            return build(Domain.SYSTEM, Source.POLYGON_COLLECTOR, [invalidation], sequence=sequence)
        beat = Heartbeat(sequence, sequence, sequence, 0, 0, 0, 3, 0, FeedReason.OK)
        return build(Domain.SYSTEM, Source.POLYGON_COLLECTOR, [beat], sequence=sequence)
    pool = sequence % 7
    prefix = (address(100 + pool), address(200 + pool % 3), address(300 + pool), VENUES[pool % 3], 18, 6, 2)
    record: Record
    if sequence % 2:
        amounts = (sequence << 128, 0, 0, sequence, 0, 0, 0)
        record = PoolSwap(*prefix, *amounts, address(1), address(2))
    else:
        record = PoolSync(*prefix, (1 << 256) - sequence, sequence)
    origin = EventOrigin(sequence // 10, 0, 0, 0, sequence % 10, bytes(32), bytes(32))
    return build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, [record, origin], sequence=sequence)


def publish(writer: Writer, count: int) -> None:
    """Publish the next `count` market messages."""
    for _ in range(count):
        writer.publish(market_message(writer.next_sequence))


def publish_numbered(writer: Writer, count: int) -> None:
    """Publish the next `count` messages that say their sequence."""
    for _ in range(count):
        writer.publish(numbered_message(writer.next_sequence))


def make_ring(name: str, capacity: int = 1 << 22) -> Writer:
    """A new ring."""
    return Writer.create(name, capacity=capacity, layout_digest=LAYOUT_DIGEST)


class Rig:
    """A running relay and its paths."""

    def __init__(self, relay: Relay, directory: Path) -> None:
        self.relay = relay
        self.directory = directory
        self.path = relay.path

    def client(self, **options: Any) -> RelayClient:
        """A client that does not come back by itself."""
        return RelayClient(self.path, **{"reconnect": False, **options})


@contextlib.contextmanager
def serving(
    *rings: str,
    domain: str = "market_data",
    directory: Path | None = None,
    cursors: Path | None = None,
    **options: Any,
) -> Iterator[Rig]:
    """A relay of `rings`; stopped in order at the end."""
    with contextlib.ExitStack() as stack:
        # pytest's directories have long names, and a socket's path has at most 107 bytes.
        home = directory or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="relay")))
        relay = Relay(domain, home / "relay.sock", rings=rings, cursors=cursors or home / "cursors", **options)
        stop = threading.Event()
        failures: list[BaseException] = []

        def run() -> None:
            try:
                relay.run(stop.is_set)
            except BaseException as error:
                failures.append(error)
                raise

        thread = threading.Thread(target=run, name="relay")
        thread.start()
        try:
            yield Rig(relay, home)
        finally:
            stop.set()
            thread.join()
            relay.close()
            assert not failures


def take(client: RelayClient, count: int) -> list[Item | Loss]:
    """The next `count` items."""
    return list(itertools.islice(client, count))


def sequences(items: list[Item | Loss]) -> list[int]:
    """Their sequences; fails on a loss."""
    assert all(isinstance(item, Item) for item in items)
    return [item.sequence for item in items if isinstance(item, Item)]
