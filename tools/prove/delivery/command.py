"""`alphapulse prove delivery`: the delivery campaign on the user's own machine."""

from __future__ import annotations

import dataclasses
import json
import secrets

import click


@click.command("delivery", epilog="Example:  alphapulse prove delivery --kills 60 --seed 7")
@click.option("--kills", type=click.IntRange(1), default=60, show_default=True, help="How many processes to kill.")
@click.option("--seed", type=int, default=None, help="Repeat the random choices of an earlier run.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(kills: int, seed: int | None, as_json: bool) -> int:
    """Kill relays, recorder, bridges, broker and clients under load, and count what every reader got.

    Passes when every named client, the journal and the ring behind the bridge have every message that was published,
    and the gaps of plain readers are exact.  Needs the extra `nats` and Debian's nats-server.
    """
    from tools.prove.delivery.campaign import prove_delivery

    outcome = prove_delivery(kills, secrets.randbelow(1 << 31) if seed is None else seed)
    click.echo(json.dumps(dataclasses.asdict(outcome)) if as_json else outcome.line())
    return 0 if outcome.passed else 1
