"""`alphapulse validate`: the command.  Owns its options, its progress on stderr, and its exit code."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click
import msgspec

from tools.command.endpoint_options import checked_websocket, configured
from tools.command.given import refuse_without_effect

if TYPE_CHECKING:
    from tools.validate.processes import Setup
    from tools.validate.report import Report, Thresholds
    from tools.validate.session import ValidationRun

INTERRUPTED = 130
DEFAULT_CHAIN = "polygon"
PLAIN_S = 10.0
"""Between two lines of progress where no terminal can overwrite the last one."""


@click.command(
    "validate",
    epilog="Example:  alphapulse validate --url wss://polygon-bor-rpc.publicnode.com --duration 60 --max-latency-ms 50",
)
@click.option(
    "--url", default=configured("url"), help="WebSocket endpoint.  [default: the collector's, else the chain's]"
)
@click.option(
    "--fallback",
    "fallbacks",
    multiple=True,
    default=configured("fallback"),
    help="Endpoint to use while the first fails; repeatable.",
)
@click.option(
    "--chain", default=configured("chain"), help="polygon, ethereum, base or a TOML file.  [default: polygon]"
)
@click.option(
    "--duration",
    default=300.0,
    show_default=True,
    type=click.FloatRange(1),
    metavar="SECONDS",
    help="How long to collect before judging.",
)
@click.option("--continuous", is_flag=True, help="Do not stop: judge and report every --every seconds.")
@click.option("--every", "every_s", default=60.0, show_default=True, type=click.FloatRange(1), metavar="SECONDS")
@click.option("--min-rate", type=click.FloatRange(0), metavar="EVENTS/S", help="Fail below this.")
@click.option(
    "--max-latency-ms",
    type=click.FloatRange(0),
    metavar="MS",
    help="Fail if the 99th percentile from the collector's socket to the reader is above.",
)
@click.option("--max-reconnects", type=click.IntRange(0), metavar="N", help="Fail above this.")
@click.option(
    "--max-held-back",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    metavar="N",
    help="Fail if more events of known pools wait for the collector to prove their pools.",
)
@click.option("--pool-cache", metavar="FILE|none", help="Verified pools, as for collect.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines, one for each report.")
def command(
    url: str | None,
    fallbacks: tuple[str, ...],
    chain: str | None,
    duration: float,
    continuous: bool,
    every_s: float,
    min_rate: float | None,
    max_latency_ms: float | None,
    max_reconnects: int | None,
    max_held_back: int,
    pool_cache: str | None,
    as_json: bool,
) -> int:
    """Collect from a node for a while, and hold every event against the node.

    Each message is checked (layout, checksum, sequence), each event is decoded again with eth-abi, each pool is
    confirmed by its factory, and in the end the whole range is read again with eth_getLogs.  The exit code is 1 if
    anything is missing, extra or different, if the collector stood still or stayed behind, if the node cannot be
    asked, or if a threshold is not met.

    Events that the collector declared as held back (Unproven) are not missing: they get 30 s to come, with --continuous
    as long as it runs.  What is flagged UNPROVEN must be a log of the node, and nothing more.

    With --continuous this happens for every minute, until Ctrl-C; the exit code then tells whether all were good.
    """
    from producers.chains.configuration import load_chain
    from tools.command.supervisor import Interrupted
    from tools.validate.processes import Setup
    from tools.validate.report import Thresholds

    refuse_without_effect(*("with --continuous", "--duration") if continuous else ("without --continuous", "--every"))
    config = load_chain(chain or DEFAULT_CHAIN)
    urls = tuple(checked_websocket(one) for one in (*([url] if url else []), *fallbacks) or config.endpoints)
    setup = Setup(config, chain or DEFAULT_CHAIN, urls, pool_cache)
    thresholds = Thresholds(min_rate, max_latency_ms, max_reconnects, max_held_back)
    try:
        if continuous:
            return validate_for_ever(setup, thresholds, every_s, as_json)
        return validate_once(setup, thresholds, duration, as_json)
    except Interrupted:
        return INTERRUPTED  # before there was anything to judge


def validate_once(setup: Setup, thresholds: Thresholds, duration: float, as_json: bool) -> int:
    """Watch, judge, report."""
    from tools.validate.processes import running
    from tools.validate.report import lines

    with running(setup, say) as session:
        began = time.monotonic()
        session.watch(duration, ProgressLine(duration, setup.chain.name))
        stopped_early = time.monotonic() - began < duration
        say("reading the range again from the node ...")
        report = session.report()
        good = show(report, thresholds, as_json, lines(report, thresholds))
        if report.blocks == 0:
            say(f"no block was closed; the collector said:{session.last_words()}")
    return INTERRUPTED if stopped_early and good else 0 if good else 1


def validate_for_ever(setup: Setup, thresholds: Thresholds, every_s: float, as_json: bool) -> int:
    """The same, window by window, until the user asks to stop."""
    from tools.validate.processes import running
    from tools.validate.report import line

    good = True
    with running(setup, say) as session:
        while not session.interrupted():
            session.watch(every_s, ProgressLine(every_s, setup.chain.name))
            if session.interrupted() and session.ledger.closed < session.ledger.first:
                break  # the window was cut off before there was anything to judge
            report = session.report()
            good &= show(report, thresholds, as_json, [line(report, thresholds)])
    return 0 if good else 1


def show(report: Report, thresholds: Thresholds, as_json: bool, text: list[str]) -> bool:
    """Print one report; whether it is good."""
    from tools.validate.report import to_dict

    values = to_dict(report, thresholds)
    click.echo(msgspec.json.encode(values) if as_json else "\n".join(text))
    sys.stdout.flush()
    healthy: bool = values["healthy"]
    return healthy


class ProgressLine:
    """A line on stderr, now and then; on a terminal it overwrites itself."""

    def __init__(self, seconds: float, chain: str) -> None:
        self._seconds, self._chain = seconds, chain
        self._began = self._due = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def __call__(self, session: ValidationRun) -> None:
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + (1.0 if self._terminal else PLAIN_S)
        counts, closed = session.ledger.window.counts, max(session.ledger.closed, 0)
        text = (
            f"{self._chain}: {now - self._began:.0f} of {self._seconds:.0f} s, block {closed} closed, "
            f"{counts['messages']} messages, {counts['events']} events"
        )
        click.echo(f"\r{text}\033[K" if self._terminal else text, nl=not self._terminal, err=True)


def say(text: str) -> None:
    """What is going on, for the person who waits."""
    click.echo(f"\r{text}\033[K" if sys.stderr.isatty() else text, err=True)


if __name__ == "__main__":
    from tools.command.main import run_command

    run_command(command, "validate")
