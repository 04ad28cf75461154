"""`alphapulse prove ring`: the proofs about the ring, on the user's own machine.

Owns the command line and the output.  It must never know how a proof works.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from tlv.nearest import did_you_mean

if TYPE_CHECKING:
    from tools.rig.outcome import Outcome


@click.command("ring", epilog="Example:  alphapulse prove ring --only kills --seed 7")
@click.option("--deep", is_flag=True, help="Ten times the campaigns and fifty times the schedules: an hour or two.")
@click.option("--seed", type=int, default=None, help="Repeat the random choices of an earlier run.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per proof and line.")
@click.option("--only", multiple=True, metavar="NAME", help="Run only these; repeatable; `list` names them.")
def ring(deep: bool, seed: int | None, as_json: bool, only: tuple[str, ...]) -> None:
    """Prove the ring on this machine: models of the kernels, and campaigns with real processes.

    Prints a line per proof with what was seen, and on stderr which one is running; exit code 1 if one failed.
    """
    from tools.prove.ring.campaigns import ring_proofs  # compiles kernels when it runs; --help need not

    chosen_seed = secrets.randbelow(1 << 31) if seed is None else seed

    def progress(text: str) -> None:
        if not as_json:
            click.echo(text, err=True)

    proofs = ring_proofs(chosen_seed, deep=deep, progress=progress)
    if "list" in only:
        click.echo("\n".join(proofs))
        return
    unknown = sorted(set(only) - set(proofs))
    if unknown:
        meant = did_you_mean(unknown[0], proofs)
        raise click.UsageError(f"no proof named {', '.join(unknown)}{meant or '; --only list shows the names'}")
    chosen = only or tuple(proofs)
    failed = 0
    for place, name in enumerate(chosen, 1):
        progress(f"proving {name} ({place} of {len(chosen)}) ...")
        outcome = run_to_its_end(name, proofs[name], chosen_seed)
        failed += not outcome.passed
        click.echo(json.dumps(asdict(outcome)) if as_json else outcome.line())
    if failed:
        click.echo(f"{failed} of {len(chosen)} proofs failed", err=True)
        sys.exit(1)


def run_to_its_end(name: str, proof: Callable[[], Outcome], seed: int) -> Outcome:
    """A proof's outcome; one that raises has failed, and the others run all the same."""
    from tlv.errors import AlphaPulseError
    from tools.rig.outcome import Outcome

    try:
        return proof()
    except (AssertionError, OSError, subprocess.SubprocessError, AlphaPulseError) as error:
        return Outcome(0, name, False, f"broke off: {type(error).__name__}: {error}", seed)


if __name__ == "__main__":
    ring()
