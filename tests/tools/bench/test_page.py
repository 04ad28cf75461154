"""The page docs/performance is what the generator makes of the readings that are kept beside it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tlv.errors import UsageError
from tools.bench.curves.axes import AXES
from tools.bench.page import PARTS, pictures, with_parts, write_page
from tools.bench.plot import CurveLine, chart
from tools.bench.report import BenchReport, ReportRow, read_report
from tools.bench.targets import TARGETS

FOLDER = ROOT / "docs" / "performance"
SVG = "{http://www.w3.org/2000/svg}"


def curve_row(name: str, *points: tuple[float, float]) -> ReportRow:
    about = {"unit": "ns", "baseline_name": "at 1", "baseline_value": 1.0, "ratio": 1.0, "benchmark": "curves"}
    return ReportRow(name=name, value=2.0, points=points, exponent=0.5, exponent_error=0.01, **about)  # type: ignore[arg-type]


def report(*rows: ReportRow) -> BenchReport:
    machine: dict[str, str | int | float | bool] = {"processor": "one", "cores": 2, "pinned": True, "python": "3"}
    return BenchReport(
        machine=machine | {"kernel": "6", "load_1min": 0.1}, seconds=1.0, results=list(rows), when="2026-01-02"
    )


def test_page_and_pictures_are_made_of_the_readings_beside_them() -> None:
    kept = read_report(FOLDER / "bench.json")
    text = (FOLDER / "index.md").read_text()
    assert with_parts(text, kept, FOLDER) == text
    assert pictures(kept) == {path.name: path.read_text() for path in FOLDER.glob("*.svg")}
    assert all(f"| {one.reading} |" in text for one in TARGETS)


def test_page_has_every_curve_and_every_missed_target() -> None:
    text = "".join(f"<!-- generated: {name} -->\n<!-- end of {name} -->\n" for name in PARTS)
    target = ReportRow(
        name="journal scan",
        value=6.0,
        unit="M/s",
        baseline_name="read(2)",
        baseline_value=30.0,
        ratio=0.2,
        target=12.0,
        meets_target=False,
        disturbed=True,
        benchmark="limits",
    )
    made = with_parts(text, report(target, curve_row("pools: a|b", (1, 2.0), (10, 4.0))), Path("page"))
    assert "| journal scan | 4.8 M/s | >= 12 M/s | 6 M/s ~ (read(2): 30) | **no** |" in made
    assert "| a/b | ns | 2 at 1, 4 at 10 | +0.50 ± 0.01 | |" in made
    assert all(f"({name}.svg)" in made for name in AXES)
    assert with_parts(made, report(), Path("page")).count("not measured") == len(TARGETS)


@pytest.mark.parametrize("text", ["", "<!-- generated: machine -->\n", "<!-- end of machine -->\n"])
def test_page_without_a_place_for_a_part_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected the page"):
        write_page(tmp_path, report())
    (tmp_path / "index.md").write_text(text)
    with pytest.raises(UsageError, match=r"index.md: expected <!-- generated: machine --> and <!-- end of machine -->"):
        write_page(tmp_path, report())
    assert [path.name for path in tmp_path.iterdir()] == ["index.md"]


def test_chart_is_sound_xml_within_its_frame_and_always_the_same() -> None:
    lines = [CurveLine("<a> & b", [(0, 3.0), (1, 5.0), (100, 5.1)]), CurveLine("steep", [(1, 1e-3), (1e9, 1e6)])]
    made = chart('quotes " and <', "x", "y", lines)
    assert made == chart('quotes " and <', "x", "y", lines)
    root = ET.fromstring(made)
    assert root.get("aria-label") == 'quotes " and <'
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    for text in root.iter(f"{SVG}text"):
        assert 0 <= float(text.attrib["x"]) <= width and 0 <= float(text.attrib["y"]) <= height
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert {"x", "y", "<a> & b", "steep", "1 G"} <= set(words)
    assert len(words) < 35


def test_chart_of_nothing_says_so_and_one_of_noise_is_flat() -> None:
    assert "nothing was measured" in chart("label", "x", "y", [CurveLine("a", [(0, 1.0)])])
    flat = ET.fromstring(chart("label", "x", "y", [CurveLine("a", [(1, 10.0), (10, 10.1)])]))
    way = next(path.attrib["d"] for path in flat.iter(f"{SVG}path") if " L" in path.attrib["d"])
    (_, first), (_, last) = (map(float, place.strip("M ").split()) for place in way.split(" L"))
    assert abs(first - last) < 3
