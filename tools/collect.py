"""`alphapulse collect`: read DEX events from a node and publish them in a ring.

Owns the command line, the ready line and the last line.  With `--json` each is one JSON object on stdout; the log goes
to stderr.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import msgspec

from producers.chains.configuration import load_chain
from producers.collector import Collector, CollectorOptions
from producers.kinds.selection import LogSelection
from producers.node.connection import MAX_MESSAGE
from producers.node.redaction import host_of
from producers.output.pool_readings import PoolWatch
from producers.statistics import Statistics
from ringbuf import DEFAULT_CAPACITY, NotOwner, RingOrphaned, SharedCounters
from tlv.addresses import read_address
from tlv.errors import UsageError
from tlv.user_cache import cache_root
from tools.collect_ending import Ending
from tools.collect_standby import StandbyProcess
from tools.command.config_option import config_option
from tools.command.counting import counters_beside
from tools.command.endpoint_options import checked_websocket
from tools.command.given import refuse_without_effect
from tools.command.service import tell_while_it_turns
from tools.command.stderr_log import OURS, complain, speak_from
from tools.warm import warm_collector, warm_ring

NO_ACCOUNT = (
    "these are the chain's public endpoints, which need no account: is the way to the internet open? A node of your own"
    " or a provider's is named with --url wss://... (if it holds a key: in ALPHAPULSE__COLLECTOR__URL);"
    " alphapulse doctor --endpoints says more"
)
TRY_ANOTHER = (
    "is the URL right, and is the way to it open? alphapulse doctor --url ... says more, --fallback names another one"
)


@click.command(
    "collect", epilog="Example:  alphapulse collect --url ws://127.0.0.1:8546 --until-idle 3 --json --stats-json -"
)
@config_option(required=False, handed_over=False)
@click.option("--url", help="WebSocket endpoint of the node.  [default: the chain's public endpoints]")
@click.option("--fallback", "fallbacks", multiple=True, help="Endpoint to use while the first fails; repeatable.")
@click.option("--chain", default="polygon", show_default=True, help="polygon, ethereum, base or a TOML file.")
@click.option("--ring", help="Ring to publish into.  [default: the chain's]")
@click.option(
    "--capacity",
    default=DEFAULT_CAPACITY,
    show_default=True,
    type=click.IntRange(1 << 16),
    metavar="BYTES",
    help="Size of a new ring, a power of two.",
)
@click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="ADDRESS|events|FILE.toml",
    help="Subscribe to one contract (repeatable), or to events' topics only; or publish what passes a file's rules.",
)
@click.option(
    "--watch-ticks",
    multiple=True,
    metavar="ADDRESS|all",
    help="Read the tick map of a Uniswap V3 or Algebra pool (repeatable), or of all, from the node and publish it: at"
    " the pool's first event, after every loss, every 5 minutes; of Algebra what its fee follows from as well.",
)
@click.option(
    "--unproven",
    default="hold",
    show_default=True,
    type=click.Choice(["hold", "publish"]),
    help="Events of a contract that the node cannot prove in time to be a pool, or none: hold them back until it can,"
    " or publish them flagged UNPROVEN, without tokens and venue.",
)
@click.option("--cross-check", "second", metavar="URL", help="A second endpoint, asked whether it lists the same logs.")
@click.option(
    "--cross-check-share",
    default=0.1,
    show_default=True,
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="Of the blocks, those that it is asked about.",
)
@click.option("--pool-cache", metavar="FILE|none", help="Verified pools.  [default: in the user's cache]")
@click.option(
    "--watchdog",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0.5),
    metavar="SECONDS",
    help="Go to the next endpoint when no block has ended for so long (or for 8 block times, if that is longer).",
)
@click.option(
    "--max-message",
    default=MAX_MESSAGE,
    show_default=True,
    type=click.IntRange(1 << 16),
    metavar="BYTES",
    help="Largest message of a node; the logs of a block that are more are asked for in parts.",
)
@click.option(
    "--state", type=click.Path(path_type=Path, dir_okay=False), help="Where to resume should the ring be gone."
)
@click.option(
    "--ring-lost",
    default="remake",
    show_default=True,
    type=click.Choice(["stop", "remake"]),
    help="When the ring's name in /dev/shm is gone or means another ring: end with an error, or make it anew and go on"
    " behind the last complete block.  A ring of another living writer is never touched.",
)
@click.option(
    "--standby",
    is_flag=True,
    help="Where the ring has a writer, wait beside it, ready, and go on where it ends, however it ends.",
)
@click.option("--until-idle", type=click.FloatRange(0.1), metavar="SECONDS", help="Exit when nothing came for so long.")
@click.option("--stats-json", metavar="FILE|-", help="Statistics: a file is rewritten every second; - at the end.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
@click.option("--verbose", "-v", is_flag=True, help="Log connections too, not only trouble.")
def command(
    url: str | None,
    fallbacks: tuple[str, ...],
    chain: str,
    ring: str | None,
    capacity: int,
    filters: tuple[str, ...],
    watch_ticks: tuple[str, ...],
    unproven: str,
    second: str | None,
    cross_check_share: float,
    pool_cache: str | None,
    state: Path | None,
    ring_lost: str,
    standby: bool,
    watchdog: float,
    max_message: int,
    until_idle: float | None,
    stats_json: str | None,
    as_json: bool,
    verbose: bool,
) -> None:
    """Follow a node's blocks and logs, and publish every event of a verified pool in a ring.

    Runs until SIGINT or SIGTERM.  What the ring then holds is complete, block by block: each BlockEnd says how that
    is known, and what could not be had is a Gap.  On SIGUSR1 the state of every pool is told anew, and the
    tick map of every watched one; on SIGHUP the filter's file is read again.

    With --standby it waits while another process writes the ring, with everything read, compiled and checked, and goes
    on where that one ends, closed or killed: an upgrade is a standby of the new version and the end of the old one
    (docs/running.md).  A process that hangs is not replaced: two never write one ring.

    Every user of the machine can read a command line.  An endpoint that holds a key belongs into the environment
    (ALPHAPULSE__COLLECTOR__URL, ...__FALLBACK, ...__CROSS_CHECK) or into the configuration file.
    """
    if second is None:
        refuse_without_effect("without --cross-check", "--cross-check-share")
    config = load_chain(chain)
    options = CollectorOptions(
        chain=config,
        urls=tuple(map(checked_websocket, (*([url] if url else []), *fallbacks) or config.endpoints)),
        ring=ring or config.ring,
        capacity=capacity,
        selection=_selection(filters),
        filter_file=_filter_file(filters),
        tick_watch=_tick_watch(watch_ticks),
        publish_unproven=unproven == "publish",
        pool_cache=cache_path(pool_cache, config.chain_id),
        stats_file=Path(stats_json) if stats_json not in (None, "-") else None,
        state_file=state,
        second_url=checked_websocket(second) if second else None,
        cross_check_share=cross_check_share,
        until_idle_s=until_idle,
        watchdog_s=watchdog,
        max_message=max_message,
        remedy=TRY_ANOTHER if url or fallbacks else NO_ACCOUNT,
    )
    if verbose:
        speak_from(min(logging.INFO, logging.getLogger(OURS).getEffectiveLevel()))
    warm_ring()
    warm_collector()
    with Ending.heard() as ending:
        statistics = _collect_or_wait(options, ending, as_json, remake=ring_lost == "remake", standby=standby)
    if statistics is None:
        line = f"told to end while it stood by for ring {options.ring}"
        click.echo(msgspec.json.encode({"took_over": False, "ring": options.ring}) if as_json else line)
    elif as_json or stats_json == "-":
        click.echo(msgspec.json.encode(statistics))
    else:
        click.echo(_sentence(statistics))


def ready_collector(options: CollectorOptions, shared: SharedCounters | None = None) -> Collector:
    """A collector in a process that is fit for it: everything is compiled, and what stays is no garbage to look for.

    The modules alone are 120,000 objects, and the collector of garbage looked through them for 28 to 44 ms at a time:
    longer than anything else that kept the loop away (`alphapulse bench --only collector`).
    """
    # Compiling in the middle of a block would look like a node that does not answer.
    warm_ring()
    warm_collector()
    collector = Collector(options, shared)
    settle_memory()
    return collector


def settle_memory() -> None:
    """Free what is garbage, and take what is left for what stays."""
    gc.collect()
    gc.freeze()


def _collect_or_wait(
    options: CollectorOptions, ending: Ending, as_json: bool, *, remake: bool, standby: bool
) -> dict[str, Any] | None:
    """Collect; a standby waits for that, again and again where others become the writer first.

    Returns the statistics, None of a standby that was told to end while it waited.
    """
    waiting = StandbyProcess(options, as_json=as_json) if standby else None
    while True:
        if waiting is not None:
            settle_memory()
            if not waiting.wait(ending):
                return None
        try:
            with counters_beside(Statistics, options.ring, "collector") as shared:
                return asyncio.run(_collect(options, shared, ending, waiting, as_json, remake=remake))
        except NotOwner as error:
            if waiting is None:
                raise
            waiting.counts.lost_races += 1
            complain("collector", f"{error}; standing by", ring=options.ring)


async def _collect(
    options: CollectorOptions,
    shared: SharedCounters | None,
    ending: Ending,
    waited: StandbyProcess | None,
    as_json: bool,
    *,
    remake: bool,
) -> dict[str, Any]:
    collector = Collector(options, shared, waited.ahead if waited is not None else None)
    ending.tells(collector)
    settle_memory()
    host = host_of(options.urls[0])
    if as_json:
        ready = {"ready": True, "ring": options.ring, "host": host, "chain": options.chain.name}
        click.echo(msgspec.json.encode(ready))
    else:
        click.echo(f"collecting {options.chain.name} from {host} into ring {options.ring}")
    sys.stdout.flush()
    while True:
        try:
            return (await _run(collector)).to_dict()
        except RingOrphaned as error:
            if not remake:
                raise
            complain("collector", f"{error}; making it anew", ring=options.ring)
            collector = Collector(replace(options, position=collector.position), shared)
            ending.tells(collector)


async def _run(collector: Collector) -> Statistics:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, collector.reload_filter)
    loop.add_signal_handler(signal.SIGUSR1, collector.want_states)
    # A heartbeat goes into the ring each second, with or without a node, and says what is wrong with the feed.
    telling = loop.create_task(tell_while_it_turns(lambda: collector.next_sequence))
    try:
        return await collector.run()
    finally:
        telling.cancel()


def _selection(filters: tuple[str, ...]) -> LogSelection:
    addresses = []
    for text in filters:
        if text == "events" or text.endswith(".toml"):
            continue
        try:
            addresses.append(read_address(text))
        except ValueError as error:
            raise UsageError(f"filter: {error} (or events, or a .toml file)") from None
    return LogSelection(tuple(addresses), "events" in filters)


def _tick_watch(watched: tuple[str, ...]) -> PoolWatch:
    try:
        pools = [read_address(text) for text in watched if text != "all"]
    except ValueError as error:
        raise UsageError(f"watch-ticks: {error} (or all)") from None
    return PoolWatch(frozenset(bytes.fromhex(pool[2:]) for pool in pools), "all" in watched)


def _filter_file(filters: tuple[str, ...]) -> Path | None:
    files = [Path(text) for text in filters if text.endswith(".toml")]
    if len(files) > 1:
        raise UsageError(f"filter: expected at most one file, found {len(files)}")
    return files[0] if files else None


def cache_path(given: str | None, chain_id: int) -> Path | None:
    """Where the verified pools of a chain are kept; None: nowhere."""
    if given is not None:
        return None if given == "none" else Path(given)
    return cache_root() / f"pools-{chain_id}.jsonl"


def _sentence(statistics: dict[str, Any]) -> str:
    return (
        "{blocks} blocks, {logs_received} logs, {events_published} events published, {removed_events} taken back; "
        "{reorg_count} reorgs, {gap_count} gaps, {pools} pools verified, {quarantined_logs} logs quarantined, "
        "{lookalikes} lookalikes"
    ).format(**statistics)


if __name__ == "__main__":
    from tools.command.main import run_command

    run_command(command, "collect")
