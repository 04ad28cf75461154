"""`alphapulse strategy`: run the flash-arbitrage strategy between two rings.

Owns the command line, the ready line and the statistics it leaves behind.
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import click
import msgspec

from consumers.arbitrage.config import ArbitrageConfig, read_config
from consumers.arbitrage.flash_arbitrage import FlashArbitrage
from consumers.arbitrage.warm import warm
from consumers.runner import Runner, summarise
from consumers.strategy import Driver, Poison
from ringbuf import Reader, RingNotFound, RingNotReady, Wait, Writer
from tlv.errors import UsageError
from tlv.layout import LAYOUT_DIGEST

SIGNAL_CAPACITY = 1 << 20
"""Bytes of the signal ring: some thousand signals, hours of a busy market."""
RETRY_S = 0.05


@click.command("strategy", epilog="Example:  alphapulse strategy --ring market.polygon --gross --json")
@click.option("--ring", default="market.polygon", show_default=True, help="Ring to read.")
@click.option("--signals", default="signal.flash_arbitrage", show_default=True, help="Ring to publish into.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="TOML file with an [arbitrage] table: costs, thresholds, tokens to leave alone.",
)
@click.option("--gross", is_flag=True, help="Signal whatever earns before gas, also if gas eats it.")
@click.option(
    "--start",
    type=click.Choice(["oldest", "latest"]),
    default="oldest",
    show_default=True,
    help="Read what is still in the ring, to know the pools at once, or only what comes.",
)
@click.option("--wait-for-ring", default=0.0, show_default=True, type=click.FloatRange(0), help="Seconds.")
@click.option(
    "--wait",
    "wait_mode",
    type=click.Choice([mode.value for mode in Wait]),
    default=Wait.BACKOFF.value,
    show_default=True,
    help="How to pass the time between frames: spin takes a core and reacts first, futex sleeps.",
)
@click.option("--until-closed", is_flag=True, help="End when the ring is closed and read to its end.")
@click.option("--stats-json", type=click.Path(path_type=Path, dir_okay=False), help="Write statistics here at the end.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def command(
    ring: str,
    signals: str,
    config: Path | None,
    gross: bool,
    start: Literal["oldest", "latest"],
    wait_for_ring: float,
    wait_mode: str,
    until_closed: bool,
    stats_json: Path | None,
    as_json: bool,
) -> None:
    """Find two pools of one pair whose prices differ by more than fees and gas, and publish a signal for each.

    At the end it prints what became of every comparison; no signal is a result too.
    """
    settings = read_config(_text(config), str(config)) if config else ArbitrageConfig()
    strategy = FlashArbitrage(msgspec.structs.replace(settings, gross=settings.gross or gross))
    asked = StopRequest()
    warm()
    began = time.monotonic()
    with (
        _attach(ring, start, wait_for_ring, asked) as reader,
        Writer.open_or_create(signals, capacity=SIGNAL_CAPACITY, layout_digest=LAYOUT_DIGEST) as writer,
    ):
        runner = Runner(Driver(strategy, reader.uuid), reader, writer, wait=Wait(wait_mode))
        _say({"ready": True, "ring": ring, "signals": signals}, f"reading {ring}, publishing to {signals}", as_json)
        try:
            runner.run(asked, until_closed=until_closed)
        finally:
            statistics = _statistics(runner, strategy, time.monotonic() - began)
            if stats_json:
                stats_json.write_bytes(msgspec.json.encode(statistics))
            _say(statistics, _sentence(statistics), as_json)
            for poison in runner.driver.poison:
                _complain(ring, poison)


class StopRequest:
    """Whether SIGINT or SIGTERM came.  The loop polls it, so nothing is interrupted in the middle of a publish."""

    def __init__(self) -> None:
        self.came = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.came = True

    def __call__(self) -> bool:
        return self.came


def _text(config: Path) -> str:
    try:
        return config.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{config}: not UTF-8 at byte {error.start}") from None


def _attach(ring: str, start: Literal["oldest", "latest"], patience_s: float, asked: StopRequest) -> Reader:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return Reader.attach(ring, start=start, layout_digest=LAYOUT_DIGEST)
        except (RingNotFound, RingNotReady):
            if asked() or time.monotonic() >= deadline:
                raise
            time.sleep(RETRY_S)


def _statistics(runner: Runner, strategy: FlashArbitrage, seconds: float) -> dict[str, Any]:
    driver = runner.driver
    latencies = {"ring_to_signal": runner.ring_to_signal, "receive_to_signal": runner.receive_to_signal}
    counts = ("screened", "candidates", "gross_positive", "net_positive", "unpriced", "stale", "untouchable")
    return {
        "signals": runner.published,
        "signals_by_verdict": {
            name: strategy.counts[f"signals_{name}"] for name in ("exact", "within_segment", "speculative")
        },
        "signals_late": runner.published_late,
        "frames": driver.frames,
        "lost": driver.lost,
        "poisoned": driver.poisoned,
        "pools": len(strategy.book.pools),
        **{name: strategy.counts[name] for name in counts},
        "seconds": round(seconds, 3),
        "latency_ns": {
            name: found._asdict() if (found := summarise(kept)) else None for name, kept in latencies.items()
        },
    }


def _sentence(statistics: dict[str, Any]) -> str:
    return (
        "{signals} signals from {frames} frames of {pools} pools: {screened} comparisons, {candidates} candidates, "
        "{gross_positive} earn before gas, {net_positive} after it; {lost} frames lost, {poisoned} poisoned"
    ).format(**statistics)


def _complain(ring: str, poison: Poison) -> None:
    last_line = poison.reason.splitlines()[-1]
    print(f"strategy: poison frame (ring {ring}, sequence {poison.sequence}): {last_line}", file=sys.stderr)


def _say(line: dict[str, Any], sentence: str, as_json: bool) -> None:
    click.echo(msgspec.json.encode(line) if as_json else sentence)
    sys.stdout.flush()


if __name__ == "__main__":
    from tools.command.main import run_command

    run_command(command, "strategy")
