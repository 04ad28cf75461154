"""The demo from outside: real processes on the recorded blocks, what it reports, and that nothing stays behind."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from consumers.journal import JournalReader
from producers.decode.cold import RefusedLog, decode_log
from producers.kinds.emitter_key import key_of
from producers.node.rpc_types import Log
from ringbuf import Frame
from tests.producers.collected import exchanged_pairs
from tests.system.up_rig import wait_for
from tests.tools.on_a_terminal import Terminal, on_a_terminal
from tlv.codes import Flag, Protocol
from tlv.layout import EventOrigin, PoolBurn, PoolCollect, PoolMint, PoolRecord, PoolSwap, PoolSync
from tlv.message import parse
from tlv.text import message_to_dict
from tools.command.supervisor import child_environment
from tools.recording import bundled_recording
from tools.recording.proven_pools import read_proven_pools
from tools.up.processes import SupervisedProcess, look_at_processes
from tools.up.run_directory import RunDirectory

DEMO = [sys.executable, "-m", "tools.command.main", "demo"]
SHARED_MEMORY = Path("/dev/shm")
EVENTS = (PoolSwap, PoolMint, PoolBurn, PoolCollect, PoolSync)
KEYS = {
    *("blocks", "logs_received", "events_published", "events_by_type", "reorgs", "removed_events", "duplicates"),
    *("quarantined_logs", "lookalikes", "gaps", "signals", "ring", "latency_ns"),
    *("blocks_by_verdict", "backfills", "repairs", "dashboard"),
    *("withdrawn", "orders", "states", "reasons", "pnl", "breaker", "execution_hash"),
}


@pytest.fixture
def place() -> Iterator[Path]:
    """A runtime directory of the test's own; short, since a socket's path has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="ap") as directory:
        yield Path(directory)


def environment(place: Path) -> dict[str, str]:
    found = child_environment({"XDG_RUNTIME_DIR": str(place)})
    del found["ALPHAPULSE_PARENT_PID"]
    return found


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def processes_of(pid: int) -> list[int]:
    """A demo's supervisord and what runs under that."""
    (supervisord,) = children_of(pid)
    return [supervisord, *children_of(supervisord)]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def segments_of(name: str) -> list[str]:
    return [path.name for path in SHARED_MEMORY.glob(f"alphapulse-{os.getuid()}-{name}.*")]


def start_live(place: Path, *arguments: str) -> tuple[subprocess.Popen[str], str]:
    """A demo at ten times the recorded pace that has shown events; and its name."""
    process = subprocess.Popen(
        [*DEMO, "--plain", "--speed", "10", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(place),
    )
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("block ") and "events 0 " not in line:
            (name,) = (path.name for path in (place / "alphapulse").glob("demo*"))
            return process, name
    raise AssertionError(f"no event: {said[-20:]}")


# ---- a whole run


@pytest.fixture(scope="module")
def finished() -> Iterator[tuple[dict[str, Any], Path]]:
    """The report of one run at speed max, as in quick-start.md, and the directory it left."""
    with tempfile.TemporaryDirectory(prefix="ap") as directory:
        ended = subprocess.run(
            [*DEMO, "--speed", "max", "--exit", "--json", "--keep"],
            capture_output=True,
            text=True,
            timeout=300,
            env=environment(Path(directory)),
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        (home,) = (Path(directory) / "alphapulse").glob("demo*")
        yield json.loads(ended.stdout), home
        for left in segments_of(home.name):
            (SHARED_MEMORY / left).unlink()


def rows(name: str) -> Iterator[dict[str, Any]]:
    with gzip.open(bundled_recording() / f"{name}.jsonl.gz", "rt") as lines:
        yield from map(json.loads, lines)


def truth() -> dict[tuple[bytes, bytes, int], PoolRecord]:
    """Every event of a proven pool, Curve's among them, in the canonical logs, decoded one by one, by identity."""
    proven = read_proven_pools(bundled_recording() / "pools.jsonl.gz")
    pools = {f"0x{pool.pool.hex()}": pool for pool in proven} | exchanged_pairs()
    found = {}
    for row in rows("recording_2021-04-20_canonical_logs"):
        log = msgspec.convert(row, Log)
        pool = pools.get(key_of(log))
        if pool is None:
            continue
        try:
            record = decode_log(log, pool)
        except RefusedLog:
            continue
        identity = bytes.fromhex(row["blockHash"][2:]), bytes.fromhex(row["transactionHash"][2:])
        found[*identity, int(row["logIndex"], 16)] = record
    return found


def recorded(home: Path) -> list[tuple[tuple[bytes, bytes, int], PoolRecord, bool]]:
    """Every pool event of the journal: identity, record, and whether it is a REMOVED copy."""
    events: list[tuple[tuple[bytes, bytes, int], PoolRecord, bool]] = []
    for item in JournalReader(home / "journal"):
        assert isinstance(item, Frame)
        message = parse(item.payload)
        origin = message.first(EventOrigin)
        if origin is not None and isinstance(message.records[0], EVENTS):
            identity = origin.block_hash, origin.transaction_hash, origin.log_index
            events.append((identity, message.records[0], bool(message.header.flags & Flag.REMOVED)))
    return events


def test_demo_published_minus_removed_is_the_canonical_set(finished: tuple[dict[str, Any], Path]) -> None:
    events, expected = recorded(finished[1]), truth()
    balance: Counter[tuple[bytes, bytes, int]] = Counter()
    for identity, _, removed in events:
        balance[identity] += -1 if removed else 1
    assert {identity for identity, count in balance.items() if count} == set(expected)
    assert set(balance.values()) <= {0, 1}
    assert len(expected) == 369
    assert sum(record.protocol == Protocol.CURVE for record in expected.values()) == 3


def test_demo_published_values_are_the_canonical_values(finished: tuple[dict[str, Any], Path]) -> None:
    expected = truth()
    compared = 0
    for identity, record, _ in recorded(finished[1]):
        if identity in expected:
            names = set(record.__struct_fields__) - {"decimals0", "decimals1"}
            assert {name: getattr(record, name) for name in names} == {
                name: getattr(expected[identity], name) for name in names
            }
            compared += 1
    assert compared >= len(expected)


def test_demo_report_has_exactly_its_keys(finished: tuple[dict[str, Any], Path]) -> None:
    report = finished[0]
    assert set(report) == KEYS
    assert set(report["ring"]) == {"frames", "bytes", "lost"}
    assert set(report["latency_ns"]) == {"receive_to_ring", "ring_to_signal", "receive_to_signal"}
    for latency in report["latency_ns"].values():
        assert set(latency) == {"p50", "p99", "max"}


def test_demo_report_agrees_with_the_journal(finished: tuple[dict[str, Any], Path]) -> None:
    report, home = finished
    events = recorded(home)
    assert report["events_published"] == sum(not removed for *_, removed in events)
    assert report["removed_events"] == sum(removed for *_, removed in events)
    assert sum(report["events_by_type"].values()) == report["events_published"]
    frames = [item for item in JournalReader(home / "journal") if isinstance(item, Frame)]
    assert report["ring"]["frames"] == len(frames)
    assert [frame.sequence for frame in frames] == list(range(1, len(frames) + 1))
    assert report["ring"]["lost"] == 0


def test_demo_report_tells_the_recorded_reorgs_and_gaps(finished: tuple[dict[str, Any], Path]) -> None:
    report = finished[0]
    assert [(reorg["number"], reorg["depth"]) for reorg in report["reorgs"]] == [
        (13522194, 1),
        (13522239, 1),
        (13522239, 2),
    ]
    assert report["gaps"] == [{"first": 13522170, "last": 13522174}, {"first": 13522231, "last": 13522238}]
    assert report["latency_ns"]["receive_to_ring"]["p50"] > 0


def test_demo_journal_reads_as_text(finished: tuple[dict[str, Any], Path]) -> None:
    frame = next(iter(JournalReader(finished[1] / "journal")))
    assert isinstance(frame, Frame)
    assert message_to_dict(parse(frame.payload))


def test_demo_that_ended_leaves_no_process_and_closed_rings(finished: tuple[dict[str, Any], Path]) -> None:
    home = finished[1]
    running = [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(home).encode() in read(path)]
    assert running == []
    ended = subprocess.run(
        [sys.executable, "-m", "tools.ringstat", f"{home.name}.market.polygon", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    (ring,) = json.loads(ended.stdout)["rings"]
    assert ring["writer"] == "closed"


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


# ---- how it ends


def end(process: subprocess.Popen[str], name: str, tell: Callable[[str], None]) -> None:
    """Send a live demo SIGTERM: it ends, and its processes and rings with it."""
    children = processes_of(process.pid)
    assert len(children) == 9
    assert segments_of(name)
    begin = time.monotonic()
    process.terminate()
    said = process.communicate(timeout=120)[1]
    took_s = time.monotonic() - begin
    assert process.returncode == 0, said
    assert [child for child in children if alive(child)] == []
    assert segments_of(name) == []
    tell(f"the demo ended {took_s:.2f} s after SIGTERM")


def test_demo_whose_killed_collector_was_started_again_does_not_meet_another_and_ends_when_told_to(
    place: Path, tell: Callable[[str], None]
) -> None:
    process, name = start_live(place)
    try:
        (run,) = (RunDirectory(path) for path in (place / "alphapulse").glob("up-*"))

        def collector() -> SupervisedProcess:
            (found,) = (one for one in look_at_processes(run) if one.name == "collector")
            return found

        killed = collector().pid
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: collector().restarts == 1 and collector().state == "running", "the collector to run again")
        assert collector().pid != killed
        status = subprocess.run(
            [sys.executable, "-m", "tools.command.main", "status", "--json"],
            capture_output=True,
            text=True,
            env=environment(place),
        )
        (up,) = json.loads(status.stdout)["up"]
        assert {one["name"] for one in up["processes"]} >= {"node", "collector", "strategy", "recorder"}
        another = subprocess.run(
            [*DEMO, "--speed", "max", "--exit", "--json", "--no-dashboard"],
            capture_output=True,
            text=True,
            timeout=300,
            env=environment(place),
            check=False,
        )
        assert another.returncode == 0, another.stderr
        assert json.loads(another.stdout)["ring"]["lost"] == 0
        assert json.loads(another.stdout)["dashboard"] is None
        assert process.poll() is None
        end(process, name, tell)
        assert list((place / "alphapulse").iterdir()) == []
    finally:
        process.kill()
        process.communicate(timeout=120)


WITHOUT_OBS = """
import sys
sys.modules["uvicorn"] = None
"""


def test_demo_killed_takes_its_processes_with_it_and_the_next_cleans_up_and_runs_without_the_extra_obs(
    place: Path,
) -> None:
    process, name = start_live(place)
    children = processes_of(process.pid)
    process.kill()
    process.communicate(timeout=120)
    deadline = time.monotonic() + 60
    while any(alive(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [child for child in children if alive(child)] == []
    assert segments_of(name)
    (place / "sitecustomize.py").write_text(WITHOUT_OBS)
    environ = environment(place)
    following = subprocess.run(
        [*DEMO, "--speed", "max", "--exit"],
        capture_output=True,
        text=True,
        timeout=300,
        env=environ | {"PYTHONPATH": os.pathsep.join([str(place), environ["PYTHONPATH"]])},
        check=False,
    )
    assert following.returncode == 0, following.stderr
    assert segments_of(name) == []
    assert "dashboard  none (it needs the extra `obs`: pip install 'alphapulse[obs]')" in following.stderr
    told = [line.split("  ")[0] for line in following.stderr.splitlines()]
    assert (told.count("gap"), told.count("reorg")) == (2, 3)
    assert "signal" in told
    assert following.stdout.splitlines()[0] == "179 blocks, 5,401 logs"
    assert "gaps of 13 blocks in all" in following.stdout
    assert "\x1b" not in following.stdout + following.stderr


def test_demo_of_a_folder_that_is_no_recording_is_one_clear_error(place: Path) -> None:
    ended = subprocess.run(
        [*DEMO, "--recording", str(place), "--exit", "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(place),
        check=False,
    )
    assert ended.returncode == 1
    assert "alphapulse: error: node ended before it was ready" in ended.stderr
    assert "expected one recording" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


# ---- what it shows

SIZES = [(80, 24), (200, 50), (60, 20)]


def is_whole(shown: Terminal) -> bool:
    """A gap, a reorg and a signal, the dashboard's address, and the last line of the picture."""
    lines = shown.lines
    facts = ("reorg ", "dashboard  http://127.0.0.1:")
    is_there = all(fact in shown.text for fact in facts) and bool(signal_lines(shown))
    return is_there and lines[-1].startswith("Ctrl-C ends it")


def signal_lines(shown: Terminal) -> list[str]:
    """Rows of signals: pair, route, net, and what became of it; a narrow terminal cuts texts in their middle."""
    row = re.compile(r"\S+/?\S* +\w+ ?(->|…).* [0-9.e-]+ \S+ +(holds|replaced|withdrawn|expired)\b")
    return [line for line in shown.lines if row.match(line)]


def test_demo_picture_fits_every_terminal_shows_what_happens_and_goes_on(place: Path) -> None:
    with on_a_terminal([*DEMO, "--speed", "20"], *SIZES[0], environment(place)) as shown:
        shown.until(lambda shown: "gap " in shown.text and "13522170 to 13522174 missing (5)" in shown.text, "the gap")
        shown.until(lambda shown: "13522193 left the chain, 10 events taken back" in shown.text, "the reorg")
        shown.until(is_whole, "the signal")
        for columns, rows in [*SIZES, SIZES[0]]:
            shown.resize(columns, rows)
            shown.until(is_whole, f"the picture at {columns} x {rows}")
            assert shown.lines[0].startswith("AlphaPulse  ")
            assert "running" in shown.text and "lost 0" in shown.text
            assert (shown.screen.wrapped, shown.screen.scrolled) == (0, 0), shown.text
            if columns == 200:
                assert re.search(r"  (exact|speculative)", signal_lines(shown)[0])
        shown.until(lambda shown: status_of(f"{address_in(shown)}healthz") == 200, "a healthy pipeline")
        shown.until(lambda shown: int(re.findall(r"block (\d+)  blocks", shown.text)[0]) > 13522303, "the next lap")
        (name,) = (path.name for path in (place / "alphapulse").glob("demo*"))
        children = processes_of(shown.process.pid)
        assert segments_of(name)
        assert shown.end() == 0
        assert [child for child in children if alive(child)] == []
        assert segments_of(name) == []
        assert "stopping ..." in shown.text and "lost" in shown.text
        assert b"\x1b[?1049l" in shown.written
    assert list((place / "alphapulse").iterdir()) == []


def status_of(url: str) -> int:
    """With which status it is answered."""
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        return refusal.code


def address_in(shown: Terminal) -> str:
    return re.findall(r"http://127.0.0.1:\d+/", shown.text)[0]  # type: ignore[no-any-return]


def test_demo_on_a_dumb_terminal_prints_plain_lines(place: Path) -> None:
    with on_a_terminal(
        [*DEMO, "--speed", "20", "--no-dashboard"], 80, 24, environment(place) | {"TERM": "dumb"}
    ) as shown:
        shown.until(lambda shown: b"\ngap  blocks 13522170 to 13522174" in shown.written, "the gap")
        assert shown.end() == 0
        assert b"dashboard  none" in shown.written
        # Where colorama is installed numba imports it, and it resets the terminal's colours when a process ends.
        assert b"\x1b" not in shown.written.removesuffix(b"\x1b[0m")
