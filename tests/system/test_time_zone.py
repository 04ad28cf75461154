"""Whatever the machine's time zone, what is printed and stored is the same: times are UTC, or say their zone."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.consumers.journal_frames import append, open_writer
from tlv.codes import Domain, Source
from tlv.layout import Block
from tlv.message import build

ROOT = Path(__file__).resolve().parents[2]
NS = 1_000_000_000
CHANGES = [int(datetime(2026, *when, tzinfo=UTC).timestamp()) for when in ((3, 8, 5, 30), (11, 1, 4, 30))]
"""Summer time begins and ends in St. John's."""
OFFSETS = {"UTC": 0, "Asia/Kolkata": 19_800, "America/St_Johns": -12_600, "Nowhere/Else": 0}
"""In seconds, in January."""

OUTPUTS = """
import sys, time
from pathlib import Path
from tools.command.main import group
from consumers.store import Store

journal, out = Path(sys.argv[1]), Path(sys.argv[2])
for line in (
    ["dump", str(journal)],
    ["dump", str(journal), "--json"],
    ["journal", "info", str(journal)],
    ["journal", "info", str(journal), "--json"],
    ["export", str(journal), "--format", "csv", "--out", str(out / "csv")],
    ["export", str(journal), "--format", "jsonl", "--out", str(out / "jsonl")],
    ["export", str(journal), "--format", "parquet", "--out", str(out / "parquet")],
):
    print(line[:2])
    group.main(line, standalone_mode=False)
print(Store.open(journal).to_df()["Block"].to_string())
for path in sorted(out.glob("*/*")):
    print(path.name, path.read_bytes())
print(time.localtime(0).tm_gmtoff, file=sys.stderr)
"""


def outputs(journal: Path, folder: Path, zone: str) -> subprocess.Popen[str]:
    folder.mkdir()
    return subprocess.Popen(
        [sys.executable, "-c", OUTPUTS, str(journal), "out"],
        cwd=folder,
        env=os.environ | {"TZ": zone, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Blocks around both changes, and around midnights."""
    directory = tmp_path / "journal"
    seconds = [change + shift for change in CHANGES for shift in (-90_000, -3601, -1, 0, 1, 3600, 90_000)]
    with open_writer(directory) as writer:
        for number, second in enumerate(seconds, 1):
            block = Block(number, second, 0, 0, second * NS, 0, bytes([number]) * 32, bytes([number - 1]) * 32)
            message = build(
                Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, [block], sequence=number, timestamp_ns=second * NS
            )
            append(writer, [message], number)
    return directory


def test_outputs_are_the_same_in_every_time_zone(journal: Path, tmp_path: Path) -> None:
    started = {zone: outputs(journal, tmp_path / f"zone{number}", zone) for number, zone in enumerate(OFFSETS)}
    said = {zone: process.communicate() for zone, process in started.items()}
    assert {process.returncode for process in started.values()} == {0}, said["UTC"][1]
    assert "2026-11-01" in said["UTC"][0]
    for zone in OFFSETS:
        assert said[zone][0] == said["UTC"][0], zone
    offsets = {zone: int(errors.split()[-1]) for zone, (_, errors) in said.items()}
    assert offsets == OFFSETS, "these processes did not run in these zones"
