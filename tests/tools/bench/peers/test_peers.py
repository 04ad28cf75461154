"""The bench of peers: what it measures really passes; one that is missing, hangs, dies or loses harms no other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tools.bench.peers.ends import BLOCK, READERS, Content
from tools.bench.peers.machine import GapWatch
from tools.bench.peers.rounds import IN_BATCHES, ONE, ONE_WAY_P50, Contest, rotated
from tools.bench.peers.table import OURS, READINGS, TARGETS, circumstances, run
from tools.bench.peers.team import PeerEnded, Team
from tools.bench.peers.transports import PEERS, iceoryx, mp_pipe, ring
from tools.bench.peers.worker import STREAM, TurnOrder, WrongContent, check, payloads_of, pinned_to
from tools.bench.result import BenchResult

TESTS = "tests.tools.bench.peers"
SHARED_MEMORY = Path("/dev/shm")
TURN_S = 0.005


def left_by(pid: int) -> list[str]:
    """What a process and its teams have in shared memory, temporary files of zenoh included."""
    return [path.name for path in SHARED_MEMORY.iterdir() if f"bench.{pid}" in path.name or f"bench_{pid}" in path.name]


def rows_of(results: list[BenchResult]) -> dict[str, BenchResult]:
    found = {result.name: result for result in results}
    assert len(found) == len(results)
    return found


def test_peers_are_all_measured_and_leave_nothing() -> None:
    others = {path.name for path in SHARED_MEMORY.glob("*.zenoh")}
    rows = rows_of(list(run(0.01, sizes=(128, 1024), clients=())))
    names = ("AlphaPulse", "iceoryx2", "pyzmq", "zenoh", "faster-fifo", "Unix socket", "mp.Pipe", "mp.Queue")
    with_batches = ("AlphaPulse", "pyzmq", "faster-fifo", "Unix socket")
    expected = {name for name, _, _ in TARGETS}
    for reading in READINGS:
        for size in (128, 1024):
            expected |= {
                f"peers, {reading}, {size} B: {name}" for name in (with_batches if reading == IN_BATCHES else names)
            }
    machine = {name: row for name, row in rows.items() if "the machine" in name}
    assert rows.keys() - machine.keys() == expected
    assert len(machine) == 3
    for name in expected:
        assert rows[name].missing == ""
        assert rows[name].value > 0 and rows[name].baseline_value > 0 and rows[name].ratio > 0
        assert len(rows[name].rounds) == 1
    for name, _, target in TARGETS:
        assert rows[name].target == target
        assert rows[name].baseline_name.startswith("best peer: ")
    assert left_by(os.getpid()) == []
    assert {path.name for path in SHARED_MEMORY.glob("*.zenoh")} <= others


def test_peers_that_hang_die_or_lose_are_ended_and_said_and_the_others_go_on(tmp_path: Path) -> None:
    hung, dying, lossy = (f"{TESTS}.{name}" for name in ("hung", "dying", "lossy"))
    pipe = mp_pipe.__name__
    contest = Contest((hung, dying, lossy, pipe), (64,), tmp_path, patience_s=5.0)
    contest.play(1, TURN_S)
    assert contest.ended == {
        hung: "no answer within 5 s; its processes were killed (ping to 1)",
        dying: "process 1 died, exit code -9 (stream to 1)",
        lossy: contest.ended[lossy],
    }
    assert contest.ended[lossy].startswith("WrongContent: expected payload ")
    assert contest.ended[lossy].endswith(" of 64 B (stream to 1)")
    assert (dying, ONE_WAY_P50, 64) in contest.samples, "what was measured before stays"
    assert {reading for module, reading, _ in contest.samples if module == pipe} == READINGS.keys() - {IN_BATCHES}


@pytest.mark.parametrize(("module", "prefix"), [(ring, "bench."), (iceoryx, "bench_")])
def test_peers_whose_processes_were_killed_leave_no_shared_memory(module: object, prefix: str, tmp_path: Path) -> None:
    transport = module.TRANSPORT  # type: ignore[attr-defined]
    team = Team(transport, transport.make.__module__, tmp_path)
    team.greet()
    told: list[str] = []

    def play() -> None:
        try:
            team.play(TurnOrder(STREAM, (64,), READERS, 600.0, spin=False))
        except PeerEnded as error:
            told.append(str(error))

    turn = threading.Thread(target=play)
    turn.start()
    while turn.is_alive() and not any(f"{prefix}{os.getpid()}" in name for name in left_by(os.getpid())):
        pass
    os.kill(team.pids[1], signal.SIGKILL)
    turn.join()
    assert told == ["process 1 died, exit code -9"]
    assert left_by(os.getpid()) == []


SCRIPT = """
import json, os, sys
from dataclasses import asdict
peers, clients, without, cores = json.loads(sys.argv[1])

class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in without:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

if __name__ == "__main__":
    sys.meta_path.insert(0, Without())
    if cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    from tools.bench.peers.table import run
    found = []
    try:
        for result in run(0.01, peers=tuple(peers), sizes=(64,), clients=tuple(clients)):
            found.append(asdict(result))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
    print(json.dumps(found))
"""


def rows_of_script(
    peers: list[str], clients: list[str], without: list[str], cores: int, folder: Path
) -> tuple[dict[str, BenchResult], str]:
    """The rows, and what was said on stderr, of a process of its own."""
    script = folder / "peers.py"
    script.write_text(SCRIPT)
    root = str(Path(__file__).parents[4])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    environment["TMPDIR"] = str(folder)
    command = [sys.executable, str(script), json.dumps([peers, clients, without, cores])]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert ended.returncode == 0, ended.stderr
    assert [path.name for path in folder.iterdir()] == ["peers.py"]
    return rows_of([BenchResult(**row) for row in json.loads(ended.stdout)]), ended.stderr


def test_peers_that_are_not_installed_have_rows_that_say_so_and_one_core_is_said(tmp_path: Path) -> None:
    rows, told = rows_of_script(
        [iceoryx.__name__, mp_pipe.__name__], ["tools.bench.peers.feed.web3_logs"], ["iceoryx2", "web3"], 1, tmp_path
    )
    assert told == ""
    for name in (f"peers, {ONE}, 64 B: iceoryx2", "peers, feed, logs to events: web3.py"):
        assert rows[name].missing == "not installed: pip install 'alphapulse[peers]'"
        assert not rows[name].meets_target
    measured = [row for name, row in rows.items() if name.endswith((": AlphaPulse", ": mp.Pipe"))]
    assert len(measured) == 2 * len(READINGS) - 1
    assert all(row.value > 0 and "one core for all, unpinned" in row.note for row in measured)


def test_peers_that_are_interrupted_keep_what_was_measured(tmp_path: Path) -> None:
    rows, told = rows_of_script([mp_pipe.__name__, f"{TESTS}.interrupting"], [], [], 0, tmp_path)
    assert told == "interrupted\n"
    assert all(rows[f"peers, one way p50, 64 B: {name}"].value > 0 for name in ("AlphaPulse", "mp.Pipe"))
    assert rows["peers, one to three, 64 B: interrupting"].missing == "interrupted before its first turn"


def test_peers_payloads_differ_and_any_change_of_one_is_noticed() -> None:
    payloads = payloads_of(64)
    assert len(set(payloads)) == BLOCK
    assert {len(payload) for payload in payloads} == {64}
    check(memoryview(payloads[7]), payloads[7])
    wrong: tuple[Content, ...] = (payloads[8], payloads[7][:63], memoryview(payloads[7][:-1] + b"!"))
    for received in wrong:
        with pytest.raises(WrongContent, match=r"expected payload 7 of 64 B, found payload|expected payload 7 of 64 B"):
            check(received, payloads[7])


def test_peers_take_turns_in_rotated_order() -> None:
    assert [rotated(["a", "b", "c"], by) for by in range(4)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
        ["a", "b", "c"],
    ]
    assert rotated([], 3) == []


def test_peers_say_that_pinning_is_not_permitted() -> None:
    assert not pinned_to(1 << 20)
    assert "not permitted" in circumstances(pinned=False)
    assert "not permitted" not in circumstances(pinned=True)


def test_peers_watch_of_the_machine_calls_it_disturbed_by_the_time_that_it_missed() -> None:
    watch = GapWatch()
    watch.look()
    assert watch.looks == 1
    assert watch.watched_ns > 0
    watch.watched_ns, watch.missed_ns, watch.gaps, watch.longest_ns = 1_000_000_000, 60_000_000, 3, 40_000_000
    assert watch.disturbed
    assert "up to 40.00 ms, 3/s over 10 us" in str(watch)


def test_peers_ours_is_first() -> None:
    assert ring.__name__ == OURS
    assert OURS not in PEERS
