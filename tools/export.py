"""`alphapulse export`: write a journal as Parquet, CSV or JSON lines.

Owns the command line and the report; `consumers.store` writes the tables.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import cast

import click
import msgspec

from consumers.analysis.amounts import AMOUNTS, Amounts
from consumers.analysis.files import SINKS, Format
from consumers.store import Store
from tools.command.needs import needs
from tools.command.progress import is_shown, progress_option
from tools.command.records import records_option


@click.command(
    "export", epilog="Example:  alphapulse export journal/ --out tables/ --types PoolSwap,PoolSync --amounts float"
)
@click.argument("journal", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Directory; one file per record type.")
@click.option("--format", "form", type=click.Choice(list(SINKS)), default="parquet", show_default=True)
@click.option("--types", metavar="NAMES", help="Only these records, such as PoolSwap,PoolSync.")
@click.option("--venues", metavar="NAMES", help="Only pools of these venues, such as quickswap_v2.")
@click.option("--pool", "pools", multiple=True, metavar="0x...", help="Only this pool (repeatable).")
@click.option("--token", "tokens", multiple=True, metavar="0x...", help="Only pools of this token (repeatable).")
@click.option("--from-block", type=int, help="First block.")
@click.option("--to-block", type=int, help="Last block.")
@click.option(
    "--amounts",
    type=click.Choice(list(AMOUNTS)),
    default="int",
    show_default=True,
    help="int = exact base units; decimal, float = whole tokens, in Parquet in a second column beside the exact one.",
)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Also what left the chain, its REMOVED copies, and second copies; the column `flags` tells them apart.",
)
@click.option("--as-of", type=int, metavar="BLOCK", help="What was known at this block, before the next one was.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON line at the end.")
@records_option
@progress_option
@needs("pyarrow")
def command(
    journal: Path,
    out: Path,
    form: str,
    types: str | None,
    venues: str | None,
    pools: tuple[str, ...],
    tokens: tuple[str, ...],
    from_block: int | None,
    to_block: int | None,
    amounts: str,
    everything: bool,
    as_of: int | None,
    as_json: bool,
) -> None:
    """Write the messages of JOURNAL as tables, one file per record type: those that stand, each once.

    Events that left the chain are left out with their REMOVED copies, and so are second copies (back-fills, replays).
    In Parquet a 256-bit amount is 32 big-endian bytes: all digits are there, and ORDER BY sorts by them.
    """
    store = Store.open(journal, canonical=not everything, as_of=as_of).select(
        types=types.split(",") if types else (),
        venues=venues.split(",") if venues else (),
        pools=pools,
        tokens=tokens,
        blocks=(from_block, to_block),
    )
    began = time.monotonic()
    rows = store.export(out, form=cast(Format, form), amounts=cast(Amounts, amounts), progress=is_shown())
    seconds = time.monotonic() - began
    if as_json:
        line = {"out": str(out), "format": form, "rows": rows, "refused": store.refused, "seconds": round(seconds, 6)}
        click.echo(msgspec.json.encode(line))
        return
    for name, count in rows.items():
        click.echo(f"{count:>12,}  {out / name}.{form}")
    if store.refused:
        click.echo(f"{store.refused:>12,}  frames left out because they are no message")


if __name__ == "__main__":
    from tools.command.main import run_command

    run_command(command, "export")
