"""`alphapulse prove delivery`: the delivery campaign on the user's own machine."""

from __future__ import annotations

import dataclasses
import json
import secrets

import click

from tools.command.given import refuse_without_effect
from tools.command.needs import needs


@click.command("delivery", epilog="Example:  alphapulse prove delivery --kills 60 --seed 7")
@click.option("--kills", type=click.IntRange(1), default=60, show_default=True, help="How many processes to kill.")
@click.option("--seed", type=int, default=None, help="Repeat the random choices of an earlier run.")
@click.option("--simulated", is_flag=True, help="Without processes: a whole world under each seed, on one core.")
@click.option("--seeds", type=click.IntRange(1), help="With --simulated: how many.  [default: 1000]")
@click.option(
    "--first-seed", type=int, default=1, show_default=True, help="With --simulated: the first; each adds one."
)
@click.option(
    "--mutants", is_flag=True, help="Put known defects back: is each found in its world, or by the first of --seeds?"
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object, or one a line.")
@needs("nats")
def command(
    kills: int, seed: int | None, simulated: bool, seeds: int | None, first_seed: int, mutants: bool, as_json: bool
) -> int:
    """Kill relays, recorder, bridges, broker and clients under load, and count what every reader got.

    Passes when every named client, the journal and the ring behind the bridge have every message that was published,
    and the gaps of plain readers are exact.  It takes Debian's nats-server.

    --simulated runs the relay's and the client's own code in a simulated world: rings that follow each other, a
    recorder, retention, damage, kills, cancellations, all under the seed.  Passes when a named client has everything
    that was published, in order and once, or was told exactly what it lacks.  A seed that fails is told with its
    smallest history.  A third of the worlds have a bridge, over a simulated JetStream.
    """
    if simulated or mutants:
        refuse_without_effect("in the simulated world", "--kills", "--seed")
        from tools.prove.delivery.simulated import DELIVERY
        from tools.prove.delivery.world.mutants import DELIVERY_MUTANTS

        if mutants:
            searched = range(first_seed, first_seed + seeds) if seeds is not None else None
            return DELIVERY.tell_defects(DELIVERY_MUTANTS, searched, as_json=as_json)
        return DELIVERY.tell(first_seed, seeds or 1000, as_json=as_json)
    refuse_without_effect("without --simulated or --mutants", "--seeds", "--first-seed")
    from tools.prove.delivery.campaign import prove_delivery

    outcome = prove_delivery(kills, secrets.randbelow(1 << 31) if seed is None else seed)
    click.echo(json.dumps(dataclasses.asdict(outcome)) if as_json else outcome.line())
    return 0 if outcome.passed else 1
