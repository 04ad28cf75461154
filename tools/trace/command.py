"""`alphapulse trace`: the way of an event with its times, and the slowest hop named.

Owns the command line.  It starts and changes nothing.
"""

from __future__ import annotations

import logging
from pathlib import Path

import click
import msgspec

from tlv.errors import UsageError
from tools.command.given import refuse_without_effect
from tools.command.needs import needs
from tools.command.printable import printable
from tools.command.progress import progress_option
from tools.command.stderr_log import complain, tell_operator
from tools.trace import chrome, otlp, text
from tools.trace.finding import FrameName, trace_one, trace_slowest
from tools.trace.signals import Signals

MOST_SLOWEST = 10_000
UUID_DIGITS = 32


def parse_sequence(context: click.Context, parameter: click.Parameter, value: str | None) -> FrameName | None:
    """`N` or `UUID:N` as click hands it over."""
    if value is None:
        return None
    ring, _, number = value.rpartition(":")
    ring = ring.lower().removeprefix("0x")
    if not (number.isascii() and number.isdigit() and 0 < int(number) < 1 << 63):
        raise click.BadParameter(f"{value!r}: expected a sequence from 1 on, or RING_UUID:SEQUENCE")
    if len(ring) > UUID_DIGITS or set(ring) - set("0123456789abcdef") or (":" in value and not ring):
        raise click.BadParameter(
            f"{value!r}: expected up to {UUID_DIGITS} hex digits of a ring's uuid before the colon"
        )
    return FrameName(ring, int(number))


@click.command("trace", epilog="Example:  alphapulse trace --slowest 5 --ring market.polygon --chrome slow.json")
@click.argument("sequence", required=False, callback=parse_sequence, metavar="[SEQUENCE]")
@click.option(
    "--slowest", type=click.IntRange(1, MOST_SLOWEST), metavar="N", help="The N events that took longest here."
)
@click.option(
    "--ring",
    metavar="NAME",
    help="Where to look.  [default: the one ring with market data]",
)
@click.option(
    "--journal",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where to look; with --ring: for what the ring does not have any more.",
)
@click.option(
    "--chrome",
    "chrome_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a file for ui.perfetto.dev or chrome://tracing.",
)
@click.option("--otlp", "otlp_url", metavar="URL", help="Send spans by OTLP over HTTP: http://127.0.0.1:4318")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@progress_option
@needs("opentelemetry", option="--otlp")
def command(
    sequence: FrameName | None,
    slowest: int | None,
    ring: str | None,
    journal: Path | None,
    chrome_file: Path | None,
    otlp_url: str | None,
    as_json: bool,
) -> None:
    """Show the way of the message SEQUENCE, or of the slowest events, from the stamps that are there.

    SEQUENCE is that of a ring's frame, as `dump` prints it, or of a signal, which leads to its event.
    RING_UUID:SEQUENCE means another ring of that name than the present one.  What no stamp tells is listed, with the
    histograms of running processes.
    """
    if (sequence is None) == (slowest is None):
        raise UsageError("expected either SEQUENCE or --slowest N")
    if slowest is not None and journal is not None:
        refuse_without_effect("beside --journal with --slowest", "--ring")
    if chrome_file is not None:
        chrome.check_target(chrome_file)
    if otlp_url is not None:
        otlp_url = otlp.checked_url(otlp_url)
    signals = read_signals()
    if sequence is not None:
        answer = trace_one(sequence, ring, journal, signals)
    else:
        answer = trace_slowest(slowest or 0, ring, journal, signals)
    # Before anything is printed: whoever reads the output may leave, and that must not cost the file or the spans.
    failure = None
    if chrome_file is not None:
        chrome.write(chrome_file, answer)
    if otlp_url is not None:
        try:
            sent = f"{otlp.send(otlp_url, answer.traces)} spans sent"
            tell_operator(f"trace: {sent}", sent, logging.INFO)
        except otlp.ExportFailed as error:
            failure = error
    if as_json:
        click.echo(msgspec.json.encode(answer))
    else:
        for line in text.lines(answer):
            click.echo(printable(line))
    if failure is not None:
        raise failure


def read_signals() -> Signals:
    """All signals of this host; rings that cannot be read are named on stderr."""
    signals = Signals.of_this_host()
    for why in signals.unreadable.values():
        complain("trace", why)
    return signals
