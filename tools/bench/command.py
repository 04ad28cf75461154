"""`alphapulse bench`: every part measured beside a baseline of the same run.

Owns the list of benchmarks and how their readings are shown; what is measured stands in the other files of this folder.
"""

from __future__ import annotations

import importlib
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict

import click
import msgspec

from tools.bench.result import BenchResult
from tools.command.needs import require

BENCHMARKS = {
    "tlv": "tools.bench.tlv",
    "ring": "tools.bench.ring.topologies",
    "decode": "tools.bench.collector.decode",
    "collector": "tools.bench.collector.rates",
    "endpoints": "tools.bench.collector.endpoints",
    "hand_over": "tools.bench.collector.hand_over",
    "ticks": "tools.bench.collector.ticks",
    "strategy": "tools.bench.strategy",
    "execution": "tools.bench.execution",
    "backtest": "tools.bench.backtest",
    "relay": "tools.bench.relay",
    "catch_up": "tools.bench.catch_up",
    "journal": "tools.bench.journal",
    "store": "tools.bench.store",
    "bridge": "tools.bench.bridge",
    "obs": "tools.bench.obs",
    "browser": "tools.bench.browser",
    "time_travel": "tools.bench.time_travel",
    "start": "tools.bench.start",
    "live_view": "tools.bench.live_view",
}
"""The module of each benchmark, in the order in which a message meets what they measure; each has `run(seconds)`."""
LIBRARIES = {"store": ("pyarrow", "polars", "pandas", "duckdb"), "bridge": ("nats",), "obs": ("uvicorn",)}
"""Of extras, that a benchmark needs."""


def meets(result: BenchResult) -> bool:
    """Whether a reading reaches its target; one without a target does."""
    return result.meets_target


def measure(name: str, seconds: float) -> list[BenchResult]:
    """Run one benchmark."""
    run: Callable[[float], list[BenchResult]] = importlib.import_module(BENCHMARKS[name]).run
    return run(seconds)


def machine() -> dict[str, str | int | float]:
    """What the readings were taken on; a loaded machine explains a bad reading."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load_1min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "kernel": platform.release(),
    }


def processor() -> str:
    """Name of the processor, from /proc/cpuinfo."""
    with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 - a file of the kernel's, read line by line
        return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


@click.command("bench", epilog="Example:  alphapulse bench --only ring --seconds 2 --json")
@click.option("--only", "names", multiple=True, type=click.Choice(list(BENCHMARKS)), help="Run this one (repeatable).")
@click.option("--seconds", default=1.0, show_default=True, type=click.FloatRange(0.01, 600), help="For each reading.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--strict", is_flag=True, help="Exit with 1 if a reading misses its target.")
def command(names: tuple[str, ...], seconds: float, as_json: bool, strict: bool) -> int:
    """Measure codec, ring, decoder, collector, strategy, executor, relay, journal, obs, starts of commands, live views.

    Every reading stands beside a baseline measured in the same run; the ratio says how many times better it is.
    Absolute numbers depend on the machine and on what else it does.  `store`, `bridge` and `obs` need the extras
    `analysis`, `nats` and `obs`.
    """
    chosen = names or BENCHMARKS
    require(*(library for name in chosen for library in LIBRARIES.get(name, ())))
    results: dict[str, list[BenchResult]] = {}
    for name in chosen:
        if not as_json:
            click.echo(f"measuring {name} ...", err=True)
        results[name] = measure(name, seconds)
    rows = [result for measured in results.values() for result in measured]
    if as_json:
        readings = [asdict(row) | {"meets_target": meets(row)} for row in rows]
        click.echo(msgspec.json.encode({"machine": machine(), "seconds": seconds, "results": readings}))
    else:
        show(rows)
    return 1 if strict and not all(meets(row) for row in rows) else 0


def show(rows: list[BenchResult]) -> None:
    """The readings as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("reading", "value", "unit", "target", "x baseline", "baseline", "note"):
        table.add_column(column, justify="right" if column in {"value", "target", "x baseline"} else "left")
    for row in rows:
        style = "" if meets(row) else "red"
        target = "" if row.target is None else f"{row.target:,g}"
        table.add_row(
            f"[{style}]{row.name}[/]" if style else row.name,
            f"{row.value:,.2f}",
            row.unit,
            target,
            f"{row.ratio:,.2f}",
            f"{row.baseline_name} ({row.baseline_value:,.2f})",
            row.note,
        )
    console = Console(width=None if sys.stdout.isatty() else 180)
    console.print(table)
    where = machine()
    console.print(f"{where['processor']}, {where['cores']} cores, load {where['load_1min']}, Python {where['python']}")
