"""`alphapulse execute`: fill the orders of strategies on paper.

Owns the command line, the ready line and the statistics it leaves behind.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec

from consumers.execution.config import ExecutionConfig
from consumers.execution.counts import ExecutionCounts
from consumers.execution.executor import PaperExecutor
from consumers.execution.runner import (
    EXECUTION_CAPACITY,
    ExecutionRunner,
    OrderJournal,
    OrderRing,
    own_messages,
)
from consumers.journal import JournalReader
from consumers.parameters import read_parameters, shown_parameters
from ringbuf import Reader, Wait, Writer
from ringbuf.names import check_name
from tlv.errors import UsageError
from tlv.layout import LAYOUT_DIGEST
from tools.command.config_option import config_option
from tools.command.counting import counters_beside
from tools.command.given import is_given, refuse_without_effect
from tools.command.interrupt import Interrupt
from tools.command.say import say
from tools.command.stderr_log import tell_operator
from tools.command.table_option import TableType
from tools.command.waiting import wait_for_ring_option, when_there
from tools.strategy_text import unpriced_orders_hint

EXIT_LOST = 3
"""The exit status of an executor that did not see every frame."""
COIN = 10**18


@click.command("execute", epilog="Example:  alphapulse execute --ring market.polygon --signals signal.flash_arbitrage")
@config_option(required=False, handed_over=False)
@click.option("--ring", default="market.polygon", show_default=True, help="The market's ring.")
@click.option("--reliable", is_flag=True, help="Have the writers of all rings wait for this process, within bounds.")
@click.option(
    "--journal",
    type=click.Path(path_type=Path, file_okay=False),
    help="Read the market from this journal instead of a ring, every frame of it, and end with it.",
)
@click.option(
    "--signals",
    multiple=True,
    default=("signal.flash_arbitrage",),
    show_default=True,
    help="A strategy's ring: its signals and orders are filled.  May be repeated, and need not be there yet.",
)
@click.option(
    "--signals-journal",
    multiple=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The journal of a strategy's ring instead.  May be repeated.",
)
@click.option("--execution", default="execution.paper", show_default=True, help="Ring to publish into.")
@click.option(
    "--execution-journal",
    type=click.Path(path_type=Path, file_okay=False),
    help="Journal of that ring: at a start, what the ring no longer holds is read there.",
)
@click.option(
    "--params",
    type=TableType(),
    metavar="FILE",
    help="The executor's settings: a table [execute.params] of the configuration, or here a TOML file.",
)
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="One setting, over those, as share_percent=50 or gas.tip_wei=1 (repeatable).",
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
@click.option("--until-closed", is_flag=True, help="End when the market's ring is closed and read to its end.")
@click.option("--stats-json", type=click.Path(path_type=Path, dir_okay=False), help="Write statistics here at the end.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def command(
    ring: str,
    reliable: bool,
    journal: Path | None,
    signals: tuple[str, ...],
    signals_journal: tuple[Path, ...],
    execution: str,
    execution_journal: Path | None,
    params: dict[str, Any] | None,
    sets: tuple[str, ...],
    wait_for_ring: float | None,
    wait_mode: str,
    until_closed: bool,
    stats_json: Path | None,
    as_json: bool,
) -> int:
    """Fill the orders and arbitrage signals of strategies on paper, and publish what each would have given.

    Each order is decided at the end of a later block, against the exact state of its pools behind a share of that
    block's own swaps, after limits and a circuit breaker; gas and failed attempts are paid.  It never signs or sends a
    transaction.  Started again it goes on where it was: no order is filled twice, and none is forgotten as long as the
    rings still hold it.  If frames were lost it says so on stderr, and the exit status is 3.
    """
    if journal is not None:
        if is_given("--ring"):
            raise UsageError("--ring and --journal: expected one of them, found both")
        refuse_without_effect("with --journal", "--reliable", "--wait", "--wait-for-ring", "--until-closed")
    if signals_journal and is_given("--signals"):
        raise UsageError("--signals and --signals-journal: expected one of them, found both")
    if journal is not None and not signals_journal:
        raise UsageError("--journal: expected --signals-journal with it; orders of now are none for blocks of then")
    if signals_journal and journal is None:
        raise UsageError("--signals-journal: expected --journal with it; orders of then are none for blocks of now")
    if journal is None:
        refuse_same("--signals", [ring, *map(check_name, signals)])
        refuse_same("--execution", [ring, *signals, execution])
    else:
        refuse_same("--signals-journal", [journal.resolve(), *(path.resolve() for path in signals_journal)])
    if stats_json is not None and not stats_json.parent.is_dir():
        raise UsageError(f"--stats-json {stats_json}: expected a file in a folder that is there")
    (config,) = read_parameters(ExecutionConfig, params or {}, sets, "execute")
    began = time.monotonic()
    with Interrupt() as asked, contextlib.ExitStack() as stack:
        attach = partial(Reader.attach, ring, start="oldest", layout_digest=LAYOUT_DIGEST, reliable=reliable)
        market: Reader | JournalReader | None
        market = JournalReader(journal) if journal else when_there("execute", ring, wait_for_ring, asked, attach)
        if market is None:
            return 0
        stack.callback(market.close)
        orders: list[OrderRing | OrderJournal] = [OrderJournal(path) for path in signals_journal]
        orders += [OrderRing(name, reliable=reliable) for name in signals] if journal is None else []
        shared = stack.enter_context(counters_beside(ExecutionCounts, execution, "executor"))
        writer = Writer.open_or_create(execution, capacity=EXECUTION_CAPACITY, layout_digest=LAYOUT_DIGEST)
        stack.enter_context(writer)
        runner = ExecutionRunner(PaperExecutor(config), market, orders, writer, wait=Wait(wait_mode), shared=shared)
        stack.enter_context(runner)
        resumed = runner.resume(own_messages(execution, execution_journal))
        names = [str(path) for path in signals_journal] or list(signals)
        where = str(journal) if journal else ring
        source: dict[str, Any] = {"journal": where} if journal else {"ring": where}
        ready = {"ready": True, **source, "signals": names, "execution": execution, "resumed": resumed}
        text = f"market {where}, orders of {', '.join(names)}, publishing to {execution}"
        say(ready, text + (f"; goes on behind {resumed} messages" if resumed else ""), as_json)
        try:
            runner.run(asked, until_closed=until_closed, follow=journal is None)
        finally:
            statistics = {
                **runner.summary(),
                "settings": shown_parameters(config),
                "seconds": round(time.monotonic() - began, 3),
            }
            say(statistics, sentence(statistics), as_json)
            if stats_json:
                stats_json.write_bytes(msgspec.json.encode(statistics))
            counts = runner.counts
            lost = counts.lost + counts.orders_lost
            if lost:
                text = f"{counts.lost} frames of {where} and {counts.orders_lost} of orders were lost"
                tell_operator(f"execute: {text}", text, **source)
    return EXIT_LOST if lost else 0


def refuse_same(option: str, places: Sequence[object]) -> None:
    """Refuse an option that names what is read or written already.

    Raises:
        UsageError: saying which.
    """
    for at, place in enumerate(places):
        if place in places[:at]:
            raise UsageError(f"{option}: expected another than those that are read already, found {place}")


def sentence(statistics: dict[str, Any]) -> str:
    """The statistics for people.  Orders are those of all runs of this ring, as the sums are."""
    pnl, states, pending = statistics["pnl"], statistics["states"], statistics["pending"]
    coins = {name: f"{int(pnl[name]) / COIN:,.6f}" for name in ("gross", "gas", "net", "expected")}
    refused = sum(count for name, count in states.items() if name not in ("filled", "failed", "undone"))
    more = f", {states['undone']} undone" if "undone" in states else ""
    more += f", {pending} waiting" if pending else ""
    return (
        f"{sum(states.values()) + pending} orders: {pnl['orders']} attempted, {pnl['filled']} filled, "
        f"{refused} not attempted{more}; "
        f"net {coins['net']} coins (gross {coins['gross']}, gas {coins['gas']}), expected {coins['expected']}; "
        f"circuit breaker {statistics['breaker']}; execution hash {statistics['execution_hash']}"
        + unpriced_orders_hint(statistics["reasons"], pnl["filled"], statistics["settings"]["wrapped_native"])
    )


if __name__ == "__main__":
    from tools.command.main import run_command

    run_command(command, "execute")
