"""`alphapulse bridge out|in`: a ring to NATS JetStream, and JetStream to a ring."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click

from consumers.bridge.broker import Broker, default_subject
from consumers.bridge.errors import BridgeError
from tlv.errors import UsageError


@click.group(epilog="Example:  alphapulse bridge out --ring market.polygon")
def command() -> None:
    """Carry rings between hosts through NATS JetStream.

    Needs the extra `nats`.  A single server acknowledges before its disk has the bytes; run three with `--replicas 3`,
    and give `out` a journal: what the stream lost or the ring no longer has is then sent again from it.
    """


def _shared(function: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the final counts as one JSON object."),
        click.option("--replicas", type=click.IntRange(1, 5), default=1, show_default=True, help="Of a new stream."),
        click.option("--subject", help="NATS subject.  [default: alphapulse.RING]"),
        click.option("--stream", default="alphapulse", show_default=True, help="JetStream stream; made if missing."),
        click.option("--server", default="nats://127.0.0.1:4222", show_default=True, help="NATS server."),
        click.option("--ring", default="market.polygon", show_default=True, help="Ring on this host."),
    ):
        function = option(function)
    return function


@command.command(
    "out", epilog="Example:  alphapulse bridge out --ring market.polygon --journal journals/market.polygon"
)
@_shared
@click.option(
    "--journal", type=click.Path(path_type=Path, file_okay=False), help="Where frames the ring lost are found."
)
def out_command(
    ring: str, server: str, stream: str, subject: str | None, replicas: int, as_json: bool, journal: Path | None
) -> None:
    """Publish a ring's frames to a stream, until the ring is closed or Ctrl-C.

    It goes on behind the last batch that the stream has, so a restart repeats at most what was in flight.
    """
    outward = _import("outward").Outward(
        ring, Broker(server, stream, subject or default_subject(ring), replicas), journal=journal
    )
    _report(asyncio.run(_until_stopped(outward.run)), as_json)


@command.command("in", epilog="Example:  alphapulse bridge in --ring market.polygon --durable trading-host-2")
@_shared
@click.option("--durable", default="bridge", show_default=True, help="Name under which the broker keeps our place.")
@click.option("--capacity", type=int, default=1 << 24, show_default=True, help="Bytes of a new ring.")
def in_command(
    ring: str,
    server: str,
    stream: str,
    subject: str | None,
    replicas: int,
    as_json: bool,
    durable: str,
    capacity: int,
) -> None:
    """Publish a stream's frames into a ring of this host, with their sequences, until Ctrl-C."""
    inward = _import("inward").Inward(
        ring, Broker(server, stream, subject or default_subject(ring), replicas), durable=durable, capacity=capacity
    )
    _report(asyncio.run(_until_stopped(inward.run)), as_json)


def _import(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"consumers.bridge.{module}")
    except ModuleNotFoundError as error:
        if error.name != "nats":
            raise
        raise UsageError("the bridge needs the extra `nats`: pip install 'alphapulse[nats]'") from None


async def _until_stopped(run: Callable[[asyncio.Event, Callable[[BridgeError], None]], Awaitable[Any]]) -> Any:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return await run(stop, lambda failure: click.echo(f"bridge: {failure}; trying again", err=True))


def _report(counts: Any, as_json: bool) -> None:
    values = dataclasses.asdict(counts)
    click.echo(json.dumps(values) if as_json else "  ".join(f"{name} {value:,}" for name, value in values.items()))
