"""`alphapulse prove feed`: the feed's campaign on the user's own machine."""

from __future__ import annotations

import dataclasses
import json

import click

from tools.command.given import refuse_without_effect
from tools.prove.feed.campaign import FeedRun, run_feeds
from tools.prove.feed.simulated import FEED, tell_endurance
from tools.prove.world.mutants import MUTANTS
from tools.rig.evm.kinds import ANVIL, KINDS


@click.command("feed", epilog="Example:  alphapulse prove feed --seeds 20 --first-seed 1")
@click.option("--seeds", type=click.IntRange(1), help="How many runs.  [default: 20]")
@click.option("--first-seed", type=int, default=1, show_default=True, help="Seed of the first run; each adds one.")
@click.option("--transactions", type=click.IntRange(1), default=300, show_default=True, help="In each run, at least.")
@click.option("--jobs", type=click.IntRange(1), default=4, show_default=True, help="Runs at a time.")
@click.option(
    "--node",
    type=click.Choice([*KINDS, "all"]),
    default=ANVIL.name,
    show_default=True,
    help="The node to collect from; with all, every seed on each of them.",
)
@click.option("--simulated", is_flag=True, help="Without node or network: a whole world under each seed, on one core.")
@click.option(
    "--mutants", is_flag=True, help="Put known defects back: is each found in its world, or by the first of --seeds?"
)
@click.option(
    "--endurance",
    type=click.IntRange(1),
    metavar="BLOCKS",
    help="Simulated: one life of so many blocks under faults without an end. Does the feed hold more and more?",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def command(
    seeds: int | None,
    first_seed: int,
    transactions: int,
    jobs: int,
    node: str,
    simulated: bool,
    mutants: bool,
    endurance: int | None,
    as_json: bool,
) -> int:
    """Collect from a real EVM node with real Uniswap contracts while connections and processes are broken.

    One line per run, the last line the sum.  Passes when every run's canonical events equal the node's own
    eth_getLogs, field by field.  Fetches the nodes and the contracts from npm on first use.

    --simulated runs the same feed in a simulated world: load-balanced nodes that lag and lie, a network that fails,
    kills and restarts, all under the seed.  Passes when a reader of the ring lacks nothing that was not declared, and
    nothing at all some time after the nodes tell the truth.  A seed that fails is told with its smallest history.

    --endurance is one collector in that world for so many blocks.  Passes when nothing is lacking behind each spell of
    faults, and when neither its tables nor the memory of the process are larger at the end than in the first half.
    """
    if endurance is not None:
        refuse_without_effect("with --endurance", "--simulated", "--mutants", "--seeds")
    if simulated or mutants or endurance is not None:
        refuse_without_effect("in the simulated world", "--transactions", "--jobs", "--node")
    if mutants:
        searched = range(first_seed, first_seed + seeds) if seeds is not None else None
        return FEED.tell_defects(MUTANTS, searched, as_json=as_json)
    if endurance is not None:
        return tell_endurance(first_seed, endurance, as_json=as_json)
    seeds = seeds or 20
    if simulated:
        return FEED.tell(first_seed, seeds, as_json=as_json)
    runs = []
    for kind in KINDS.values() if node == "all" else [KINDS[node]]:
        for run in run_feeds(range(first_seed, first_seed + seeds), transactions, jobs, kind):
            runs.append(run)
            click.echo(json.dumps(_as_dict(run)) if as_json else run.summary)
    failed = [run.seed for run in runs if not run.passed]
    if as_json:
        click.echo(json.dumps({"runs": len(runs), "failed_seeds": failed, **_sums(runs)}))
    else:
        sums = ", ".join(f"{value} {name}" for name, value in _sums(runs).items())
        click.echo(f"{len(runs)} runs, {len(failed)} failed{f' (seeds {failed})' if failed else ''}: {sums}")
    return 1 if failed else 0


def _as_dict(run: FeedRun) -> dict[str, object]:
    return {**dataclasses.asdict(run), "faults": dict(run.faults), "passed": run.passed}


def _sums(runs: list[FeedRun]) -> dict[str, int]:
    names = ("expected", "missing", "extra", "different", "gaps", "transactions", "reorgs", "connections")
    return {name: sum(getattr(run, name) for run in runs) for name in names}
