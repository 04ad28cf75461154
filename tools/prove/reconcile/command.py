"""`alphapulse prove reconcile`: paper fills and transactions pay the same, to the wei.

Owns the command line and what is printed.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from tools.command.needs import needs
from tools.command.progress import progress, progress_option
from tools.command.say import say
from tools.prove.reconcile.campaign import SETTINGS, PlayedRun, play
from tools.reconcile import explained, table_text

TOLD = 10


@click.command("reconcile", epilog="Example:  alphapulse prove reconcile --orders 100")
@click.option(
    "--orders", type=click.IntRange(1, 100_000), default=1000, show_default=True, help="How many, in all runs."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the first run; each adds one.")
@progress_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines, amounts as decimal strings.")
@needs("pyrevm")
def command(orders: int, seed: int, as_json: bool) -> int:
    """Send orders that were filled on paper as transactions on a real node, at the very places that the fills state.

    Traders, orders and blocks are seeded; the contracts are those of Uniswap V2, V3 and V4 and of Algebra.  Three runs:
    behind all swaps of the order's block, behind half of them two blocks later, in front of all of them.  A collector
    reads the node, the executor fills, and then the node makes each block again with the orders in it.  Passes when
    every account holds exactly what the paper says, and when the contracts inside this process say so too.

    V4 pools are not collected, nor are fee and ticks of Algebra pools: what the executor is told of these comes from
    the node, and orders through V4 are filled by the executor's arithmetic from the node's states.
    """
    outcomes: list[PlayedRun] = []
    share = -(-orders // len(SETTINGS))
    with progress("executing", orders, "orders") as bar:
        for number, setting in enumerate(SETTINGS):
            done = sum(outcome.orders for outcome in outcomes)
            wanted = min(share, orders - done)
            if wanted < 1:
                break
            told = 0

            def step(count: int) -> None:
                nonlocal told
                bar.advance(count - told)
                told = count

            outcome = play(seed + number, wanted, setting, step)
            outcomes.append(outcome)
            tell_run(outcome, as_json)
    line = summary(outcomes)
    say(line, verdict(line), as_json)
    return 0 if line["passed"] and line["orders"] == orders else 1


def tell_run(outcome: PlayedRun, as_json: bool) -> None:
    """One run: what differs, the table of its signals, and its sum."""
    for text in [*outcome.wrong, *by_contracts(outcome)][:TOLD]:
        say({"seed": outcome.seed, "wrong": text}, f"seed {outcome.seed}: {text}", as_json)
    for table in explained(outcome.judgements, outcome.read.undone):
        say({"seed": outcome.seed, **table}, table_text(table), as_json)
    line = summary([outcome])
    about = {"seed": outcome.seed, **outcome.setting._asdict()}
    place = f"behind {outcome.setting.share_percent} % of the swaps, {outcome.setting.delay_blocks} blocks later"
    say({**about, **line}, f"seed {outcome.seed}, {place}: {verdict(line)}", as_json)


def by_contracts(outcome: PlayedRun) -> list[str]:
    """What the contracts inside this process say otherwise, or could not say."""
    return [text for one in outcome.judgements for text in (*one.wrong, *([one.unjudged] if one.unjudged else ()))]


def summary(outcomes: list[PlayedRun]) -> dict[str, Any]:
    """The sums of some runs."""
    swaps: Counter[str] = Counter()
    for outcome in outcomes:
        swaps.update(outcome.swaps)
    differing = sum(len(outcome.wrong) for outcome in outcomes)
    contracts = sum(len(by_contracts(outcome)) for outcome in outcomes)
    return {
        "blocks": sum(outcome.blocks for outcome in outcomes),
        "orders": sum(outcome.orders for outcome in outcomes),
        "swaps": dict(sorted(swaps.items())),
        "failed_on_paper": sum(outcome.failed_on_paper for outcome in outcomes),
        "differing": differing,
        "remainder_wei": str(sum(outcome.remainder for outcome in outcomes)),
        "executed_in_process": sum(not one.unjudged for outcome in outcomes for one in outcome.judgements),
        "differing_in_process": contracts,
        "passed": not differing and not contracts,
    }


def verdict(line: dict[str, Any]) -> str:
    """The sums in words."""
    swaps = ", ".join(f"{count} {kind}" for kind, count in line["swaps"].items())
    return (
        f"{line['orders']} orders as transactions ({swaps}): {line['differing']} differ, remainder "
        f"{line['remainder_wei']} wei; {line['executed_in_process']} attempts executed in this process, "
        f"{line['differing_in_process']} differ"
    )


if __name__ == "__main__":
    from tools.command.main import run_command

    run_command(command, "reconcile")
