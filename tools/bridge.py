"""`alphapulse bridge out|in|status`: a ring to NATS JetStream, and JetStream to a ring."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from consumers.bridge.counts import Received, Sent
from ringbuf import SharedCounters
from tlv.errors import UsageError
from tools.command.config_option import config_option
from tools.command.counting import counters_beside
from tools.command.needs import needs
from tools.command.service import tell_while_it_turns
from tools.command.spelling import SpellingGroup
from tools.command.start import StartType
from tools.command.stderr_log import complain

if TYPE_CHECKING:
    from consumers.bridge.outward import BridgeStart

COUNT_S = 1.0


@click.group(cls=SpellingGroup, epilog="Example:  alphapulse bridge out --ring market.polygon")
@needs("nats")
def command() -> None:
    """Carry rings between hosts through NATS JetStream.

    A single server acknowledges before its disk has the bytes; run three with `--replicas 3`,
    and give `out` a journal: what the stream lost or the ring no longer has is then sent again from it.
    """


def _shared(function: Callable[..., Any]) -> Callable[..., Any]:
    file = click.Path(path_type=Path, dir_okay=False)
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the final counts as one JSON object."),
        click.option("--tls-key", type=file, help="Key of --tls-cert, PEM."),
        click.option("--tls-cert", type=file, help="Certificate that we show to the server, PEM."),
        click.option("--tls-ca", type=file, help="Certificates to trust instead of the system's, PEM."),
        click.option("--nkey", type=file, help="File with the seed of an NKEY to identify ourselves with."),
        click.option("--creds", type=file, help="File with a user's JWT and seed, as `nsc` writes it."),
        click.option("--subject", help="NATS subject.  [default: alphapulse.RING]"),
        click.option("--stream", default="alphapulse", show_default=True, help="JetStream stream."),
        click.option(
            "--server",
            default="nats://127.0.0.1:4222",
            show_default=True,
            help="nats:// or tls://[USER:PASSWORD@]HOST[:PORT]; several with commas between.",
        ),
        click.option("--ring", default="market.polygon", show_default=True, help="Ring on this host."),
    ):
        function = option(function)
    return needs("nats")(function)


@command.command(
    "out", epilog="Example:  alphapulse bridge out --ring market.polygon --journal journals/market.polygon"
)
@config_option(required=False, handed_over=False)
@_shared
@click.option(
    "--journal", type=click.Path(path_type=Path, file_okay=False), help="Where frames the ring lost are found."
)
@click.option(
    "--start",
    type=StartType("journal", sequences=False),
    default="oldest",
    show_default=True,
    help="While the stream has no batch: begin at the ring's oldest frame, the next one, or the journal's oldest.",
)
@click.option("--replicas", type=click.IntRange(1, 5), default=1, show_default=True, help="Of a new stream.")
@click.option("--max-mib", type=click.IntRange(1), help="Of a new stream: beyond it the oldest batches are dropped.")
@click.option("--until-closed", is_flag=True, help="End when the ring is closed and read to its end.")
@click.option("--max-hours", type=click.FloatRange(0.01), help="Of a new stream: older batches are dropped.")
def out_command(
    ring: str,
    as_json: bool,
    journal: Path | None,
    start: BridgeStart,
    replicas: int,
    max_mib: int | None,
    max_hours: float | None,
    until_closed: bool,
    **where: Any,
) -> None:
    """Publish a ring's frames to a stream, until Ctrl-C.

    A ring that is not there yet is waited for; one that is replaced is sent to its end, then the one that follows.  It
    goes on behind the last batch that the stream has, so a restart repeats at most what was in flight; while there is
    none, it begins where --start says, and tells the sequence.  A missing
    stream is made; of one that exists nothing is changed but that the subject is added.  A subject has one sender: a
    second one ends with exit code 1 and says whom it met.
    """
    if start == "journal" and journal is None:
        raise UsageError("--start journal: expected a --journal beside it, found none")
    from consumers.bridge.outward import Outward
    from consumers.bridge.sent_stream import StreamWanted

    sender = Outward(
        ring,
        broker_of(ring, **where),
        journal=journal,
        until_closed=until_closed,
        start=start,
        wanted=StreamWanted(replicas, max_mib << 20 if max_mib else -1, (max_hours or 0.0) * 3600),
    )
    with counters_beside(Sent, ring, "bridge_out") as shared:
        _report(asyncio.run(_until_stopped(sender.run, ring, shared, sender.sent)), as_json)


@command.command("in", epilog="Example:  alphapulse bridge in --ring market.polygon --durable trading-host-2")
@config_option(required=False, handed_over=False)
@_shared
@click.option("--durable", default="bridge", show_default=True, help="Name under which the broker keeps our place.")
@click.option("--capacity", type=int, default=1 << 24, show_default=True, metavar="BYTES", help="Size of a new ring.")
def in_command(ring: str, as_json: bool, durable: str, capacity: int, **where: Any) -> None:
    """Publish a stream's frames into a ring of this host, with their sequences, until Ctrl-C.

    A durable has one receiver: a second one ends with exit code 1 and says whom it met.
    """
    from consumers.bridge.inward import Inward
    from consumers.bridge.names import check_name

    check_name("--durable", durable)
    inward = Inward(ring, broker_of(ring, **where), durable=durable, capacity=capacity)
    with counters_beside(Received, ring, "bridge_in") as shared:
        _report(asyncio.run(_until_stopped(inward.run, ring, shared, inward.received)), as_json)


@command.command("status", epilog="Example:  alphapulse bridge status --server nats://broker.example --json")
@_shared
def status_command(ring: str, as_json: bool, **where: Any) -> int:
    """Say what the broker has of a ring, who sends and receives it, and what its settings can lose.

    Changes nothing.  The exit code is 1 if something fails: no server, no JetStream, a stream that cannot be used.
    """
    from tools.bridge_status import look
    from tools.doctor.finding import healthy

    found = asyncio.run(look(ring, broker_of(ring, **where)))
    well = healthy(found.checks)
    if as_json:
        checks = [{"name": check.name, "verdict": check.verdict, "found": check.found} for check in found.checks]
        click.echo(json.dumps({"healthy": well, "checks": checks} | found.numbers))
    else:
        for check in found.checks:
            click.echo(check.line)
    return 0 if well else 1


def broker_of(
    ring: str,
    *,
    server: str,
    stream: str,
    subject: str | None,
    creds: Path | None,
    nkey: Path | None,
    tls_ca: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
) -> Any:
    """The `Broker` that the options name.

    Raises:
        UsageError: an option is no address, name or file of the kind that it must be.
    """
    from consumers.bridge import broker, names
    from consumers.bridge.address import parse_access

    access = parse_access(server, creds=creds, nkey=nkey, tls_ca=tls_ca, tls_cert=tls_cert, tls_key=tls_key)
    broker.check_files(access)
    names.check_name("--stream", stream)
    subject = subject or broker.default_subject(ring)
    names.check_subject(subject)
    return broker.Broker(access, stream, subject)


async def _until_stopped(
    run: Callable[[asyncio.Event, Callable[[str], None]], Awaitable[Any]],
    ring: str,
    shared: SharedCounters | None,
    counted: Any,
) -> Any:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    logging.getLogger("nats").setLevel(logging.CRITICAL)  # it logs with tracebacks what we are told anyway
    say = partial(complain, "bridge", ring=ring)

    def say_unexpected(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        say(f"{context['message']}: {context.get('exception')!r}")

    loop.set_exception_handler(say_unexpected)
    counting = loop.create_task(_count(shared, counted))
    telling = loop.create_task(tell_while_it_turns())
    try:
        return await run(stop, say)
    finally:
        counting.cancel()
        telling.cancel()


async def _count(shared: SharedCounters | None, counted: Any) -> None:
    """Show what was counted, once a second."""
    while shared is not None:
        shared.put(counted)
        await asyncio.sleep(COUNT_S)


def _report(counts: Any, as_json: bool) -> None:
    values = dataclasses.asdict(counts)
    click.echo(json.dumps(values) if as_json else "  ".join(f"{name} {value:,}" for name, value in values.items()))
