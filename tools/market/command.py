"""`alphapulse market`: a market to try the pipeline on.

Owns the command line, the pace of the blocks, the ready line and the counts at the end.
"""

from __future__ import annotations

import contextlib
import math
import platform
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tlv.errors import FeedError, UsageError
from tools.command.interrupt import Interrupt
from tools.command.needs import needs
from tools.command.places import places
from tools.command.ports import free_port
from tools.command.say import say
from tools.market.bundle import bundled_market_journal
from tools.market.plan import MOST_POOLS, TOKENS, planned_pools

if TYPE_CHECKING:
    from tools.market.files import MarketRings
    from tools.market.market import Market
    from tools.rig.evm.node import Node

PORT = 8545
NODE_MACHINE = "x86_64"
RING = "market.local"
SLICE_S = 0.05
KEPT_STATES = 512
"""Blocks whose state the node keeps: who asks for an older one is told that it is gone."""
KEPT_OUTPUT_BLOCKS = 1_000
LAST_BLOCKS = 2
"""Without trades, so that a collector closes the blocks that had some."""
END_S = 2.0
"""From the end of the node's connections to its own."""
SETTLE_S = 2.0
"""For a recorded market, from the last block to its collector's end."""


def parse_traders(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> dict[str, int]:
    """`KIND=N`, over the defaults."""
    from tools.market.traders import DEFAULT_RATES

    rates = dict(DEFAULT_RATES)
    for text in texts:
        kind, equals, number = text.partition("=")
        if kind not in rates or not equals:
            raise click.BadParameter(f"{text!r}: expected KIND=N with a KIND of {', '.join(rates)}")
        if not (number.isdecimal() and number.isascii()) or int(number) > MOST_ACTIONS:
            raise click.BadParameter(f"{text!r}: expected a whole number from 0 to {MOST_ACTIONS}")
        rates[kind] = int(number)
    return rates


MOST_ACTIONS = 100
"""Of a kind of trader and block: so many fit under the block's gas limit."""


def show_journal(context: click.Context, _: click.Parameter, asked: bool) -> None:
    """`--journal-path`."""
    if asked and not context.resilient_parsing:
        click.echo(bundled_market_journal())
        context.exit()


@click.command("market", epilog="Example:  alphapulse market --seed 7 --blocks-per-second 2")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Of everything random.")
@click.option(
    "--duration",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="End after as many blocks as come in so long.  [default: at Ctrl-C]",
)
@click.option(
    "--blocks-per-second",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0.01, 50),
    metavar="R",
    help="Pace of the blocks.",
)
@click.option("--pools", default=12, show_default=True, type=click.IntRange(2, MOST_POOLS), help="How many there are.")
@click.option(
    "--traders",
    "rates",
    multiple=True,
    callback=parse_traders,
    metavar="KIND=N",
    help="Actions of a block at most, of noise, trend, arbitrage or liquidity; repeatable.  "
    "[default: noise=6, trend=2, arbitrage=2, liquidity=1]",
)
@click.option("--reorgs/--no-reorgs", default=True, show_default=True, help="Now and then replace the last blocks.")
@click.option(
    "--port", default=PORT, show_default=True, type=click.IntRange(0, 65535), help="0: the kernel chooses one."
)
@click.option(
    "--genesis",
    type=click.IntRange(1, 1 << 40),
    metavar="UNIX_TIME",
    help="Time of the first block; the later ones follow at the blocks' pace, whatever the clock says, so that a seed "
    "gives the same hashes.  [default: now, and the clock's time in every block]",
)
@click.option(
    "--files",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the chain file and two configurations.  [default: one of the user's run-time directory]",
)
@click.option(
    "--record",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Make a journal of the market in this folder, which must be empty; needs --duration.",
)
@click.option(
    "--ring",
    default=RING,
    show_default=True,
    help="Ring of a collector on it; a strategy's and an executor's are named after it.",
)
@click.option(
    "--up", is_flag=True, help="Run the pipeline on it as well, with its dashboard, and end it with the market."
)
@click.option(
    "--journal-path",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=show_journal,
    help="Print the folder of the bundled journal, ten minutes of such a market, and exit.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
@needs("supervisor", option="--up")
def command(
    seed: int,
    duration: float | None,
    blocks_per_second: float,
    pools: int,
    rates: dict[str, int],
    reorgs: bool,
    port: int,
    genesis: int | None,
    files: Path | None,
    record: Path | None,
    ring: str,
    up: bool,
    as_json: bool,
) -> None:
    """Run a local node with real contracts of Uniswap V2 and V3, and traders who move them; until Ctrl-C.

    Every block holds trades of noise, of a trend, of arbitrageurs who take part of what there is to earn, and of
    liquidity providers; the first reorg comes within eight blocks.  When it is ready it prints what to run in another
    terminal.  The node and the contracts are fetched with npm on first use.  Nothing of it is worth anything.
    """
    from ringbuf.names import check_name
    from tools.market.files import CHAIN, CONFIG, MarketRings, remove_files, write_files
    from tools.market.pipeline import pipeline_on
    from tools.market.recorded import check_empty, recorder_of, write_provenance
    from tools.market.traders import DEFAULT_RATES

    if record is not None and up:
        raise UsageError("--record and --up: expected one of them, found both; each has a collector of its own")
    if record is not None and duration is None:
        raise UsageError("--record: expected --duration with it: when is the journal whole?")
    if record is not None:
        check_empty(record)
    for option, number in (("--duration", duration or 0), ("--blocks-per-second", blocks_per_second)):
        if not math.isfinite(number):
            raise UsageError(f"{option}: expected a finite number, found {number}")
    rings = MarketRings.beside(ring)
    for name in rings:
        check_name(name)
    plans = planned_pools(pools)
    market, head = None, ""
    with Interrupt() as asked, contextlib.ExitStack() as stack:
        pace = BlockPace(blocks_per_second, genesis)
        node = stack.enter_context(running_node(port, pace.first))
        with ended_by_a_signal(asked, node):
            from tools.market.market import Market
            from tools.obs.command import PORT as DASHBOARD_PORT

            market = Market(node.rpc, plans, seed, rates, reorgs=reorgs)
            folder = files or places() / f"market-{node.port}"
            dashboard = free_port(DASHBOARD_PORT)
            write_files(folder, market.place, node.url, rings, dashboard)
            stack.callback(remove_files, folder)
            checks: list[Callable[[], None]] = []
            if record:
                checks.append(stack.enter_context(recorder_of(folder / CHAIN, ring, record, asked)))
            say_ready(market, node, folder, seed, rings, dashboard if up else None, as_json)
            if up:
                checks.append(stack.enter_context(pipeline_on(folder / CONFIG)))
            pace.begin()
            wanted = math.inf if duration is None else math.ceil(duration * blocks_per_second)
            while not asked() and market.trading.blocks < wanted:
                market.make_block(pace.next_time())
                if market.trading.blocks % KEPT_OUTPUT_BLOCKS == 0:
                    node.forget_output()
                for check in checks:
                    check()
                pace.wait(asked)
            head = market.head()
            if record:
                for _ in range(LAST_BLOCKS):
                    market.make_empty_block(pace.next_time())
                time.sleep(SETTLE_S)
    if market is None:
        return  # stopped before there was one
    if record:
        options = [f"--seed {seed}", f"--duration {duration:g}", f"--blocks-per-second {blocks_per_second:g}"]
        options += [f"--pools {pools}", f"--record {shlex.quote(record.name)}"]
        options += [f"--genesis {genesis}"] if genesis is not None else []
        options += [] if reorgs else ["--no-reorgs"]
        options += [f"--traders {kind}={rate}" for kind, rate in rates.items() if rate != DEFAULT_RATES[kind]]
        write_provenance(record, " ".join(["alphapulse market", *options]), market)
    say_ended(market, head, record, as_json)


class BlockPace:
    """When the next block comes, and which time stands in it.

    Without `genesis` the clock's time, in whole seconds, as on a chain; else a time that only the number of blocks
    decides.
    """

    def __init__(self, blocks_per_second: float, genesis: int | None) -> None:
        self._rate, self._genesis = blocks_per_second, genesis
        self.first = int(time.time()) if genesis is None else genesis
        """Time of the blocks before the market begins."""
        self._blocks = 0
        self._last = self.first
        self._began = time.monotonic()

    def begin(self) -> None:
        """Blocks are counted from now."""
        self._began = time.monotonic()

    def next_time(self) -> int:
        """Of the next block; never before the last one's."""
        self._blocks += 1
        now = time.time() if self._genesis is None else self._genesis + self._blocks / self._rate
        self._last = max(self._last, int(now))
        return self._last

    def wait(self, asked: Interrupt) -> None:
        """Until the next block is due, or somebody asked to stop."""
        due = self._began + self._blocks / self._rate
        while not asked() and (left := due - time.monotonic()) > 0:
            time.sleep(min(left, SLICE_S))


@contextlib.contextmanager
def running_node(port: int, first_time: int) -> Iterator[Node]:
    """The node of a market, without contracts.

    Raises:
        UsageError: the port is in use, the node could not be fetched, or it is not made for this machine.
    """
    from tools.market.chain_file import CHAIN_ID
    from tools.market.place import NODE_OPTIONS
    from tools.rig.evm.node import Node

    if platform.machine() != NODE_MACHINE:
        found = platform.machine()
        raise UsageError(f"the local node is a program for Linux on {NODE_MACHINE}; this machine is {found}")
    if port and free_port(port) != port:
        raise UsageError(f"--port {port}: something listens there already; --port 0 takes a free one")
    kept = ("--prune-history", str(KEPT_STATES), "--timestamp", str(first_time))
    with Node(*NODE_OPTIONS, *kept, port=port, chain_id=CHAIN_ID) as node:
        node.rpc("anvil_setBlockTimestampInterval", 0)
        yield node


@contextlib.contextmanager
def ended_by_a_signal(asked: Interrupt, node: Node) -> Iterator[None]:
    """Ctrl-C in a terminal ends the node too, often in the middle of a request: that is no error.

    Raises:
        FeedError: the node ended by itself.
    """
    from tools.command.supervisor import Interrupted
    from tools.rig.evm.node import NodeRefusal

    try:
        yield
    except Interrupted:
        return
    except (OSError, NodeRefusal, ValueError) as error:
        with contextlib.suppress(subprocess.TimeoutExpired):
            node.process.wait(END_S)  # its connections go first
        if asked():
            return
        if node.process.poll() is None:
            raise
        raise FeedError(f"the node of the market has ended with {node.process.returncode}: {error}") from error


def say_ready(
    market: Market, node: Node, folder: Path, seed: int, rings: MarketRings, dashboard: int | None, as_json: bool
) -> None:
    """The ready line: in text, with what to run next."""
    from tools.market.files import ARBITRAGE, CHAIN, CONFIG

    chain = folder / CHAIN
    pools = [
        {
            "venue": pool.plan.venue,
            "address": pool.address,
            "token0": pool.token0.plan.symbol,
            "token1": pool.token1.plan.symbol,
            "fee_pips": pool.plan.fee_pips,
        }
        for pool in market.place.pools
    ]
    line: dict[str, Any] = {
        "ready": True,
        "ws": node.url,
        "seed": seed,
        "chain_file": str(chain),
        "arbitrage": str(folder / ARBITRAGE),
        "config": str(folder / CONFIG),
        "ring": rings.market,
        "signals": rings.signals,
        "execution": rings.execution,
        "dashboard": f"http://127.0.0.1:{dashboard}/" if dashboard else None,
        "coin": market.place.coin,
        "pools": pools,
        "traders": market.place.traders,
    }
    text = f"""{node.url} is a market of {len(pools)} pools and {len(TOKENS)} tokens, seed {seed}; Ctrl-C ends it"""
    if dashboard:
        text += f"\ndashboard  {line['dashboard']}\n  alphapulse dump {rings.execution} --follow"
    else:
        text += f"""
in other terminals:
  alphapulse collect --chain {chain} --watch-ticks all
  alphapulse dump {rings.market}
  alphapulse strategy --ring {rings.market} --signals {rings.signals} --arbitrage {folder / ARBITRAGE}
or all at once, with paper execution and a dashboard:
  alphapulse --config {folder / CONFIG} up"""
    say(line, text, as_json)


def say_ended(market: Market, head: str, record: Path | None, as_json: bool) -> None:
    """The counts."""
    trading = market.trading
    line: dict[str, Any] = {
        "blocks": trading.blocks,
        "head": head,
        "reorgs": trading.reorgs,
        "dropped_blocks": trading.dropped_blocks,
        "actions": dict(trading.actions),
        "transactions": dict(trading.transactions),
    }
    text = f"{trading.blocks} blocks, {trading.reorgs} reorgs; {told(trading.transactions)}"
    text += f"; head {head}" if head else ""
    if record:
        line["journal"] = str(record / "journal")
        text += f"; journal in {record / 'journal'}"
    say(line, text, as_json)


def told(transactions: Mapping[str, int]) -> str:
    """Transactions by kind of trader, in words."""
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(transactions.items()))
    return f"{sum(transactions.values())} transactions" + (f" ({kinds})" if kinds else "")
