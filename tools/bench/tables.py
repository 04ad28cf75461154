"""The readings of a run as a table for people."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tools.bench.disturbance import Disturbance
from tools.bench.machine import cores_said, warnings
from tools.bench.report import BenchReport, ReportRow

WIDTH = 180
"""Of a table that goes into a file or a pipe."""
DISTURBED = "~"
"""Stands behind a value that was measured while something else used the machine."""


def console() -> Console:
    """Where tables are printed."""
    return Console(width=None if sys.stdout.isatty() else WIDTH)


def show(report: BenchReport) -> None:
    """Print everything that a run found, and what it did not."""
    table = Table(box=None, pad_edge=False)
    for column in ("reading", "value", "unit", "target", "x baseline", "baseline", "note"):
        table.add_column(column, justify="right" if column in {"value", "target", "x baseline"} else "left")
    for row in report.results:
        table.add_row(*cells(row))
    where, out = report.machine, console()
    for warning in warnings(where):
        out.print(Text(warning, "yellow"))
    out.print(table)
    for failure in report.failed:
        out.print(Text(f"{failure.benchmark}: {failure.reason}", "red"))
    if report.left_out:
        out.print(Text(f"left out for want of time: {', '.join(one.benchmark for one in report.left_out)}", "yellow"))
    if report.interrupted:
        out.print(Text(f"interrupted: {len(report.done)} of {len(report.chosen)} benchmarks came to their end", "red"))
    if report.disturbed:
        out.print(Text(f"{report.disturbed} readings on a disturbed machine ({DISTURBED}), at worst {worst(report)}"))
    out.print(
        Text(f"{where['processor']}, {cores_said(where['cores'])}, load {where['load_1min']}, Python {where['python']}")
    )


def cells(row: ReportRow) -> tuple[str | Text, ...]:
    """A reading's row."""
    target = "" if row.target is None else f"{row.target:,g}"
    name = Text(row.name, "" if row.meets_target else "red")
    if row.missing:
        return name, "-", row.unit, target, "", "", Text(row.missing)
    value = f"{row.value:,.2f}{DISTURBED if row.disturbed else ''}"
    baseline = f"{row.baseline_name} ({row.baseline_value:,.2f})"
    return name, value, row.unit, target, f"{row.ratio:,.2f}", Text(baseline), Text(row.note)


def worst(report: BenchReport) -> str:
    """The worst of what happened beside readings."""
    seen = [row.disturbance for row in report.results if row.disturbance]
    if not seen:
        return "as the benchmark itself saw"
    found = Disturbance(*(max(one.get(field, 0.0) for one in seen) for field in Disturbance.__dataclass_fields__))
    return ", ".join(found.reasons) or "as the benchmark itself saw"
