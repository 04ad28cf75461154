"""`alphapulse prove anomalies`: planted anomalies are found, and little else.

Owns the command line, the bounds, and what is printed.
"""

from __future__ import annotations

import time
from typing import Any

import click

from tlv.codes import AnomalyKind, AnomalyState
from tools.anomaly_text import Explorers, anomaly_line, anomaly_to_dict
from tools.command.say import say
from tools.prove.anomalies.planting import Field
from tools.prove.anomalies.recorded import Stream, recorded, stretched
from tools.prove.anomalies.scoring import Score, score, watched_stream
from tools.prove.simulation import PROGRESS_S

ROUNDS = 7
"""The twelve Ethereum blocks so many times over: history enough to know what is usual."""
LEAST_RECALL, LEAST_PRECISION = 0.95, 0.9
KINDS = [kind.name.lower() for kind in AnomalyKind]


@click.command("anomalies", epilog="Example:  alphapulse prove anomalies --plants 100")
@click.option("--plants", default=5, show_default=True, type=click.IntRange(1), help="Of each kind, and decoys.")
@click.option("--kind", "names", multiple=True, type=click.Choice(KINDS), help="Only this kind (repeatable).")
@click.option("--seed", default=1, show_default=True, type=int)
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def command(plants: int, names: tuple[str, ...], seed: int, as_json: bool) -> int:
    """Plant anomalies into a collector's frames of the bundled recordings, and count which are found.

    A plant is 1.1 to 4 thresholds high; beside each a decoy is planted that is 0.3 to 0.8 thresholds high.  Whatever is
    found that was neither planted nor there before is false.  Prints what the recordings show by themselves, then
    recall and precision of each kind; the exit code is 1 if one is below 95 % or 90 %.
    """
    explorers = Explorers()
    for name in ("polygon", "ethereum"):
        show_recording(name, recorded(name), explorers, as_json=as_json)
    fields = [Field(recorded("polygon")), Field(stretched("ethereum", ROUNDS))]
    kinds = [AnomalyKind[name.upper()] for name in names or KINDS]
    told = time.monotonic()

    def progress(kind: AnomalyKind, done: int) -> None:
        nonlocal told
        if time.monotonic() - told > PROGRESS_S:
            told = time.monotonic()
            click.echo(f"{kind.name.lower()}: {done} of {plants} planted", err=True)

    passed = True
    for found in score(fields, kinds, plants, seed, progress):
        fine = found.recall >= LEAST_RECALL and found.precision >= LEAST_PRECISION
        passed &= fine
        say(described(found) | {"passed": fine}, sentence(found), as_json)
    return 0 if passed else 1


def show_recording(name: str, frames: Stream, explorers: Explorers, *, as_json: bool) -> None:
    """Print what a recording shows by itself."""
    found = [health for health in watched_stream(frames) if health.state != AnomalyState.ENDED]
    line = {
        "recording": name,
        "frames": len(frames),
        "anomalies": [anomaly_to_dict(health, explorers) for health in found],
    }
    lines = [f"recording {name}: {len(frames)} frames, {len(found)} anomalies"]
    say(line, "\n  ".join([*lines, *(anomaly_line(health, explorers) for health in found)]), as_json)


def described(found: Score) -> dict[str, Any]:
    """A kind's score as JSON."""
    return {
        "kind": found.kind.name.lower(),
        "planted": found.planted,
        "found": found.found,
        "recall": round(found.recall, 4),
        "decoys": found.decoys,
        "false": found.false,
        "precision": round(found.precision, 4),
        "missed": found.missed,
    }


def sentence(found: Score) -> str:
    """The same as one line."""
    return (
        f"{found.kind.name.lower()}: {found.found} of {found.planted} found (recall {found.recall:.1%}), "
        f"{found.false} false beside {found.decoys} decoys (precision {found.precision:.1%})"
    )
