"""`alphapulse anomalies`: look for what is not as usual, on a ring and publishing it, or in a journal.

Owns the command line, the walk over a journal, and what is printed.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import click

from consumers.anomalies import AnomalyThresholds, AnomalyWatch, published_in
from consumers.journal import JournalReader
from consumers.journal.segment import list_segments, stored_index
from consumers.polled_frames import PolledFrames
from consumers.progress import watched
from consumers.runner import Runner, StrategyCounts
from consumers.strategy import Draft, Driver
from producers.chains.configuration import load_chain
from ringbuf import Reader, Status, Wait, Writer
from tlv.codes import AnomalyKind
from tlv.errors import UsageError
from tlv.layout import LAYOUT_DIGEST, SystemHealth
from tools.anomaly_text import Explorers, anomaly_line, anomaly_to_dict
from tools.command.config_option import config_option
from tools.command.counting import counters_beside
from tools.command.given import refuse_without_effect
from tools.command.interrupt import Interrupt
from tools.command.progress import progress, progress_option
from tools.command.say import say
from tools.command.start import StartType
from tools.command.stderr_log import complain
from tools.command.waiting import wait_for_ring_option, when_there

HEALTH_CAPACITY = 1 << 20
"""Bytes of the ring of anomalies: some 4,000 of them."""
RECORD_BYTES = 32
"""Of a journal's record beside its frame; for the progress only."""
MOST = 1_000_000_000
DEFAULTS = AnomalyThresholds()


@click.command("anomalies", epilog="Example:  alphapulse anomalies journals/market.polygon --json")
@config_option(required=False, handed_over=False)
@click.argument("journal", required=False, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--ring", default="market.polygon", show_default=True, help="Ring to read.")
@click.option("--reliable", is_flag=True, help="Have the ring's writer wait for this process, for a bounded time.")
@click.option("--health", default="system.anomalies", show_default=True, help="Ring to publish anomalies into.")
@click.option(
    "--chain",
    default="polygon",
    show_default=True,
    help="polygon, ethereum, base or a TOML file: whose explorer is linked to, as long as the ring names no chain.",
)
@click.option(
    "--start",
    type=StartType(),
    default="oldest",
    show_default=True,
    help="Read what is still in the ring, to know what is usual at once, or only what comes.",
)
@wait_for_ring_option
@click.option(
    "--wait",
    "wait_mode",
    type=click.Choice([mode.value for mode in Wait]),
    default=Wait.FUTEX.value,
    show_default=True,
    help="How to pass the time between frames: spin takes a core, futex sleeps.",
)
@click.option("--until-closed", is_flag=True, help="End when the ring is closed and read to its end.")
@click.option(
    "--rate-high",
    default=DEFAULTS.rate_high_pct,
    show_default=True,
    type=click.IntRange(101, MOST),
    metavar="PERCENT",
    help="So many events in 8 blocks, of what is usual for as many.",
)
@click.option(
    "--rate-low",
    default=DEFAULTS.rate_low_pct,
    show_default=True,
    type=click.IntRange(0, 99),
    metavar="PERCENT",
    help="So few of them.",
)
@click.option(
    "--silence",
    default=DEFAULTS.silence_ms / 1000,
    show_default=True,
    type=click.FloatRange(0.001, 86_400),
    metavar="SECONDS",
    help="Time without a new block.",
)
@click.option(
    "--gap",
    default=DEFAULTS.gap_count,
    show_default=True,
    type=click.IntRange(1, MOST),
    metavar="ITEMS",
    help="Frames, blocks or events that are missing.",
)
@click.option(
    "--reorg-depth",
    default=DEFAULTS.reorg_blocks,
    show_default=True,
    type=click.IntRange(1, MOST),
    metavar="BLOCKS",
    help="That leave the chain at once.",
)
@click.option(
    "--price-jump",
    default=DEFAULTS.price_jump_bps,
    show_default=True,
    type=click.IntRange(1, MOST),
    metavar="BPS",
    help="That a pool's price moves within a block, away from the pair's other pools.",
)
@click.option(
    "--liquidity-drop",
    default=DEFAULTS.liquidity_drop_bps,
    show_default=True,
    type=click.IntRange(1, 10_000),
    metavar="BPS",
    help="That leave a pool within 64 blocks.",
)
@click.option(
    "--latency-drift",
    default=DEFAULTS.latency_drift_ms / 1000,
    show_default=True,
    type=click.FloatRange(0.001, 86_400),
    metavar="SECONDS",
    help="That 4 blocks running come later after their own time than usual.",
)
@click.option(
    "--unproven-share",
    default=DEFAULTS.unproven_share_bps,
    show_default=True,
    type=click.IntRange(1, 10_000),
    metavar="BPS",
    help="Of the events of 16 blocks that are of emitters which are not proven.",
)
@progress_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def command(
    journal: Path | None,
    ring: str,
    reliable: bool,
    health: str,
    chain: str,
    start: Literal["oldest", "latest"] | int,
    wait_for_ring: float | None,
    wait_mode: str,
    until_closed: bool,
    as_json: bool,
    **limits: float,
) -> int:
    """Look for what is not as usual, each with its threshold, its evidence and a link to its block.

    On a ring it goes on until it is stopped, and publishes each anomaly into a ring of its own as SystemHealth: begun
    once and ended once, or once if it is of one moment; started again it says nothing twice.  With JOURNAL it reads
    that to its present end, prints, and publishes nothing.  docs/anomalies.md tells what each kind sees and does not.
    """
    config = load_chain(chain)
    printer = AnomalyPrinter(Explorers([config]), as_json=as_json)
    watch = partial(AnomalyWatch, thresholds_of(**limits), chain_id=config.chain_id)
    if journal is not None:
        beside = ("--ring", "--health", "--reliable", "--start", "--wait", "--wait-for-ring", "--until-closed")
        refuse_without_effect("with JOURNAL", *beside)
        return judge_journal(journal, watch(), printer)
    if ring == health:
        raise UsageError(f"--health: expected another ring than --ring, found {health} for both")
    with Interrupt() as asked, contextlib.ExitStack() as stack:
        attach = partial(Reader.attach, ring, start=start, layout_digest=LAYOUT_DIGEST, reliable=reliable)
        found = when_there("anomalies", ring, wait_for_ring, asked, attach)
        if found is None:
            return 0
        reader = stack.enter_context(found)
        shared = stack.enter_context(counters_beside(StrategyCounts, health, "anomalies"))
        writer = Writer.open_or_create(health, capacity=HEALTH_CAPACITY, layout_digest=LAYOUT_DIGEST)
        stack.enter_context(writer)
        strategy = watch(published_in(health))
        driver = Driver(strategy, reader.uuid)
        runner = Runner(driver, reader, writer, wait=Wait(wait_mode), shared=shared, tell=printer.tell)
        stack.callback(runner.close)
        began = time.monotonic()
        say({"ready": True, "ring": ring, "health": health}, f"reading {ring}, publishing to {health}", as_json)
        try:
            runner.run(asked, until_closed=until_closed)
        finally:
            printer.summary(driver, strategy, time.monotonic() - began)
    return 0


def thresholds_of(
    *,
    rate_high: float,
    rate_low: float,
    silence: float,
    gap: float,
    reorg_depth: float,
    price_jump: float,
    liquidity_drop: float,
    latency_drift: float,
    unproven_share: float,
) -> AnomalyThresholds:
    """The options, in the units of the wire."""
    return AnomalyThresholds(
        rate_high_pct=int(rate_high),
        rate_low_pct=int(rate_low),
        silence_ms=round(silence * 1000),
        gap_count=int(gap),
        reorg_blocks=int(reorg_depth),
        price_jump_bps=int(price_jump),
        liquidity_drop_bps=int(liquidity_drop),
        latency_drift_ms=round(latency_drift * 1000),
        unproven_share_bps=int(unproven_share),
    )


class AnomalyPrinter:
    """What is printed, and how often each kind came."""

    def __init__(self, explorers: Explorers, *, as_json: bool) -> None:
        self._explorers, self._as_json = explorers, as_json
        self._counts: Counter[str] = Counter()

    def tell(self, draft: Draft) -> None:
        """Print one anomaly."""
        for health in draft.records:
            assert isinstance(health, SystemHealth)
            said = anomaly_to_dict(health, self._explorers)
            if said["state"] != "ended":
                self._counts[said["kind"]] += 1
            say(said, anomaly_line(health, self._explorers), self._as_json)

    def summary(self, driver: Driver, watch: AnomalyWatch, seconds: float) -> None:
        """Print what was judged."""
        counts = {kind.name.lower(): self._counts[kind.name.lower()] for kind in AnomalyKind}
        line: dict[str, Any] = {
            "frames": driver.frames,
            "lost": driver.lost,
            "poisoned": driver.poisoned,
            "anomalies": counts,
            "lasting": len(watch.lasting),
            **watch.held,
            "seconds": round(seconds, 3),
        }
        found = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count) or "no anomaly"
        text = "{frames} frames, {lost} lost, {poisoned} poisoned: ".format(**line)
        say(line, f"{text}{found}; {line['lasting']} last", self._as_json)
        for poison in driver.poison:
            reason = poison.reason.splitlines()[-1]
            complain("anomalies", f"poison frame (sequence {poison.sequence}): {reason}", sequence=poison.sequence)


def judge_journal(journal: Path, watch: AnomalyWatch, printer: AnomalyPrinter) -> int:
    """Judge every frame of a journal, and print."""
    began = time.monotonic()
    with JournalReader(journal) as reader:
        driver = Driver(watch, reader.uuid)
        for drafts in watched(judged(reader, driver), progress("judging", bytes_of(journal))):
            for draft in drafts:
                printer.tell(draft)
    printer.summary(driver, watch, time.monotonic() - began)
    return 0


def judged(reader: JournalReader, driver: Driver) -> Iterator[tuple[list[Draft], int]]:
    """What each poll of a journal gives, and how many of its bytes that were."""
    frames = PolledFrames(driver)
    while True:
        poll = reader.poll()
        driver.ring = reader.uuid  # the next frames may be of another ring of this name
        drafts = [draft for found, _ in frames.deliver(poll) for draft in found]
        yield drafts, int(poll.lengths.sum()) + len(poll) * RECORD_BYTES
        if poll.status in {Status.EMPTY, Status.CLOSED}:
            return


def bytes_of(journal: Path) -> int:
    """How many bytes of records a journal has, by the indexes of its segments; 0 where they have none yet."""
    indexes = (stored_index(segment) for segment in list_segments(journal))
    return sum(index.header.segment_bytes for index in indexes if index is not None)


if __name__ == "__main__":
    from tools.command.main import run_command

    run_command(command, "anomalies")
