"""Lines that fit: names keep their two ends, tables fit every width, and nothing in a cell is read as markup."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from tools.command.printable import printable
from tools.command.terminal import ELLIPSIS, LEAST_NAME, TextColumn, flow, shorten, table

COLUMNS = (
    TextColumn("ring", least=LEAST_NAME),
    TextColumn("writer"),
    TextColumn("feed", rank=1, least=6, prose=True),
    TextColumn("rate", rank=2, right=True),
)
ROWS = [
    ["market.polygon.of.a.very.long.name", "alive", "ok, head 3 s, 2 behind", "1,234"],
    ["signal", "silent", "-", "7"],
    ["[bold]x[/]\x1b[2J\u202e", "dead", "\u4e2d\u6587\u4e2d\u6587\u4e2d\u6587", "0"],
]


@pytest.mark.parametrize("width", range(20, 121))
def test_table_fits_every_width_and_names_keep_eight_characters(width: int) -> None:
    title, first, second, third = (line.plain for line in table(COLUMNS, ROWS, width))
    assert max(map(cell_len, (title, first, second, third))) <= width
    name = first.split("  ")[0]
    assert len(name.replace(ELLIPSIS, "")) >= 8
    assert name[0] == "m" and name[-1] == "e"
    assert second.startswith("signal ") and "silent" in second
    assert third.isprintable()


def test_table_without_a_width_cuts_nothing_and_reads_no_markup() -> None:
    lines = [line.plain for line in table(COLUMNS, ROWS, None)]
    assert lines[1].split("  ")[0] == ROWS[0][0]
    assert lines[1].endswith("ok, head 3 s, 2 behind  1,234")
    assert lines[3].startswith("[bold]x[/]\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}")


def test_table_leaves_out_the_least_important_column_first() -> None:
    narrow, wide = (table(COLUMNS, ROWS, width)[0].plain.split() for width in (27, 120))
    assert (narrow, wide) == (["ring", "writer", "feed"], ["ring", "writer", "feed", "rate"])


def test_table_right_columns_end_at_one_place_whatever_the_cells_take() -> None:
    ends = {cell_len(line.plain) for line in table(COLUMNS, ROWS, 120)}
    assert len(ends) == 1


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("market.polygon", 14, "market.polygon"),
        ("market.polygon", 9, "mark\u2026ygon"),
        ("market.polygon", 8, "mark\u2026gon"),
        ("\u4e2d\u6587\u4e2d\u6587\u4e2d\u6587", 7, "\u4e2d\u6587\u2026\u6587"),
        ("", 3, ""),
    ],
)
def test_shorten_keeps_both_ends(text: str, width: int, expected: str) -> None:
    assert shorten(text, width) == expected
    assert cell_len(shorten(text, width)) <= width


def test_flow_takes_the_lines_that_it_needs() -> None:
    pairs = [(f"name{number}", "value", "") for number in range(6)]
    assert [len(flow(pairs, width)) for width in (80, 50, 12)] == [1, 2, 6]
    assert " ".join(flow(pairs, 12)[5].plain.split()) == "name5 value"


@pytest.mark.parametrize("text", ["", "USDC", "\u4e2d\u6587", "\U0001f680", "[red]", "a b"])
def test_printable_leaves_what_can_be_printed(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA1), 0x200B, 0x200F, 0x202E, 0x2028, 0x2066, 0xFEFF])
def test_printable_replaces_control_and_bidi_characters(code: int) -> None:
    assert printable(f"a{chr(code)}b") == "a\N{REPLACEMENT CHARACTER}b"
