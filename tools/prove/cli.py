"""`alphapulse prove ring`: a user who doubts can look.

Owns the command.  It must never know how a proof works.
"""

from __future__ import annotations

import json
import secrets
import sys
from dataclasses import asdict

import click


@click.command()
@click.option("--deep", is_flag=True, help="Ten times the campaigns and far more schedules: hours.")
@click.option("--seed", type=int, default=None, help="Repeat the random choices of an earlier run.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per proof and line.")
@click.option("--only", multiple=True, metavar="NAME", help="Run only these; repeatable; `list` names them.")
def ring(deep: bool, seed: int | None, as_json: bool, only: tuple[str, ...]) -> None:
    """Prove the ring on this machine: models of the kernels, and campaigns with real processes.

    Prints a line per proof with what was seen; exit code 1 if one failed.

    Example: alphapulse prove ring --only kills --seed 7
    """
    from tools.prove.ring import ring_proofs  # compiles kernels when it runs; --help need not

    chosen_seed = secrets.randbelow(1 << 31) if seed is None else seed
    proofs = ring_proofs(chosen_seed, deep=deep)
    if "list" in only:
        click.echo("\n".join(proofs))
        return
    unknown = sorted(set(only) - set(proofs))
    if unknown:
        raise click.UsageError(f"no proof named {', '.join(unknown)}; --only list shows the names")
    failed = 0
    for name in only or proofs:
        outcome = proofs[name]()
        failed += not outcome.passed
        click.echo(json.dumps(asdict(outcome)) if as_json else outcome.line())
    if failed:
        click.echo(f"{failed} of {len(only or proofs)} proofs failed", err=True)
        sys.exit(1)


if __name__ == "__main__":
    ring()
