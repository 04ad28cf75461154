"""`alphapulse strategy`: run the flash-arbitrage strategy on a ring or a journal.

Owns the command line, the ready line and the statistics it leaves behind.
"""

from __future__ import annotations

import signal
import time
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import click
import msgspec

from consumers.arbitrage.config import ArbitrageConfig, read_config
from consumers.arbitrage.flash_arbitrage import FlashArbitrage
from consumers.arbitrage.warm import warm
from consumers.host import SIGNAL_CAPACITY
from consumers.journal import JournalReader
from consumers.runner import Runner, StrategyCounts
from consumers.strategy import Driver
from ringbuf import Reader, Wait, Writer
from tlv.errors import UsageError
from tlv.layout import LAYOUT_DIGEST
from tools.command.config_option import config_option
from tools.command.counting import counters_beside
from tools.command.given import is_given, refuse_without_effect
from tools.command.say import say
from tools.command.service import SERVICE_MANAGER
from tools.command.start import StartType
from tools.command.stderr_log import tell_operator
from tools.command.waiting import await_journal, wait_for_ring_option, when_there

EXIT_LOST = 3
"""The exit status of a strategy that did not see every frame."""


@click.command("strategy", epilog="Example:  alphapulse strategy --ring market.polygon --gross --json")
@config_option(required=False, handed_over=False)
@click.option("--ring", default="market.polygon", show_default=True, help="Ring to read.")
@click.option("--reliable", is_flag=True, help="Have the ring's writer wait for this strategy, for a bounded time.")
@click.option(
    "--journal",
    type=click.Path(path_type=Path, file_okay=False),
    help="Read this journal instead of a ring, every frame of it, and end with it.",
)
@click.option(
    "--follow", is_flag=True, help="With --journal: go on with what is recorded from now on; it may be begun later."
)
@click.option("--signals", default="signal.flash_arbitrage", show_default=True, help="Ring to publish into.")
@click.option(
    "--arbitrage",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="TOML file with an [arbitrage] table: costs, thresholds, tokens to leave alone.",
)
@click.option("--gross", is_flag=True, help="Signal whatever earns before gas, also if gas eats it.")
@click.option(
    "--start",
    type=StartType(),
    default="oldest",
    show_default=True,
    help="Read what is still in the ring, to know the pools at once, or only what comes.",
)
@wait_for_ring_option
@click.option(
    "--wait",
    "wait_mode",
    type=click.Choice([mode.value for mode in Wait]),
    default=Wait.BACKOFF.value,
    show_default=True,
    help="How to pass the time between frames: spin takes a core and reacts first, futex sleeps.",
)
@click.option(
    "--until-closed", is_flag=True, help="End when the ring is closed, or its recording, and read to its end."
)
@click.option("--stats-json", type=click.Path(path_type=Path, dir_okay=False), help="Write statistics here at the end.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def command(
    ring: str,
    reliable: bool,
    journal: Path | None,
    follow: bool,
    signals: str,
    arbitrage: Path | None,
    gross: bool,
    start: Literal["oldest", "latest"] | int,
    wait_for_ring: float | None,
    wait_mode: str,
    until_closed: bool,
    stats_json: Path | None,
    as_json: bool,
) -> int:
    """Find two pools of one pair whose prices differ by more than fees and gas, and publish a signal for each.

    At the end it prints what became of every comparison; no signal is a result too.  If frames were lost it says so on
    stderr, and the exit status is 3.
    """
    if journal is None and follow:
        raise UsageError("--follow: expected --journal; a ring is always followed")
    if journal is not None and is_given("--ring"):
        raise UsageError("--ring and --journal: expected one of them, found both")
    if journal is not None and reliable:
        raise UsageError("--reliable: a journal needs no writer that waits; nothing of it is lost")
    if journal is not None:
        refuse_without_effect("with --journal", "--wait")
        if not follow:
            refuse_without_effect("with --journal but with --follow", "--wait-for-ring")
    settings = read_config(_text(arbitrage), str(arbitrage)) if arbitrage else ArbitrageConfig()
    strategy = FlashArbitrage(msgspec.structs.replace(settings, gross=settings.gross or gross))
    asked = StopRequest()
    warm()
    began = time.monotonic()
    if journal and follow and not await_journal("strategy", journal, wait_for_ring, asked):
        return 0
    attach = partial(Reader.attach, ring, start=start, layout_digest=LAYOUT_DIGEST, reliable=reliable)
    found = (
        JournalReader(journal, start=start) if journal else when_there("strategy", ring, wait_for_ring, asked, attach)
    )
    if found is None:
        return 0
    with (
        found as reader,
        counters_beside(StrategyCounts, signals, "strategy") as shared,
        Writer.open_or_create(signals, capacity=SIGNAL_CAPACITY, layout_digest=LAYOUT_DIGEST) as writer,
    ):
        runner = Runner(Driver(strategy, reader.uuid), reader, writer, wait=Wait(wait_mode), shared=shared)
        source: dict[str, Any] = {"ring": ring} if journal is None else {"journal": str(journal)}
        where = ring if journal is None else str(journal)
        say({"ready": True, **source, "signals": signals}, f"reading {where}, publishing to {signals}", as_json)
        try:
            runner.run(asked, until_closed=until_closed, follow=journal is None or follow)
        finally:
            runner.close()
            statistics = _statistics(runner, strategy, time.monotonic() - began)
            if stats_json:
                stats_json.write_bytes(msgspec.json.encode(statistics))
            say(statistics, _sentence(statistics), as_json)
            if runner.driver.lost:
                text = f"{runner.driver.lost} frames of {where} were lost"
                tell_operator(f"strategy: {text}", text, **source)
    return EXIT_LOST if runner.driver.lost else 0


class StopRequest:
    """Whether SIGINT or SIGTERM came.  The loop polls it, so nothing is interrupted in the middle of a publish."""

    def __init__(self) -> None:
        self.came = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.came = True

    def __call__(self) -> bool:
        SERVICE_MANAGER.turned()
        return self.came


def _text(config: Path) -> str:
    try:
        return config.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{config}: not UTF-8 at byte {error.start}") from None


def _statistics(runner: Runner, strategy: FlashArbitrage, seconds: float) -> dict[str, Any]:
    counted = runner.counts
    counts = ("screened", "candidates", "gross_positive", "net_positive", "unpriced", "stale", "untouchable")
    return {
        "signals": counted.signals,
        "signals_by_verdict": {
            name: strategy.counts[f"signals_{name}"] for name in ("exact", "within_segment", "speculative")
        },
        "signals_late": counted.late_signals,
        "frames": counted.frames,
        "lost": counted.lost,
        "poisoned": counted.poisoned,
        "pools": len(strategy.book.pools),
        **{name: strategy.counts[name] for name in counts},
        "seconds": round(seconds, 3),
        "latency_ns": counted.latencies(),
    }


def _sentence(statistics: dict[str, Any]) -> str:
    return (
        "{signals} signals from {frames} frames of {pools} pools: {screened} comparisons, {candidates} candidates, "
        "{gross_positive} earn before gas, {net_positive} after it; {lost} frames lost, {poisoned} poisoned"
    ).format(**statistics)


if __name__ == "__main__":
    from tools.command.main import run_command

    run_command(command, "strategy")
