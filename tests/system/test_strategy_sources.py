"""`alphapulse strategy` on a journal, and on rings that wait for it or do not: what it did not see it says."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consumers.journal import Fsync, JournalReader
from consumers.recorder import Recorder
from ringbuf import Loss, Reader, Writer
from tests.consumers.recorded_market import canonical_frames
from tests.tools.command.forked import run_forked
from tlv.layout import LAYOUT_DIGEST

ROOT = Path(__file__).parents[2]
SIGNALS = 82
"""What the recorded market gives, with gas left out."""
PATIENCE_S = 120.0
ROUNDS = 40
"""So many times the recorded market does not fit into the ring of the replay."""


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    """A command of `alphapulse`, when it is ready."""
    command = [sys.executable, "-m", "tools.command.main", *map(str, arguments), "--json"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line and json.loads(line)["ready"], process.communicate()
    return process


def end(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any], str]:
    """Exit status, statistics, and what it complained of."""
    out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, json.loads(out), err


def record_market(ring: str, journal: Path, rounds: int = 1) -> int:
    """A journal of the recorded market, `rounds` times over; returns how many frames."""
    with Writer.create(ring, capacity=1 << 26, layout_digest=LAYOUT_DIGEST) as writer:
        for _ in range(rounds):
            for _, _, data in canonical_frames():
                writer.publish(data)
        last = writer.next_sequence - 1
        writer.close()
        with Recorder(ring, journal, report=print, fsync=Fsync.NEVER) as recorder:
            recorder.run(lambda: recorder.next_sequence == last + 1, until_closed=True)
    return last


def count_of(ring: str) -> int:
    """How many frames a ring holds."""
    with Reader.attach(ring, start="oldest") as reader:
        count = 0
        while poll := reader.poll():
            count += len(poll)
        return count


def test_strategy_on_a_journal_sees_every_frame_and_ends_with_it(
    new_ring_name: Callable[[], str], tmp_path: Path
) -> None:
    frames, signals = record_market(new_ring_name(), tmp_path), new_ring_name()
    status, said, err = end(start("strategy", "--journal", tmp_path, "--signals", signals, "--gross"))
    assert (status, err) == (0, "")
    assert (said["frames"], said["lost"], said["signals"]) == (frames, 0, SIGNALS)
    assert said["latency_ns"]["ring_to_signal"] is None and count_of(signals) == SIGNALS


def test_strategy_that_follows_a_journal_goes_on_until_it_is_stopped(
    new_ring_name: Callable[[], str], tmp_path: Path
) -> None:
    frames, signals = record_market(new_ring_name(), tmp_path), new_ring_name()
    process = start("strategy", "--journal", tmp_path, "--follow", "--signals", signals, "--gross")
    deadline = time.monotonic() + PATIENCE_S
    while count_of(signals) < SIGNALS and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    status, said, err = end(process)
    assert (status, said["frames"], said["lost"], err) == (0, frames, 0, "")


def test_strategy_that_follows_a_journal_waits_until_there_is_one(
    new_ring_name: Callable[[], str], tmp_path: Path
) -> None:
    signals, journal = new_ring_name(), tmp_path / "journal"
    command = [sys.executable, "-m", "tools.command.main", "strategy", "--journal", str(journal), "--follow", "--gross"]
    process = subprocess.Popen(
        [*command, "--signals", signals, "--json"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    assert f"waiting for journal {journal}" in process.stderr.readline()
    frames = record_market(new_ring_name(), journal)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["journal"] == str(journal)
    process.send_signal(signal.SIGTERM)
    status, said, _ = end(process)
    assert status == 0
    assert said["frames"] <= frames


def test_strategy_of_a_journal_that_lacks_frames_says_so_by_its_status(
    new_ring_name: Callable[[], str], tmp_path: Path
) -> None:
    ring = new_ring_name()
    with (
        Writer.create(ring, capacity=1 << 16, layout_digest=LAYOUT_DIGEST) as writer,
        Recorder(ring, tmp_path, report=print, fsync=Fsync.NEVER) as recorder,
    ):
        for _, _, data in canonical_frames():
            writer.publish(data)
        writer.close()
        recorder.run(lambda: False, until_closed=True)
    with JournalReader(tmp_path) as reader:
        missing = sum(item.count for item in reader if isinstance(item, Loss))
    status, said, err = end(start("strategy", "--journal", tmp_path, "--signals", new_ring_name()))
    assert missing > 0 and (status, said["lost"]) == (3, missing)
    assert err == f"strategy: {missing} frames of {tmp_path} were lost\n"


def test_strategy_lapped_by_its_ring_says_so_by_its_status(new_ring_name: Callable[[], str]) -> None:
    with Writer.create(new_ring_name(), capacity=1 << 16, layout_digest=LAYOUT_DIGEST) as writer:
        process = start("strategy", "--ring", writer.name, "--signals", new_ring_name(), "--until-closed")
        process.send_signal(signal.SIGSTOP)
        for _, _, data in canonical_frames():
            writer.publish(data)
        writer.close()
        process.send_signal(signal.SIGCONT)
        status, said, err = end(process)
    assert status == 3 and said["lost"] > 0 and said["lost"] + said["frames"] == len(canonical_frames())
    assert err == f"strategy: {said['lost']} frames of {writer.name} were lost\n"


def test_replay_at_full_speed_waits_for_a_reliable_strategy_which_loses_nothing(
    new_ring_name: Callable[[], str], tmp_path: Path, tell: Callable[[str], None]
) -> None:
    frames, ring = record_market(new_ring_name(), tmp_path, ROUNDS), new_ring_name()
    options = ("--ring", ring, "--capacity-mib", "1", "--speed", "max")
    replay = start("replay", tmp_path, *options, "--readers", "1", "--patience", "60")
    strategy = start("strategy", "--ring", ring, "--reliable", "--until-closed", "--signals", new_ring_name())
    status, done, err = end(replay)
    assert (status, done["frames"], done["evicted"], err) == (0, frames, 0, "")
    status, said, err = end(strategy)
    assert (status, said["frames"], said["lost"]) == (0, frames, 0), err
    with Reader.attach(ring, start="oldest") as reader:
        assert reader.sequence > 1, "the ring holds everything: nobody had to wait"
    tell(f"replay --speed max of {frames} frames through a ring of 1 MiB: a reliable strategy lost 0")


def test_replay_says_how_many_reliable_readers_it_evicted(new_ring_name: Callable[[], str], tmp_path: Path) -> None:
    record_market(new_ring_name(), tmp_path, ROUNDS)
    ring = new_ring_name()
    options = ("--ring", ring, "--capacity-mib", "1", "--speed", "max")
    replay = start("replay", tmp_path, *options, "--readers", "1", "--patience", "0.1")
    with Reader.attach(ring, reliable=True) as reader:
        status, done, _ = end(replay)
        assert (status, done["evicted"]) == (0, 1) and reader.evicted


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--follow"], "--follow: expected --journal"),
        (["--ring", "x", "--journal", "."], "--ring and --journal: expected one of them, found both"),
        (["--journal", ".", "--reliable"], "--reliable: a journal needs no writer that waits"),
        (["--journal", "no/such/folder"], "no/such/folder"),
    ],
)
def test_strategy_options_that_do_not_fit_are_one_line(arguments: list[str], complaint: str) -> None:
    done = run_forked("strategy", *arguments)
    assert done.returncode == 2 and complaint in done.stderr and "Traceback" not in done.stderr
