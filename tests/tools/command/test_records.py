"""`--records FILE`: what reads messages elsewhere shows and selects a user's own record by its name and fields."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumers.client import Item
from consumers.event import Event
from consumers.examples.native_mover import PriceMove
from consumers.journal import Fsync
from consumers.live import Live
from consumers.recorder import Recorder
from consumers.store import Store
from ringbuf import Writer
from tests.consumers.relay_rig import make_ring, publish, serving, take
from tests.tools.command.forked import run_forked
from tlv.codes import Domain, Source
from tlv.filter import MessageFilter
from tlv.message import build, parse
from tlv.record import RECORDS
from tlv.user_records import register_records
from tools.command.records import load_records

ROOT = Path(__file__).resolve().parents[3]
DECLARED = ROOT / "consumers" / "examples" / "native_mover.toml"
MOVE = PriceMove(-12_000, b"p" * 20)


@pytest.fixture
def moves(ring_name: str) -> Iterator[Writer]:
    """A ring of market messages with one price move behind them, as sequence 4."""
    with make_ring(ring_name) as writer:
        publish(writer, 3)
        writer.publish(build(Domain.SIGNAL, Source.POLYGON_COLLECTOR, [MOVE], sequence=4))
        yield writer


def recorded(ring: str, directory: Path) -> Path:
    with Recorder(ring, directory, report=print, fsync=Fsync.NEVER) as recorder:
        recorder.run(lambda: recorder.next_sequence == 5, until_closed=False)
    return directory


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.command.main", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_bundled_declaration_is_that_of_the_example() -> None:
    assert register_records(DECLARED.read_text()) == (PriceMove,)


def test_load_records_of_one_more_record_registers_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[[record]]\nname = "Mine"\ntype = 243\n[record.fields]\na = "u8"\n')
    load_records(path)
    assert RECORDS.pop(243).__name__ == "Mine"


def test_dump_with_records_shows_the_fields(moves: Writer) -> None:
    done = run("dump", moves.name, "--records", str(DECLARED), "--types", "PriceMove", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = map(json.loads, done.stdout.splitlines())
    assert line["records"] == [{"type": "PriceMove", "move_pips": -12_000, "pool": "0x" + (b"p" * 20).hex()}]
    assert "PriceMove move_pips=-12000 pool=0x7070" in run("dump", moves.name, "--records", str(DECLARED)).stdout
    assert "1 unknown TLVs" in run("dump", moves.name).stdout


def test_export_with_records_writes_their_table(moves: Writer, tmp_path: Path) -> None:
    journal, out = recorded(moves.name, tmp_path / "journal"), tmp_path / "out"
    arguments = ["--out", str(out), "--format", "jsonl", "--records", str(DECLARED), "--types", "PriceMove"]
    done = run("export", str(journal), *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = map(json.loads, (out / "PriceMove.jsonl").read_text().splitlines())
    assert (row["sequence"], row["move_pips"], row["pool"][:42]) == (4, -12_000, "0x" + (b"p" * 20).hex())


def test_store_has_a_table_of_a_users_record(moves: Writer, tmp_path: Path) -> None:
    table = Store.open(recorded(moves.name, tmp_path)).select(types=["PriceMove"]).to_arrow()["PriceMove"]
    assert table.column("move_pips").to_pylist() == [-12_000]
    assert table.column("pool").to_pylist() == [(b"p" * 20).ljust(32, b"\0")]


def test_live_and_relay_client_select_and_read_a_users_record(moves: Writer) -> None:
    with Live(moves.name, types=["PriceMove"], start="oldest") as live:
        event = next(iter(live))
    assert isinstance(event, Event) and event.records == (MOVE,)
    with serving(moves.name) as rig, rig.client(start="oldest", wanted=MessageFilter.of(types=["PriceMove"])) as client:
        (item,) = take(client, 1)
    assert isinstance(item, Item) and parse(item.data).records == (MOVE,)


@pytest.mark.parametrize("command", ["dump", "export"])
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (None, "No such file"),
        (b"\xff", "not UTF-8 at byte 0"),
        (
            b'[[record]]\nname = "A"\ntype = 1\nfields = {a = "u8"}\n',
            "record 'A': expected a type from 200 to 254",
        ),
    ],
)
def test_records_file_that_is_wrong_is_one_line_with_its_name(
    tmp_path: Path, command: str, data: bytes | None, expected: str
) -> None:
    path = tmp_path / "mine.toml"
    if data is not None:
        path.write_bytes(data)
    out = ["--out", str(tmp_path)] if command == "export" else []
    done = run_forked(command, tmp_path, *out, "--records", path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert f"records {path}: {expected}" in done.stderr
