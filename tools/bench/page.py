"""The page docs/performance: its tables and pictures, made from a run's JSON.

Owns what stands between the marks `<!-- generated: PART -->` and `<!-- end of PART -->` of FOLDER/index.md, and the
pictures of cost curves beside it.  What stands between the parts is written by people.

    machine     on which machine, when, how long; what failed, what was disturbed
    targets     what was asked of the rows that had targets when they were set, what they were then, and are now
    curves      a picture for each thing that grows, and the exponent of each line
    sustained   a million messages a second, for a minute
    readings    all the others
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tlv.errors import UsageError
from tools.bench.curves.axes import AXES, axis_of_name
from tools.bench.curves.fit import FittedSlope
from tools.bench.machine import cores_said
from tools.bench.plot import CurveLine, chart
from tools.bench.report import BenchReport, ReportRow
from tools.bench.tables import DISTURBED
from tools.bench.targets import TARGETS

PAGE = "index.md"
CURVES, SUSTAINED = "curves", "sustained"
NOTHING = "Not measured in this run.\n"


def write_page(folder: Path, report: BenchReport) -> None:
    """Renew FOLDER/index.md and the pictures beside it.

    Raises:
        UsageError: there is no such page, or a part of it has no place.
    """
    path = folder / PAGE
    if not path.is_file():
        raise UsageError(f"{path}: expected the page whose parts are to be renewed, found none")
    renewed = with_parts(path.read_text(encoding="utf-8"), report, path)
    for name, picture in pictures(report).items():
        (folder / name).write_text(picture, encoding="utf-8")
    path.write_text(renewed, encoding="utf-8")


def with_parts(text: str, report: BenchReport, where: Path) -> str:
    """The page with its parts as the report says.

    Raises:
        UsageError: a part has no place, or one without an end.
    """
    for name, make in PARTS.items():
        begin, end = f"<!-- generated: {name} -->\n", f"<!-- end of {name} -->\n"
        before, found, behind = text.partition(begin)
        if not found or end not in behind:
            raise UsageError(f"{where}: expected {begin.strip()} and {end.strip()} behind it, found none")
        text = f"{before}{begin}\n{make(report)}\n{end}{behind.partition(end)[2]}"
    return text


def pictures(report: BenchReport) -> dict[str, str]:
    """The pictures of the cost curves by file name; one of an axis of which nothing was measured says so."""
    found = {}
    for name, axis in AXES.items():
        rows = curves_of(report, name)
        lines = [CurveLine(series(row), row.points) for row in rows]
        unit = rows[0].unit if rows else ""
        found[f"{name}.svg"] = chart(axis.label, axis.x_label, unit, lines)
    return found


def curves_of(report: BenchReport, axis: str) -> list[ReportRow]:
    """The curves over one axis."""
    return [row for row in report.results if row.points and axis_of_name(row.name) == axis]


def series(row: ReportRow) -> str:
    """What a curve's line is called."""
    return row.name.partition(": ")[2]


# ---- the parts


def machine_part(report: BenchReport) -> str:
    """Where and when, and how far the readings are to be believed."""
    found = report.machine
    pinned = "each process pinned to a core" if found.get("pinned") else "not pinned"
    when = report.when[:16].replace("T", " ")
    lines = [
        f"Measured {when} UTC on {cores_said(found['cores'])} of {found['processor']} ({pinned}), "
        f"Python {found['python']}, kernel {found['kernel']}, load {found['load_1min']} at the beginning; "
        f"{report.seconds:g} s for each reading, {counted(report.rounds, 'round')}.",
        f"{report.disturbed} of {counted(len(report.results), 'reading')} were taken while something else used the "
        f"machine; they are marked `{DISTURBED}`.",
    ]
    lines += [f"`{failure.benchmark}` failed: {failure.reason}." for failure in report.failed]
    if report.left_out:
        lines.append(f"Left out for want of time: {', '.join(one.benchmark for one in report.left_out)}.")
    lines += ["The run was interrupted."] if report.interrupted else []
    return "\n".join(lines) + "\n"


def counted(count: int, what: str) -> str:
    """So many of something."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def targets_part(report: BenchReport) -> str:
    """The table of targets, before and now."""
    rows = {row.name: row for row in report.results}

    def cells(name: str) -> tuple[str, str]:
        row = rows.get(name)
        if row is None or row.missing:
            return (row.missing if row else "not measured"), ""
        beside = f" ({row.baseline_name}: {number(row.baseline_value)})" if row.baseline_name else ""
        met = "" if row.target is None else "yes" if row.meets_target else "**no**"
        return f"{value_of(row)}{beside}", met

    lines = [(one.reading, one.before, one.target, *cells(one.reading)) for one in TARGETS]
    return table(("", "before", "target", "now", "met"), lines)


def curves_part(report: BenchReport) -> str:
    """A picture and a table for each axis."""
    parts = []
    for name, axis in AXES.items():
        rows = curves_of(report, name)
        lines = [
            (
                series(row),
                row.unit,
                ends(row),
                exponent(row),
                rest_of_note(row),
            )
            for row in rows
        ]
        body = table(("", "unit", "from, to", "exponent", ""), lines) if lines else NOTHING
        parts.append(f"### {axis.title}\n\n![{axis.label}]({name}.svg)\n\n{body}")
    return "\n".join(parts)


def ends(row: ReportRow) -> str:
    """The first and the last point of a curve."""
    (low, first), (high, last) = row.points[0], row.points[-1]
    return f"{number(first)} at {low:,.12g}, {number(last)} at {high:,.12g}"


def rest_of_note(row: ReportRow) -> str:
    """The note of a curve without what stands in columns of its own, marked where it was disturbed."""
    rest = row.note.removeprefix(f"at {row.points[-1][0]:,.12g}; ").removeprefix(f"exponent {exponent(row)}; ")
    return f"{rest} {DISTURBED}" if row.disturbed else rest


def exponent(row: ReportRow) -> str:
    """With its error."""
    return "" if row.exponent is None else str(FittedSlope(row.exponent, row.exponent_error))


def sustained_part(report: BenchReport) -> str:
    """A row for each topology."""
    rows = [row for row in report.results if row.benchmark == SUSTAINED]
    return readings_table(rows) if rows else NOTHING


def readings_part(report: BenchReport) -> str:
    """All that stands in no other part."""
    rows = [row for row in report.results if row.benchmark not in (CURVES, SUSTAINED)]
    return readings_table(rows) if rows else NOTHING


def readings_table(rows: Iterable[ReportRow]) -> str:
    """Readings beside their baselines."""
    return table(
        ("reading", "value", "target", "x baseline", "baseline", ""),
        [
            (
                row.name,
                row.missing or value_of(row),
                "" if row.target is None else f"{row.target:,g}{'' if row.meets_target else ', missed'}",
                "" if row.missing else number(row.ratio),
                "" if row.missing else f"{row.baseline_name} ({number(row.baseline_value)})",
                "" if row.missing else row.note,
            )
            for row in rows
        ],
    )


def value_of(row: ReportRow) -> str:
    """A reading with its unit, marked where it was disturbed."""
    return f"{number(row.value)} {row.unit}{f' {DISTURBED}' if row.disturbed else ''}"


def number(value: float) -> str:
    """Three digits, and all before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""

    def line(cells: Sequence[str]) -> str:
        return "|" + "|".join(f" {re.sub(r'[|]', '/', cell)} " if cell else " " for cell in cells) + "|\n"

    return line(heads) + "|" + "---|" * len(heads) + "\n" + "".join(map(line, rows))


PARTS: dict[str, Callable[[BenchReport], str]] = {
    "machine": machine_part,
    "targets": targets_part,
    "curves": curves_part,
    "sustained": sustained_part,
    "readings": readings_part,
}
"""In the order in which they stand in the page."""
